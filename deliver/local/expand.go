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

// A target is where a recipient leads in the end: an account, an address at another host, or a place
// of this machine.
type target struct {
	address mail.Address     // with its sub-address; of a program or file, the alias that names it
	place   directory.Target // KindAccount, KindRemote, KindUnix, KindProgram, KindFile, KindDiscard or KindDefer
	through []mail.Address   // the aliases that led here, the recipient first
	owner   mail.Address     // who hears of failures in the place of the sender, or zero
	notify  mail.Notify      // of the recipient
	orcpt   string
	junk    bool // all recipients that lead here have it for junk

	status   *mail.Status // what became of it
	uid      mail.UID
	repeated bool
	sentAs   mail.QueueID
}

// key is the same for targets that are to be served once.
func (t *target) key() string {
	if t.place.Kind == directory.KindProgram || t.place.Kind == directory.KindFile {
		return key(t.address) + "\x00" + t.place.User + "\x00" + t.place.Text
	}
	return key(t.address)
}

// mailbox names the mailbox of an account that t goes to.
func (t *target) mailbox() string {
	if t.junk {
		return "Junk"
	}
	return "INBOX"
}

// from returns the sender of what goes to t. An owner takes the place of a sender, but not of the null
// reverse-path, whose mail nobody is to hear of.
func (t *target) from(sender mail.ReversePath) mail.ReversePath {
	if t.owner.IsZero() || sender.Null() {
		return sender
	}
	return mail.ReversePath{Address: t.owner}
}

func (t *target) text(to mail.Address) string {
	via := ""
	if len(t.through) > 0 {
		via = fmt.Sprintf(" (%s is an alias)", to)
	}
	switch {
	case t.place.Kind == directory.KindRemote:
		return fmt.Sprintf("forwarded to %s as %s%s", t.address, t.sentAs, via)
	case t.repeated:
		return fmt.Sprintf("%s has it already%s", t.address, via)
	case t.place.Kind == directory.KindAccount:
		return fmt.Sprintf("delivered to the %s of %s, UID %d%s", t.mailbox(), t.address, t.uid, via)
	}
	return t.status.Text + via
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
	if t.place.Kind != directory.KindRemote {
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
	if len(targets) != 1 {
		return nil
	}
	switch t := targets[0]; t.place.Kind {
	case directory.KindAccount:
		return a.checkRoom(ctx, to, t.place.Account)
	case directory.KindDefer:
		return t.place.Status
	}
	return nil
}

func (a *Agent) checkRoom(ctx context.Context, to mail.Address, account mail.AccountID) error {
	room, err := a.store.Account(account).HasRoom(ctx)
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
	if err := x.follow(ctx, to.Address, path{}); err != nil {
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

// A path is how an expansion came to an address.
type path struct {
	through []mail.Address // aliases, the recipient first
	owner   mail.Address   // of the last list among them that has one
}

func (x *expansion) follow(ctx context.Context, at mail.Address, by path) error {
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
	case directory.KindAlias:
		return x.followAll(ctx, at, found, by)
	case directory.KindMoved:
		if found.Status.OK() {
			return x.followAll(ctx, at, found, by)
		}
		x.unknown = found.Status
	case directory.KindRemote, directory.KindRelay:
		if len(by.through) == 0 {
			return fmt.Errorf("local: %s is not an address of ours", at)
		}
		x.reach(at, found, by)
	default:
		x.reach(at, found, by)
	}
	return nil
}

// followAll follows the targets of the alias at an address.
func (x *expansion) followAll(ctx context.Context, at mail.Address, alias directory.Target, by path) error {
	if x.seen == nil {
		x.seen = map[string]bool{}
	}
	x.seen[key(at)] = true
	next := path{through: append(by.through[:len(by.through):len(by.through)], at), owner: by.owner}
	if !alias.Owner.IsZero() {
		next.owner = alias.Owner
	}
	more := len(alias.Addresses) + len(alias.Branches)
	if len(next.through) > maxDepth || len(x.seen)+len(x.targets)+more > maxTargets {
		return errDeep
	}
	for _, b := range alias.Branches {
		if b.Target.Account != 0 && b.Target.Account == alias.Account {
			b.Address = at // with its sub-address
		}
		x.reach(b.Address, b.Target, next)
	}
	for _, a := range alias.Addresses {
		if err := x.follow(ctx, a, next); err != nil {
			return err
		}
	}
	return nil
}

// reach ends a branch at what an address is.
func (x *expansion) reach(at mail.Address, found directory.Target, by path) {
	switch found.Kind {
	case directory.KindNone:
		x.unknown = mail.NewStatus(550, "5.1.1", "there is no mailbox %s here", at)
		return
	case directory.KindFail:
		x.unknown = found.Status
		return
	case directory.KindRelay:
		found.Kind = directory.KindRemote
	}
	x.add(&target{address: at, place: found, through: by.through, owner: by.owner})
}

func (x *expansion) add(t *target) {
	t.notify, t.orcpt, t.junk = x.recipient.Notify, x.recipient.ORcpt, x.recipient.Junk
	x.targets = append(x.targets, t)
}

// key is the form of an address that is compared: our local-parts do not depend on case, and of
// others two copies that differ in case alone are not worth sending.
func key(a mail.Address) string { return strings.ToLower(a.String()) }
