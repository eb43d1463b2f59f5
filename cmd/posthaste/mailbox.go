package main

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"posthaste/admin"
	"posthaste/mailfile"
)

type mailboxCommand struct {
	List   mailboxList   `cmd:"" help:"List the mailboxes of an account."`
	Import mailboxImport `cmd:"" help:"Add the messages of a Maildir or mbox to a mailbox."`
	Export mailboxExport `cmd:"" help:"Write the messages of a mailbox into a Maildir or mbox."`
}

type mailboxList struct {
	Address string `arg:"" help:"The account."`
}

func (c *mailboxList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("MAILBOX", "ROLE", ">MAILS", ">UNSEEN", ">SIZE")
		for m, err := range admin.List[admin.Mailbox](e.ctx, client, "mailbox/list", admin.MailboxRequest{Address: c.Address}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(m)
				continue
			}
			t.row(m.Name, m.Role, fmt.Sprint(m.Emails), fmt.Sprint(m.Unseen), bytesText(m.Size))
		}
		t.print("no mailboxes")
		return nil
	})
}

type mailboxImport struct {
	Address string `arg:"" help:"The account."`
	Mailbox string `arg:"" help:"The mailbox; it is made when it is missing."`
	Path    string `arg:"" help:"A Maildir folder or an mbox file."`
}

func (c *mailboxImport) Run(e *env) error {
	messages, size, err := mailfile.Open(c.Path)
	if err != nil {
		return err
	}
	bar := e.progress("importing", size)
	started := time.Now()
	var done admin.Imported
	err = e.withAdmin(func(client *admin.Client) (err error) {
		done, err = client.Import(e.ctx, admin.MailboxRequest{Address: c.Address, Mailbox: c.Mailbox}, tallied(messages, bar))
		return err
	})
	bar.Finish()
	if err != nil {
		return err
	}
	if e.out.json {
		return e.out.object(done)
	}
	e.out.say("%d messages are in %s of %s now (%s).", done.Emails, c.Mailbox, c.Address, rate(done.Emails, time.Since(started)))
	return nil
}

type mailboxExport struct {
	Address string `arg:"" help:"The account."`
	Mailbox string `arg:"" help:"The mailbox."`
	Format  string `arg:"" enum:"maildir,mbox" help:"maildir or mbox."`
	Path    string `arg:"" help:"Where to write; it must not be there yet."`
}

func (c *mailboxExport) Run(e *env) error {
	bar := e.progress("exporting", -1)
	count := 0
	// The file is made with the first message, so that a mailbox that is not there leaves none behind.
	var to messageWriter
	err := e.withAdmin(func(client *admin.Client) error {
		return client.Export(e.ctx, admin.MailboxRequest{Address: c.Address, Mailbox: c.Mailbox}, func(m mailfile.Message) (err error) {
			if to == nil {
				if to, err = c.create(); err != nil {
					return err
				}
			}
			count++
			bar.Add(len(m.Content))
			return to.Write(m)
		})
	})
	if err == nil && to == nil {
		to, err = c.create()
	}
	bar.Finish()
	if to != nil {
		err = errors.Join(err, to.Close())
	}
	if err != nil {
		return err
	}
	if e.out.json {
		return e.out.object(map[string]any{"emails": count, "path": c.Path})
	}
	e.out.say("%d messages are in %s now.", count, c.Path)
	return nil
}

// A messageWriter is a mailbox of others that is being written.
type messageWriter interface {
	Write(mailfile.Message) error
	Close() error
}

// create makes the file or folder to export to.
func (c *mailboxExport) create() (messageWriter, error) {
	if c.Format == "maildir" {
		d, err := mailfile.CreateMaildir(c.Path)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	b, err := mailfile.CreateMbox(c.Path)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// progress returns a bar on standard error where that is a terminal, else one that nobody sees.
func (e *env) progress(what string, size int64) *progressbar.ProgressBar {
	const lively = 65 * time.Millisecond
	shown := term.IsTerminal(int(os.Stderr.Fd()))
	return progressbar.NewOptions64(size,
		progressbar.OptionSetDescription(what), progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetVisibility(shown),
		progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true), progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(lively), progressbar.OptionSpinnerType(14),
		progressbar.OptionSetSpinnerChangeInterval(0), // else it turns by itself, which races with Add
		progressbar.OptionOnCompletion(func() {
			if shown {
				fmt.Fprintln(os.Stderr)
			}
		}),
	)
}

func tallied(messages iter.Seq2[mailfile.Message, error], bar *progressbar.ProgressBar) iter.Seq2[mailfile.Message, error] {
	return func(yield func(mailfile.Message, error) bool) {
		for m, err := range messages {
			bar.Add(len(m.Content))
			if !yield(m, err) {
				return
			}
		}
	}
}

func rate(n int, d time.Duration) string {
	return fmt.Sprintf("%.0f a second", float64(n)/max(d.Seconds(), 0.001))
}
