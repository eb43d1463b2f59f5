package access

import (
	"fmt"
	"strings"

	"posthaste/mail"
)

// A verdict is the value of a table, understood.
type verdict struct {
	action   Action
	code     int    // of the answer
	enhanced string // its enhanced code (RFC 3463)
	text     string
	warn     bool // log the text
}

// maxText bounds the text of an answer, so that a reply is one line (RFC 5321 section 4.5.3.1.5).
const maxText = 400

// parseVerdict understands our words and those of access(5), in any case.
func parseVerdict(value string) (verdict, error) {
	word, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
	rest = strings.TrimSpace(rest)
	switch upper := strings.ToUpper(word); {
	case upper == "OK" || upper == "PERMIT":
		return verdict{action: Permit}, nil
	case upper == "DUNNO":
		return verdict{action: Dunno}, nil
	case upper == "WARN" || upper == "INFO":
		return verdict{action: Dunno, warn: true, text: rest}, nil
	case upper == "HOLD":
		return verdict{action: Hold, text: rest}, nil
	case upper == "DISCARD":
		return verdict{action: Discard, text: rest}, nil
	case upper == "REJECT":
		return answer(Reject, 554, "5.7.1", "access denied", rest), nil
	case upper == "DEFER" || upper == "DEFER_IF_PERMIT":
		return answer(Defer, 450, "4.7.1", "access denied for now, try again later", rest), nil
	case isReplyCode(word) && word[0] == '5':
		return answer(Reject, 554, "5.7.1", "access denied", value), nil
	case isReplyCode(word) && word[0] == '4':
		return answer(Defer, 450, "4.7.1", "access denied for now, try again later", value), nil
	case isNumber(word) && rest == "":
		return verdict{action: Permit}, nil
	}
	return verdict{}, fmt.Errorf("%q is no action: known are permit (OK), reject, defer, discard, hold, dunno, warn, and a reply such as \"550 5.7.1 text\"", value)
}

// answer reads "[code] [enhanced] [text]". A code of the other class does not count.
func answer(a Action, code int, enhanced, text, given string) verdict {
	v := verdict{action: a, code: code, enhanced: enhanced, text: text}
	class := enhanced[0]
	given = strings.TrimSpace(given)
	word, rest, _ := strings.Cut(given, " ")
	if isReplyCode(word) && word[0] == class {
		v.code = int(word[0]-'0')*100 + int(word[1]-'0')*10 + int(word[2]-'0')
		given = strings.TrimSpace(rest)
		word, rest, _ = strings.Cut(given, " ")
	}
	if isEnhanced(word) {
		if word[0] == class {
			v.enhanced = word
		}
		given = strings.TrimSpace(rest)
	}
	if given != "" {
		v.text = printable(given)
	}
	return v
}

// status returns the answer to give, or nil.
func (v verdict) status() *mail.Status {
	if v.code == 0 {
		return nil
	}
	return mail.NewStatus(v.code, v.enhanced, "%s", v.text)
}

// printable makes a text fit for a reply to anybody: ASCII, one line.
func printable(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.ReplaceAll(text, "\t", " "))
	return clean[:min(len(clean), maxText)]
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isReplyCode tells whether s is a code of RFC 5321 section 4.2.
func isReplyCode(s string) bool {
	return len(s) == 3 && isNumber(s) && s[0] >= '2' && s[0] <= '5' && s[1] <= '5'
}

// isEnhanced tells whether s is a code of RFC 3463 section 2.
func isEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	return len(parts) == 3 && (parts[0] == "2" || parts[0] == "4" || parts[0] == "5") &&
		isNumber(parts[1]) && len(parts[1]) <= 3 && isNumber(parts[2]) && len(parts[2]) <= 3
}
