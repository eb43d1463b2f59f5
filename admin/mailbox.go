package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"time"

	"posthaste/mailfile"
	"posthaste/store"
)

// A MailboxRequest names a mailbox of an account.
type MailboxRequest struct {
	Address string `json:"address"`
	Mailbox string `json:"mailbox,omitempty"`
}

// A Mailbox is one mailbox as it is listed.
type Mailbox struct {
	Name   string `json:"name"`
	Role   string `json:"role,omitempty"`
	Emails uint32 `json:"emails"`
	Unseen uint32 `json:"unseen"`
	Size   int64  `json:"size"`
}

// Imported tells how many messages of an import are in the mailbox, durably.
type Imported struct {
	Emails int `json:"emails"`
}

// A messageHead stands before each message of a stream, in a line of its own.
type messageHead struct {
	Received time.Time `json:"received"`
	Flags    []string  `json:"flags,omitempty"`
	Size     int64     `json:"size"`
}

// Mailboxes yields the mailboxes of an account.
func (a *Admin) Mailboxes(ctx context.Context, r MailboxRequest) iter.Seq2[Mailbox, error] {
	return func(yield func(Mailbox, error) bool) {
		account, err := a.account(ctx, r.Address)
		if err != nil {
			yield(Mailbox{}, err)
			return
		}
		boxes, err := a.cfg.Store.Account(account.ID).Mailboxes(ctx)
		for _, b := range boxes {
			if !yield(Mailbox{b.Name, string(b.Role), b.Emails, b.Unseen, b.Size}, nil) {
				return
			}
		}
		if err != nil {
			yield(Mailbox{}, err)
		}
	}
}

// Import adds messages to a mailbox, which it makes when it is missing. It returns how many are
// durable, also with an error.
func (a *Admin) Import(ctx context.Context, r MailboxRequest, messages iter.Seq2[mailfile.Message, error]) (Imported, error) {
	owner, err := a.account(ctx, r.Address)
	if err != nil {
		return Imported{}, err
	}
	account := a.cfg.Store.Account(owner.ID)
	box, err := account.MailboxByName(ctx, r.Mailbox)
	if errors.Is(err, store.ErrNoMailbox) {
		box, err = account.CreateMailbox(ctx, r.Mailbox, "")
	}
	if err != nil {
		return Imported{}, fmt.Errorf("mailbox %q of %s: %w", r.Mailbox, owner.Address, err)
	}
	n, err := account.Import(ctx, box.ID, func(yield func(store.Append, error) bool) {
		for m, err := range messages {
			prepared := store.Append{Received: m.Received, Keywords: m.Flags}
			if err == nil {
				prepared.Message, err = a.cfg.Store.Prepare(ctx, m.Content)
			}
			if !yield(prepared, err) || err != nil {
				return
			}
		}
	})
	if err != nil {
		err = fmt.Errorf("after %d messages: %w", n, err)
	}
	return Imported{n}, err
}

// Export calls write with every message of a mailbox in order.
func (a *Admin) Export(ctx context.Context, r MailboxRequest, write func(mailfile.Message) error) error {
	owner, err := a.account(ctx, r.Address)
	if err != nil {
		return err
	}
	account := a.cfg.Store.Account(owner.ID)
	box, err := account.MailboxByName(ctx, r.Mailbox)
	if err != nil {
		return fmt.Errorf("mailbox %q of %s: %w: posthaste mailbox list %s shows them all", r.Mailbox, owner.Address, err, owner.Address)
	}
	view, err := account.View(ctx, box.ID)
	if err != nil {
		return err
	}
	for i := range view.Len() {
		row := view.At(i)
		content, err := account.Content(ctx, row.Email)
		if err != nil {
			return fmt.Errorf("email with UID %d: %w", row.UID, err)
		}
		flags := slices.Collect(view.Names(row.Keywords))
		if row.Deleted {
			flags = append(flags, `\Deleted`)
		}
		if err := write(mailfile.Message{Content: content, Received: time.Unix(row.Received, 0), Flags: flags}); err != nil {
			return err
		}
	}
	return nil
}

// serveImport takes a MailboxRequest in the first line, then messages with their heads.
func (a *Admin) serveImport(w http.ResponseWriter, r *http.Request) {
	body := bufio.NewReaderSize(r.Body, 256<<10)
	writeLines(w, func(yield func(any, error) bool) {
		var request MailboxRequest
		if err := readLine(body, &request); err != nil {
			yield(nil, err)
			return
		}
		done, err := a.Import(r.Context(), request, readMessages(body))
		yield(done, err)
	})
}

// serveExport answers with messages and their heads; a head of size -1 carries the outcome.
func (a *Admin) serveExport(w http.ResponseWriter, r *http.Request) {
	var request MailboxRequest
	err := readLine(bufio.NewReader(r.Body), &request)
	buffered := bufio.NewWriterSize(w, 256<<10)
	defer buffered.Flush()
	if err == nil {
		err = a.Export(r.Context(), request, func(m mailfile.Message) error { return writeMessage(buffered, m) })
	}
	end := exportEnd{messageHead: messageHead{Size: -1}}
	if err != nil {
		end.Error = err.Error()
	}
	json.NewEncoder(buffered).Encode(end)
}

type exportEnd struct {
	messageHead
	Error string `json:"error,omitempty"`
}

// Import sends messages to be added to a mailbox.
func (c *Client) Import(ctx context.Context, r MailboxRequest, messages iter.Seq2[mailfile.Message, error]) (Imported, error) {
	reader, writer := io.Pipe()
	sendErr := make(chan error, 1)
	go func() {
		buffered := bufio.NewWriterSize(writer, 256<<10)
		err := json.NewEncoder(buffered).Encode(r)
		for m, readErr := range messages {
			if err != nil || readErr != nil {
				err = errors.Join(err, readErr)
				break
			}
			err = writeMessage(buffered, m)
		}
		err = errors.Join(err, buffered.Flush())
		sendErr <- err
		writer.CloseWithError(err) // nil is the end of the stream
	}()
	var done Imported
	var failed error
	readLines(ctx, c, "mailbox/import", reader, func(i Imported, err error) bool {
		done, failed = i, err
		return true
	})
	reader.Close()
	if err := <-sendErr; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return done, err
	}
	return done, failed
}

// Export calls write with every message of a mailbox.
func (c *Client) Export(ctx context.Context, r MailboxRequest, write func(mailfile.Message) error) error {
	request, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("admin: export: %w", err)
	}
	response, err := c.post(ctx, "mailbox/export", newLineReader(request))
	if err != nil {
		return err
	}
	defer response.Close()
	body := bufio.NewReaderSize(response, 256<<10)
	for {
		var head exportEnd
		if err := readLine(body, &head); err != nil {
			return fmt.Errorf("admin: export: the node went away before the end: %w", err)
		}
		if head.Size < 0 && head.Error != "" {
			return errors.New(head.Error)
		}
		if head.Size < 0 {
			return nil
		}
		m, err := readContent(body, head.messageHead)
		if err == nil {
			err = write(m)
		}
		if err != nil {
			return err
		}
	}
}
