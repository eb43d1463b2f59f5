package submit

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"posthaste/auth"
	"posthaste/mail"
	"posthaste/message"
)

// ann is who sends in these tests.
var ann = auth.Identity{Account: 7, Login: "ann", Address: mail.Address{Local: "ann", Domain: "north.test"}}

// owners lets account 7 send as its addresses; "fails" has no answer.
type owners struct{}

var errDirectory = errors.New("directory is down")

func (owners) Owns(_ context.Context, account mail.AccountID, a mail.Address) (bool, error) {
	switch a.String() {
	case "ann@north.test", "sales@north.test":
		return account == 7, nil
	case "fails@north.test":
		return false, errDirectory
	}
	return false, nil
}

// shelf keeps what was put.
type shelf struct {
	env     mail.Envelope
	content string
	puts    int
	held    string
}

func (s *shelf) NewID() mail.QueueID { return "0123456789abcdef" }

func (s *shelf) Put(_ context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	s.env, s.content, s.puts = env, string(content.Bytes()), s.puts+1
	return env.ID, nil
}

func (s *shelf) PutHeld(ctx context.Context, env mail.Envelope, content mail.Content, reason string) (mail.QueueID, error) {
	s.held = reason
	return s.Put(ctx, env, content)
}

var when = time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)

func envelope(from string, to ...string) mail.Envelope {
	env := mail.Envelope{Received: when, Origin: mail.Origin{IP: netip.MustParseAddr("192.0.2.1"), Helo: "laptop", Protocol: "ESMTPSA"}}
	address := func(s string) mail.Address {
		local, domain, _ := strings.Cut(s, "@")
		return mail.Address{Local: local, Domain: domain}
	}
	env.From.Address = address(from)
	for _, r := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: address(r)})
	}
	return env
}

func submitter(q Queue) *Submitter {
	return New(Config{Hostname: "mail.north.test", Domain: "default.test", Owners: owners{}, Queue: q})
}

const received = "Received: by mail.north.test with ESMTPSA\r\n\tid 0123456789abcdef\r\n\tfor <bob@south.test>;\r\n\tThu, 5 Nov 2026 10:00:00 +0000\r\n"

func TestGrooming(t *testing.T) {
	const whole = "From: ann@north.test\r\nDate: Thu, 5 Nov 2026 09:59:59 +0000\r\nMessage-ID: <1@north.test>\r\n"
	const added = "Date: Thu, 5 Nov 2026 10:00:00 +0000\r\nMessage-ID: <0123456789abcdef@mail.north.test>\r\nFrom: ann@north.test\r\n"
	for _, c := range []struct{ claim, content, want string }{
		{"a whole message only gets Received", whole + "To: bob@south.test\r\n\r\nbody\r\n", whole + "To: bob@south.test\r\n\r\nbody\r\n"},
		{"Date, Message-ID and From are added", "Subject: x\r\n\r\nbody", "Subject: x\r\n" + added + "\r\nbody"},
		{"a body without header gets one", "Hello\r\n", added + "\r\nHello\r\n"},
		{"an empty message gets a header", "", added + "\r\n"},
		{"a header without empty line gets one", "Subject: x", "Subject: x\r\n" + added + "\r\n"},
		{"unusable fields are replaced", "Date: soon\r\nMessage-ID: \r\nFrom: <>\r\n\r\n", added + "\r\n"},
		{"Bcc and Return-Path are removed", "Bcc: carl@south.test,\r\n dan@south.test\r\nReturn-Path: <x@y>\r\nresent-bcc: x@y\r\n" + whole + "\r\nBcc: in the body stays\r\n",
			whole + "\r\nBcc: in the body stays\r\n"},
		{"what would be taken for ours is removed", "Authentication-Results: MAIL.north.test; dmarc=pass\r\nX-Posthaste-Verdict: accept\r\n" + whole + "Authentication-Results: other.test; none\r\n\r\n",
			whole + "Authentication-Results: other.test; none\r\n\r\n"},
		{"addresses are completed", whole + "To: bob, Carl <carl@south.test>, all: dan;\r\nReply-To: ann@north.test\r\n\r\n",
			whole + "To: bob@north.test, Carl <carl@south.test>, all: dan@north.test;\r\nReply-To: ann@north.test\r\n\r\n"},
		{"an mbox separator is dropped and other junk kept", "From ann Thu Nov  5\r\n" + whole + "junk\r\n\r\n", whole + "X-Malformed: junk\r\n\r\n"},
	} {
		var q shelf
		id, err := submitter(&q).Submit(t.Context(), ann, envelope("ann@north.test", "bob@south.test"), mail.Bytes(c.content))
		if err != nil || id != "0123456789abcdef" || q.content != received+c.want {
			t.Errorf("%s: %s, %v\n got %q\nwant %q", c.claim, id, err, q.content, received+c.want)
		}
		if h := message.ParseHeader([]byte(q.content)); message.Hops(h) != 1 || h.MessageID() == "" || len(h.From()) != 1 {
			t.Errorf("%s: the header cannot be read: %q", c.claim, q.content)
		}
	}
}

func TestEnvelopeIsCompleted(t *testing.T) {
	var q shelf
	if _, err := submitter(&q).Submit(t.Context(), ann, envelope("ann", "bob", "carl@south.test"), mail.Bytes("\r\n")); err != nil {
		t.Fatal(err)
	}
	if q.env.From.String() != "ann@north.test" || q.env.Recipients[0].Address.String() != "bob@north.test" || q.env.Origin.Account != 7 {
		t.Errorf("envelope %+v", q.env)
	}
	if strings.Contains(q.content, "for <") {
		t.Errorf("several recipients are named: %q", q.content)
	}
}

func TestNobodySendsInAnothersName(t *testing.T) {
	for _, c := range []struct {
		claim, from, content string
		code                 int
		text                 string // in the answer
	}{
		{"own address", "ann@north.test", "From: Ann <ANN@NORTH.test>\r\n\r\n", 550, "ANN@north.test"}, // the directory folds case, not we
		{"alias in From", "ann@north.test", "From: Sales <sales@North.Test>\r\n\r\n", 250, ""},
		{"null reverse-path", "", "From: ann@north.test\r\n\r\n", 250, ""},
		{"foreign envelope sender", "bob@south.test", "From: ann@north.test\r\n\r\n", 550, "ann@north.test may not send as bob@south.test (envelope sender)"},
		{"foreign From", "ann@north.test", "From: bob@south.test\r\n\r\n", 550, "ann@north.test may not send as bob@south.test (From)"},
		{"foreign second author", "ann@north.test", "From: ann@north.test, bob@south.test\r\n\r\n", 550, "bob@south.test (From)"},
		{"foreign author in a group", "ann@north.test", "From: us: ann@north.test, bob@south.test;\r\n\r\n", 550, "bob@south.test (From)"},
		{"foreign Sender", "ann@north.test", "From: ann@north.test\r\nSender: bob@south.test\r\n\r\n", 550, "bob@south.test (Sender)"},
		{"second From field", "ann@north.test", "From: ann@north.test\r\nFrom: bob@south.test\r\n\r\n", 550, "one From"},
		{"second From field with white space before its colon", "ann@north.test", "From: ann@north.test\r\nfrom : bob@south.test\r\n\r\n", 550, "one From"},
		{"foreign author without a comma", "ann@north.test", "From: ann@north.test bob@south.test\r\n\r\n", 550, "bob@south.test (From)"},
		{"own address as the name of a foreign one", "ann@north.test", "From: ann@north.test <bob@south.test>\r\n\r\n", 550, "bob@south.test (From)"},
		{"foreign author behind a long comment", "ann@north.test", "From: ann@north.test (" + strings.Repeat("x", 1<<20) + "), bob@south.test\r\n\r\n", 550, "bytes"},
		{"directory that fails", "fails@north.test", "\r\n", 451, ""},
	} {
		var q shelf
		_, err := submitter(&q).Submit(t.Context(), ann, envelope(c.from, "bob@south.test"), mail.Bytes(c.content))
		status := mail.StatusOf(err)
		if status.Code != c.code || !strings.Contains(status.Text, c.text) {
			t.Errorf("%s: %v, want %d %s", c.claim, err, c.code, c.text)
		}
		if (q.puts > 0) != (c.code == 250) {
			t.Errorf("%s: %d messages in the queue", c.claim, q.puts)
		}
	}
}

func TestLimits(t *testing.T) {
	many := make([]string, DefaultMaxRecipients+1)
	for i := range many {
		many[i] = "bob@south.test"
	}
	loop := strings.Repeat("Received: by x; Thu, 5 Nov 2026 10:00:00 +0000\r\n", DefaultMaxHops+1)
	nobody := auth.Identity{}
	for _, c := range []struct {
		claim   string
		who     auth.Identity
		to      []string
		content string
		want    string
	}{
		{"without login", nobody, []string{"bob@south.test"}, "\r\n", "530 5.7.0"},
		{"no recipient", ann, nil, "\r\n", "550 5.5.3"},
		{"too many recipients", ann, many, "\r\n", "550 5.5.3"},
		{"a loop", ann, []string{"bob@south.test"}, loop + "\r\n", "554 5.4.6"},
	} {
		var q shelf
		_, err := submitter(&q).Submit(t.Context(), c.who, envelope("ann@north.test", c.to...), mail.Bytes(c.content))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || q.puts > 0 {
			t.Errorf("%s: %v, want %s", c.claim, err, c.want)
		}
	}
}

func TestClientIsShownOnlyOnDemand(t *testing.T) {
	var q shelf
	s := New(Config{Hostname: "mail.north.test", Owners: owners{}, Queue: &q, ShowClient: true})
	if _, err := s.Submit(t.Context(), ann, envelope("ann@north.test", "b@c"), mail.Bytes("\r\n")); err != nil || !strings.HasPrefix(q.content, "Received: from laptop ([192.0.2.1])") {
		t.Errorf("%v: %q", err, q.content)
	}
}

func TestBodyIsCopiedOnce(t *testing.T) {
	var q sink
	content := mail.Bytes("Subject: x\r\n\r\n" + strings.Repeat("text\r\n", 1<<20))
	s := submitter(&q)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Submit(b.Context(), ann, envelope("ann@north.test", "b@c"), content)
		}
	})
	if got, most := result.AllocedBytesPerOp(), int64(len(content)+1<<20); got > most {
		t.Errorf("%d bytes for a message of %d", got, len(content))
	}
}

// sink forgets what was put.
type sink struct{ shelf }

func (s *sink) Put(_ context.Context, env mail.Envelope, _ mail.Content) (mail.QueueID, error) {
	return env.ID, nil
}

// FuzzSubmit checks that whatever a user's program sends, what goes out has the fields it needs and
// names no foreign author.
func FuzzSubmit(f *testing.F) {
	f.Add([]byte("From: ann\r\nTo: b, c: d;\r\n\r\nbody"))
	f.Add([]byte("From ann\n\nx"))
	f.Fuzz(func(t *testing.T, content []byte) {
		var q shelf
		if _, err := submitter(&q).Submit(t.Context(), ann, envelope("ann@north.test", "b@c"), mail.Bytes(content)); err != nil {
			return
		}
		h := message.ParseHeader([]byte(q.content))
		_, dated := h.Date()
		if !dated || h.MessageID() == "" || h.Has("Bcc") || h.Has("Return-Path") || len(h.Values("From")) != 1 {
			t.Errorf("%q goes out as %q", content, q.content)
		}
		for m := range message.Mailboxes(h.From()) {
			if ok, _ := (owners{}).Owns(t.Context(), ann.Account, m.Address()); !ok && m.Local != "" {
				t.Errorf("%q goes out from %v", content, m)
			}
		}
		body := content[len(message.ParseHeader(content).Raw()):]
		if !strings.HasSuffix(q.content, "\r\n\r\n"+string(body)) {
			t.Errorf("body of %q is not at the end of %q", content, q.content)
		}
	})
}
