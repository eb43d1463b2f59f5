package milter

import (
	"fmt"
	"strings"

	"posthaste/mail"
	"posthaste/smtp"
)

// An answer is what a milter says to one command.
type answer struct {
	code   byte         // one of the replies that end a command
	status *mail.Status // with reject, tempfail and reply codes
}

// parseAnswer reads a reply that ends a command.
func parseAnswer(p packet) (answer, error) {
	a := answer{code: p.code}
	switch p.code {
	case replyAccept, replyContinue, replyDiscard, replySkip:
		return a, nil
	case replyReject:
		a.status = mail.NewStatus(550, "5.7.1", "refused by a filter")
	case replyTempfail, replyConnFail:
		a.code, a.status = replyTempfail, mail.NewStatus(451, "4.7.1", "a filter asks to try again later")
	case replyShutdown:
		a.code, a.status = replyTempfail, mail.NewStatus(421, "4.7.0", "a filter ends this session, try again later")
	case replyCode:
		status, err := parseStatus(text(p.data))
		if err != nil {
			return a, err
		}
		a.code, a.status = replyTempfail, status
		if status.Permanent() {
			a.code = replyReject
		}
	default:
		return a, fmt.Errorf("%w: reply %q where an answer was due", errProtocol, p.code)
	}
	return a, nil
}

// parseStatus reads the text of a reply code: "550 5.7.1 text", or several lines of which all but the
// last have a hyphen after the code. Percent signs come doubled, since Sendmail's milter library is
// handed formats.
func parseStatus(reply string) (*mail.Status, error) {
	if len(reply) > maxReplyText {
		reply = reply[:maxReplyText]
	}
	reply = strings.ReplaceAll(strings.ReplaceAll(reply, "\r\n", "\n"), "%%", "%")
	code := 0
	var lines []string
	enhanced := ""
	for line := range strings.SplitSeq(strings.TrimRight(reply, "\n"), "\n") {
		if len(line) < 3 || !digits(line[:3]) {
			return nil, fmt.Errorf("%w: %q is no SMTP reply", errProtocol, line)
		}
		code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
		line = printable(strings.TrimLeft(line[3:], " -"))
		word, rest, _ := strings.Cut(line, " ")
		if smtp.IsEnhanced(word) {
			enhanced, line = word, rest
		}
		lines = append(lines, line)
	}
	if code < 400 || code > 599 {
		return nil, fmt.Errorf("%w: reply code %d, want 4xx or 5xx", errProtocol, code)
	}
	if enhanced == "" || int(enhanced[0]-'0') != code/100 {
		enhanced = fmt.Sprintf("%d.7.1", code/100)
	}
	return &mail.Status{Code: code, Enhanced: enhanced, Text: strings.Join(lines, "\n")}, nil
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// printable returns s with everything that a reply line may not hold as a question mark.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
