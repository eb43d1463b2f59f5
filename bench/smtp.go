package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"time"
)

// patience is how long a client waits for one answer.
const patience = 2 * time.Minute

// dial connects to a server on loopback from an address of its own, as mail from many hosts would
// come: some servers limit what one address may do.
func dial(address string, i int) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not on loopback", address)
	}
	from := net.IPv4(127, byte(1+i%99), byte(1+i/99%99), byte(2+i/9801%99))
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: from}}
	return d.Dial("tcp", address)
}

// An smtpClient is one SMTP connection.
type smtpClient struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

// newSMTPClient connects, says EHLO, and logs in where login is not empty.
func newSMTPClient(address string, i int, login string) (*smtpClient, error) {
	conn, err := dial(address, i)
	if err != nil {
		return nil, err
	}
	c := &smtpClient{conn, bufio.NewReader(conn), bufio.NewWriterSize(conn, 64<<10)}
	err = c.expect("220")
	if err == nil {
		err = c.command("250", "EHLO client.example")
	}
	if err == nil && login != "" {
		plain := base64.StdEncoding.EncodeToString([]byte("\x00" + login + "\x00" + password))
		err = c.command("235", "AUTH PLAIN "+plain)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *smtpClient) command(code, line string) error {
	c.w.WriteString(line + "\r\n")
	return c.expect(code)
}

// expect sends what is buffered and reads one reply, which must have the code.
func (c *smtpClient) expect(code string) error {
	c.conn.SetDeadline(time.Now().Add(patience))
	if err := c.w.Flush(); err != nil {
		return err
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("wanted %s, got %q", code, line)
		}
		return nil
	}
}

// send hands one message over, with the envelope in one piece (PIPELINING), and returns how long the
// reply to its end took.
func (c *smtpClient) send(from, to string, letter []byte) (time.Duration, error) {
	fmt.Fprintf(c.w, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", from, to)
	for _, code := range []string{"250", "250", "354"} {
		if err := c.expect(code); err != nil {
			return 0, err
		}
	}
	c.w.Write(bytes.ReplaceAll(letter, []byte("\r\n."), []byte("\r\n..")))
	c.w.WriteString(".\r\n")
	if err := c.w.Flush(); err != nil {
		return 0, err
	}
	start := time.Now()
	err := c.expect("250")
	return time.Since(start), err
}

func (c *smtpClient) quit() {
	c.command("221", "QUIT")
	c.conn.Close()
}
