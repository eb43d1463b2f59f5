package rspamd

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/filter/filtertest"
	"posthaste/mail"
	"posthaste/message"
)

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answering returns a client of a server that answers everything alike.
func answering(t *testing.T, cfg Config, code int, body string) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	cfg.URL = s.URL
	return newClient(t, cfg)
}

func TestActionsOfRspamd(t *testing.T) {
	for _, c := range []struct {
		action, extra string
		want          mail.Action
		reply         string
		discard       bool
	}{
		{"no action", "", mail.Accept, "", false},
		{"reject", `,"messages":{"smtp_message":"Gtube\r\n250 fine"}`, mail.Reject, "550 5.7.1 Gtube250 fine", false},
		{"reject", "", mail.Reject, "550 5.7.1 refused by a filter", false},
		{"soft reject", `,"messages":{"smtp_message":"slow down"}`, mail.Greylist, "451 4.7.1 slow down", false},
		{"greylist", "", mail.Greylist, "451 4.7.1 try again later", false},
		{"add header", "", mail.Junk, "", false},
		{"rewrite subject", `,"subject":"*** SPAM *** x"`, mail.Tag, "", false},
		{"quarantine", "", mail.Quarantine, "", false},
		{"discard", "", mail.Accept, "", true},
		{"invalid max", "", mail.Accept, "", false},
	} {
		e := answering(t, Config{Follow: true}, 200, `{"score":7,"required_score":15,"action":"`+c.action+`","symbols":{"A":{"score":7}}`+c.extra+`}`)
		r, err := e.Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x")))
		reply := ""
		if r.Reply != nil {
			reply = r.Reply.Error()
		}
		if err != nil || r.Action != c.want || reply != c.reply || r.Discard != c.discard || r.Findings[0].Weight != 0 || r.Findings[1].Weight != 0 {
			t.Errorf("%s: got %+v (%s), %v", c.action, r, reply, err)
		}
		if (c.action == "rewrite subject") != (len(r.Edits.Fields) == 1) {
			t.Errorf("%s: edits %+v", c.action, r.Edits)
		}
	}
}

func TestPointsAreAddedInFullAndNoActionTaken(t *testing.T) {
	e := answering(t, Config{Scale: 0.5}, 200, `{"score":6.5,"required_score":15,"action":"reject","symbols":{
		"A":{"score":7,"description":"is a","options":["one","two"]},"B":{"score":-1.5},"C":{"score":0}}}`)
	r, err := e.Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x")))
	if err != nil || r.Action != mail.Accept {
		t.Fatalf("got %+v, %v", r, err)
	}
	sum := 0.0
	for _, f := range r.Findings {
		sum += f.Weight
	}
	if math.Abs(sum-3.25) > 0.001 || r.Findings[1] != (mail.Finding{Rule: "RSPAMD_A", Weight: 3.5, Evidence: "one, two", Meaning: "is a"}) {
		t.Errorf("sum %v of %+v, want 3.25", sum, r.Findings)
	}
}

func TestHeadersSayHowTheMessageCame(t *testing.T) {
	var got http.Header
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, `{"score":0,"action":"no action"}`)
	}))
	defer s.Close()
	m := filtertest.Mail(t, filtertest.Message("\x00\xFF"), "ann@north.test", "eve@north.test")
	m.Envelope.Origin.Login, m.Envelope.Origin.Helo = "bob\r\nX: y", "helo.client.test"
	c := newClient(t, Config{URL: s.URL + "/prefix", Password: "pw", Settings: "strict"})
	if _, err := c.Scan(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"IP": {"192.0.2.1"}, "Helo": {"helo.client.test"}, "Hostname": {"out.client.test"}, "From": {"<bob@client.test>"},
		"Rcpt": {"ann@north.test", "eve@north.test"}, "User": {"bobX: y"}, "Queue-Id": {"01JDXAMPLE000001"}, "Password": {"pw"}, "Settings-Id": {"strict"},
		"Deliver-To": nil, "Tls-Version": {"TLSv1.3"}, "Idempotency-Key": nil} {
		if !slices.Equal(got[http.CanonicalHeaderKey(name)], want) {
			t.Errorf("%s: got %q, want %q", name, got[http.CanonicalHeaderKey(name)], want)
		}
	}
	if string(body) != string(m.Content) {
		t.Errorf("body %q", body)
	}
}

func TestEditsOfModules(t *testing.T) {
	h := message.ParseHeader([]byte("X-Spam: 1\r\nX-A: 1\r\nX-Spam: 2\r\nX-Spam: 3\r\n\r\n"))
	a, err := parse([]byte(`{"score":0,"action":"no action","milter":{
		"remove_headers":{"X-Spam":0,"X-A":-1,"X-B":0,"X-C":"?"},
		"add_headers":{"X-T":"text","X-O":{"value":"v","order":0},"X-L":["a",{"value":"b","order":-1}],"bad name":"x","X-N":5,"X-D":[["deep"]]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := a.Milter.fields(h)
	want := []filter.FieldEdit{
		{Op: filter.ChangeField, At: 1, Name: "X-A"},
		{Op: filter.ChangeField, At: 3, Name: "X-Spam"}, {Op: filter.ChangeField, At: 2, Name: "X-Spam"}, {Op: filter.ChangeField, At: 1, Name: "X-Spam"},
		{Op: filter.AddField, Name: "X-L", Value: "a"}, {Op: filter.AddField, Name: "X-L", Value: "b"},
		{Op: filter.InsertField, Name: "X-O", Value: "v"}, {Op: filter.AddField, Name: "X-T", Value: "text"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		code int
		body string
	}{
		{"not JSON", 200, "hello"}, {"an empty object", 200, "{}"}, {"no action", 200, `{"score":1}`}, {"no score", 200, `{"action":"reject"}`},
		{"an error", 200, `{"error":"busy","score":0,"action":"no action"}`}, {"a 500", 500, `{"score":0,"action":"no action"}`},
		{"forbidden", 403, ``}, {"a redirect", 302, ``}, {"too long", 200, `{"score":0,"action":"no action","x":"` + strings.Repeat("y", maxAnswer) + `"}`},
		{"cut short", 200, `{"score":0,"action":"no action"`}, {"a score that is none", 200, `{"score":"7","action":"reject"}`},
	} {
		r, err := answering(t, Config{Follow: true}, c.code, c.body).Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x")))
		var status *mail.Status
		if err == nil || errors.As(err, &status) {
			t.Errorf("%s: got %+v, %v", c.name, r, err)
		}
	}
	for _, bad := range []string{"", "127.0.0.1:11333", "ftp://x", "http://", "http://%zz"} {
		if _, err := New(Config{URL: bad}); err == nil {
			t.Errorf("New(%q) says nothing", bad)
		}
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer s.Close()
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := newClient(t, Config{URL: s.URL}).Scan(ctx, filtertest.Mail(t, filtertest.Message("x"))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestLearning(t *testing.T) {
	for _, c := range []struct {
		code int
		good bool
	}{{200, true}, {208, true}, {204, false}, {403, false}} {
		var path string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { path = r.URL.Path; w.WriteHeader(c.code) }))
		err := newClient(t, Config{URL: s.URL}).Learn(t.Context(), []byte("x"), true)
		s.Close()
		if (err == nil) != c.good || path != "/learnspam" {
			t.Errorf("%d: %s, %v", c.code, path, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"score":6.5,"action":"rewrite subject","subject":"x","symbols":{"A":{"score":7,"options":["one"]}},"milter":{"add_headers":{"X":["a",{"value":"b","order":1}]},"remove_headers":{"Y":[0,1,-1]}}}`))
	h := message.ParseHeader([]byte("Y: 1\r\nY: 2\r\n\r\n"))
	c, err := New(Config{URL: "http://127.0.0.1:1", Follow: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parse(b)
		if err != nil {
			return
		}
		r := c.result(a, h)
		if len(r.Findings) > maxSymbols+1 || len(r.Edits.Fields) > maxFields+1 {
			t.Errorf("%d findings, %d edits", len(r.Findings), len(r.Edits.Fields))
		}
		if r.Reply != nil && strings.ContainsAny(r.Reply.Text, "\r\n") {
			t.Errorf("reply %q", r.Reply.Text)
		}
	})
}
