package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"posthaste/trace"
)

// The stranger of the story has a host with a proper name, and no right to write in Ann's.
const (
	strangerIP   = "127.0.0.4"
	strangerHost = "host.stranger.test"
)

// forgery is what the stranger writes.
const forgery = "From: Ann North <" + ann + ">\r\n" +
	"To: Bob South <" + bob + ">\r\n" +
	"Subject: Please pay this today\r\n" +
	"Date: %s\r\n" +
	"Message-ID: <%d.forged@stranger.test>\r\n" +
	"\r\n" +
	"Dear Bob,\r\n\r\nour bank has a new account number. Ann\r\n"

// forge has the stranger hand in his letter, and returns nil when it is refused as it should be.
func (w *world) forge(ctx context.Context) error {
	now := time.Now()
	err := deliver(w.south.address("mx"), fmt.Appendf(nil, forgery, now.Format(time.RFC1123Z), now.UnixNano()))
	var answer *textproto.Error
	switch {
	case err == nil:
		return errors.New("the forged letter was taken")
	case !errors.As(err, &answer) || answer.Code != 550 || !strings.HasPrefix(answer.Msg, "5.7.26"):
		return fmt.Errorf("handing in the forged letter: %w", err)
	}
	if err := w.teller.await(ctx, "the forged letter is refused", func(e trace.Event) bool {
		return e.Node == w.south.name && e.Step == trace.Check && !e.OK && e.Verdict != nil
	}); err != nil {
		return err
	}
	w.flush(ctx)
	w.teller.note("The stranger heard: " + answer.Error())
	w.teller.note("Bob never sees that letter. Now Ann herself writes.")
	return nil
}

// deliver hands content in as a host does, from the address of the stranger, and returns the answer that
// refuses it.
func deliver(address string, content []byte) error {
	dialer := net.Dialer{Timeout: clientTimeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(strangerIP)}}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(clientTimeout))
	c, err := smtp.NewClient(conn, strangerHost)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer c.Close()
	for _, step := range []func() error{
		func() error { return c.Hello(strangerHost) },
		func() error { return c.Mail(ann) },
		func() error { return c.Rcpt(bob) },
	} {
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
	return data.Close()
}
