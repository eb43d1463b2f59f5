package smtp

import (
	"errors"
	"strconv"
	"strings"
	"unicode"

	"posthaste/mail"
)

// ErrReply is the answer to lines that are no reply of RFC 5321 section 4.2.
var ErrReply = errors.New("smtp: not a valid reply")

// AppendReply appends s to dst as a reply, with CRLF. Each line of its text is a line of the reply with
// the code and the enhanced code (RFC 2034 section 4); long lines are folded. What is not printable
// ASCII becomes "?", since a peer may not know SMTPUTF8.
func AppendReply(dst []byte, s *mail.Status) []byte {
	var prefix []byte
	prefix = strconv.AppendInt(prefix, int64(s.Code), 10)
	prefix = append(prefix, '-')
	if s.Enhanced != "" {
		prefix = append(append(prefix, s.Enhanced...), ' ')
	}
	room := maxReply - len("\r\n") - len(prefix)
	last := 0
	for line := range strings.SplitSeq(s.Text, "\n") {
		for more := true; more; {
			var part string
			part, line, more = fold(line, room)
			last = len(dst)
			dst = append(dst, prefix...)
			dst = appendPrintable(dst, part)
			dst = append(dst, "\r\n"...)
		}
	}
	dst[last+len("250")] = ' '
	return dst
}

// fold cuts line to room bytes, at a space where it can.
func fold(line string, room int) (part, rest string, more bool) {
	if len(line) <= room {
		return line, "", false
	}
	if i := strings.LastIndexByte(line[:room], ' '); i > 0 {
		return line[:i], line[i+1:], true
	}
	return line[:room], line[room:], true
}

func appendPrintable(dst []byte, s string) []byte {
	for _, r := range s {
		if r < ' ' || r >= 0x7f {
			r = '?'
		}
		dst = append(dst, byte(r))
	}
	return dst
}

// ReadReply reads one reply, calling readLine for each line without its CRLF.
func ReadReply(readLine func() ([]byte, error)) (*mail.Status, error) {
	s := &mail.Status{}
	var text []string
	for range maxReplies {
		line, err := readLine()
		if err != nil {
			return nil, err
		}
		code, more, rest, err := parseReplyLine(line)
		if err != nil || s.Code != 0 && code != s.Code {
			return nil, ErrReply
		}
		enhanced, rest := cutEnhanced(code, rest)
		if s.Code == 0 {
			s.Code, s.Enhanced = code, enhanced
		}
		text = append(text, rest)
		if !more {
			s.Text = strings.Join(text, "\n")
			return s, nil
		}
	}
	return nil, ErrReply
}

// parseReplyLine reads "250-text", "250 text" or "250".
func parseReplyLine(line []byte) (code int, more bool, text string, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, "", ErrReply
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, "", nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", ErrReply
	}
	return code, line[3] == '-', cleanText(line[4:]), nil
}

// cleanText replaces what a log line or a report must not hold.
func cleanText(b []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b), "?"))
}

// cutEnhanced cuts an enhanced code that belongs to code from text.
func cutEnhanced(code int, text string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(text, " ")
	if !IsEnhanced(word) || int(word[0]-'0') != code/100 {
		return "", text
	}
	return word, rest
}

// IsEnhanced tells whether s is an enhanced status code of RFC 3463 section 2: "5.1.1".
func IsEnhanced(s string) bool {
	class, rest, _ := strings.Cut(s, ".")
	subject, detail, _ := strings.Cut(rest, ".")
	return (class == "2" || class == "4" || class == "5") && isShortNumber(subject) && isShortNumber(detail)
}

// isShortNumber reports 1 to 3 digits without a leading zero.
func isShortNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 3 && (s[0] != '0' || len(s) == 1)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
