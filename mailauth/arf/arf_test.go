package arf

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/message"
)

const vectors = "../../../shared/testdata/dmarc"

func files(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(vectors, pattern))
	if err != nil || len(all) == 0 {
		t.Skipf("SKIPPED: public test vectors are missing at %s", filepath.Join(vectors, pattern))
	}
	return all
}

// expected is what mail-auth has of a report.
type expected struct {
	Type      string   `json:"feedback_type"`
	Arrival   *int64   `json:"arrival_date"`
	Incidents int64    `json:"incidents"`
	From      *string  `json:"original_mail_from"`
	Domains   []string `json:"reported_domain"`
	URIs      []string `json:"reported_uri"`
	Source    *string  `json:"source_ip"`
	Agent     *string  `json:"user_agent"`
	Failure   string   `json:"auth_failure"`
	Selector  *string  `json:"dkim_selector"`
	Results   []string `json:"authentication_results"`
}

func TestReportsAsMailAuthReadsThem(t *testing.T) {
	words := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "Unspecified", "").Replace(s))
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return strings.Trim(*s, "<>")
	}
	for _, file := range files(t, "mail-auth-arf/*.eml") {
		content, _ := os.ReadFile(file)
		b, _ := os.ReadFile(strings.TrimSuffix(file, ".eml") + ".json")
		var want expected
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		got, err := Parse(content)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if words(got.Type) != words(want.Type) || got.Incidents != want.Incidents || got.MailFrom != text(want.From) || got.Source != text(want.Source) ||
			got.UserAgent != text(want.Agent) || got.DKIMSelector != text(want.Selector) || words(got.Failure) != words(want.Failure) ||
			len(got.Domains) != len(want.Domains) || len(got.URIs) != len(want.URIs) || len(got.Results) != len(want.Results) {
			t.Errorf("%s:\n got %+v\nwant %s", file, got, b)
		}
		if want.Arrival != nil && got.Arrival.Unix() != *want.Arrival {
			t.Errorf("%s: arrived %s, want %s", file, got.Arrival, time.Unix(*want.Arrival, 0).UTC())
		}
		again(t, got)
	}
}

func TestFailureReportsOfManyHosts(t *testing.T) {
	for _, file := range files(t, "parsedmarc/failure/*") {
		content, _ := os.ReadFile(file)
		got, err := Parse(content)
		if strings.Contains(file, "exim_plain_text_only") { // made for people only
			if err != ErrNoReport {
				t.Errorf("%s: %+v, %v", file, got, err)
			}
			continue
		}
		if err != nil || got.Type != "auth-failure" || got.Source == "" || got.Original.From == "" || got.Original.Subject == "" {
			t.Errorf("%s: %+v, %v", file, got, err)
		}
		again(t, got)
	}
}

// again prints a report and reads it back.
func again(t *testing.T, r Report) {
	t.Helper()
	a := mail.Address{Local: "a", Domain: "b.test"}
	content := Compose(Letter{From: a, To: a, Subject: "x", MessageID: "1@b.test", Text: r.Text(), Header: []byte("From: x@y.test\r\n")}, r)
	back, err := Parse(content)
	if err != nil {
		t.Errorf("what we print we cannot read: %v", err)
		return
	}
	r.Original = Original{From: "x@y.test"}
	r.Arrival = r.Arrival.Truncate(time.Second)
	if !reflect.DeepEqual(back, r) {
		t.Errorf("printed and read again\n%+v\n%+v", back, r)
	}
}

func TestParseIsBounded(t *testing.T) {
	fields := "Feedback-Type: ABUSE\r\nUser-Agent: \x1b[31m" + strings.Repeat("x", 10_000) + "\r\n" + strings.Repeat("Reported-URI: http://x.test\r\n", 1000)
	var b message.Builder
	content := b.Body(message.Multipart("report", message.TextEntity("plain", "x"), message.Entity{Type: "message/feedback-report", Body: []byte(fields)}))
	r, err := Parse(content)
	if err != nil || r.Type != "abuse" || len(r.UserAgent) > maxText || len(r.URIs) != maxList || strings.Contains(r.Text(), "\x1b") {
		t.Errorf("%+v, %v", r, err)
	}
	for name, content := range map[string]string{
		"plain text": "Subject: x\r\n\r\nFeedback-Type: abuse\r\n", "no type": "Content-Type: message/feedback-report\r\n\r\nUser-Agent: x\r\n", "nothing": "",
	} {
		if r, err := Parse([]byte(content)); err != ErrNoReport {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestInbox(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	in := NewInbox(store)
	a := mail.Address{Local: "a", Domain: "b.test"}
	content := Compose(Letter{From: a, To: a, MessageID: "1@b.test"}, Report{Type: "abuse", Source: "192.0.2.1"})
	now := time.Unix(1_800_000_000, 0)
	got, err := in.Receive(t.Context(), content, now)
	if err != nil {
		t.Fatal(err)
	}
	in.Receive(t.Context(), content, now.Add(time.Hour))
	n := 0
	in.List(t.Context(), time.Time{}, func(r Received) error { n++; return nil })
	if back, err := in.Show(t.Context(), got.Name); err != nil || back.Report.Source != "192.0.2.1" || n != 1 {
		t.Errorf("%d reports, %+v, %v", n, back, err)
	}
	if _, err := in.Receive(t.Context(), []byte("Subject: hi\r\n\r\nhello\r\n"), now); err != ErrNoReport {
		t.Errorf("a message without report: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"001", "005"} {
		if b, err := os.ReadFile(filepath.Join(vectors, "mail-auth-arf", name+".eml")); err == nil {
			f.Add(b)
		}
	}
	f.Add([]byte("Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nArrival-Date: Thu, 1 Jan 9999 23:59:59 -2359\r\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := Parse(content)
		if err != nil {
			return
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Text() {
			if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 {
				t.Fatalf("control characters reach the terminal: %q", r.Text())
			}
		}
		a := mail.Address{Local: "a", Domain: "b.test"}
		if _, err := Parse(Compose(Letter{From: a, To: a}, r)); err != nil {
			t.Fatalf("what is printed cannot be read: %+v", r)
		}
	})
}
