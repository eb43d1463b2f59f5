package submit

import (
	"context"
	"fmt"

	"posthaste/mail"
	"posthaste/message"
)

// A Signer signs for domains of ours, as *dkim.KeyStore does.
type Signer interface {
	// Sign returns the signature fields of a domain for a message, to be put before its header; none for a
	// domain that has no keys. An error means that they cannot be read now.
	Sign(ctx context.Context, domain string, content []byte) (fields []byte, err error)
}

// sign returns content with signatures of the domain of its (first) author, or else, where that has no
// keys, of its envelope sender. They stand below our Received, which is not signed.
func sign(ctx context.Context, signer Signer, env mail.Envelope, content mail.Content) (mail.Content, error) {
	if signer == nil {
		return content, nil
	}
	b := content.Bytes()
	h := message.ParseHeader(b)
	author, sender := authorDomain(h), env.From.Domain
	fields, err := signer.Sign(ctx, author, b)
	if err == nil && len(fields) == 0 && sender != author {
		fields, err = signer.Sign(ctx, sender, b)
	}
	switch {
	case err != nil:
		return content, fmt.Errorf("submit: sign %s: %w", env.ID, err)
	case len(fields) == 0:
		return content, nil
	}
	at := 0
	if all := h.Fields(); len(all) > 0 && all[0].Is("Received") {
		at = len(all[0].Raw())
	}
	out := make([]byte, 0, len(b)+len(fields))
	out = append(append(append(out, b[:at]...), fields...), b[at:]...)
	return mail.Bytes(out), nil
}

// authorDomain returns the domain of the first address in From, in A-labels, or "".
func authorDomain(h message.Header) string {
	for m := range message.Mailboxes(h.From()) {
		if m.Domain != "" {
			return m.Address().Domain
		}
	}
	return ""
}

// Signed is a queue that signs what is put into it as submitted mail is signed: for mail that we write
// ourselves, such as reports to other domains.
type Signed struct {
	Queue  Queue
	Signer Signer
}

// NewID returns an ID that no message has.
func (q Signed) NewID() mail.QueueID { return q.Queue.NewID() }

// Put signs content and queues it.
func (q Signed) Put(ctx context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	content, err := sign(ctx, q.Signer, env, content)
	if err != nil {
		return "", err
	}
	return q.Queue.Put(ctx, env, content)
}
