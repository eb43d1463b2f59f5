package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthaste/config"
	"posthaste/deliver/local"
	"posthaste/filter/correspondents"
	"posthaste/filter/outflow"
	"posthaste/mail"
	"posthaste/message"
)

// openOutflow makes what watches what accounts send, and to whom.
func (n *Node) openOutflow(c *config.Config) {
	n.book = correspondents.New(n.kv, n.log)
	n.outflow = outflow.New(outflow.Config{Limits: outflowLimits(c), Overrides: outflowAccounts{n}, Exempt: c.Limits.Exempt,
		Book: n.book, KV: n.kv, Notifier: holdNotes{n}, Log: n.log})
}

func outflowLimits(c *config.Config) outflow.Limits {
	o := c.Outflow
	return outflow.Limits{MessagesHour: o.MessagesHour, MessagesDay: o.MessagesDay, RecipientsHour: o.RecipientsHour,
		RecipientsDay: o.RecipientsDay, FirstHour: o.FirstHour, FirstDay: o.FirstDay, Failures: o.Failures,
		Burst: o.Burst, BurstFloor: o.BurstFloor}
}

// outflowAccounts are limits of single accounts, by the tables of the plan in force.
type outflowAccounts struct{ node *Node }

// Limits returns what holds for an account.
func (o outflowAccounts) Limits(ctx context.Context, address mail.Address, def outflow.Limits) (outflow.Limits, error) {
	p := o.node.present()
	defer p.release()
	for _, t := range p.outflowAccounts {
		text, found, err := t.Lookup(ctx, strings.ToLower(address.String()))
		if err != nil {
			return def, err
		}
		if found {
			return outflow.ParseLimits(text, def)
		}
	}
	return def, nil
}

// holdNotes tell of held mail by local delivery, which does not pass the queue.
type holdNotes struct{ node *Node }

// Notify puts a note into the mailboxes of the owner and the postmaster.
func (h holdNotes) Notify(ctx context.Context, notice outflow.Notice) error {
	p := h.node.present()
	defer p.release()
	postmaster := mail.Address{Local: "postmaster", Domain: p.cfg.LocalDomain()}
	var errs []error
	for _, to := range []mail.Address{notice.Sender.Address, postmaster} {
		id := h.node.queue.NewID()
		answers := p.local.Deliver(ctx, local.Message{Envelope: mail.Envelope{ID: id, Recipients: []mail.Recipient{{Address: to}}, Received: notice.Time},
			Content: mail.Bytes(holdNote(notice, id, to, postmaster, p.cfg.Hostname)), Fresh: true})
		for _, answer := range answers {
			if !answer.OK() {
				errs = append(errs, fmt.Errorf("%s: %w", to, answer))
			}
		}
	}
	return errors.Join(errs...)
}

// holdNote is what the owner and the postmaster read.
func holdNote(n outflow.Notice, id mail.QueueID, to, from mail.Address, hostname string) []byte {
	var b []byte
	for _, f := range [][2]string{
		{"From", "Mail System <" + from.String() + ">"}, {"To", to.String()},
		{"Subject", "Mail of " + n.Sender.Address.String() + " is held"},
		{"Date", n.Time.Format(message.DateLayout)}, {"Message-ID", "<" + string(id) + "@" + hostname + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834 section 5
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"},
	} {
		b = message.AppendField(b, f[0], f[1])
	}
	client := "this host"
	if n.Sender.IP.IsValid() {
		client = n.Sender.IP.String()
	}
	text := fmt.Sprintf(`
The account %s sends more than is usual.

  %s

From %s on, messages past that are accepted but wait in the
queue; nothing is lost, and whatever stays below it goes out. The first
of them is %s, sent from %s.

If you sent this mail, ask your postmaster to release it. If you did
not, somebody may have your password: change it.

For the postmaster: "posthaste queue show %s" shows the first message,
"posthaste queue list" all that wait, "posthaste queue release" lets
messages go, "posthaste queue delete" drops them. Limits stand in the
section [outflow] of the configuration.
`, n.Sender.Address, n.Reason, n.Time.UTC().Format(time.RFC1123), n.ID, client, n.ID)
	return append(b, strings.ReplaceAll(text, "\n", "\r\n")...)
}
