package sim

import (
	"bufio"
	"fmt"
	"net"
	"strings"
)

// SubmitLMTP hands a letter to the LMTP server at the other end of nc (RFC 2033), and returns what is
// known of each recipient.
func SubmitLMTP(nc net.Conn, letter Letter) (map[string]Outcome, error) {
	c := &lmtpClient{nc: nc, r: bufio.NewReader(nc)}
	c.read()
	c.command("LHLO client.test")
	c.command("MAIL FROM:<%s>", letter.From)
	outcome := map[string]Outcome{}
	var taken []string
	for _, to := range letter.To {
		if c.command("RCPT TO:<%s>", to) == '2' {
			taken = append(taken, to)
		}
		outcome[to] = Refused
	}
	if len(taken) == 0 || c.command("DATA") != '3' {
		return outcome, c.err
	}
	c.write(letter.Content() + ".\r\n")
	for _, to := range taken {
		switch c.read() {
		case '2':
			outcome[to] = Promised
		case 0:
			outcome[to] = Unknown
		}
	}
	return outcome, c.err
}

// An lmtpClient keeps the first error.
type lmtpClient struct {
	nc  net.Conn
	r   *bufio.Reader
	err error
}

func (c *lmtpClient) write(text string) {
	if c.err == nil {
		_, c.err = c.nc.Write([]byte(text))
	}
}

// command returns the first digit of the reply, 0 without one.
func (c *lmtpClient) command(format string, args ...any) byte {
	c.write(fmt.Sprintf(format, args...) + "\r\n")
	return c.read()
}

func (c *lmtpClient) read() byte {
	for c.err == nil {
		var line string
		if line, c.err = c.r.ReadString('\n'); c.err == nil && (len(line) < 4 || line[3] != '-') {
			return strings.TrimRight(line, "\r\n")[0]
		}
	}
	return 0
}
