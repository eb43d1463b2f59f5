package demo

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strconv"
	"strings"
	"time"
)

// clientTimeout bounds a session of the demo's own mail program.
const clientTimeout = 10 * time.Second

// submit hands content in as a mail program does: STARTTLS on the submission port, then a login.
func submit(address string, conf *tls.Config, from, to string, content []byte) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	c, err := smtp.Dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	steps := []func() error{
		func() error { return c.Hello("ann-laptop.north.test") },
		func() error { return c.StartTLS(conf) },
		func() error { return c.Auth(smtp.PlainAuth("", from, password, host)) },
		func() error { return c.Mail(from) },
		func() error { return c.Rcpt(to) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write(content); err != nil {
		return err
	}
	return errors.Join(data.Close(), c.Quit())
}

// A line is a session of a line protocol as a mail program holds it.
type line struct {
	conn *tls.Conn
	r    *bufio.Reader
}

func dialLine(address string, conf *tls.Config) (*line, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: clientTimeout}, "tcp", address, conf)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(clientTimeout))
	l := &line{conn, bufio.NewReader(conn)}
	_, err = l.read()
	return l, err
}

func (l *line) read() (string, error) {
	s, err := l.r.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

// imap sends a command and returns the lines and the last literal of its answer.
func (l *line) imap(command string) (lines []string, literal []byte, err error) {
	if _, err := fmt.Fprintf(l.conn, "a %s\r\n", command); err != nil {
		return nil, nil, err
	}
	for {
		s, err := l.read()
		if err != nil {
			return nil, nil, err
		}
		if open := strings.LastIndexByte(s, '{'); open >= 0 && strings.HasSuffix(s, "}") {
			n, err := strconv.Atoi(s[open+1 : len(s)-1])
			if err != nil {
				return nil, nil, fmt.Errorf("IMAP answer %q", s)
			}
			literal = make([]byte, n)
			if _, err := io.ReadFull(l.r, literal); err != nil {
				return nil, nil, err
			}
		}
		if status, done := strings.CutPrefix(s, "a "); done {
			if !strings.HasPrefix(status, "OK") {
				err = fmt.Errorf("IMAP answer to %s: %s", strings.Fields(command)[0], status)
			}
			return lines, literal, err
		}
		lines = append(lines, s)
	}
}

// readIMAP returns the last message of INBOX, or nil when there is none.
func readIMAP(address string, conf *tls.Config, user string) ([]byte, error) {
	l, err := dialLine(address, conf)
	if err != nil {
		return nil, err
	}
	defer l.conn.Close()
	if _, _, err := l.imap(fmt.Sprintf("LOGIN %s %s", user, password)); err != nil {
		return nil, err
	}
	lines, _, err := l.imap("SELECT INBOX")
	if err != nil {
		return nil, err
	}
	exists := 0
	for _, s := range lines {
		if n, ok := strings.CutSuffix(s, " EXISTS"); ok {
			exists, _ = strconv.Atoi(strings.TrimPrefix(n, "* "))
		}
	}
	if exists == 0 {
		return nil, nil
	}
	_, content, err := l.imap(fmt.Sprintf("FETCH %d BODY.PEEK[]", exists))
	if err == nil {
		_, _, err = l.imap("LOGOUT")
	}
	return content, err
}

// pop3 sends a command and returns its answer without "+OK".
func (l *line) pop3(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(l.conn, format+"\r\n", args...); err != nil {
		return "", err
	}
	s, err := l.read()
	if err == nil && !strings.HasPrefix(s, "+OK") {
		err = fmt.Errorf("POP3 answer %s", s)
	}
	return strings.TrimSpace(strings.TrimPrefix(s, "+OK")), err
}

// readPOP3 returns the last message of the maildrop.
func readPOP3(address string, conf *tls.Config, user string) ([]byte, error) {
	l, err := dialLine(address, conf)
	if err != nil {
		return nil, err
	}
	defer l.conn.Close()
	if _, err := l.pop3("USER %s", user); err != nil {
		return nil, err
	}
	if _, err := l.pop3("PASS %s", password); err != nil {
		return nil, err
	}
	stat, err := l.pop3("STAT")
	if err != nil {
		return nil, err
	}
	count := strings.Fields(stat + " 0")[0]
	if _, err := l.pop3("RETR %s", count); err != nil {
		return nil, err
	}
	var content bytes.Buffer
	for {
		s, err := l.read()
		if err != nil {
			return nil, err
		}
		if s == "." {
			break
		}
		content.WriteString(strings.TrimPrefix(s, ".") + "\r\n")
	}
	_, err = l.pop3("QUIT")
	return content.Bytes(), err
}
