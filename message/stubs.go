package message

import "time"

// Parse indexes content, which stays the caller's and must not change. It never fails.
func Parse(content []byte) *Message {
	m := &Message{Content: content}
	m.Root = &Part{MediaType: "text", Subtype: "plain", Encoding: "7bit", End: len(content), content: content}
	return m
}

// ParseDate reads a date-time of RFC 5322 section 3.3, obsolete zones and years included.
func ParseDate(s string) (time.Time, bool) { return time.Time{}, false }

// ParseMessageIDs reads a list of msg-ids (RFC 5322 section 3.6.4) without their angle brackets.
func ParseMessageIDs(s string) []string { return nil }

// DecodeWords decodes the encoded words of s to UTF-8 (RFC 2047). What is none stays as it is.
func DecodeWords(s string) string { return s }

// DecodeCharset returns b, which is in that charset, as UTF-8. Where charset is unknown it returns
// ErrCharset with its best guess.
func DecodeCharset(b []byte, charset string) (string, error) { return string(b), nil }

// Decode appends p's body to dst without its transfer encoding. Bytes that do not belong there are
// left out. It returns ErrEncoding and the body as it came when the encoding is unknown.
func (p *Part) Decode(dst []byte) ([]byte, error) { return append(dst, p.Body()...), nil }

// Text returns at most limit bytes of p's decoded text in UTF-8, line ends as "\n". A limit of 0
// is no limit.
func (p *Part) Text(limit int) string { return "" }

// Preview returns the begin of the text a person would read, on one line, at most max bytes.
func (m *Message) Preview(max int) string { return "" }

// SearchText calls yield with the decoded text of each part that has some; HTML without its tags.
func (m *Message) SearchText(yield func(text string) bool) {}

// Downgrade8Bit returns content for a hop that takes 7bit only, or content itself when it fits.
func Downgrade8Bit(content []byte) ([]byte, error) { return content, nil }

// Hops counts the Received fields of h (RFC 5321 section 6.3).
func Hops(h Header) int { return 0 }
