package aggregate

import "bytes"

// maxTag is the longest that a tag may be to be taken for one.
const maxTag = 1000

// mend makes what hosts send readable as XML: it drops the declaration, whose version and charset are
// often wrong, makes text valid UTF-8 without characters that XML forbids, and writes "<" of text that
// looks like a mail address as "&lt;".
func mend(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	b = bytes.TrimLeft(b, " \t\r\n")
	if bytes.HasPrefix(b, []byte("<?xml")) {
		if end := bytes.Index(b, []byte("?>")); end >= 0 {
			b = b[end+2:]
		}
	}
	b = bytes.ToValidUTF8(b, []byte("?"))
	out := make([]byte, 0, len(b)+64)
	for i, c := range b {
		switch {
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c == 0xef && i+2 < len(b) && b[i+1] == 0xbf && b[i+2] >= 0xbe:
			out = append(out, ' ')
			continue
		case c == '<' && !isTag(b[i+1:]):
			out = append(out, "&lt;"...)
			continue
		}
		out = append(out, c)
	}
	return bytes.ToValidUTF8(out, []byte("?"))
}

// isTag tells whether what follows a "<" is the rest of a tag.
func isTag(rest []byte) bool {
	if len(rest) == 0 {
		return false
	}
	if c := rest[0]; c == '!' || c == '?' {
		return true
	}
	end := bytes.IndexByte(rest[:min(len(rest), maxTag)], '>')
	if end <= 0 || bytes.IndexByte(rest[:end], '<') >= 0 {
		return false
	}
	name := rest[:end]
	if i := bytes.IndexAny(name, " \t\r\n"); i >= 0 {
		name = name[:i]
	}
	name = bytes.TrimPrefix(name, []byte("/"))
	return len(name) > 0 && bytes.IndexByte(name, '@') < 0 && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z' || name[0] == '_')
}
