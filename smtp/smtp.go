// Package smtp is the grammar of SMTP and LMTP: addresses, paths, commands with their parameters, and
// replies, parsed and printed. It does no I/O and keeps no state; packages smtpd and deliver/remote
// hold the dialogues.
//
// What comes from outside becomes a type here, once and strictly. An error is the *[mail.Status] that
// a server answers; it names the part that is wrong. What a function prints, its counterpart parses
// back to the same value.
//
// Standards: RFC 5321 (SMTP), 2033 (LMTP), 1870 (SIZE), 6152 (8BITMIME), 3030 (CHUNKING, BINARYMIME),
// 3461 (DSN), 2034 and 3463 (enhanced status codes), 6531 and 6533 (international addresses and
// their reports), 4954 (AUTH), 8689 (REQUIRETLS), 4865 (FUTURERELEASE),
// 2852 (DELIVERBY), 6710 (MT-PRIORITY), 1985 (ETRN); and XCLIENT of Postfix.
package smtp

import (
	"strings"
	"unicode/utf8"

	"posthaste/mail"
)

// Sizes of RFC 5321 section 4.5.3.1.
const (
	MaxLine     = 512     // a command line, CRLF included, without parameters
	MaxExtra    = 1536    // what the parameters of MAIL and RCPT may add: generous to RFC 3461 and 6531
	MaxAuthLine = 12288   // a line of an AUTH exchange, RFC 4954 section 4
	MaxText     = 998     // a line of content without CRLF, RFC 5322 section 2.1.1
	maxReply    = 512     // a reply line, CRLF included
	maxReplies  = 1 << 10 // lines of one reply that we read
)

// A Command is a command line taken apart.
type Command struct {
	Verb string // upper case
	Arg  string // what follows the space, without white space at its end
}

// ParseCommand reads a command line without its CRLF. Control characters, and 8-bit text that is not
// UTF-8, are an error.
func ParseCommand(line []byte) (Command, error) {
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return Command{}, mail.NewStatus(500, "5.5.2", "control character in a command")
		}
	}
	if !utf8.Valid(line) {
		return Command{}, mail.NewStatus(500, "5.5.2", "8-bit text that is not UTF-8 in a command")
	}
	verb, arg, _ := strings.Cut(strings.TrimRight(string(line), " \t"), " ")
	if verb == "" || !isAlnum(verb) {
		return Command{}, mail.NewStatus(500, "5.5.2", "no command in this line")
	}
	return Command{Verb: strings.ToUpper(verb), Arg: strings.TrimLeft(arg, " \t")}, nil
}

// ParseHelo reads the name a client gives itself in EHLO, HELO or LHLO. Many clients give no domain
// name; RFC 5321 section 4.1.4 forbids to refuse mail for that. So any word will do, with what could
// harm a header field replaced by "?".
func ParseHelo(arg string) (string, error) {
	const maxHelo = 255
	if arg == "" || len(arg) > maxHelo || strings.ContainsAny(arg, " \t") {
		return "", mail.NewStatus(501, "5.5.4", "give your host name as one word")
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;\"`, r) {
			return '?'
		}
		return r
	}, arg), nil
}

func isAlnum(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isLetDig(s[i]) {
			return false
		}
	}
	return s != ""
}

func isLetDig(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
