package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthaste/trace"
)

// letter is what Ann writes. It is whole, so that it must arrive below our header lines as it is.
const letter = "From: Ann North <ann@north.test>\r\n" +
	"To: Bob South <%s>\r\n" +
	"Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?= from the north\r\n" +
	"Date: %s\r\n" +
	"Message-ID: <%d.demo@north.test>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=\"=_demo\"\r\n" +
	"\r\n" +
	"--=_demo\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Dear Bob,\r\n\r\nthis line begins with a dot on the next one:\r\n.like this.\r\nSee the map. Gr=C3=BC=C3=9Fe, Ann\r\n" +
	"--=_demo\r\nContent-Type: application/octet-stream; name=\"map.bin\"\r\nContent-Transfer-Encoding: base64\r\n" +
	"Content-Disposition: attachment; filename=\"map.bin\"\r\n\r\nAAECAwQFBgcICQoLDA0ODw==\r\n" +
	"--=_demo--\r\n"

// play tells the story and returns nil when it ended as it should.
func (w *world) play(ctx context.Context) error {
	to := bob
	if w.broken == "user-unknown" {
		to = "nobody@south.test"
	}
	if w.broken == "forged" {
		if err := w.forge(ctx); err != nil {
			return err
		}
	}
	now := time.Now()
	content := fmt.Appendf(nil, letter, to, now.Format(time.RFC1123Z), now.UnixNano())
	if err := submit(w.north.address("submission"), w.clientTLS(w.north), ann, to, content); err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	switch w.broken {
	case "user-unknown":
		return w.expectReport(ctx, to)
	case "mx-down":
		if err := w.teller.await(ctx, "the backup takes the mail", func(e trace.Event) bool {
			return e.Node == w.backup.name && e.Step == trace.Receive && e.OK
		}); err != nil {
			return err
		}
		w.teller.note("The primary mail host of south.test comes back.")
		if err := w.start(ctx, w.south); err != nil {
			return err
		}
	case "tempfail":
		if err := w.teller.await(ctx, "the mail is put off", func(e trace.Event) bool {
			return e.Node == w.north.name && e.Step == trace.Deliver && !e.OK && strings.HasPrefix(e.Answered, "4")
		}); err != nil {
			return err
		}
		w.teller.note("Somebody makes room on the disk of south.test.")
		w.south.freeing.Store(true)
	}
	return w.expectMail(ctx, content)
}

// expectMail waits until Bob has content, and reads it by IMAP and POP3.
func (w *world) expectMail(ctx context.Context, content []byte) error {
	err := w.teller.await(ctx, "the mail is delivered at south.test", func(e trace.Event) bool {
		return e.Node == w.south.name && e.Step == trace.Deliver && e.OK
	})
	if err != nil {
		return err
	}
	byIMAP, err := readIMAP(w.south.address("imaps"), w.clientTLS(w.south), bob)
	if err != nil {
		return fmt.Errorf("reading by IMAP: %w", err)
	}
	byPOP3, err := readPOP3(w.south.address("pop3s"), w.clientTLS(w.south), bob)
	if err != nil {
		return fmt.Errorf("reading by POP3: %w", err)
	}
	if !bytes.HasSuffix(byIMAP, content) {
		return fmt.Errorf("the message read by IMAP is not the one sent: %q", byIMAP)
	}
	if !bytes.Equal(byIMAP, byPOP3) {
		return errors.New("IMAP and POP3 give different bytes for one message")
	}
	w.flush(ctx)
	w.teller.arrived(byIMAP[:len(byIMAP)-len(content)])
	return nil
}

// expectReport waits until Ann has a report about the recipient, and reads it by IMAP.
func (w *world) expectReport(ctx context.Context, recipient string) error {
	err := w.teller.await(ctx, "a report comes back to Ann", func(e trace.Event) bool {
		return e.Node == w.north.name && e.Step == trace.Deliver && e.OK && e.From == "<>"
	})
	if err != nil {
		return err
	}
	report, err := readIMAP(w.north.address("imaps"), w.clientTLS(w.north), ann)
	if err != nil {
		return fmt.Errorf("reading by IMAP: %w", err)
	}
	for _, want := range []string{"multipart/report", "message/delivery-status", "Action: failed", recipient} {
		if !bytes.Contains(report, []byte(want)) {
			return fmt.Errorf("the report says nothing of %q: %s", want, report)
		}
	}
	byPOP3, err := readPOP3(w.north.address("pop3s"), w.clientTLS(w.north), ann)
	if err != nil {
		return fmt.Errorf("reading by POP3: %w", err)
	}
	if !bytes.Equal(report, byPOP3) {
		return errors.New("IMAP and POP3 give different bytes for one message")
	}
	w.flush(ctx)
	w.teller.reported(report)
	return nil
}
