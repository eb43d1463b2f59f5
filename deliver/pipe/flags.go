package pipe

import (
	"bytes"
	"fmt"
	"strings"

	"posthaste/mail"
)

// knownFlags change what the program gets, as the letters of Postfix's pipe(8) do:
//
//	B  an empty line at the end
//	D  a Delivered-To line; a message that has the same one is in a loop and fails
//	F  a line "From sender date" at the beginning, as in an mbox
//	O  an X-Original-To line with the address the sender gave
//	R  a Return-Path line
//	h  domains in lower case
//	u  local-parts of recipients in lower case
//	q  local-parts quoted where they need it
//	.  a second dot before each line that begins with one, as in SMTP
//	>  a ">" before each line of the message that begins with "From "
//	X  the delivery is final: reports on success say "delivered", not "relayed"
const knownFlags = "BDFORhuq.>X"

func (p *pipe) has(flag byte) bool { return strings.IndexByte(p.Flags, flag) >= 0 }

// errLoop is a message that has been delivered to its recipient already.
var errLoop = mail.NewStatus(554, "5.4.6", "the message has been here already: a forwarding leads in a circle")

// content is what the program gets, still with CRLF.
func (p *pipe) content(env *mail.Envelope, rcpts []mail.Recipient, text []byte) ([]byte, error) {
	var b bytes.Buffer
	if p.has('F') {
		sender := p.NullSender
		if !env.From.Null() {
			sender = strings.Join(strings.Fields(env.From.String()), "_")
		}
		fmt.Fprintf(&b, "From %s %s\r\n", sender, env.Received.UTC().Format("Mon Jan _2 15:04:05 2006"))
	}
	if p.has('R') {
		fmt.Fprintf(&b, "Return-Path: <%s>\r\n", env.From)
	}
	if p.has('O') {
		fmt.Fprintf(&b, "X-Original-To: %s\r\n", oneWord(original(rcpts[0])))
	}
	if p.has('D') {
		line := fmt.Sprintf("Delivered-To: %s\r\n", p.folded(rcpts[0].Address))
		if inHeader(text, line) {
			return nil, errLoop
		}
		b.WriteString(line)
	}
	p.body(&b, text)
	return b.Bytes(), nil
}

// body writes the message with what the flags change in its lines.
func (p *pipe) body(b *bytes.Buffer, text []byte) {
	dots, quotes := p.has('.'), p.has('>')
	if !dots && !quotes {
		b.Write(text)
	} else {
		for line := range bytes.Lines(text) {
			switch {
			case dots && line[0] == '.':
				b.WriteByte('.')
			case quotes && bytes.HasPrefix(line, []byte("From ")):
				b.WriteByte('>')
			}
			b.Write(line)
		}
	}
	if p.has('B') {
		if len(text) > 0 && text[len(text)-1] != '\n' {
			b.WriteString("\r\n")
		}
		b.WriteString("\r\n")
	}
}

// inHeader tells whether the header of text has a line, whatever its case.
func inHeader(text []byte, line string) bool {
	header, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	for l := range bytes.Lines(append(bytes.Clone(header), "\r\n"...)) {
		if strings.EqualFold(string(l), line) {
			return true
		}
	}
	return false
}

// oneWord keeps what came from outside from beginning a line of its own.
func oneWord(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '_'
		}
		return c
	}, s)
}
