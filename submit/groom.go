package submit

import (
	"bytes"

	"posthaste/auth"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/mailauth/results"
	"posthaste/message"
)

// headerRoom is how much grooming adds to a header as a rule. More costs one more copy of the header.
const headerRoom = 2 << 10

// groom returns content as it goes out. It is the one copy that is made of the body.
func (s *Submitter) groom(who auth.Identity, env mail.Envelope, h message.Header, content []byte) []byte {
	return s.groomAfter(s.received(env), who, env, h, content)
}

// groomRelayed is groom for machines, which have no privacy to keep: Received names them.
func (s *Submitter) groomRelayed(env mail.Envelope, h message.Header, content []byte) []byte {
	r := s.received(env)
	r.HideClient = false
	return s.groomAfter(r, auth.Identity{}, env, h, content)
}

func (s *Submitter) groomAfter(r message.Received, who auth.Identity, env mail.Envelope, h message.Header, content []byte) []byte {
	body := content[len(h.Raw()):]
	out := make([]byte, 0, len(content)+headerRoom)
	out = r.Append(out)
	for _, f := range h.Fields() {
		out = s.appendField(out, who, h, f)
	}
	out = s.appendMissing(out, who, env, h)
	out = append(out, "\r\n"...)
	return append(out, body...)
}

// received is our trace line. It names the recipient only where there is no other to hide it from.
func (s *Submitter) received(env mail.Envelope) message.Received {
	r := message.Received{Origin: env.Origin, HideClient: !s.cfg.ShowClient, By: s.cfg.Hostname, ID: env.ID, Time: env.Received}
	if len(env.Recipients) == 1 {
		r.For = env.Recipients[0].Address
	}
	return r
}

// appendField appends f as it goes out, or nothing.
func (s *Submitter) appendField(out []byte, who auth.Identity, h message.Header, f message.Field) []byte {
	switch {
	case f.Is("Bcc"), f.Is("Resent-Bcc"): // RFC 5322 section 3.6.3
		return out
	case f.Is("Return-Path"): // only final delivery adds one (RFC 5321 section 4.4)
		return out
	case f.Is(spam.VerdictField), f.Is("Authentication-Results") && results.Claims(string(f.Value()), s.cfg.Hostname):
		return out // they would be taken for ours
	case len(f.Name()) == 0:
		return appendJunk(out, f)
	case f.Is("Date") && !hasDate(h), f.Is("Message-ID") && h.MessageID() == "", f.Is("From") && !hasFrom(h):
		return out // unusable: appendMissing writes a better one
	case holdsAddresses(f) && len(f.Raw()) < message.MaxValue: // longer ones could not be written back whole
		if list, incomplete := s.completeList(who, message.ParseAddresses(f.Unfolded())); incomplete {
			return message.AppendField(out, string(f.Name()), message.FormatAddresses(list))
		}
	}
	out = append(out, f.Raw()...)
	if n := len(out); out[n-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return out
}

// appendJunk keeps a line that is no field in a form that does not end the header for others. The
// separator of an mbox holds nothing worth keeping.
func appendJunk(out []byte, f message.Field) []byte {
	if bytes.HasPrefix(f.Raw(), []byte("From ")) {
		return out
	}
	return message.AppendField(out, "X-Malformed", string(f.Raw()))
}

// appendMissing adds what RFC 5322 section 3.6 wants in every message (RFC 6409 sections 8.1 to 8.3).
func (s *Submitter) appendMissing(out []byte, who auth.Identity, env mail.Envelope, h message.Header) []byte {
	if !hasDate(h) {
		out = message.AppendField(out, "Date", env.Received.Format(message.DateLayout))
	}
	if h.MessageID() == "" {
		out = message.AppendField(out, "Message-ID", "<"+string(env.ID)+"@"+s.cfg.Hostname+">")
	}
	if !hasFrom(h) {
		out = message.AppendField(out, "From", s.author(who, env).String())
	}
	return out
}

// author is who a message without From is from: the envelope sender, which was checked, else the
// account's own address, else nobody's.
func (s *Submitter) author(who auth.Identity, env mail.Envelope) mail.Address {
	switch {
	case env.From.Null() && who.Address.IsZero():
		return mail.Address{Local: "MAILER-DAEMON", Domain: s.cfg.Domain}
	case env.From.Null():
		return s.complete(who, who.Address)
	}
	return env.From.Address
}

func hasDate(h message.Header) bool {
	_, ok := h.Date()
	return ok
}

// hasFrom tells whether some From field has an address.
func hasFrom(h message.Header) bool {
	for m := range message.Mailboxes(h.From()) {
		if m.Local != "" {
			return true
		}
	}
	return false
}

// holdsAddresses knows the address fields of RFC 5322 section 3.6 that stay in the message.
func holdsAddresses(f message.Field) bool {
	for _, name := range [...]string{"From", "To", "Cc", "Sender", "Reply-To",
		"Resent-From", "Resent-To", "Resent-Cc", "Resent-Sender"} {
		if f.Is(name) {
			return true
		}
	}
	return false
}

// completeList adds the domain where it is missing (RFC 6409 section 8.4) and tells whether it was.
func (s *Submitter) completeList(who auth.Identity, list []message.MailAddress) (completed []message.MailAddress, incomplete bool) {
	for _, a := range list {
		if a.Group {
			members, some := s.completeList(who, a.Members)
			a.Members, incomplete = members, incomplete || some
		} else if a.Local != "" && a.Domain == "" {
			a.Domain, incomplete = s.complete(who, a.Address()).Domain, true
		}
		completed = append(completed, a)
	}
	return completed, incomplete
}
