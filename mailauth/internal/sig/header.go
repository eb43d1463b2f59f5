package sig

import (
	"bytes"
	"strings"

	"posthaste/message"
)

// Fields picks the header fields that signatures name, each from the bottom up (RFC 6376 section
// 5.4.2). One Fields serves all signatures of a message, one after the other.
type Fields struct {
	fields []message.Field
	keys   []uint32 // a hash of each name, so that most comparisons are of numbers
	used   []bool
}

// NewFields returns the fields of a header.
func NewFields(h message.Header) *Fields {
	f := &Fields{fields: h.Fields()}
	f.keys = make([]uint32, len(f.fields))
	f.used = make([]bool, len(f.fields))
	for i := range f.fields {
		f.keys[i] = nameKey(f.fields[i].Name())
	}
	return f
}

// AppendSigned appends the fields that names lists, in its order, in the form c. A name with no field
// left appends nothing: that is what oversigning is.
func (f *Fields) AppendSigned(dst []byte, c Canon, names []string) []byte {
	clear(f.used)
	for _, name := range names {
		if i := f.pick(name); i >= 0 {
			f.used[i] = true
			dst = c.AppendField(dst, f.fields[i].Raw())
		}
	}
	return dst
}

func (f *Fields) pick(name string) int {
	if name == "" {
		return -1 // a line that is no field has no name either
	}
	key := nameKey(name)
	for i := len(f.keys) - 1; i >= 0; i-- {
		if f.keys[i] == key && !f.used[i] && f.fields[i].Is(name) {
			return i
		}
	}
	return -1
}

// nameKey is FNV-1a of a name in lower case.
func nameKey[T string | []byte](name T) uint32 {
	h := uint32(2166136261)
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// SplitNames reads a list of names with colons between (h=). It is nil where there are more than MaxNames.
func SplitNames(list string) []string {
	if strings.Count(list, ":") >= MaxNames {
		return nil
	}
	names := strings.Split(list, ":")
	for i := range names {
		names[i] = trim(names[i])
	}
	return names
}

// HasName tells whether names holds name, in any case.
func HasName(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// WithoutValue returns the raw field of a signature with the value of its tag b= taken out, white space
// included, and nothing else changed (RFC 6376 section 3.7).
func WithoutValue(raw []byte) []byte {
	start := bytes.IndexByte(raw, ':') + 1
	for at := start; at < len(raw); {
		end := len(raw)
		if i := bytes.IndexByte(raw[at:], ';'); i >= 0 {
			end = at + i
		}
		name, _, ok := bytes.Cut(raw[at:end], []byte("="))
		if ok && string(bytes.Trim(name, " \t\r\n")) == "b" {
			out := make([]byte, 0, len(raw))
			out = append(out, raw[:at+len(name)+1]...)
			return append(out, raw[end:]...)
		}
		at = end + 1
	}
	return raw
}

// AppendSignature appends the field of a signature as it is hashed: the value of b= taken out, and
// without its final line break.
func (c Canon) AppendSignature(dst, raw []byte) []byte {
	dst = c.AppendField(dst, WithoutValue(raw))
	return bytes.TrimSuffix(dst, []byte("\r\n"))
}
