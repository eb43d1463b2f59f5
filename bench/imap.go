package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// An imapClient is one IMAP connection, logged in.
type imapClient struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	tags int
}

func newIMAPClient(address string, i int, login string) (*imapClient, error) {
	conn, err := dial(address, i)
	if err != nil {
		return nil, err
	}
	c := &imapClient{conn: conn, r: bufio.NewReaderSize(conn, 64<<10), w: bufio.NewWriterSize(conn, 64<<10)}
	_, err = c.line()
	if err == nil {
		err = c.command(nil, "LOGIN %s %s", login, password)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("imap login of %s: %w", login, err)
	}
	return c, nil
}

func (c *imapClient) close() { c.conn.Close() }

// line reads one response without its literals, valid until the next read.
func (c *imapClient) line() ([]byte, error) {
	var whole []byte
	for {
		line, err := c.r.ReadSlice('\n')
		for err == bufio.ErrBufferFull {
			whole = append(whole, line...)
			line, err = c.r.ReadSlice('\n')
		}
		if err != nil {
			return nil, err
		}
		if whole == nil && !bytes.HasSuffix(line, []byte("}\r\n")) {
			return line, nil
		}
		whole = append(whole, line...)
		size, ok := literalSize(line)
		if !ok {
			return whole, nil
		}
		if _, err := c.r.Discard(size); err != nil {
			return nil, err
		}
	}
}

// literalSize returns the size of the literal that a line announces.
func literalSize(line []byte) (int, bool) {
	line, ok := bytes.CutSuffix(line, []byte("}\r\n"))
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, '{')+1:]))
	return n, err == nil
}

// command sends one command and reads up to its completion. see gets the untagged responses.
func (c *imapClient) command(see func(line []byte), format string, args ...any) error {
	tag := c.begin(format, args...)
	return c.end(tag, see)
}

func (c *imapClient) begin(format string, args ...any) (tag string) {
	c.tags++
	tag = "a" + strconv.Itoa(c.tags)
	fmt.Fprintf(c.w, tag+" "+format+"\r\n", args...)
	return tag
}

func (c *imapClient) end(tag string, see func(line []byte)) error {
	c.conn.SetDeadline(time.Now().Add(patience))
	if err := c.w.Flush(); err != nil {
		return err
	}
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if rest, ok := bytes.CutPrefix(line, []byte(tag+" ")); ok {
			if !bytes.HasPrefix(rest, []byte("OK")) {
				return fmt.Errorf("%s", bytes.TrimSpace(rest))
			}
			return nil
		}
		if see != nil {
			see(line)
		}
	}
}

// append adds a message, after the server said it may come: not every server knows LITERAL+.
func (c *imapClient) append(mailbox string, letter []byte) error {
	tag := c.begin("APPEND %s {%d}", mailbox, len(letter))
	c.conn.SetDeadline(time.Now().Add(patience))
	if err := c.w.Flush(); err != nil {
		return err
	}
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if line[0] == '+' {
			break
		}
		if bytes.HasPrefix(line, []byte(tag)) {
			return fmt.Errorf("append: %s", bytes.TrimSpace(line))
		}
	}
	c.w.Write(letter)
	c.w.WriteString("\r\n")
	return c.end(tag, nil)
}

// messages asks how many messages a mailbox holds.
func (c *imapClient) messages(mailbox string) (n int, err error) {
	err = c.command(func(line []byte) {
		if _, after, ok := strings.Cut(string(line), "(MESSAGES "); ok {
			n, _ = strconv.Atoi(strings.TrimRight(after, ")\r\n"))
		}
	}, "STATUS %s (MESSAGES)", mailbox)
	return n, err
}

// inboxes are those of all users, and what they held at first.
type inboxes struct {
	clients []*imapClient
	before  int
}

func watchInboxes(address string, users int) (*inboxes, error) {
	b := &inboxes{}
	for i := range users {
		c, err := newIMAPClient(address, i, userName(i, users))
		if err != nil {
			return nil, err
		}
		b.clients = append(b.clients, c)
	}
	n, err := b.count()
	b.before = n
	return b, err
}

func (b *inboxes) close() {
	for _, c := range b.clients {
		c.close()
	}
}

func (b *inboxes) count() (total int, err error) {
	for _, c := range b.clients {
		n, err := c.messages("INBOX")
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// wait returns when n more messages are visible.
func (b *inboxes) wait(n int) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		have, err := b.count()
		if err != nil || have-b.before >= n {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d messages were visible within %v", have-b.before, n, patience)
		}
	}
}
