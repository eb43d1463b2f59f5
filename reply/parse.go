package reply

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"posthaste/mail"
)

// ErrNoReply means that a text holds no answer of a mail system.
var ErrNoReply = errors.New(`this holds no answer of a mail system: it has a number like "550" or "5.7.1" at its beginning`)

var (
	// codes is where an answer begins: a reply code, an enhanced code, or both.
	codes = regexp.MustCompile(`(?:^|[\s:;<("'=\]])(?:([2345]\d\d)(?:[ -]#?([245]\.\d{1,3}\.\d{1,3})\b|[ -]|$)|#?([245]\.\d{1,3}\.\d{1,3})(?:[\s:,;)>"']|$))`)

	// again is a code that the further lines of an answer repeat.
	again = regexp.MustCompile(`(?:^|\s)[2345]\d\d[ -](?:[245]\.\d{1,3}\.\d{1,3}(?:\s|$))?`)
)

// Parse finds the answer of a mail system in text that somebody pasted: "550 5.1.1 no such user", all
// lines of "550-5.7.1 …", a Diagnostic-Code field of a report, or a line of a log around it.
func Parse(text string) (*mail.Status, error) {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), maxText)], "\uFFFD")), " ")
	m := codes.FindStringSubmatchIndex(text)
	if m == nil {
		return nil, ErrNoReply
	}
	s := &mail.Status{Enhanced: group(text, m, 2) + group(text, m, 3)}
	if code := group(text, m, 1); code != "" {
		s.Code, _ = strconv.Atoi(code)
	} else {
		s.Code = int(s.Enhanced[0]-'0') * 100
	}
	rest := text[m[1]:]
	if code := group(text, m, 1); code != "" && strings.HasPrefix(text[m[2]:], code+"-") {
		rest = joinLines(rest, code)
	}
	s.Text = strings.TrimSpace(rest)
	if s.Enhanced != "" && (s.Enhanced[0] == '2') != (s.Code < 400) {
		s.Enhanced = "" // a success and a failure at once: the number counts
	}
	return s, nil
}

// group returns a part that matched, or nothing.
func group(text string, m []int, i int) string {
	if m[2*i] < 0 {
		return ""
	}
	return text[m[2*i]:m[2*i+1]]
}

// joinLines takes away the codes at the beginnings of further lines, up to the last, which has no
// hyphen. Their line ends are spaces by now.
func joinLines(text, code string) string {
	return again.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(strings.TrimSpace(found), code) {
			return " "
		}
		return found
	})
}

func rule(code int) string { return strconv.Itoa(code) }
