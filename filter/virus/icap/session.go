package icap

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"posthaste/filter"
)

// chunkSize is how many bytes of content go into one chunk.
const chunkSize = 64 << 10

// A session is one connection. It ends when the context of connect does.
type session struct {
	reader
	conn net.Conn
	stop func() bool
	sent chan struct{} // closed once what was being sent is sent, or cannot be
}

// connect opens a session; close it.
func (e *Engine) connect(ctx context.Context) (*session, error) {
	conn, err := e.dial(ctx, "tcp", e.address)
	if err != nil {
		return nil, fmt.Errorf("icap: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return &session{reader: newReader(conn), conn: conn, stop: stop}, nil
}

func (c *session) close() {
	c.stop()
	c.conn.Close()
}

func (c *session) write(s string) error {
	_, err := io.WriteString(c.conn, s)
	return err
}

// failed says what went wrong while something was asked.
func failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("icap: %s: %w", what, err)
}

// modify sends m and reads the answer.
func (e *Engine) modify(ctx context.Context, m *filter.Mail, o options) (answer, error) {
	c, err := e.connect(ctx)
	if err != nil {
		return answer{}, err
	}
	head, err := c.converse(e.head(m, o.preview), m.Content, o.preview)
	var a answer
	if err == nil {
		a, err = c.answer(head, m.Content)
	}
	c.close()
	<-c.sent // the close has ended what was being sent
	if err != nil {
		return answer{}, failed(ctx, e.method, err)
	}
	return a, nil
}

// converse sends head and content, with a preview of so many bytes unless negative, and reads the begin of
// the final answer. The server may answer before it has read all, so that writing happens beside.
func (c *session) converse(head string, content []byte, preview int) (response, error) {
	if preview < 0 {
		c.send(head, content, "0\r\n\r\n")
		return c.response()
	}
	begin, rest := content[:min(preview, len(content))], content[min(preview, len(content)):]
	end := "0\r\n\r\n"
	if len(rest) == 0 {
		end = "0; ieof\r\n\r\n" // RFC 3507 section 4.5
	}
	c.send(head, begin, end)
	r, err := c.response()
	if err != nil || r.code != 100 || len(rest) == 0 {
		return r, err
	}
	<-c.sent
	c.send("", rest, "0\r\n\r\n")
	return c.response()
}

// send writes head, content in chunks, and the end, in a goroutine of its own that closes c.sent. Where it
// fails, reading the answer fails too, or there is one already.
func (c *session) send(head string, content []byte, end string) {
	sent := make(chan struct{})
	c.sent = sent
	go func() {
		defer close(sent)
		w := bufio.NewWriterSize(c.conn, chunkSize) // keeps the first error
		w.WriteString(head)
		for len(content) > 0 {
			n := min(chunkSize, len(content))
			fmt.Fprintf(w, "%x\r\n", n)
			w.Write(content[:n])
			w.WriteString("\r\n")
			content = content[n:]
		}
		w.WriteString(end)
		w.Flush()
	}()
}

// head returns the ICAP header and the HTTP headers that it encloses.
func (e *Engine) head(m *filter.Mail, preview int) string {
	host := m.Hostname
	if host == "" || strings.ContainsAny(host, " \r\n/") {
		host = "localhost"
	}
	name := fmt.Sprintf("http://%s/mail/%s.eml", host, m.Envelope.ID)
	kind := fmt.Sprintf("Content-Type: message/rfc822\r\nContent-Length: %d\r\n\r\n", len(m.Content))
	var request, reply, where string
	if e.method == "REQMOD" {
		request = "POST " + name + " HTTP/1.1\r\nHost: " + host + "\r\n" + kind
		where = fmt.Sprintf("req-hdr=0, req-body=%d", len(request))
	} else {
		request = "GET " + name + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
		reply = "HTTP/1.1 200 OK\r\n" + kind
		where = fmt.Sprintf("req-hdr=0, res-hdr=%d, res-body=%d", len(request), len(request)+len(reply))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s ICAP/1.0\r\nHost: %s\r\nUser-Agent: Posthaste\r\nAllow: 204\r\nConnection: close\r\n", e.method, e.url, e.url.Host)
	if ip := m.Client(); ip.IsValid() {
		fmt.Fprintf(&b, "X-Client-IP: %s\r\n", ip)
	}
	if preview >= 0 {
		fmt.Fprintf(&b, "Preview: %d\r\n", preview)
	}
	fmt.Fprintf(&b, "Encapsulated: %s\r\n\r\n%s%s", where, request, reply)
	return b.String()
}
