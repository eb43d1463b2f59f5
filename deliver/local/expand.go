package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"posthaste/directory"
	"posthaste/mail"
	"posthaste/message"
)

// A target is where a recipient leads in the end: an account, or an address at another host.
type target struct {
	address mail.Address   // with its sub-address
	account mail.AccountID // 0 for another host
	through []mail.Address // the aliases that led here, the recipient first
	notify  mail.Notify    // of the recipient
	orcpt   string

	status   *mail.Status // what became of it
	uid      mail.UID
	repeated bool
	sentAs   mail.QueueID
}

func (t *target) text(to mail.Address) string {
	via := ""
	if len(t.through) > 0 {
		via = fmt.Sprintf(" (%s is an alias)", to)
	}
	switch {
	case t.account == 0:
		return fmt.Sprintf("forwarded to %s as %s%s", t.address, t.sentAs, via)
	case t.repeated:
		return fmt.Sprintf("%s has it already%s", t.address, via)
	default:
		return fmt.Sprintf("delivered to the INBOX of %s, UID %d%s", t.address, t.uid, via)
	}
}

// A trail is what the header says of the way that content came.
type trail struct {
	received int             // Received fields
	to       map[string]bool // addresses of Delivered-To, lower case
}

// readTrail reads the header of content.
func readTrail(content []byte) trail {
	var t trail
	end := bytes.Index(content, []byte("\r\n\r\n"))
	if end < 0 {
		end = len(content) - 2
	}
	for _, f := range message.Parse(content[:end+2]).Header.Fields() {
		switch {
		case f.Is("Received"):
			t.received++
		case f.Is("Delivered-To"):
			if t.to == nil {
				t.to = map[string]bool{}
			}
			t.to[strings.ToLower(strings.TrimSpace(f.Unfolded()))] = true
		}
	}
	return t
}

func (t trail) has(a mail.Address) bool {
	return t.to != nil && t.to[key(a)]
}

// appendTrail adds the Delivered-To fields that let a loop be seen: of the target's own address if it
// is here, and of each alias on the way, the last one on top.
func appendTrail(b []byte, t *target) []byte {
	add := func(a mail.Address) {
		b = append(b, "Delivered-To: "...)
		b = append(b, a.String()...)
		b = append(b, "\r\n"...)
	}
	if t.account != 0 {
		add(t.address)
		return b
	}
	for i := len(t.through) - 1; i >= 0; i-- {
		add(t.through[i])
	}
	return b
}

var (
	errLoop = mail.NewStatus(554, "5.4.6", "the message goes in circles: it has been here before")
	errDeep = mail.NewStatus(554, "5.4.6", "the aliases of this address go in circles or lead to too many")
)

// CheckRecipient tells whether mail for an address of ours can be delivered now: the error is a
// *mail.Status for somebody unknown or whose mailbox is full, and temporary otherwise. It is for
// RCPT, so that nothing is taken which would have to be returned.
func (a *Agent) CheckRecipient(ctx context.Context, to mail.Address) error {
	targets, status := a.expand(ctx, mail.Recipient{Address: to}, trail{})
	if status != nil {
		return status
	}
	if len(targets) != 1 || targets[0].account == 0 {
		return nil
	}
	room, err := a.store.Account(targets[0].account).HasRoom(ctx)
	if err != nil {
		return fmt.Errorf("local: quota of %s: %w", to, err)
	}
	if !room {
		return mail.NewStatus(552, "5.2.2", "the mailbox of %s is full", to)
	}
	return nil
}

// expand follows aliases from a recipient to its targets. Each address is followed once; a loop among
// aliases that reaches somebody is cut, one that reaches nobody is an error.
func (a *Agent) expand(ctx context.Context, to mail.Recipient, way trail) ([]*target, *mail.Status) {
	if way.received > MaxReceived {
		return nil, errLoop
	}
	x := expansion{directory: a.directory, recipient: to, way: way}
	if err := x.follow(ctx, to.Address, nil); err != nil {
		var s *mail.Status
		if !errors.As(err, &s) {
			a.log.Error("local: cannot resolve", "to", to.Address, "err", err)
		}
		return nil, mail.StatusOf(err)
	}
	switch {
	case len(x.targets) > 0:
		return x.targets, nil
	case x.unknown != nil:
		return nil, x.unknown
	default:
		return nil, errDeep
	}
}

// An expansion is the walk from one recipient.
type expansion struct {
	directory Directory
	recipient mail.Recipient
	way       trail
	seen      map[string]bool // keys; nil until there is an alias
	targets   []*target
	unknown   *mail.Status // of a branch that led to nobody; counts when all do
}

func (x *expansion) follow(ctx context.Context, at mail.Address, through []mail.Address) error {
	if x.seen[key(at)] {
		return nil
	}
	if x.way.has(at) {
		return errLoop
	}
	found, err := x.directory.Resolve(ctx, at)
	if err != nil {
		return err
	}
	switch found.Kind {
	case directory.KindAccount:
		x.add(&target{address: at, account: found.Account, through: through})
	case directory.KindAlias:
		return x.followAll(ctx, found.Addresses, append(through[:len(through):len(through)], at))
	case directory.KindNone:
		x.unknown = mail.NewStatus(550, "5.1.1", "there is no mailbox %s here", at)
	default:
		if len(through) == 0 {
			return fmt.Errorf("local: %s is not an address of ours", at)
		}
		x.add(&target{address: at, through: through})
	}
	return nil
}

// followAll follows the targets of the alias that ends through.
func (x *expansion) followAll(ctx context.Context, addresses, through []mail.Address) error {
	if x.seen == nil {
		x.seen = map[string]bool{}
	}
	x.seen[key(through[len(through)-1])] = true
	if len(through) > maxDepth || len(x.seen)+len(x.targets)+len(addresses) > maxTargets {
		return errDeep
	}
	for _, a := range addresses {
		if err := x.follow(ctx, a, through); err != nil {
			return err
		}
	}
	return nil
}

func (x *expansion) add(t *target) {
	t.notify, t.orcpt = x.recipient.Notify, x.recipient.ORcpt
	x.targets = append(x.targets, t)
}

// key is the form of an address that is compared: our local-parts do not depend on case, and of
// others two copies that differ in case alone are not worth sending.
func key(a mail.Address) string { return strings.ToLower(a.String()) }
