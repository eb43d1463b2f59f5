package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// maxCharsetName bounds the charset in an encoded word, language included (RFC 2231 section 5).
const maxCharsetName = 80

// An encodedWord is =?charset?encoding?text?= taken apart (RFC 2047 section 2).
type encodedWord struct {
	charset  string
	encoding byte // 'q' or 'b'
	text     string
}

// DecodeWords decodes the encoded words of s to UTF-8 (RFC 2047), also where they stand beside
// other text without the white space that belongs there. What is none stays; bytes that are no
// UTF-8 are taken as windows-1252.
func DecodeWords(s string) string {
	i := strings.Index(s, "=?")
	if i < 0 {
		return guessUTF8(s)
	}
	var out strings.Builder
	out.Grow(len(s))
	afterLast := len(s) - strings.LastIndex(s, "?=") // what is shorter has no end of a word in it
	var pending wordRun
	for {
		w, n := parseWord(s[i:])
		if n == 0 {
			next := strings.Index(s[i+2:], "=?")
			if next < 0 || len(s)-i < afterLast {
				break
			}
			i += 2 + next
			continue
		}
		if gap := s[:i]; pending.empty() || strings.Trim(gap, " \t\r\n") != "" {
			pending.flush(&out)
			out.WriteString(guessUTF8(gap))
		}
		pending.add(&out, w)
		s = s[i+n:]
		if i = strings.Index(s, "=?"); i < 0 {
			break
		}
	}
	pending.flush(&out)
	out.WriteString(guessUTF8(s))
	return out.String()
}

// parseWord reads the encoded word that s begins with and returns its length, or 0.
func parseWord(s string) (w encodedWord, n int) {
	const start = len("=?")
	head := s[start:min(len(s), start+maxCharsetName+1)]
	q := strings.IndexByte(head, '?')
	if q <= 0 || strings.ContainsAny(head[:q], " \t<>\"()") {
		return w, 0
	}
	w.charset, _, _ = strings.Cut(head[:q], "*")
	rest := s[start+q+1:]
	if len(rest) < 2 || rest[1] != '?' {
		return w, 0
	}
	switch rest[0] {
	case 'q', 'Q':
		w.encoding = 'q'
	case 'b', 'B':
		w.encoding = 'b'
	default:
		return w, 0
	}
	end := strings.Index(rest[2:], "?=")
	if end < 0 {
		return w, 0
	}
	w.text = rest[2 : 2+end]
	return w, start + q + 1 + 2 + end + len("?=")
}

// A wordRun collects the bytes of neighbouring words of one charset, because some programs cut
// characters in two.
type wordRun struct {
	charset string
	raw     []byte
	some    bool
}

func (r *wordRun) empty() bool { return !r.some }

func (r *wordRun) add(out *strings.Builder, w encodedWord) {
	if r.some && !strings.EqualFold(r.charset, w.charset) {
		r.flush(out)
	}
	r.charset, r.some = w.charset, true
	if w.encoding == 'q' {
		r.raw = appendQ(r.raw, w.text)
		return
	}
	r.raw = appendBase64(r.raw, []byte(w.text))
}

func (r *wordRun) flush(out *strings.Builder) {
	if !r.some {
		return
	}
	text, _ := DecodeCharset(r.raw, r.charset)
	out.WriteString(text)
	r.raw, r.some = r.raw[:0], false
}

// appendQ decodes the Q encoding (RFC 2047 section 4.2).
func appendQ(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			dst = append(dst, ' ')
		case c == '=' && i+2 < len(s) && hexValue[s[i+1]]|hexValue[s[i+2]] < 16:
			dst = append(dst, hexValue[s[i+1]]<<4|hexValue[s[i+2]])
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// guessUTF8 returns s when it is UTF-8, as RFC 6532 has it, else reads it as windows-1252.
func guessUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return windows1252(s)
}

// maxWord is the longest encoded word that EncodeWords writes: RFC 2047 section 2 sets 75.
const maxWord = 75

// encodeWords returns s as encoded words in UTF-8, joined by spaces, so that they may be folded.
func encodeWords(s string) string {
	const head, tail = "=?utf-8?B?", "?="
	const room = (maxWord - len(head) - len(tail)) / 4 * 3
	s = strings.ToValidUTF8(s, "\uFFFD")
	var out strings.Builder
	for len(s) > 0 {
		n := min(room, len(s))
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(head)
		out.WriteString(base64.StdEncoding.EncodeToString([]byte(s[:n])))
		out.WriteString(tail)
		s = s[n:]
	}
	return out.String()
}
