package sig

import (
	"bytes"
	"hash/maphash"
	"strings"

	"posthaste/message"
)

// fewFields is how many fields are searched one by one rather than by an index.
const fewFields = 100

// Fields picks the header fields that signatures name, each from the bottom up (RFC 6376 section
// 5.4.2). One Fields serves all signatures of a message, one after the other. A pick takes about the same
// time in any header, whatever names somebody chose for it.
type Fields struct {
	fields []message.Field
	seed   maphash.Seed
	keys   []uint64         // a hash of each name, in lower case
	used   []bool           // by the signature at hand
	last   map[uint64]int32 // the last field of each hash; nil where there are few
	before []int32          // the field of the same hash before each, or -1; likewise
	name   []byte
}

// NewFields returns the fields of a header.
func NewFields(h message.Header) *Fields {
	f := &Fields{fields: h.Fields(), seed: maphash.MakeSeed(), name: make([]byte, 0, 64)}
	f.keys = make([]uint64, len(f.fields))
	f.used = make([]bool, len(f.fields))
	if len(f.fields) > fewFields {
		f.last = map[uint64]int32{}
		f.before = make([]int32, len(f.fields))
	}
	for i := range f.fields {
		f.name = append(f.name[:0], f.fields[i].Name()...)
		key := f.key()
		f.keys[i] = key
		if f.last == nil {
			continue
		}
		f.before[i] = -1
		if last, ok := f.last[key]; ok {
			f.before[i] = last
		}
		f.last[key] = int32(i)
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
	f.name = append(f.name[:0], name...)
	key := f.key()
	if f.last == nil {
		for i := len(f.keys) - 1; i >= 0; i-- {
			if f.keys[i] == key && !f.used[i] && f.fields[i].Is(name) {
				return i
			}
		}
		return -1
	}
	i, ok := f.last[key]
	for ok && i >= 0 && (f.used[i] || !f.fields[i].Is(name)) {
		i = f.before[i]
	}
	if !ok {
		return -1
	}
	return int(i)
}

// key returns the hash of f.name, which it makes lower case.
func (f *Fields) key() uint64 {
	for i, c := range f.name {
		if c >= 'A' && c <= 'Z' {
			f.name[i] = c | 0x20
		}
	}
	return maphash.Bytes(f.seed, f.name)
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
