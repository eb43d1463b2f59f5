package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// clientPatience bounds each conversation of a client.
const clientPatience = 3 * time.Minute

// client is the address of the machine of all mail programs.
var client = netip.MustParseAddr("192.0.2.254")

// Send hands a letter to a service ("mx", "lmtp", "submission") of a host as a mail program does, notes what it
// was promised, and returns that. Any goroutine may.
func (w *World) Send(h *Host, service string, letter Letter) Outcome {
	outcome, err := w.send(h, service, letter)
	if err != nil {
		w.log.Debug("client", "letter", letter.ID, "outcome", outcome, "err", err)
	}
	return outcome
}

func (w *World) send(h *Host, service string, letter Letter) (Outcome, error) {
	for _, to := range letter.To {
		w.Ledger.Note(letter, to, Refused)
	}
	ctx, cancel := context.WithTimeout(background(), clientPatience)
	defer cancel()
	nc, err := w.Net.Dial(ctx, client, h.Address(service))
	if err != nil {
		return Refused, err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(clientPatience))
	if service == "lmtp" {
		outcome, best := map[string]Outcome(nil), Refused
		outcome, err = SubmitLMTP(nc, letter)
		for to, o := range outcome {
			w.Ledger.Note(letter, to, o)
			best = max(best, o)
		}
		return best, err
	}
	taken, outcome, err := Submit(nc, service == "submission", letter)
	for _, to := range taken {
		w.Ledger.Note(letter, to, outcome)
	}
	return outcome, err
}

// Submit hands a letter to the SMTP server at the other end of nc, after a login where asked. It
// returns the recipients that were taken, and what is known of the message.
func Submit(nc net.Conn, login bool, letter Letter) (taken []string, outcome Outcome, err error) {
	c, err := smtp.NewClient(nc, "localhost") // under this name net/smtp sends passwords without TLS
	if err != nil {
		return nil, Refused, err
	}
	if err := c.Hello("client.test"); err != nil {
		return nil, Refused, err
	}
	if login {
		if err := c.Auth(smtp.PlainAuth("", letter.From, Password, "localhost")); err != nil {
			return nil, Refused, err
		}
	}
	if err := c.Mail(letter.From); err != nil {
		return nil, Refused, err
	}
	for _, to := range letter.To {
		if err = c.Rcpt(to); err == nil {
			taken = append(taken, to)
		}
	}
	if len(taken) == 0 {
		return nil, Refused, err
	}
	data, err := c.Data()
	if err == nil {
		_, err = data.Write([]byte(letter.Content()))
	}
	if err != nil {
		return taken, Refused, err
	}
	err = data.Close()
	var reply *textproto.Error
	switch {
	case err == nil:
		c.Quit()
		return taken, Promised, nil
	case errors.As(err, &reply):
		return taken, Refused, err
	}
	return taken, Unknown, err
}

// An Observer reads a mailbox again and again and complains when what IMAP promises is broken: UIDs
// and MODSEQs only grow, and a UID names one message for ever (RFC 9051 section 2.3.1.1, RFC 7162
// section 3.1). Nobody else expunges in that mailbox.
type Observer struct {
	Login, Mailbox string

	validity uint32
	next     imap.UID
	modSeq   uint64
	names    map[imap.UID]string
}

// NewObserver returns an Observer of an account's INBOX.
func NewObserver(login string) *Observer {
	return &Observer{Login: login, Mailbox: "INBOX", names: map[imap.UID]string{}}
}

// Observe reads the mailbox over nc and returns the Message-IDs by UID, and what is wrong. An error of
// the connection proves nothing and is returned as err.
func (o *Observer) Observe(nc net.Conn) (names map[imap.UID]string, wrong []string, err error) {
	c := imapclient.New(nc, nil)
	defer c.Close()
	if err := c.Login(o.Login, Password).Wait(); err != nil {
		return nil, nil, err
	}
	selected, err := c.Select(o.Mailbox, &imap.SelectOptions{CondStore: true, ReadOnly: true}).Wait()
	if err != nil {
		return nil, nil, err
	}
	names = map[imap.UID]string{}
	highest := uint64(0)
	if selected.NumMessages > 0 {
		all := imap.UIDSet{imap.UIDRange{Start: 1, Stop: 0}}
		messages, err := c.Fetch(all, &imap.FetchOptions{UID: true, ModSeq: true, Envelope: true}).Collect()
		if err != nil {
			return nil, nil, err
		}
		for _, m := range messages {
			names[m.UID] = m.Envelope.MessageID
			highest = max(highest, m.ModSeq)
		}
	}
	c.Logout().Wait()
	return names, o.compare(selected, names, highest), nil
}

// compare takes note of what was seen and returns how that contradicts what was seen before.
func (o *Observer) compare(box *imap.SelectData, names map[imap.UID]string, highest uint64) (wrong []string) {
	complain := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s of %s: ", o.Mailbox, o.Login)+fmt.Sprintf(format, args...))
	}
	if o.validity != 0 && box.UIDValidity != o.validity {
		complain("UIDVALIDITY was %d and is %d", o.validity, box.UIDValidity)
	}
	if box.UIDNext < o.next {
		complain("UIDNEXT fell from %d to %d", o.next, box.UIDNext)
	}
	if box.HighestModSeq < o.modSeq {
		complain("HIGHESTMODSEQ fell from %d to %d", o.modSeq, box.HighestModSeq)
	}
	if highest > box.HighestModSeq {
		complain("a message has MODSEQ %d, over HIGHESTMODSEQ %d", highest, box.HighestModSeq)
	}
	for uid, name := range names {
		old, known := o.names[uid]
		switch {
		case known && old != name:
			complain("UID %d was %s and is %s", uid, old, name)
		case !known && uid < o.next:
			complain("UID %d (%s) was not there when UIDNEXT was %d", uid, name, o.next)
		case uid >= box.UIDNext:
			complain("UID %d is there, but UIDNEXT is %d", uid, box.UIDNext)
		}
		o.names[uid] = name
	}
	for uid, name := range o.names {
		if _, ok := names[uid]; !ok {
			complain("UID %d (%s) is gone", uid, name)
		}
	}
	o.validity, o.next, o.modSeq = box.UIDValidity, box.UIDNext, box.HighestModSeq
	return wrong
}

// Observe has an observer look at its mailbox on a host. A connection that fails is no complaint.
func (w *World) Observe(h *Host, o *Observer) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(background(), clientPatience)
	defer cancel()
	nc, err := w.Net.Dial(ctx, client, h.Address("imap"))
	if err != nil {
		return
	}
	defer nc.Close()
	defer time.AfterFunc(clientPatience, func() { nc.Close() }).Stop()
	_, wrong, err := o.Observe(nc)
	for _, text := range wrong {
		w.t.Error(text)
	}
	if err != nil {
		w.log.Debug("observer", "login", o.Login, "err", err)
	}
}
