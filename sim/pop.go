package sim

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// A Popper reads a maildrop again and again and complains when what POP3 promises is broken: a
// unique-id names one message, and never another (RFC 1939 section 7). Nobody deletes in that maildrop.
type Popper struct {
	Login string

	names map[string]string // Message-ID by unique-id
}

// NewPopper returns a Popper of an account.
func NewPopper(login string) *Popper { return &Popper{Login: login, names: map[string]string{}} }

// Pop has a popper look at its maildrop on a host. A session that fails is no complaint.
func (w *World) Pop(h *Host, p *Popper) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(background(), clientPatience)
	defer cancel()
	nc, err := w.Net.Dial(ctx, client, h.Address("pop3"))
	if err != nil {
		return
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(clientPatience))
	for _, text := range p.pop(nc) {
		w.t.Error(text)
	}
}

// pop returns what is wrong.
func (p *Popper) pop(nc net.Conn) (wrong []string) {
	c := &popSession{nc: nc, r: bufio.NewReader(nc)}
	c.line()
	c.command("USER %s", p.Login)
	c.command("PASS %s", Password)
	names := map[string]string{}
	for _, entry := range c.lines("UIDL") {
		number, uidl, _ := strings.Cut(entry, " ")
		for _, line := range c.lines("TOP " + number + " 0") {
			if name, ok := strings.CutPrefix(line, "Message-ID: "); ok {
				names[uidl] = name
			}
		}
	}
	c.command("QUIT")
	if c.failed {
		return nil
	}
	for uidl, old := range p.names {
		if names[uidl] != old {
			wrong = append(wrong, fmt.Sprintf("maildrop of %s: unique-id %s was %s and is %q", p.Login, uidl, old, names[uidl]))
		}
	}
	p.names = names
	return wrong
}

// A popSession is a POP3 client that remembers that something failed, and then does nothing.
type popSession struct {
	nc     net.Conn
	r      *bufio.Reader
	failed bool
}

func (c *popSession) line() string {
	if c.failed {
		return ""
	}
	text, err := c.r.ReadString('\n')
	c.failed = err != nil
	return strings.TrimRight(text, "\r\n")
}

// command wants +OK.
func (c *popSession) command(format string, args ...any) {
	if c.failed {
		return
	}
	c.nc.Write([]byte(fmt.Sprintf(format, args...) + "\r\n"))
	if !strings.HasPrefix(c.line(), "+OK") {
		c.failed = true
	}
}

// lines returns the answer of several lines.
func (c *popSession) lines(command string) (all []string) {
	c.command("%s", command)
	for !c.failed {
		text := c.line()
		if text == "." {
			break
		}
		all = append(all, strings.TrimPrefix(text, "."))
	}
	return all
}
