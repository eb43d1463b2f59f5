package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/message"
)

// A post is a queue that remembers what it took.
type post struct {
	mu       sync.Mutex // guards what follows
	envs     []mail.Envelope
	contents []string
}

func (p *post) NewID() mail.QueueID { return "0123456789abcdef" }
func (p *post) Put(_ context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.envs, p.contents = append(p.envs, env), append(p.contents, string(content.Bytes()))
	return env.ID, nil
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.envs)
}

func newCollector(t *testing.T, store kv.Store) (*Collector, *dnstest.Server, *post) {
	t.Helper()
	server, queue := dnstest.New(), new(post)
	resolver, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: server.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{From: mail.Address{Local: "tls", Domain: "north.test"}, Hostname: "mail.north.test", Store: store, Queue: queue, Resolver: resolver}), server, queue
}

func session(domain, result string) Session {
	return Session{Policy: Policy{Type: TypeSTS, Domain: domain, String: []string{"version: STSv1"}, MX: []string{"mx." + domain}},
		Result: result, Host: "mx." + domain, ReceivingIP: netip.MustParseAddr("192.0.2.1")}
}

func TestReportOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		defer store.Close()
		c, server, queue := newCollector(t, store)
		server.TXT("_smtp._tls.south.test", "v=TLSRPTv1; rua=mailto:reports%2Btls@south.test,mailto:second@south.test")
		server.TXT("_smtp._tls.east.test", "v=TLSRPTv1; rua=ftp://east.test")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		for range 3 {
			c.Record(session("south.test", ""))
			c.Record(session("south.test", CertificateExpired))
			c.Record(session("east.test", ""))
			<-time.After(2 * time.Minute)
		}
		// A second node counts the same day.
		other, _, _ := newCollector(t, store)
		other.Record(session("south.test", ""))
		if err := other.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(23 * time.Hour)
		if queue.count() != 0 {
			t.Error("a report left before the day was over")
		}
		<-time.After(spread + 2*time.Hour)
		if queue.count() != 2 {
			t.Fatalf("%d reports, want one for each address", queue.count())
		}
		checkReport(t, queue)
		<-time.After(keepUnsent + 24*time.Hour)
		if queue.count() != 2 {
			t.Errorf("%d reports of one day", queue.count())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		store.Partitions(t.Context(), "tlsrpt/", func(p kv.Partition) error { t.Errorf("%s is left over", p); return nil })
	})
}

func checkReport(t *testing.T, queue *post) {
	t.Helper()
	env := queue.envs[0]
	if to := env.Recipients[0]; to.Address.String() != "reports+tls@south.test" || to.Notify != mail.NotifyNever || !env.TLSOptional || env.From.String() != "tls@north.test" {
		t.Errorf("envelope %+v", env)
	}
	m := message.Parse([]byte(queue.contents[0]))
	for name, want := range map[string]string{"TLS-Report-Domain": "south.test", "TLS-Report-Submitter": "north.test", "TLS-Required": "No"} {
		if got := m.Header.Get(name); strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if m.Root.Type() != "multipart/report" || m.Root.Params.Get("report-type") != "tlsrpt" || len(m.Root.Children) != 2 {
		t.Errorf("%s with %v", m.Root.Type(), m.Root.Params)
	}
	if name := m.Root.Children[1].Filename(); name != "north.test!south.test!946684800!946771199.json.gz" {
		t.Errorf("file name %q", name)
	}
	r, err := Extract([]byte(queue.contents[0]))
	if err != nil {
		t.Fatal(err)
	}
	p := r.Policies[0]
	if p.Summary != (Summary{4, 3}) || len(p.Details) != 1 || p.Details[0].Sessions != 3 || p.Details[0].Result != CertificateExpired {
		t.Errorf("sums %+v", p)
	}
	if r.Range.Start.Format(time.RFC3339) != "2000-01-01T00:00:00Z" || r.Contact != "tls@north.test" {
		t.Errorf("report %+v", r)
	}
}

func TestReportIsSentOnceByManyNodes(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	total := 0
	c, server, queue := newCollector(t, store)
	c.Record(session("south.test", ""))
	if err := c.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := time.Now().UTC().Add(40 * time.Hour)
	server.SetFault("_smtp._tls.south.test", dnstest.Fault{Kind: dnstest.ServFail})
	if c.send(t.Context(), later); queue.count() != 0 {
		t.Error("a report left though nobody knows for whom")
	}
	server.SetFault("_smtp._tls.south.test", dnstest.Fault{})
	server.TXT("_smtp._tls.south.test", "v=TLSRPTv1; rua=mailto:a@south.test")
	for range 3 {
		other, server, queue := newCollector(t, store)
		server.TXT("_smtp._tls.south.test", "v=TLSRPTv1; rua=mailto:a@south.test")
		if err := other.send(t.Context(), later.Add(claim)); err != nil {
			t.Error(err)
		}
		total += queue.count()
	}
	if total != 1 {
		t.Errorf("%d reports from three nodes, want 1", total)
	}
}

func TestReportByHTTPS(t *testing.T) {
	var got Report
	kind := ""
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		kind = r.Header.Get("Content-Type")
		got, _ = Parse(b)
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	store := memkv.New()
	defer store.Close()
	c, zone, queue := newCollector(t, store)
	c.cfg.Client = server.Client()
	zone.TXT("_smtp._tls.south.test", "v=TLSRPTv1;rua="+server.URL+"/r")
	c.Record(session("south.test", HostMismatch))
	c.flush(t.Context())
	if err := c.send(t.Context(), time.Now().UTC().Add(40*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if kind != "application/tlsrpt+gzip" || len(got.Policies) != 1 || got.Policies[0].Summary.Failed != 1 || queue.count() != 0 {
		t.Errorf("%q, %+v, %d by mail", kind, got, queue.count())
	}
}

func TestCountingIsBounded(t *testing.T) {
	var s sums
	for i := range 10 * maxDetails {
		x := session("south.test", ValidationFailure)
		x.Host = fmt.Sprintf("mx%d.south.test", i)
		x.Reason = strings.Repeat("x", 10*maxReason)
		s.add(x)
	}
	if len(s[0].Details) != maxDetails || s[0].Summary.Failed != 10*maxDetails || len(s[0].Details[0].Reason) > maxReason {
		t.Errorf("%d details, %d failed", len(s[0].Details), s[0].Summary.Failed)
	}
	for i := range 10 * maxPolicies {
		x := session("south.test", "")
		x.Policy.String = []string{fmt.Sprint(i)}
		s.add(x)
	}
	if len(s) != maxPolicies {
		t.Errorf("%d policies", len(s))
	}
	c := New(Config{From: mail.Address{Local: "a", Domain: "b"}})
	for i := range maxWaiting + 10 {
		c.Record(session(fmt.Sprint(i), ""))
	}
	if len(c.waiting) != maxWaiting {
		t.Errorf("%d domains wait, want %d", len(c.waiting), maxWaiting)
	}
}

// theirs is a report as RFC 8460 appendix B shows one, with a string where a list belongs.
const theirs = `{"organization-name":"Company-X","date-range":{"start-datetime":"2016-04-01T00:00:00Z","end-datetime":"2016-04-01T23:59:59Z"},
"contact-info":"sts-reporting@company-x.example","report-id":"5065427c-23d3-47ca-b6e0-946ea0e8c4be","policies":[{"policy":{"policy-type":"sts",
"policy-string":["version: STSv1","mode: testing","mx: *.mail.company-y.example","max_age: 86400"],"policy-domain":"company-y.example","mx-host":"*.mail.company-y.example"},
"summary":{"total-successful-session-count":5326,"total-failure-session-count":303},"failure-details":[{"result-type":"certificate-expired",
"sending-mta-ip":"2001:db8:abcd:0012::1","receiving-mx-hostname":"mx1.mail.company-y.example","failed-session-count":100}]}]}`

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.Bytes()
}

func TestParse(t *testing.T) {
	for _, b := range [][]byte{[]byte(theirs), zipped(theirs)} {
		r, err := Parse(b)
		if err != nil || r.Policies[0].Summary.Successful != 5326 || r.Policies[0].Policy.MX[0] != "*.mail.company-y.example" {
			t.Errorf("got %+v, %v", r, err)
		}
		if text := r.Text(); !strings.Contains(text, "company-y.example, policy sts: 5326 sessions succeeded, 303 failed") ||
			!strings.Contains(text, "100 certificate-expired at mx1.mail.company-y.example") {
			t.Errorf("text:\n%s", text)
		}
	}
	for claim, b := range map[string][]byte{
		"a bomb is not unpacked":    zipped(strings.Repeat(" ", maxUnpacked+1)),
		"a huge report is not read": make([]byte, maxPacked+1),
		"an empty object is none":   []byte("{}"),
		"text is none":              []byte("hello"),
		"broken gzip is none":       zipped(theirs)[:100],
	} {
		if r, err := Parse(b); err == nil {
			t.Errorf("%s: got %+v", claim, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(theirs))
	f.Add(zipped(theirs))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		for _, c := range r.Text() {
			if c == 0x1b || c == 0 {
				t.Fatalf("control characters reach the terminal: %q", r.Text())
			}
		}
		again, err := json.Marshal(r)
		if err != nil {
			return // a year beyond 9999
		}
		if _, err := Parse(again); err != nil && len(again) <= maxPacked {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}

func TestInbox(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	in := NewInbox(store)
	c, _, _ := newCollector(t, store)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var names []string
	for i := range 3 {
		r, _ := Parse([]byte(theirs))
		r.ID = fmt.Sprint(i)
		packed, _ := r.pack()
		content := c.compose(Report{ID: "x@y"}, "south.test", mail.Address{Local: "a", Domain: "b.test"}, packed)
		for range 2 { // the same report twice
			got, err := in.Receive(t.Context(), content, now.Add(time.Duration(i)*keepReceived*2/5))
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, got.Name)
		}
	}
	count := func() (n int) {
		in.List(t.Context(), func(r Received) error { n++; return nil })
		return n
	}
	if count() != 3 {
		t.Errorf("%d reports, want 3", count())
	}
	if got, err := in.Show(t.Context(), names[0]); err != nil || got.Report.ID != "0" {
		t.Errorf("Show: %+v, %v", got, err)
	}
	if _, err := in.Show(t.Context(), "nothing"); err != ErrNoReport {
		t.Errorf("Show of nothing: %v", err)
	}
	packed, _ := Report{ID: "9", Organization: "o", Policies: make([]PolicyReport, 1)}.pack()
	in.Receive(t.Context(), c.compose(Report{ID: "x@y"}, "d", mail.Address{Local: "a", Domain: "b"}, packed), now.Add(keepReceived+time.Hour))
	if count() != 3 {
		t.Errorf("%d reports after the first has become too old, want 3", count())
	}
	if _, err := in.Receive(t.Context(), []byte("Subject: hi\r\n\r\nhello\r\n"), now); err == nil {
		t.Error("a message without report was taken for one")
	}
}

func TestRecordOfAddresses(t *testing.T) {
	for text, want := range map[string]int{
		"v=TLSRPTv1; rua=mailto:a@b.test": 1, "v=TLSRPTv1;rua=mailto:a@b.test,https://c.test/x": 2, "v=TLSRPTv1": 0,
		"v=TLSRPTv2; rua=mailto:a@b.test": 0, "v=TLSRPTv1; rua=http://plain.test": 0, "v=spf1": 0,
		"v=TLSRPTv1; rua=" + strings.Repeat("mailto:a@b.test,", 50): maxURIs,
	} {
		if got := parseRecord([]string{text, "other"}); len(got) != want {
			t.Errorf("%s: %v, want %d", text, got, want)
		}
	}
	if got := parseRecord([]string{"v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:a@b.test"}); len(got) != 0 {
		t.Errorf("two records: %v, want none", got)
	}
}
