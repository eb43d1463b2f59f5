package store

import (
	"context"
	"errors"
	"time"
)

// Facts is what is known about an email without reading its content. It never changes.
type Facts struct {
	Email         EmailID
	Size          int64     // bytes of prefix and content
	HeaderSize    int       // bytes of the header, prefix and the empty line included
	Envelope      []byte    // as IMAP prints ENVELOPE: "(…)"
	BodyStructure []byte    // as IMAP prints BODYSTRUCTURE: "(…)", with extension data
	Preview       string    // the beginning of the text, at most 256 characters (RFC 8970)
	Sent          time.Time // the Date field; zero when there is none that makes sense
}

// Facts calls fn with the facts of each email of ids that is still stored, in the order of ids, which
// is fastest when ascending. What fn gets is valid until it returns.
func (a *Account) Facts(ctx context.Context, ids []EmailID, fn func(*Facts) error) error {
	return errors.ErrUnsupported
}

// Content returns prefix and content of an email, or ErrNoEmail. The caller may keep it, and does not
// change it.
func (a *Account) Content(ctx context.Context, id EmailID) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Contents calls fn with prefix and content of each email of ids that is still stored, in the order of
// ids. It reads and decodes ahead of fn, on several cores, within a bound of bytes. The content is
// valid until fn returns.
func (a *Account) Contents(ctx context.Context, ids []EmailID, fn func(id EmailID, content []byte) error) error {
	return errors.ErrUnsupported
}
