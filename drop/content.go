package drop

import (
	"bytes"

	"posthaste/message"
)

// normal returns content as it is submitted: lines end in CRLF, there is no mbox separator before the
// header, and an empty line stands before the first line that is no part of a header, as in
// `echo text | sendmail user`.
func normal(content []byte) []byte {
	content = crlf(content)
	if bytes.HasPrefix(content, []byte("From ")) {
		_, content, _ = bytes.Cut(content, []byte("\n"))
	}
	rest := content
	for first := true; ; first = false {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		if !found || !isHeader(line, first) {
			break
		}
		rest = after
	}
	if bytes.HasPrefix(rest, []byte("\r\n")) {
		return content
	}
	head := len(content) - len(rest)
	out := make([]byte, 0, len(content)+2)
	out = append(append(out, content[:head]...), "\r\n"...)
	return append(out, rest...)
}

// isHeader tells whether line is a field or continues one (RFC 5322 section 2.2).
func isHeader(line []byte, first bool) bool {
	if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
		return !first
	}
	name, _, found := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !found || len(name) == 0 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// without returns content less the fields of a name.
func without(h message.Header, content []byte, name string) []byte {
	if !h.Has(name) {
		return content
	}
	out := make([]byte, 0, len(content))
	for _, f := range h.Fields() {
		if !f.Is(name) {
			out = append(out, f.Raw()...)
		}
	}
	out = append(out, "\r\n"...)
	return append(out, content[len(h.Raw()):]...)
}

// crlf returns content with every line ended by CRLF: local programs write LF, some CRLF, and a bare
// CR ends a line too, so that nobody reads another header than we do.
func crlf(content []byte) []byte {
	out := make([]byte, 0, len(content)+bytes.Count(content, []byte("\n"))+2)
	for len(content) > 0 {
		i := bytes.IndexAny(content, "\r\n")
		if i < 0 {
			return append(append(out, content...), "\r\n"...)
		}
		out = append(append(out, content[:i]...), "\r\n"...)
		if content[i] == '\r' && i+1 < len(content) && content[i+1] == '\n' {
			i++
		}
		content = content[i+1:]
	}
	return out
}
