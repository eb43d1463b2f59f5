package remote

import (
	"errors"
	"fmt"
	"strings"

	"posthaste/mail"
	"posthaste/wire"
)

// Bounds of a reply.
const (
	maxReplyLine  = 2048 // bytes; RFC 5321 section 4.5.3.1.5 allows 512
	maxReplyLines = 128
	maxReplyText  = 4096 // bytes of text that are kept
)

// A lineReader is the part of *wire.Conn that replies come through.
type lineReader interface{ ReadLine() ([]byte, error) }

// readReply reads one reply (RFC 5321 section 4.2) with all its lines, which must agree on the code.
// Its text is safe for logs and reports.
func readReply(r lineReader) (*mail.Status, error) {
	status := new(mail.Status)
	for n := range maxReplyLines {
		line, err := r.ReadLine()
		if err != nil && !errors.Is(err, wire.ErrBareLF) {
			return nil, err
		}
		code, text, more, ok := parseReplyLine(line)
		if !ok || n > 0 && code != status.Code {
			return nil, fmt.Errorf("this is no SMTP reply: %.80q", line)
		}
		addLine(status, n, code, text)
		if !more {
			return status, nil
		}
	}
	return nil, fmt.Errorf("a reply of more than %d lines", maxReplyLines)
}

// addLine appends the n-th line of a reply to status. Each line may repeat the enhanced code.
func addLine(status *mail.Status, n, code int, text string) {
	status.Code = code
	enhanced, rest := cutEnhanced(code, text)
	if n == 0 {
		status.Enhanced = enhanced
	}
	if enhanced != "" && enhanced == status.Enhanced {
		text = rest
	}
	text = printable(text)
	if n > 0 {
		text = "\n" + text
	}
	status.Text += strings.ToValidUTF8(text[:min(len(text), maxReplyText-len(status.Text))], "")
}

// parseReplyLine reads "250-text", "250 text" or "250".
func parseReplyLine(line []byte) (code int, text string, more, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, "", false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, "", false, true
	}
	return code, string(line[4:]), line[3] == '-', line[3] == '-' || line[3] == ' '
}

// cutEnhanced takes an enhanced code (RFC 2034) of the same class as code off text.
func cutEnhanced(code int, text string) (enhanced, rest string) {
	enhanced, rest, _ = strings.Cut(text, " ")
	parts := strings.Split(enhanced, ".")
	if len(parts) != 3 || parts[0] != fmt.Sprint(code/100) || !isShortNumber(parts[1]) || !isShortNumber(parts[2]) {
		return "", text
	}
	return enhanced, rest
}

func isShortNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 3
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// printable replaces control characters and broken UTF-8: a peer's words end up on terminals.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
}
