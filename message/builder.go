package message

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// maxFold is the length that lines of a header are folded to (RFC 5322 section 2.1.1).
const maxFold = 78

// A Builder writes a message: first its fields in order, then once its body. Its zero value is
// ready. Whatever text it is given, no field can become two.
type Builder struct {
	buf []byte
}

// Text adds an unstructured field such as Subject. Text beyond ASCII becomes encoded words.
func (b *Builder) Text(name, text string) {
	text = oneLine(text)
	if !isASCII(text) || strings.Contains(text, "=?") || longestWord(text) > MaxLine-maxFold {
		text = encodeWords(text)
	}
	b.Field(name, text)
}

// Field adds a field whose value is already as it is sent, and folds it at its spaces.
func (b *Builder) Field(name, value string) {
	b.buf = AppendField(b.buf, name, value)
}

// Date adds a Date field.
func (b *Builder) Date(t time.Time) { b.Field("Date", t.Format(DateLayout)) }

// Addresses adds an address-list, names encoded as needed. An empty list adds nothing.
func (b *Builder) Addresses(name string, list []MailAddress) {
	if len(list) > 0 {
		b.Field(name, FormatAddresses(list))
	}
}

// Body adds the MIME fields and the body of e and returns the whole message. The Builder must not
// be used after that.
func (b *Builder) Body(e Entity) []byte {
	b.Field("MIME-Version", "1.0")
	return e.append(b.buf)
}

// FormatAddresses returns list as an address field holds it, on one line (RFC 5322 section 3.4).
func FormatAddresses(list []MailAddress) string {
	var out strings.Builder
	for i, a := range list {
		if i > 0 {
			out.WriteString(", ")
		}
		if a.Group {
			out.WriteString(formatPhrase(a.Name) + ": " + FormatAddresses(a.Members) + ";")
			continue
		}
		address := oneLine(a.Address().String())
		if a.Name == "" {
			out.WriteString(address)
			continue
		}
		out.WriteString(formatPhrase(a.Name) + " <" + address + ">")
	}
	return out.String()
}

// formatPhrase writes a display name as atoms, quoted-string or encoded words.
func formatPhrase(name string) string {
	name = oneLine(name)
	switch {
	case !isASCII(name) || strings.Contains(name, "=?") || len(name) > MaxLine-maxFold:
		return encodeWords(name)
	case name == "" || strings.ContainsAny(name, `()<>[]:;@\,."`):
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return name
}

// oneLine makes every control character a space.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func longestWord(s string) int {
	longest := 0
	for w := range strings.FieldsSeq(s) {
		longest = max(longest, len(w))
	}
	return longest
}

// AppendField appends "name: value" and a line break. The value is as it is sent; it is folded at its
// spaces and cannot become two fields.
func AppendField(dst []byte, name, value string) []byte {
	return appendField(dst, name, oneLine(value))
}

// appendField appends "name: value", folded before words that would pass maxFold.
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':')
	column := len(name) + 1
	value = strings.Trim(value, " ")
	for len(value) > 0 {
		end := strings.IndexByte(value[1:], ' ') + 1
		if end <= 0 {
			end = len(value)
		}
		word := value[:end] // with the space before it, but for the first
		value = value[end:]
		if column == len(name)+1 {
			word = " " + word
		} else if column+len(word) > maxFold && strings.Trim(word, " ") != "" {
			dst = append(dst, "\r\n"...)
			column = 0
		}
		dst = append(dst, word...)
		column += len(word)
	}
	return append(dst, "\r\n"...)
}

// An Entity is a part to be written: a multipart when it has Children, else Body.
type Entity struct {
	Type        string // "text/plain"
	Params      Params // of Content-Type, without boundary
	Disposition string // "attachment", "inline" or empty
	Filename    string
	ID          string // Content-ID with angle brackets
	Description string
	Body        []byte // before transfer encoding; lines of text end in CRLF
	Children    []Entity
}

// TextEntity returns text as a part, its lines ended by CRLF.
func TextEntity(subtype, text string) Entity {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	return Entity{Type: "text/" + subtype, Params: Params{{"charset", "utf-8"}}, Body: []byte(text)}
}

// Multipart returns a multipart of that subtype.
func Multipart(subtype string, children ...Entity) Entity {
	return Entity{Type: "multipart/" + subtype, Children: children}
}

// append appends header and body of e.
func (e Entity) append(dst []byte) []byte {
	if len(e.Children) > 0 {
		return e.appendMultipart(dst)
	}
	encoding := e.encoding()
	dst = e.appendHeader(dst, e.Params)
	dst = appendField(dst, "Content-Transfer-Encoding", encoding)
	dst = append(dst, "\r\n"...)
	switch encoding {
	case "base64":
		return encodeBase64(dst, e.Body)
	case "quoted-printable":
		return encodeQuotedPrintable(dst, e.Body)
	}
	return append(dst, e.Body...)
}

// encoding chooses the transfer encoding. What is a message or is described line by line is never
// encoded, only declared (RFC 2046 section 5.2.1).
func (e Entity) encoding() string {
	shape := ShapeOf(e.Body)
	switch {
	case shape.SevenBit():
		return "7bit"
	case strings.HasPrefix(e.Type, "message/") && shape.Binary():
		return "binary"
	case strings.HasPrefix(e.Type, "message/"):
		return "8bit"
	case strings.HasPrefix(e.Type, "text/") && mostlyASCII(e.Body):
		return "quoted-printable"
	}
	return "base64"
}

// mostlyASCII tells whether quoted-printable is shorter than base64.
func mostlyASCII(b []byte) bool {
	high := 0
	for _, c := range b {
		high += int(c >> 7)
	}
	return high*6 <= len(b)
}

// appendMultipart renders the children first, since the boundary must not be in them. No boundary
// of ours is the begin of another.
func (e Entity) appendMultipart(dst []byte) []byte {
	var children [][]byte
	for _, c := range e.Children {
		children = append(children, c.append(nil))
	}
	boundary := ""
	for n := 0; boundary == "" || anyContains(children, boundary); n++ {
		boundary = "=_" + strconv.Itoa(n) + "_=" // "=_" is not in quoted-printable or base64
	}
	dst = e.appendHeader(dst, append(e.Params[:len(e.Params):len(e.Params)], Param{"boundary", boundary}))
	for _, c := range children {
		if !isASCII(c) {
			dst = append(dst, "Content-Transfer-Encoding: 8bit\r\n"...)
			break
		}
	}
	dst = append(dst, "\r\n"...)
	for _, c := range children {
		dst = append(dst, "--"+boundary+"\r\n"...)
		dst = append(dst, c...)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "--"+boundary+"--\r\n"...)
}

func anyContains(parts [][]byte, boundary string) bool {
	for _, p := range parts {
		if bytes.Contains(p, []byte("--"+boundary)) {
			return true
		}
	}
	return false
}

func (e Entity) appendHeader(dst []byte, params Params) []byte {
	dst = appendField(dst, "Content-Type", oneLine(e.Type)+formatParams(params))
	if e.Disposition != "" {
		var name Params
		if e.Filename != "" {
			name = Params{{"filename", e.Filename}}
		}
		dst = appendField(dst, "Content-Disposition", e.Disposition+formatParams(name))
	}
	if e.ID != "" {
		dst = appendField(dst, "Content-ID", oneLine(e.ID))
	}
	if e.Description != "" {
		text := oneLine(e.Description)
		if !isASCII(text) {
			text = encodeWords(text)
		}
		dst = appendField(dst, "Content-Description", text)
	}
	return dst
}

// formatParams writes "; name=value" for each, quoted as needed, beyond ASCII as RFC 2231 section 4
// has it.
func formatParams(params Params) string {
	var out strings.Builder
	for _, p := range params {
		value := oneLine(p.Value)
		switch {
		case isASCII(value) && len(value) < maxFold:
			out.WriteString("; " + p.Name + "=" + quoteParam(value))
		default:
			writeExtended(&out, p.Name, value)
		}
	}
	return out.String()
}

func quoteParam(value string) string {
	for i := range len(value) {
		if !isToken(value[i]) {
			return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
		}
	}
	if value == "" {
		return `""`
	}
	return value
}

// writeExtended writes value percent-encoded, in numbered sections (RFC 2231 sections 3 and 4).
func writeExtended(out *strings.Builder, name, value string) {
	const digits = "0123456789ABCDEF"
	const perSection = 16 // bytes; three letters each at most
	encode := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			c := s[i]
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' {
				b.WriteByte(c)
				continue
			}
			b.WriteString(string([]byte{'%', digits[c>>4], digits[c&15]}))
		}
		return b.String()
	}
	if len(value) <= perSection {
		out.WriteString("; " + name + "*=utf-8''" + encode(value))
		return
	}
	charset := "utf-8''"
	for n := 0; len(value) > 0; n++ {
		size := min(perSection, len(value))
		out.WriteString("; " + name + "*" + strconv.Itoa(n) + "*=" + charset + encode(value[:size]))
		value, charset = value[size:], ""
	}
}
