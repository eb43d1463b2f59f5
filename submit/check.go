package submit

import (
	"bytes"
	"context"
	"fmt"

	"posthaste/auth"
	"posthaste/mail"
	"posthaste/message"
)

// Bounds on From and Sender: each address costs a look into the directory, and none may lie beyond
// what is read of a field.
const (
	maxAuthors     = 20
	maxAuthorBytes = 64 << 10
)

// CheckSender tells whether who may send with from as its envelope sender. The null reverse-path is
// everybody's: read receipts have it (RFC 8098 section 3). The error is a *mail.Status where the
// answer is no.
func (s *Submitter) CheckSender(ctx context.Context, who auth.Identity, from mail.ReversePath) error {
	if who.Account == 0 {
		return mail.NewStatus(530, "5.7.0", "log in before you send mail")
	}
	if from.Null() {
		return nil
	}
	return s.owns(ctx, who, s.complete(who, from.Address), "envelope sender")
}

// owns refuses an address that is not the account's. role says where it stands.
func (s *Submitter) owns(ctx context.Context, who auth.Identity, a mail.Address, role string) error {
	ok, err := s.cfg.Owners.Owns(ctx, who.Account, a)
	if err != nil {
		return fmt.Errorf("submit: whether %s may send as %s: %w", who.Address, a, err)
	}
	if !ok {
		return mail.NewStatus(550, "5.7.1", "%s may not send as %s (%s): use your own address or one of your aliases",
			who.Address, a, role)
	}
	return nil
}

// check decides whether the message may go out.
func (s *Submitter) check(ctx context.Context, who auth.Identity, env mail.Envelope, h message.Header) error {
	if err := s.CheckSender(ctx, who, env.From); err != nil {
		return err
	}
	if err := s.checkForm(env, h); err != nil {
		return err
	}
	return s.checkAuthors(ctx, who, h)
}

// checkForm decides whether a message has a form in which it may go out, whoever sends it.
func (s *Submitter) checkForm(env mail.Envelope, h message.Header) error {
	if n := len(env.Recipients); n == 0 || n > s.cfg.MaxRecipients {
		return mail.NewStatus(550, "5.5.3", "%d recipients: a message may have 1 to %d", n, s.cfg.MaxRecipients)
	}
	if n := message.Hops(h); n > s.cfg.MaxHops {
		return mail.NewStatus(554, "5.4.6", "%d Received lines (%d allowed): the message goes in a loop", n, s.cfg.MaxHops)
	}
	if hasBareCR(h.Raw()) {
		return mail.NewStatus(550, "5.6.0", "the header has a CR that is not part of a CRLF: others would see a field begin there")
	}
	return nil
}

// hasBareCR tells whether a CR stands in b that no LF follows. BDAT brings such (RFC 3030), and on the
// way to hosts that take lines only it becomes a line break.
func hasBareCR(b []byte) bool {
	return bytes.Count(b, []byte("\r")) != bytes.Count(b, []byte("\r\n"))
}

// checkAuthors looks at every address in From and Sender, since a reader may show any of them.
func (s *Submitter) checkAuthors(ctx context.Context, who auth.Identity, h message.Header) error {
	if len(h.Values("From")) > 1 || len(h.Values("Sender")) > 1 {
		return mail.NewStatus(550, "5.6.0", "a message has one From and one Sender field (RFC 5322 section 3.6)")
	}
	seen := map[mail.Address]bool{}
	for _, f := range h.Fields() {
		role := "Sender"
		if f.Is("From") {
			role = "From"
		} else if !f.Is("Sender") {
			continue
		}
		if len(f.Raw()) > maxAuthorBytes {
			return mail.NewStatus(550, "5.6.0", "the field %s has %d bytes (%d allowed)", role, len(f.Raw()), maxAuthorBytes)
		}
		for m := range message.Mailboxes(message.ParseAddresses(f.Unfolded())) {
			a := s.complete(who, m.Address())
			if a.IsZero() || seen[a] {
				continue
			}
			if seen[a] = true; len(seen) > maxAuthors {
				return mail.NewStatus(550, "5.7.1", "more than %d addresses in From and Sender", maxAuthors)
			}
			if err := s.owns(ctx, who, a, role); err != nil {
				return err
			}
		}
	}
	return nil
}
