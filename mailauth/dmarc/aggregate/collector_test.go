package aggregate

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
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
	"posthaste/mailauth/dmarc"
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

func newCollector(t testing.TB, store kv.Store, records ...string) (*Collector, *dnstest.Server, *post) {
	t.Helper()
	server, queue := dnstest.New(), new(post)
	for i := 0; i < len(records); i += 2 {
		server.TXT(records[i], records[i+1])
	}
	resolver, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: server.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{From: mail.Address{Local: "dmarc", Domain: "north.test"}, Hostname: "mail.north.test", Store: store, Queue: queue, Resolver: resolver}), server, queue
}

// observe makes an observation of a message from domain that SPF and DKIM say this about.
func observe(t testing.TB, c *Collector, domain, source string, in dmarc.Input) Observation {
	t.Helper()
	in.From = []string{domain}
	r := dmarc.Evaluate(t.Context(), c.cfg.Resolver, in)
	o := Observation{Source: netip.MustParseAddr(source), Result: r, Disposition: r.Applied, EnvelopeFrom: in.SPFDomain,
		SPF: Auth{Domain: in.SPFDomain, Result: in.SPF}}
	for _, d := range in.DKIM {
		o.DKIM = append(o.DKIM, Auth{Domain: d, Selector: "s1", Result: "pass"})
	}
	return o
}

const southRecord = "v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:reports%2Bd@south.test,mailto:far@east.test,mailto:no@west.test"

var southZone = []string{"_dmarc.south.test", southRecord, "south.test._report._dmarc.east.test", "v=DMARC1"}

func TestReportOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		defer store.Close()
		c, _, queue := newCollector(t, store, southZone...)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		good := dmarc.Input{SPF: "pass", SPFDomain: "south.test", DKIM: []string{"south.test"}}
		bad := dmarc.Input{SPF: "softfail", SPFDomain: "evil.test", DKIM: []string{"evil.test"}}
		for range 3 {
			c.Record(observe(t, c, "south.test", "192.0.2.1", good), time.Now())
			c.Record(observe(t, c, "south.test", "::ffff:192.0.2.1", good), time.Now())
			c.Record(observe(t, c, "south.test", "2001:db8::1", bad), time.Now())
			c.Record(observe(t, c, "sub.south.test", "192.0.2.1", good), time.Now())
			c.Record(observe(t, c, "nobody.test", "192.0.2.1", good), time.Now())
			<-time.After(time.Minute)
		}
		// A second node counts the same day.
		other, _, _ := newCollector(t, store, southZone...)
		other.Record(observe(t, c, "south.test", "192.0.2.1", good), time.Now())
		if err := other.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(23 * time.Hour)
		if queue.count() != 0 {
			t.Error("a report left before the day was over")
		}
		<-time.After(settle + spread + 2*time.Hour)
		if queue.count() != 2 {
			t.Fatalf("%d reports, want one for each address that takes them", queue.count())
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
		store.Partitions(t.Context(), "dmarc/", func(p kv.Partition) error { t.Errorf("%s is left over", p); return nil })
	})
}

func checkReport(t *testing.T, queue *post) {
	t.Helper()
	for i, want := range []string{"reports+d@south.test", "far@east.test"} {
		env := queue.envs[i]
		if to := env.Recipients[0]; to.Address.String() != want || to.Notify != mail.NotifyNever || env.From.String() != "dmarc@north.test" {
			t.Errorf("envelope %+v", env)
		}
	}
	m := message.Parse([]byte(queue.contents[0]))
	if got := m.Header.Subject(); got != "Report Domain: south.test Submitter: north.test Report-ID: <2000-01-01_south.test@mail.north.test>" {
		t.Errorf("Subject %q", got)
	}
	if got := m.Header.MessageID(); got != "2000-01-01_south.test@mail.north.test" {
		t.Errorf("Message-ID %q", got)
	}
	part := m.Root.Children[1]
	if part.Type() != "application/gzip" || part.Filename() != "north.test!south.test!946684800!946771199.xml.gz" {
		t.Errorf("attachment %s %q", part.Type(), part.Filename())
	}
	r, err := Extract([]byte(queue.contents[0]))
	if err != nil {
		t.Fatal(err)
	}
	if r.Organization != "north.test" || r.Email != "dmarc@north.test" || r.Begin.Format(time.RFC3339) != "2000-01-01T00:00:00Z" ||
		r.Policy != (Published{Domain: "south.test", P: "reject", SP: "quarantine", ADKIM: "s", ASPF: "r", Testing: "n", Discovery: "treewalk"}) {
		t.Errorf("report %+v", r)
	}
	var rows []string
	for _, row := range r.Rows {
		rows = append(rows, strings.TrimSpace(row.String()))
	}
	want := []string{
		"7  192.0.2.1  from south.test: DKIM pass, SPF pass, pass, dkim=pass south.test, spf=pass south.test",
		"3  192.0.2.1  from sub.south.test (envelope south.test): DKIM fail, SPF pass, pass, dkim=pass south.test, spf=pass south.test",
		"3  2001:db8::1  from south.test (envelope evil.test): DKIM fail, SPF fail, reject, dkim=pass evil.test, spf=softfail evil.test",
	}
	if strings.Join(rows, "\n") != strings.Join(want, "\n") {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	text, _ := m.Root.Children[0].Decode(nil)
	if !strings.Contains(string(text), "13 messages, 10 pass") {
		t.Errorf("text:\n%s", text)
	}
}

func TestReportIsSentOnceByManyNodes(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	total := 0
	c, server, queue := newCollector(t, store, "_dmarc.south.test", "v=DMARC1; p=none; rua=mailto:a@east.test")
	c.Record(observe(t, c, "south.test", "192.0.2.1", dmarc.Input{}), time.Now())
	if err := c.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := time.Now().UTC().Add(40 * time.Hour)
	server.SetFault("south.test._report._dmarc.east.test", dnstest.Fault{Kind: dnstest.ServFail})
	if c.send(t.Context(), later); queue.count() != 0 {
		t.Error("a report left though nobody knows whether it is wanted")
	}
	for range 3 {
		other, _, queue := newCollector(t, store, "south.test._report._dmarc.east.test", "v=DMARC1", "_dmarc.south.test", "v=DMARC1; p=none")
		if err := other.send(t.Context(), later.Add(claim)); err != nil {
			t.Error(err)
		}
		total += queue.count()
	}
	if total != 1 {
		t.Errorf("%d reports from three nodes, want 1", total)
	}
}

func TestNothingIsCountedUnasked(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	c, server, _ := newCollector(t, store, "_dmarc.silent.test", "v=DMARC1; p=reject", "_dmarc.web.test", "v=DMARC1; p=none; rua=https://web.test/r", "_dmarc.asks.test", "v=DMARC1; p=none; rua=mailto:a@asks.test")
	for _, domain := range []string{"silent.test", "web.test", "nothing.test"} {
		c.Record(observe(t, c, domain, "192.0.2.1", dmarc.Input{}), time.Now())
	}
	server.SetFault("_dmarc.down.test", dnstest.Fault{Kind: dnstest.ServFail})
	c.Record(observe(t, c, "down.test", "192.0.2.1", dmarc.Input{}), time.Now())
	if len(c.waiting) != 0 {
		t.Errorf("%d domains wait", len(c.waiting))
	}
	var off *Collector
	off.Record(observe(t, c, "asks.test", "192.0.2.1", dmarc.Input{}), time.Now())
	New(Config{}).Record(observe(t, c, "asks.test", "192.0.2.1", dmarc.Input{}), time.Now())
}

func TestOverridesAreTold(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	c, _, _ := newCollector(t, store, "_dmarc.a.test", "v=DMARC1; p=reject; rua=mailto:a@a.test", "_dmarc.t.test", "v=DMARC1; p=reject; t=y; rua=mailto:a@t.test")
	for _, x := range []struct {
		name, domain string
		done         dmarc.Policy
		given        []Override
		want         string
	}{
		{"as asked", "a.test", dmarc.Reject, nil, "reject []"},
		{"milder without a reason", "a.test", dmarc.None, nil, "none [{local_policy }]"},
		{"milder for a reason", "a.test", dmarc.None, []Override{{"mailing_list", "x"}}, "none [{mailing_list x}]"},
		{"a test", "t.test", dmarc.Quarantine, nil, "quarantine [{policy_test_mode }]"},
		{"milder than a test", "t.test", dmarc.None, nil, "none [{local_policy }]"},
	} {
		o := observe(t, c, x.domain, "192.0.2.1", dmarc.Input{})
		o.Disposition, o.Overrides = x.done, x.given
		row := o.row()
		if got := fmt.Sprint(row.Disposition, " ", row.Overrides); got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
	}
}

func TestCountingIsBounded(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	c, _, queue := newCollector(t, store, "_dmarc.south.test", "v=DMARC1; p=none; rua=mailto:a@south.test")
	o := observe(t, c, "south.test", "192.0.2.1", dmarc.Input{})
	for range 100 {
		o.DKIM = append(o.DKIM, Auth{Domain: "x.test", Result: "fail", Text: strings.Repeat("t", 10_000)})
	}
	o.DKIM = append(o.DKIM, Auth{Domain: "south.test", Result: "pass"})
	if row := o.row(); len(row.DKIMResults) != maxResults || row.DKIMResults[0].Domain != "south.test" || len(row.DKIMResults[1].Text) != maxText {
		t.Errorf("row %+v", row)
	}
	o.DKIM = nil
	now := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	for i := range maxWaiting + 10 {
		o.Source = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		c.Record(o, now)
	}
	if c.rows != maxWaiting {
		t.Errorf("%d rows wait, want %d", c.rows, maxWaiting)
	}
	if err := c.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.send(t.Context(), now.Add(40*time.Hour)); err != nil || queue.count() != 1 {
		t.Fatalf("%d reports, %v", queue.count(), err)
	}
	r, err := Extract([]byte(queue.contents[0]))
	if err != nil || len(r.Rows) != maxRows || r.Omitted != maxDomain-maxRows || !strings.Contains(r.Error, fmt.Sprint(maxWaiting+10-maxDomain, " messages")) {
		t.Errorf("%d rows, %d omitted, %q, %v", len(r.Rows), r.Omitted, r.Error, err)
	}
	t.Logf("a report of %d rows is a message of %d bytes", maxDomain, len(queue.contents[0]))
}

// broken is a store that fails at command.
type broken struct {
	kv.Store
	fails bool
}

func (b *broken) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	if b.fails {
		return 0, kv.ErrFull
	}
	return b.Store.Update(ctx, p, fn)
}

func TestWhatAFailedCommitHeldIsCountedLater(t *testing.T) {
	store := &broken{Store: memkv.New(), fails: true}
	defer store.Close()
	c, _, _ := newCollector(t, store, "_dmarc.south.test", "v=DMARC1; p=none; rua=mailto:a@south.test")
	now := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	record := func() { c.Record(observe(t, c, "south.test", "192.0.2.1", dmarc.Input{}), now) }
	record()
	if err := c.flush(t.Context()); err == nil {
		t.Fatal("the store is full and flush says nothing")
	}
	record()
	store.fails = false
	if err := c.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := c.report(t.Context(), "2026-11-22", "south.test", head{})
	if err != nil || len(r.Rows) != 1 || r.Rows[0].Count != 2 {
		t.Errorf("%+v, %v", r.Rows, err)
	}
}

// TestReportsFitTheSchema has xmllint check a report against the schema of RFC 9990 appendix A.
func TestReportsFitTheSchema(t *testing.T) {
	program := peer(t, "xmllint", "libxml2-utils")
	store := memkv.New()
	defer store.Close()
	c, _, _ := newCollector(t, store, southZone...)
	r := Report{Organization: "a<b&c", Email: "x@y", ID: "1@y", Error: "e\x00\x1b\ufffe", Generator: "g", Policy: published("south.test", dmarc.Record{Test: true, Nonexistent: dmarc.Reject, FailureWhen: "1:d"})}
	for _, in := range []dmarc.Input{{}, {SPF: "pass", SPFDomain: "south.test"}, {SPF: "hardfail", SPFDomain: "x.test", DKIM: []string{"south.test", "evil.test"}}} {
		o := observe(t, c, "south.test", "192.0.2.1", in)
		o.Disposition = dmarc.None
		o.DKIM = append(o.DKIM, Auth{Domain: "]]>", Selector: "\xff", Result: "odd", Text: "<b>"})
		r.Rows = append(r.Rows, o.row())
	}
	text, err := r.XML()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.xml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "--noout", "--schema", "testdata/dmarc-2.0.xsd", file).CombinedOutput(); err != nil {
		t.Errorf("xmllint: %v\n%s\n%s", err, out, text)
	}
}

// peer returns the path of a program of others, or skips: with POSTHASTE_REQUIRE_PEERS=1 it fails.
func peer(t *testing.T, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	switch {
	case err == nil:
	case os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1":
		t.Fatalf("%s is not installed: apt-get install %s", program, debian)
	default:
		t.Skipf("SKIPPED PEER: %s is not installed: apt-get install %s", program, debian)
	}
	return path
}

func BenchmarkRecord(b *testing.B) {
	store := memkv.New()
	defer store.Close()
	c, _, _ := newCollector(b, store, southZone...)
	o := observe(b, c, "south.test", "192.0.2.1", dmarc.Input{SPF: "pass", SPFDomain: "south.test", DKIM: []string{"south.test", "x.test"}})
	now := time.Now()
	for b.Loop() {
		c.Record(o, now)
	}
}
