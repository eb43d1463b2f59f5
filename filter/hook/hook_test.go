package hook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
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

// answering returns a client of a program that answers everything alike.
func answering(t *testing.T, code int, body string) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return newClient(t, Config{Name: "shop", URL: s.URL})
}

// documented returns the JSON below a heading of docs/hooks.md.
func documented(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), heading)
	_, rest, ok2 := strings.Cut(rest, "```json\n")
	text, _, ok3 := strings.Cut(rest, "```")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("docs/hooks.md has no example below %q", heading)
	}
	return text
}

func TestTheRequestIsTheOneDocumented(t *testing.T) {
	m := filtertest.Mail(t, "From: Bob <bob@client.test>\r\nSubject: a\r\n b\r\n\r\nbody\r\n")
	m.Results, m.Envelope.Origin.Login = "mx.north.test; spf=pass smtp.mailfrom=client.test", ""
	got, err := json.Marshal(request(m, 100))
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal([]byte(documented(t, "## What is asked")), &b)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("got %s, documented is %v", got, b)
	}
	if r := request(m, 10); r.Content != nil || r.Size != len(m.Content) {
		t.Errorf("content over the bound was sent: %+v", r)
	}
}

func TestTheReplyDocumentedIsUnderstood(t *testing.T) {
	r, err := answering(t, 200, documented(t, "## What is answered")).Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x")))
	want := filter.Result{Action: mail.Reject, Reply: mail.NewStatus(550, "5.7.1", "we do not buy here"), Reason: "the sender is on our list",
		Findings: []mail.Finding{{Rule: "HOOK", Weight: 2.5, Evidence: "shop: the sender is on our list", Meaning: "What a program of this site says of the message."},
			{Rule: "SHOP_LIST", Weight: 5, Evidence: "client.test", Meaning: "The domain sent us invoices that were none."}},
		Edits: filter.Edits{Fields: []filter.FieldEdit{{Op: filter.AddField, Name: "X-Shop", Value: "listed"}}}}
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, %v\nwant %+v", r, err, want)
	}
}

func TestReplies(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       filter.Result
	}{
		{"nothing to say", `{}`, filter.Result{}},
		{"accept", `{"action":"accept","unknown":[1]}`, filter.Result{}},
		{"discard", `{"discard":true,"reason":"noise"}`, filter.Result{Discard: true, Reason: "noise", Findings: []mail.Finding{{Rule: "HOOK", Evidence: "shop: noise", Meaning: "What a program of this site says of the message."}}}},
		{"greylist in its words", `{"action":"greylist","reply":"450 later"}`, filter.Result{Action: mail.Greylist, Reply: mail.NewStatus(450, "4.7.1", "later"), Reason: "shop asks for greylist",
			Findings: []mail.Finding{{Rule: "HOOK", Evidence: "shop: greylist", Meaning: "What a program of this site says of the message."}}}},
		{"every field of a name goes", `{"remove_header":["x-a"]}`, filter.Result{Edits: filter.Edits{Fields: []filter.FieldEdit{{Op: filter.ChangeField, At: 1, Name: "x-a"}, {Op: filter.ChangeField, At: 1, Name: "x-a"}}}}},
		{"text of one line", `{"findings":[{"rule":"a b","evidence":"x\r\ny"}]}`, filter.Result{Findings: []mail.Finding{{Rule: "A_B", Evidence: "x  y"}}}},
	} {
		r, err := answering(t, 200, c.body).Scan(t.Context(), filtertest.Mail(t, "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n"))
		if err != nil || !reflect.DeepEqual(r, c.want) {
			t.Errorf("%s: got %+v, %v", c.name, r, err)
		}
	}
	if r, err := answering(t, 204, "").Scan(t.Context(), filtertest.Mail(t, "\r\n")); err != nil || !reflect.DeepEqual(r, filter.Result{}) {
		t.Errorf("204: got %+v, %v", r, err)
	}
}

func TestAWrongReplyIsAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		code int
		body string
	}{
		{"not JSON", 200, "ok"}, {"nothing", 200, ""}, {"an unknown action", 200, `{"action":"explode"}`}, {"a 500", 500, `{}`}, {"a redirect", 307, `{}`},
		{"words that refuse what is accepted", 200, `{"reply":"550 no"}`}, {"words that accept what is refused", 200, `{"action":"reject","reply":"250 ok"}`},
		{"a 4xx with reject", 200, `{"action":"reject","reply":"450 later"}`}, {"no code", 200, `{"action":"reject","reply":"no"}`}, {"a code that is none", 200, `{"action":"reject","reply":"5x0 no"}`},
		{"too many points", 200, `{"score":1001}`}, {"too many points of a finding", 200, `{"findings":[{"rule":"A","weight":-1001}]}`},
		{"a finding without rule", 200, `{"findings":[{"weight":1}]}`}, {"too many findings", 200, `{"findings":[` + strings.Repeat(`{"rule":"A"},`, maxFindings) + `{"rule":"A"}]}`},
		{"too many fields", 200, `{"remove_header":[` + strings.Repeat(`"A",`, maxFields) + `"A"]}`},
		{"a name that makes a second field", 200, `{"add_header":[{"name":"X: y\r\nZ","value":"z"}]}`}, {"a long value", 200, `{"add_header":[{"name":"X","value":"` + strings.Repeat("y", maxValue+1) + `"}]}`},
		{"too long", 200, `{"x":"` + strings.Repeat("y", maxReply) + `"}`},
	} {
		r, err := answering(t, c.code, c.body).Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x")))
		var status *mail.Status
		if err == nil || errors.As(err, &status) {
			t.Errorf("%s: got %+v, %v", c.name, r, err)
		}
	}
}

func TestRequestsAreSignedAndRepeatedOnADeadConnection(t *testing.T) {
	var asked atomic.Int32
	wrong := make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if got := r.Header.Get("X-Posthaste-Signature"); got != "sha256="+sign("key", r.Header.Get("X-Posthaste-Timestamp"), body) || r.Header.Get("Authorization") != "Bearer t0ken" {
			wrong <- got
		}
		if asked.Add(1) == 2 { // the connection dies as it is used again
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
			return
		}
		io.WriteString(w, "{}")
	}))
	defer s.Close()
	c := newClient(t, Config{URL: s.URL, Token: "t0ken", Secret: "key"})
	for range 3 {
		if _, err := c.Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x"))); err != nil {
			t.Error(err)
		}
	}
	if asked.Load() != 4 || len(wrong) != 0 {
		t.Errorf("asked %d times, %d unsigned", asked.Load(), len(wrong))
	}
	// The value that docs/hooks.md has for those who write the other side.
	if got := sign("key", "1796072401", []byte("{}")); !strings.Contains(documentedPage(t), got) {
		t.Errorf("docs/hooks.md lacks the signature %s", got)
	}
}

func documentedPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
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

func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"action":"reject","score":2.5,"reason":"r","reply":"550 5.7.1 no","findings":[{"rule":"A","weight":5}],"add_header":[{"name":"X","value":"y"}],"remove_header":["Y"]}`))
	h := message.ParseHeader([]byte("Y: 1\r\nY: 2\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		reply, err := parse(b)
		if err != nil {
			return
		}
		r, err := reply.result("fuzz", h)
		if err == nil && r.Reply != nil && (r.Reply.OK() || strings.ContainsAny(r.Reply.Text, "\r\n")) {
			t.Errorf("reply %v", r.Reply)
		}
	})
}
