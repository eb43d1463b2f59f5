package failure

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/mail"
	"posthaste/mailauth/arf"
	"posthaste/mailauth/dmarc"
	"posthaste/mailauth/dmarc/aggregate"
	"posthaste/mailauth/results"
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

const header = "Return-Path: <ann.secret@south.test>\r\nReceived: from x (y [192.0.2.1])\r\n\tby z for <bob.secret@north.test>; Mon, 1 Jan 2024 00:00:00 +0000\r\n" +
	"Received-SPF: fail envelope-from=\"ann secret\"@south.test; x=ann.secret@south.test\r\n" +
	"DKIM-Signature: v=1; d=south.test; s=s1; i=@south.test; b=abc\r\nFrom: \"Ann Secret\" <ann.secret@south.test>\r\nTo: bob.secret@north.test\r\n" +
	"Subject: secret\r\nMessage-ID: <ann.secret@south.test>\r\nX-Secret: secret\r\n\r\nsecret body\r\n"

func newReporter(t *testing.T, records ...string) (*Reporter, *post) {
	t.Helper()
	server, queue := dnstest.New(), new(post)
	for i := 0; i < len(records); i += 2 {
		server.TXT(records[i], records[i+1])
	}
	resolver, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: server.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{From: mail.Address{Local: "dmarc", Domain: "north.test"}, Hostname: "mail.north.test", Queue: queue, Resolver: resolver}), queue
}

func newMessage(t *testing.T, r *Reporter, in dmarc.Input) Message {
	t.Helper()
	in.From = []string{"south.test"}
	return Message{ID: "Q1", Header: message.ParseHeader([]byte(header)), Result: dmarc.Evaluate(t.Context(), r.cfg.Resolver, in),
		Results: results.Field{Server: "mail.north.test", Results: []results.Result{{Method: "spf", Value: "fail", Properties: []results.Property{{Type: "smtp", Name: "mailfrom", Value: "ann.secret@south.test"}}}}},
		Source:  netip.MustParseAddr("::ffff:192.0.2.1"), EnvelopeFrom: mail.ReversePath{Address: mail.Address{Local: "ann.secret", Domain: "south.test"}},
		SPF: aggregate.Auth{Domain: "south.test", Result: "fail"}, DKIM: []aggregate.Auth{{Domain: "other.test", Result: "fail"}, {Domain: "south.test", Selector: "s1", Result: "fail"}}, Delivery: "reject"}
}

func TestAReportTellsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, queue := newReporter(t, "_dmarc.south.test", "v=DMARC1; p=reject; ruf=mailto:f@south.test,mailto:x@stranger.test", "south.test", "v=spf1 -all")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		if !r.Offer(newMessage(t, r, dmarc.Input{}), time.Now()) {
			t.Fatal("no report")
		}
		synctest.Wait()
		cancel()
		<-done
		if len(queue.contents) != 1 || queue.envs[0].Recipients[0].Address.String() != "f@south.test" || queue.envs[0].Recipients[0].Notify != mail.NotifyNever {
			t.Fatalf("sent %+v", queue.envs)
		}
		if content := queue.contents[0]; strings.Contains(strings.ToLower(content), "secret") || strings.Contains(content, "bob") {
			t.Errorf("the report tells too much:\n%s", content)
		}
		got, err := arf.Parse([]byte(queue.contents[0]))
		want := arf.Report{Type: "auth-failure", UserAgent: "Posthaste", MailFrom: "redacted@south.test", Arrival: time.Now().UTC(), Source: "192.0.2.1",
			Reporter: "mail.north.test", Domains: []string{"south.test"}, Incidents: 1, Results: []string{"mail.north.test; spf=fail smtp.mailfrom=redacted@south.test"},
			Failure: "dmarc", Delivery: "reject", Alignment: "dkim, spf", DKIMDomain: "south.test", DKIMIdentity: "@south.test", DKIMSelector: "s1",
			SPFRecord: `txt : south.test : "v=spf1 -all"`, Original: arf.Original{From: "<redacted@south.test>", MessageID: "redacted@south.test"}}
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("\n got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestWanted(t *testing.T) {
	aligned := dmarc.Input{SPF: "pass", SPFDomain: "south.test"}
	both := dmarc.Input{SPF: "pass", SPFDomain: "south.test", DKIM: []string{"south.test"}}
	for _, c := range []struct {
		name, record string
		in           dmarc.Input
		change       func(*Message)
		want         bool
	}{
		{"all failed", "ruf=mailto:f@south.test", dmarc.Input{}, nil, true},
		{"one passes, by default", "ruf=mailto:f@south.test", aligned, nil, false},
		{"one passes, fo=1", "ruf=mailto:f@south.test; fo=1", aligned, nil, true},
		{"both pass, fo=1", "ruf=mailto:f@south.test; fo=1", both, nil, false},
		{"fo=d alone", "ruf=mailto:f@south.test; fo=d", dmarc.Input{}, nil, false},
		{"fo=d:0", "ruf=mailto:f@south.test; fo=d:0", dmarc.Input{}, nil, true},
		{"nobody asks", "rua=mailto:f@south.test", dmarc.Input{}, nil, false},
		{"a public suffix", "ruf=mailto:f@south.test; psd=y", dmarc.Input{}, nil, false},
		{"the null reverse-path", "ruf=mailto:f@south.test", dmarc.Input{}, func(m *Message) { m.EnvelopeFrom = mail.ReversePath{} }, false},
		{"made by a machine", "ruf=mailto:f@south.test", dmarc.Input{}, func(m *Message) {
			m.Header = message.ParseHeader([]byte("Auto-Submitted: auto-generated\r\n\r\n"))
		}, false},
		{"a report", "ruf=mailto:f@south.test", dmarc.Input{}, func(m *Message) {
			m.Header = message.ParseHeader([]byte("Content-Type: multipart/report; report-type=x\r\n\r\n"))
		}, false},
		{"not decided", "ruf=mailto:f@south.test", dmarc.Input{SPF: "temperror", SPFDomain: "south.test"}, nil, false},
	} {
		r, _ := newReporter(t, "_dmarc.south.test", "v=DMARC1; p=reject; "+c.record)
		m := newMessage(t, r, c.in)
		if c.change != nil {
			c.change(&m)
		}
		if got := Wanted(m); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestRatesAreBounded(t *testing.T) {
	r, _ := newReporter(t, "_dmarc.south.test", "v=DMARC1; p=reject; ruf=mailto:f@south.test")
	m := newMessage(t, r, dmarc.Input{})
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	count := func(domains int, now time.Time) (n int) {
		for i := range domains {
			for range 2 * perDomain {
				m.Result.Domain = fmt.Sprintf("d%d.test", i)
				if r.Offer(m, now) {
					n++
					<-r.waiting
				}
			}
		}
		return n
	}
	if got := count(1, now); got != perDomain {
		t.Errorf("%d reports about one domain, want %d", got, perDomain)
	}
	if got := count(1000, now.Add(time.Hour)); got != perHour {
		t.Errorf("%d reports in an hour, want %d", got, perHour)
	}
	for i := range 2 * maxWaiting {
		m.Result.Domain = fmt.Sprintf("e%d.test", i)
		if r.Offer(m, now.Add(2*time.Hour)) != (i < maxWaiting) {
			t.Errorf("message %d", i)
		}
	}
	var off *Reporter
	if off.Offer(m, now) {
		t.Error("a Reporter that is off takes a message")
	}
}

func TestRedact(t *testing.T) {
	for s, want := range map[string]string{
		"for <bob@x.test>; now": "for <redacted@x.test>; now", "i=@x.test; b=a": "i=@x.test; b=a", `"a b"@x.test c@y.test`: "redacted@x.test redacted@y.test",
		"mailto:a@b": "mailto:redacted@b", "none": "none", "a=b@c@d": "a=redacted@redacted@d", "@": "@", "": "", `"@`: "redacted@",
	} {
		if got := redact(s); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}
