// Package pop3 is the grammar of POP3: commands as a server reads them, and the multi-line responses
// that carry messages (RFC 1939, RFC 2449). It does no I/O of its own and keeps no state.
package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Capabilities and response codes that a server names to clients.
const (
	CodeInUse   = "IN-USE"   // RFC 2449 section 8.1.1: another session has the maildrop
	CodeAuth    = "AUTH"     // RFC 3206: the credentials are wrong
	CodeSysTemp = "SYS/TEMP" // RFC 3206: a failure of ours that will pass
)

// MaxLine bounds a command, its CRLF included. RFC 2449 section 4 grants 255 bytes, but a response of
// an AUTH exchange is longer: this one holds 4096 bytes in base64.
const MaxLine = 8 << 10

// maxName is more than the longest keyword of any extension.
const maxName = 32

// ErrSyntax means that a line is no command, or an argument not what the command takes.
var ErrSyntax = errors.New("pop3: syntax error")

// A Command is one line of a client.
type Command struct {
	Name string // in upper case
	Arg  string // all after the one space that follows the name, as it stands
}

// Parse reads a line without its CRLF.
func Parse(line []byte) (Command, error) {
	name, arg, _ := bytes.Cut(line, []byte(" "))
	if len(name) == 0 || len(name) > maxName {
		return Command{}, fmt.Errorf("%w: want a command", ErrSyntax)
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return Command{}, fmt.Errorf("%w: a command is a word of ASCII", ErrSyntax)
		}
	}
	return Command{Name: strings.ToUpper(string(name)), Arg: string(arg)}, nil
}

// String returns the command as a line without CRLF. It shows secrets; it is not for logs.
func (c Command) String() string {
	if c.Arg == "" {
		return c.Name
	}
	return c.Name + " " + c.Arg
}

// maxDigits bounds a number so that it fits an int.
const maxDigits = 10

// Numbers reads the arguments of c as between least and most decimal numbers.
func (c Command) Numbers(least, most int) ([]int, error) {
	fields := strings.Fields(c.Arg)
	if len(fields) < least || len(fields) > most {
		return nil, fmt.Errorf("%w: %s takes %s", ErrSyntax, c.Name, count(least, most))
	}
	numbers := make([]int, len(fields))
	for i, field := range fields {
		n, ok := number(field)
		if !ok {
			return nil, fmt.Errorf("%w: %s takes decimal numbers", ErrSyntax, c.Name)
		}
		numbers[i] = n
	}
	return numbers, nil
}

func count(least, most int) string {
	if least == most {
		return fmt.Sprintf("%d arguments", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

func number(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || i == maxDigits {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, s != ""
}

// WriteContent writes content as the rest of a multi-line response: lines that begin with a dot get
// another one, and the end is CRLF, dot, CRLF (RFC 1939 section 3). A CRLF is added where content does
// not end in one.
//
// A bare LF starts a line here too: most clients take it for one, and no message must be able to end
// its own response early.
func WriteContent(w io.Writer, content []byte) error {
	rest := content
	if len(rest) > 0 && rest[0] == '.' {
		if _, err := io.WriteString(w, "."); err != nil {
			return err
		}
	}
	for {
		i := bytes.Index(rest, []byte("\n."))
		if i < 0 {
			break
		}
		if _, err := w.Write(rest[:i+1]); err != nil {
			return err
		}
		if _, err := io.WriteString(w, "."); err != nil {
			return err
		}
		rest = rest[i+1:]
	}
	if _, err := w.Write(rest); err != nil {
		return err
	}
	end := ".\r\n"
	if len(content) > 0 && !bytes.HasSuffix(content, []byte("\r\n")) {
		end = "\r\n.\r\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// Top returns what TOP shows: the header, the empty line, and the first lines of the body.
func Top(content []byte, lines int) []byte {
	end, left := 0, -1 // left counts body lines, once the header is over
	for end < len(content) && left != 0 {
		length := bytes.IndexByte(content[end:], '\n') + 1
		if length == 0 {
			return content
		}
		line := content[end : end+length]
		end += length
		switch {
		case left > 0:
			left--
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			left = lines
		}
	}
	return content[:end]
}
