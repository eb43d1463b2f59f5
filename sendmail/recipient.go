package sendmail

import (
	"bytes"
	"iter"
	"slices"
	"strings"

	"posthaste/drop"
	"posthaste/mail"
	"posthaste/message"
)

// addRecipients adds the addresses of one argument or field: "ann, Bob <bob@example.org>".
func addRecipients(s *drop.Submission, text string, notify mail.Notify) error {
	for a, err := range addressesIn(text) {
		if err != nil {
			return err
		}
		r := mail.Recipient{Address: a, Notify: notify}
		if !slices.Contains(s.Recipients, r) {
			s.Recipients = append(s.Recipients, r)
		}
		if len(s.Recipients) > drop.MaxRecipients {
			return failure(DataErr, "more than %d recipients", drop.MaxRecipients)
		}
	}
	return nil
}

// addressesIn yields the addresses of a list. One that stands alone is read strictly.
func addressesIn(text string) iter.Seq2[mail.Address, error] {
	return func(yield func(mail.Address, error) bool) {
		if text = strings.TrimSpace(text); text != "" && !strings.ContainsAny(text, " \t\r\n,:;<>()\"") {
			a, err := drop.ParseAddress(text)
			if err != nil {
				err = failure(DataErr, "%q is no address: %s", text, mail.StatusOf(err).Text)
			}
			yield(a, err)
			return
		}
		for m := range message.Mailboxes(message.ParseAddresses(text)) {
			if !yield(checked(m)) {
				return
			}
		}
	}
}

// checked returns the address of m as an envelope can have it.
func checked(m message.MailAddress) (mail.Address, error) {
	a := m.Address()
	parsed, err := drop.ParseAddress(a.String())
	if err != nil || a.IsZero() || a.Domain == "" && strings.ContainsAny(a.Local, " \t@<>") {
		return a, failure(DataErr, "%q is no address", strings.TrimSpace(m.Name+" "+a.String()))
	}
	return parsed, nil
}

func oneAddress(text string) (mail.Address, error) {
	for a, err := range addressesIn(text) {
		return a, err
	}
	return mail.Address{}, failure(DataErr, "%q is no address", text)
}

// addFromHeader adds the recipients that the header names (-t): those of To, Cc and Bcc, or when it
// is sent on, those of the Resent fields alone (RFC 5322 section 3.6.6). Submission removes Bcc.
func addFromHeader(s *drop.Submission, content []byte, notify mail.Notify) error {
	if bytes.HasPrefix(content, []byte("From ")) { // an mbox separator
		_, content, _ = bytes.Cut(content, []byte("\n"))
	}
	h := message.ParseHeader(content)
	prefix := ""
	if h.Has("Resent-To") || h.Has("Resent-Cc") || h.Has("Resent-Bcc") {
		prefix = "Resent-"
	}
	for _, name := range []string{"To", "Cc", "Bcc"} {
		for _, value := range h.Values(prefix + name) {
			if err := addRecipients(s, value, notify); err != nil {
				return err
			}
		}
	}
	return nil
}
