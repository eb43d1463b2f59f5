package message

import (
	"bytes"
	"time"
)

// A Header is the fields of one entity in order. It shares the bytes it was parsed from.
type Header struct {
	raw    []byte
	fields []Field
}

// A Field is one header field. A line that is none, neither name and colon nor a continuation, is
// kept as a Field without Name.
type Field struct {
	Start int // offset of Raw in Message.Content

	raw        []byte // with its line break
	nameEnd    int32
	valueStart int32
}

// Raw returns the field as it came, folding and final line break included.
func (f Field) Raw() []byte { return f.raw }

// Name returns the name in the letters it was written in.
func (f Field) Name() []byte { return f.raw[:f.nameEnd] }

// Is tells whether f has that name, in any case.
func (f Field) Is(name string) bool {
	return int(f.nameEnd) == len(name) && equalFold(f.raw[:f.nameEnd], name)
}

// Value returns what follows the colon up to the final line break, which it leaves out. Folding is
// still in it.
func (f Field) Value() []byte {
	v := f.raw[f.valueStart:]
	v = bytes.TrimSuffix(v, []byte("\n"))
	return bytes.TrimSuffix(v, []byte("\r"))
}

// Unfolded returns the value on one line, without the white space around it (RFC 5322 section
// 2.2.3), at most MaxValue bytes of it. Encoded words stay encoded.
func (f Field) Unfolded() string {
	v := f.Value()
	return unfold(v[:min(len(v), MaxValue)])
}

// Text returns the unfolded value with its encoded words decoded to UTF-8.
func (f Field) Text() string { return DecodeWords(f.Unfolded()) }

// Raw returns the header with the empty line that ends it, as it came.
func (h Header) Raw() []byte { return h.raw }

// Fields returns all fields in order. The caller does not change them.
func (h Header) Fields() []Field { return h.fields }

// Field returns the first field of that name.
func (h Header) Field(name string) (Field, bool) {
	for _, f := range h.fields {
		if f.Is(name) {
			return f, true
		}
	}
	return Field{}, false
}

// Has tells whether there is a field of that name.
func (h Header) Has(name string) bool {
	_, ok := h.Field(name)
	return ok
}

// Get returns the first value of name, unfolded and not decoded, or "".
func (h Header) Get(name string) string {
	f, ok := h.Field(name)
	if !ok {
		return ""
	}
	return f.Unfolded()
}

// Values returns all values of name, unfolded and not decoded.
func (h Header) Values(name string) []string {
	var values []string
	for _, f := range h.fields {
		if f.Is(name) {
			values = append(values, f.Unfolded())
		}
	}
	return values
}

// Text returns the first value of name as people read it: unfolded, encoded words decoded.
func (h Header) Text(name string) string { return DecodeWords(h.Get(name)) }

// Date returns the time of the Date field. ok is false when there is none that can be read.
func (h Header) Date() (t time.Time, ok bool) { return ParseDate(h.Get("Date")) }

// Subject returns the decoded subject.
func (h Header) Subject() string { return h.Text("Subject") }

// Addresses returns the addresses of the first field of that name, groups as groups.
func (h Header) Addresses(name string) []MailAddress {
	f, ok := h.Field(name)
	if !ok {
		return nil
	}
	return parseAddresses(f.Value())
}

// From returns the authors (RFC 5322 section 3.6.2).
func (h Header) From() []MailAddress { return h.Addresses("From") }

// Sender returns who sent it for the authors. The field holds one address; there may be more.
func (h Header) Sender() []MailAddress { return h.Addresses("Sender") }

// ReplyTo returns where the authors want answers.
func (h Header) ReplyTo() []MailAddress { return h.Addresses("Reply-To") }

// To returns the primary recipients.
func (h Header) To() []MailAddress { return h.Addresses("To") }

// Cc returns the other recipients.
func (h Header) Cc() []MailAddress { return h.Addresses("Cc") }

// Bcc returns the hidden recipients, which only a stored copy may name.
func (h Header) Bcc() []MailAddress { return h.Addresses("Bcc") }

// MessageID returns the first msg-id of Message-ID without angle brackets, or "".
func (h Header) MessageID() string {
	if ids := h.messageIDs("Message-ID"); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// InReplyTo returns the msg-ids of In-Reply-To without angle brackets.
func (h Header) InReplyTo() []string { return h.messageIDs("In-Reply-To") }

// References returns the msg-ids of References, oldest first, without angle brackets.
func (h Header) References() []string { return h.messageIDs("References") }

func (h Header) messageIDs(name string) []string {
	f, ok := h.Field(name)
	if !ok {
		return nil
	}
	return ParseMessageIDs(f.Unfolded())
}

// equalFold tells whether b is s in any ASCII case. Both have the same length.
func equalFold(b []byte, s string) bool {
	for i := range b {
		x, y := b[i], s[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}

// unfold removes line breaks that are followed by white space, and all others too, since none may
// stay in a line. It trims white space at both ends.
func unfold(v []byte) string {
	v = bytes.Trim(v, " \t\r\n")
	if bytes.IndexByte(v, '\n') < 0 {
		return string(v)
	}
	out := make([]byte, 0, len(v))
	for len(v) > 0 {
		i := bytes.IndexByte(v, '\n')
		if i < 0 {
			out = append(out, v...)
			break
		}
		out = append(out, bytes.TrimSuffix(v[:i], []byte("\r"))...)
		v = v[i+1:]
	}
	return string(out)
}
