package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"posthaste/blob"
	"posthaste/imap"
	"posthaste/message"
)

// Content whose packed form is larger than this, or than this with all its copies together, becomes a
// blob instead of a body in each account.
const (
	maxBodyBytes   = 64 << 10
	maxCopiesBytes = 1 << 20
)

// A Message is content that was parsed and packed once, ready to be stored any number of times in any
// account.
type Message struct {
	size    int64
	packed  []byte    // the body, or nil when blob has it
	blob    blob.Name // "" when packed has it
	facts   []byte    // what an email's facts say of its content: see appendContentFacts
	threads []uint64  // hashes that tie it to others: see threadHashes
}

// Size returns the bytes of the content.
func (m *Message) Size() int64 { return m.size }

// Prepare parses and packs content, which must not change before it returns. It never refuses content
// for what it is. Large content is written as a blob first; a Message that is not stored within some
// days must be prepared again.
func (s *Store) Prepare(ctx context.Context, content []byte) (*Message, error) {
	return s.PrepareFor(ctx, content, 1)
}

// PrepareFor is Prepare for a message that goes to that many accounts.
func (s *Store) PrepareFor(ctx context.Context, content []byte, accounts int) (*Message, error) {
	if int64(len(content)) > maxEmailBytes {
		return nil, fmt.Errorf("store: message of %d bytes: %w", len(content), ErrLimit)
	}
	parsed := message.Parse(content)
	m := &Message{size: int64(len(content)), threads: threadHashes(parsed.Header)}
	m.facts = appendContentFacts(nil, parsed, m.threads)
	m.packed = s.codec.pack(content)
	if len(m.packed) > maxBodyBytes || accounts > 1 && len(m.packed)*accounts > maxCopiesBytes {
		if err := s.putBlob(ctx, m); err != nil {
			return nil, fmt.Errorf("store: prepare message: %w", err)
		}
	}
	return m, nil
}

// putBlob moves the packed form into a blob.
func (s *Store) putBlob(ctx context.Context, m *Message) error {
	if s.cfg.Blobs == nil {
		if len(m.packed) <= maxBodyBytes {
			return nil
		}
		return errors.New("no blob store for large content")
	}
	m.blob = blob.NewName(s.now(), sha256.Sum256(m.packed))
	err := s.cfg.Blobs.Put(ctx, m.blob, bytes.NewReader(m.packed), int64(len(m.packed)))
	m.packed = nil
	return err
}

// previewChars is how much of the text a client can show in a list (RFC 8970 section 3.1: at most 256).
const previewChars = 200

// maxSearchBytes bounds each header field that is kept for searching.
const maxSearchBytes = 4 << 10

// searchFields are the fields that SEARCH has keys for, in the order they are stored in.
var searchFields = [...]string{"Subject", "From", "To", "Cc", "Bcc"}

// fold returns s in the form in which search compares: without regard to case and to how characters
// are composed.
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.ToLower(norm.NFKC.String(strings.ToUpper(s)))
		}
	}
	return strings.ToLower(s)
}

// searchText returns a field's values as search compares them.
func searchText(h message.Header, name string) string {
	values := h.Values(name)
	if len(values) == 0 {
		return ""
	}
	text := fold(message.DecodeWords(strings.Join(values, "\n")))
	if len(text) > maxSearchBytes {
		text = strings.ToValidUTF8(text[:maxSearchBytes], "")
	}
	return text
}

// appendContentFacts writes what facts say of content, whatever prefix comes before it.
func appendContentFacts(dst []byte, m *message.Message, threads []uint64) []byte {
	if dst == nil {
		dst = make([]byte, 0, 1<<10)
	}
	var sent int64
	date, dated := m.Header.Date()
	if dated {
		sent = date.Unix()
	}
	_, zone := date.Zone()
	dst = appendFactNumbers(dst, m, dated, sent, zone)
	dst = appendHashes(dst, threads)
	for _, name := range searchFields {
		dst = appendBytes(dst, searchText(m.Header, name))
	}
	dst = appendBytes(dst, m.Preview(previewChars))
	buf := make([]byte, 0, 512)
	dst = appendBytes(dst, envelope(buf, m.Header))
	return appendBytes(dst, bodyStructure(buf, m))
}

// Bounds of what is kept printed for IMAP, so that the facts of whatever arrives fit a value of kv.
const (
	maxPrinted      = 2 << 20  // bytes of an envelope, and of a body structure
	maxPrintedField = 16 << 10 // bytes of a field that stands in an envelope which would be larger
)

// envelope prints the envelope of h. Where that would be too large, fields of unreasonable length are
// as if they were not there.
func envelope(buf []byte, h message.Header) []byte {
	printed := imap.AppendEnvelope(buf, h)
	if len(printed) <= maxPrinted {
		return printed
	}
	var short []byte
	for _, name := range [...]string{"Date", "Subject", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "Message-ID"} {
		if f, ok := h.Field(name); ok && len(f.Raw()) <= maxPrintedField {
			short = append(append(short, bytes.TrimRight(f.Raw(), "\r\n")...), "\r\n"...)
		}
	}
	return imap.AppendEnvelope(buf[:0], message.ParseHeader(short))
}

// bodyStructure prints the structure of m. Where that would be too large, the message is one part that
// nobody has looked into.
func bodyStructure(buf []byte, m *message.Message) []byte {
	printed := imap.AppendBodyStructure(buf, m, true)
	if len(printed) <= maxPrinted {
		return printed
	}
	opaque := []byte("Content-Type: application/octet-stream\r\n\r\n")
	return imap.AppendBodyStructure(buf[:0], message.Parse(append(opaque, m.Root.Body()...)), true)
}
