// Package spamd asks SpamAssassin's daemon for its opinion of a message, by the protocol of spamc
// (SPAMC/1.5), and teaches it.
//
// A [Client] is a filter.Engine. It asks for the report, the only answer with the points of each rule,
// and makes a finding of every rule. It never edits. Each request has a connection of its own, as spamd
// wants it. Answers are bounded; a report in another layout than that of the default still gives the
// score, as one finding.
package spamd

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
)

// Bounds.
const (
	DefaultMaxSize = 512 << 10 // bytes of a message that is looked at; SpamAssassin is slow with large ones
	maxAnswer      = 1 << 20   // bytes of an answer
	maxHeaders     = 50        // lines before its body
	maxRules       = 500
)

// A Config names a spamd.
type Config struct {
	Name    string  // for log, trace and findings; empty: "spamd"
	Address string  // inet:host:port or unix:/path
	User    string  // whose preferences and Bayes data; empty: those of spamd's own user
	MaxSize int     // bytes; 0: DefaultMaxSize
	Follow  bool    // mail that SpamAssassin calls spam is junk; else its points are added to ours
	Scale   float64 // points of ours for each of its, without Follow; 0: 1
}

// A Client asks one spamd. Its methods may be called at the same time.
type Client struct {
	cfg              Config
	network, address string
}

// New returns a Client. It connects to nobody yet.
func New(cfg Config) (*Client, error) {
	cfg.Name, cfg.MaxSize, cfg.Scale = cmp.Or(cfg.Name, "spamd"), cmp.Or(cfg.MaxSize, DefaultMaxSize), cmp.Or(cfg.Scale, 1)
	if strings.ContainsAny(cfg.User, "\r\n") {
		return nil, errors.New("spamd: the user's name holds a line break")
	}
	kind, rest, _ := strings.Cut(cfg.Address, ":")
	switch host, port, err := net.SplitHostPort(rest); {
	case kind == "inet" && err == nil && port != "":
		return &Client{cfg: cfg, network: "tcp", address: net.JoinHostPort(host, port)}, nil
	case kind == "unix" && strings.HasPrefix(rest, "/"):
		return &Client{cfg: cfg, network: "unix", address: rest}, nil
	}
	return nil, fmt.Errorf("spamd: %q is no address of a spamd: want inet:host:port or unix:/path", cfg.Address)
}

// Name is that of the configuration.
func (c *Client) Name() string { return c.cfg.Name }

// Scan asks about m. A message over MaxSize is not sent: a finding says so.
func (c *Client) Scan(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	if len(m.Content) > c.cfg.MaxSize {
		return filter.Result{Findings: []mail.Finding{{Rule: "SPAMD_SKIPPED",
			Evidence: fmt.Sprintf("%s: %d bytes, more than %d", c.Name(), len(m.Content), c.cfg.MaxSize),
			Meaning:  "The message is too large for SpamAssassin. That is no evidence for or against it."}}}, nil
	}
	a, err := c.ask(ctx, "REPORT", nil, prelude(m), m.Content)
	if err != nil {
		return filter.Result{}, err
	}
	return c.result(a)
}

// prelude is what a host writes in front of a message that it takes. SpamAssassin reads from it who the
// client was and who the sender.
func prelude(m *filter.Mail) []byte {
	env := m.Envelope
	b := fmt.Appendf(nil, "Return-Path: <%s>\r\n", env.From)
	r := message.Received{Origin: env.Origin, By: m.Hostname, ID: env.ID, Time: env.Received}
	if len(env.Recipients) == 1 {
		r.For = env.Recipients[0].Address
	}
	return r.Append(b)
}

// Learn teaches content as spam or as ham. spamd must allow it (--allow-tell).
func (c *Client) Learn(ctx context.Context, content []byte, spam bool) error {
	class := "ham"
	if spam {
		class = "spam"
	}
	if len(content) > c.cfg.MaxSize {
		return fmt.Errorf("spamd: learn: %d bytes, more than %d", len(content), c.cfg.MaxSize)
	}
	_, err := c.ask(ctx, "TELL", []string{"Message-class: " + class, "Set: local"}, content)
	return err
}

// ask makes one request.
func (c *Client) ask(ctx context.Context, command string, lines []string, content ...[]byte) (a answer, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, c.network, c.address)
	if err != nil {
		return a, fmt.Errorf("spamd: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	a, err = c.converse(conn, command, lines, content)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = cmp.Or(ctx.Err(), context.DeadlineExceeded)
	}
	if err != nil {
		return a, fmt.Errorf("spamd: %w", err)
	}
	return a, nil
}

func (c *Client) converse(conn net.Conn, command string, lines []string, content [][]byte) (answer, error) {
	size := 0
	for _, part := range content {
		size += len(part)
	}
	lines = append(lines, "Content-length: "+strconv.Itoa(size))
	if c.cfg.User != "" {
		lines = append(lines, "User: "+c.cfg.User)
	}
	head := command + " SPAMC/1.5\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
	// An error here is told better by the answer, if there is one: spamd refuses before it has read all.
	request := net.Buffers(append([][]byte{[]byte(head)}, content...))
	_, sent := request.WriteTo(conn)
	a, err := parse(bufio.NewReader(io.LimitReader(conn, maxAnswer)))
	if err != nil && sent != nil {
		return a, sent
	}
	return a, err
}

// An answer is what spamd says.
type answer struct {
	judged          bool // there was a Spam header
	spam            bool
	score, required float64
	body            string
}

// errAnswer is the cause of errors about answers that cannot be read.
var errAnswer = errors.New("the answer cannot be read")

// parse reads an answer: a line with a code, headers, the body.
func parse(r *bufio.Reader) (answer, error) {
	var a answer
	first, err := line(r)
	if err != nil {
		return a, err
	}
	words := strings.Fields(first)
	if len(words) < 2 || !strings.HasPrefix(words[0], "SPAMD/") {
		return a, fmt.Errorf("%w: it begins with %.60q", errAnswer, first)
	}
	if words[1] != "0" {
		return a, fmt.Errorf("answered %.200q", first)
	}
	length := -1
	for range maxHeaders {
		h, err := line(r)
		if err != nil {
			return a, err
		}
		if h == "" {
			return a, a.read(r, length)
		}
		name, value, _ := strings.Cut(h, ":")
		switch value = strings.TrimSpace(value); strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil || length < 0 || length > maxAnswer {
				return a, fmt.Errorf("%w: a length of %.40q", errAnswer, value)
			}
		case "spam":
			if err := a.judge(value); err != nil {
				return a, err
			}
		}
	}
	return a, fmt.Errorf("%w: more than %d headers", errAnswer, maxHeaders)
}

// line reads one line without its end. The buffer of r bounds its length.
func line(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) || err == io.EOF {
			err = fmt.Errorf("%w: a line without end", errAnswer)
		}
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// read takes the body. An answer that ends early is none: its last rule may be cut.
func (a *answer) read(r io.Reader, length int) error {
	if length < 0 {
		return nil // answers to TELL may have no body
	}
	var body bytes.Buffer
	if n, err := io.CopyN(&body, r, int64(length)); err == io.EOF {
		return fmt.Errorf("%w: it ends after %d of %d bytes", errAnswer, n, length)
	} else if err != nil {
		return err
	}
	a.body = body.String()
	return nil
}

// judge reads "True ; 15.0 / 5.0".
func (a *answer) judge(value string) error {
	verdict, rest, _ := strings.Cut(value, ";")
	score, required, ok := strings.Cut(rest, "/")
	var err, err2 error
	a.score, err = strconv.ParseFloat(strings.TrimSpace(score), 64)
	a.required, err2 = strconv.ParseFloat(strings.TrimSpace(required), 64)
	if !ok || err != nil || err2 != nil || !finite(a.score) || !finite(a.required) {
		return fmt.Errorf("%w: the verdict %.60q", errAnswer, value)
	}
	verdict = strings.TrimSpace(verdict)
	a.judged, a.spam = true, strings.EqualFold(verdict, "true") || strings.EqualFold(verdict, "yes")
	return nil
}

// finite leaves out what numbers cannot be added to.
func finite(f float64) bool { return f > -1e6 && f < 1e6 }
