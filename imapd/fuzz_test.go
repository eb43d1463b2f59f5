package imapd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	literalEnd = regexp.MustCompile(`\{([0-9]+)\}\r\n$`)
	legal      = regexp.MustCompile(`^(\* |\+ |[^ (){%*"\\+]+ (OK|NO|BAD) )`)
)

// readResponse reads a response with its literals.
func readResponse(r *bufio.Reader) (string, error) {
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		text.WriteString(line)
		literal := literalEnd.FindStringSubmatch(line)
		if err != nil || literal == nil {
			return text.String(), err
		}
		n, _ := strconv.Atoi(literal[1])
		if _, err := io.CopyN(&text, r, int64(n)); err != nil {
			return text.String(), err
		}
	}
}

// FuzzSession sends any bytes after a login: what comes back must be a legal dialogue that ends.
func FuzzSession(f *testing.F) {
	site := newSite(f, func(c *Config) { c.MaxMessage = 5000 })
	addr := site.listen(f)
	for range 3 {
		site.deliver(f, "Subject: a\r\nFrom: b@c.example\r\n\r\nd\r\n")
	}
	f.Add([]byte("a SELECT INBOX\r\nb FETCH 1:* (FLAGS ENVELOPE BODY[])\r\nc SEARCH TEXT a\r\n"))
	f.Add([]byte("a SELECT INBOX\r\nb IDLE\r\nDONE\r\nc STORE 1 +FLAGS (x)\r\nd COPY 1 Trash\r\n"))
	f.Add([]byte("a APPEND INBOX {3+}\r\nabc {4+}\r\nabcd\r\nb LIST \"\" (* %) RETURN (STATUS (MESSAGES))\r\n"))
	f.Add([]byte("a EXAMINE INBOX\r\nb UID FETCH 1:* (UID BODYSTRUCTURE BINARY.SIZE[1] BODY[1]<1.2>)\r\nc LOGOUT\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		conn := dial(t, addr)
		defer conn.Close()
		go func() {
			fmt.Fprintf(conn, "l LOGIN %s \"%s\"\r\n", testLogin, testPassword)
			conn.Write(input)
			conn.(*net.TCPConn).CloseWrite()
		}()
		r := bufio.NewReader(conn)
		for {
			response, err := readResponse(r)
			if err != nil {
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Fatal("the session hangs")
				}
				return
			}
			if !legal.MatchString(response) || !strings.HasSuffix(response, "\r\n") {
				t.Fatalf("not a response: %q", response)
			}
		}
	})
}
