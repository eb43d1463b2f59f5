package clamd

import (
	"strings"
	"testing"

	"posthaste/filter"
	"posthaste/filter/virus"
	"posthaste/filter/virus/clamdtest"
	"posthaste/mail"
	"posthaste/message"
)

// engine returns an Engine that asks s.
func engine(t testing.TB, s *clamdtest.Server, c Config) *Engine {
	t.Helper()
	c.Address = s.Socket
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// letter returns a message with body.
func letter(body string) *filter.Mail {
	content := []byte("From: ann@example.org\r\nSubject: hello\r\n\r\n" + body + "\r\n")
	return &filter.Mail{Envelope: &mail.Envelope{ID: "q1"}, Content: content, Message: message.Parse(content)}
}

func TestClamdFindsAndPasses(t *testing.T) {
	p := clamdtest.New(t, "")
	e := engine(t, p, Config{Policy: virus.Policy{Found: mail.Reject}})
	encoded := "POSTHASTE-TEST-VIRUS-=\r\nTHAT-IS-NONE"
	for _, c := range []struct {
		name  string
		mail  *filter.Mail
		found bool
	}{
		{"a clean message", letter("nothing"), false},
		{"an empty body", letter(""), false},
		{"the signature", letter(clamdtest.Signature), true},
		{"the signature far within", letter(strings.Repeat("0123456789abcdef\r\n", 100_000) + clamdtest.Signature), true},
		{"clamd decodes mail", &filter.Mail{Content: []byte("From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded + "\r\n")}, true},
	} {
		r, err := e.Scan(t.Context(), c.mail)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if found := r.Action == mail.Reject; found != c.found {
			t.Errorf("%s: got %+v, want found = %v", c.name, r, c.found)
		}
		if c.found && (r.Reply == nil || r.Reply.Error() != "554 5.7.1 the message has a virus: "+clamdtest.Virus) {
			t.Errorf("%s: reply %v", c.name, r.Reply)
		}
	}
	if v, err := e.Version(t.Context()); err != nil || !strings.HasPrefix(v, "ClamAV ") {
		t.Errorf("version %q, %v", v, err)
	}
}

func TestClamdRefusesWhatIsTooLong(t *testing.T) {
	p := clamdtest.New(t, "StreamMaxLength 1M")
	e := engine(t, p, Config{Policy: virus.Policy{Found: mail.Reject, Unscanned: mail.Quarantine}})
	for range 20 { // the answer must not get lost in the reset of the connection
		r, err := e.Scan(t.Context(), letter(strings.Repeat("0123456789abcdef\r\n", 500_000)))
		if err != nil || r.Action != mail.Quarantine || len(r.Findings) != 1 || r.Findings[0].Rule != "VIRUS_UNSCANNED" {
			t.Fatalf("got %+v, %v", r, err)
		}
	}
}
