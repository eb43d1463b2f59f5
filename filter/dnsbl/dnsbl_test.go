package dnsbl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/explain"
)

// stranger is an address that is nobody's, but that lists may know.
var stranger = netip.MustParseAddr("198.51.100.7")

// fixture is a world with the lists of configs, tested.
func fixture(t *testing.T, set func(*dnstest.Server), configs ...Config) (*dnstest.Server, *Lists) {
	t.Helper()
	s := dnstest.New()
	if set != nil {
		set(s)
	}
	r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: s.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	l := New(r, nil)
	if err := l.Configure(configs); err != nil {
		t.Fatal(err)
	}
	l.Test(t.Context(), true)
	return s, l
}

// good gives a list its test points.
func good(s *dnstest.Server, zones ...string) {
	for _, zone := range zones {
		s.Addr("2.0.0.127."+zone, "127.0.0.2")
		s.Addr("test."+zone, "127.0.0.2")
	}
}

func codes(t *testing.T, texts ...string) (all []Code) {
	t.Helper()
	for _, text := range texts {
		c, err := ParseCode(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func told(r Report) string {
	var all []string
	for _, h := range r.Hits {
		all = append(all, fmt.Sprintf("%s %s %s %s %g", h.List, h.Role, h.Asked, h.Code, h.Weight))
	}
	for _, f := range r.Failed {
		all = append(all, "failed "+f.List+" "+f.Asked)
	}
	return strings.Join(all, "; ")
}

func TestListsOfAddresses(t *testing.T) {
	set := func(s *dnstest.Server) {
		good(s, "bl.test", "wl.test")
		s.Addr("7.100.51.198.bl.test", "127.0.0.4")
		s.Addr("8.100.51.198.bl.test", "127.0.0.9")
		s.Addr("9.100.51.198.bl.test", "127.0.0.2")
		s.Addr("9.100.51.198.bl.test", "127.0.0.11")
		s.Addr("7.100.51.198.wl.test", "127.0.5.3")
		s.Addr("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test", "127.0.0.4")
		s.Addr("1.0.0.10.bl.test", "127.0.0.2")
		s.Addr("1.0.0.127.private.test", "127.0.0.2")
	}
	bl := Config{Name: "bl", Zone: "BL.test.", Weight: 1, Codes: codes(t, "127.0.0.2 spam", "127.0.0.4-7 4.5 infected", "127.0.0.10-11 0 a line")}
	wl := Config{Name: "wl", Zone: "wl.test", Allow: true, Codes: codes(t, "127.0.*.3 5 trusted", "127.0.*.0 0")}
	_, l := fixture(t, set, bl, wl)
	for _, c := range []struct {
		claim, ip, want string
	}{
		{"a range of codes, and a list that speaks for it", "198.51.100.7", "bl client 198.51.100.7 127.0.0.4 4.5; wl client 198.51.100.7 127.0.5.3 -5"},
		{"a mapped address is IPv4", "::ffff:198.51.100.7", "bl client 198.51.100.7 127.0.0.4 4.5; wl client 198.51.100.7 127.0.5.3 -5"},
		{"a code that nothing is known of is no entry", "198.51.100.8", ""},
		{"several codes, weights of the list and of zero", "198.51.100.9", "bl client 198.51.100.9 127.0.0.2 1; bl client 198.51.100.9 127.0.0.11 0"},
		{"IPv6 by nibbles", "2001:db8::1", "bl client 2001:db8::1 127.0.0.4 4.5"},
		{"not listed", "198.51.100.10", ""},
		{"private addresses are not asked about", "10.0.0.1", ""},
		{"nor those behind a provider", "100.64.0.1", ""},
		{"nor loopback", "127.0.0.2", ""},
		{"nor a link", "fe80::1", ""},
	} {
		if got := told(l.Check(t.Context(), Subject{Client: netip.MustParseAddr(c.ip)})); got != c.want {
			t.Errorf("%s: got %q, want %q", c.claim, got, c.want)
		}
	}
	if got := told(l.Check(t.Context(), Subject{})); got != "" {
		t.Errorf("without a client: %q", got)
	}
}

func TestPrivateListsAreAskedAboutLoopback(t *testing.T) {
	_, l := fixture(t, func(s *dnstest.Server) { s.Addr("9.0.0.127.lab.test", "127.0.0.2") },
		Config{Name: "lab", Zone: "lab.test", Private: true, Weight: 3, Test: Test{Off: true}})
	if got := told(l.Check(t.Context(), Subject{Client: netip.MustParseAddr("127.0.0.9")})); got != "lab client 127.0.0.9 127.0.0.2 3" {
		t.Errorf("got %q", got)
	}
}

func TestListsOfDomains(t *testing.T) {
	set := func(s *dnstest.Server) {
		good(s, "dbl.test", "host.test")
		s.Addr("spam.example.dbl.test", "127.0.0.10")
		s.Addr("spam.co.uk.dbl.test", "127.0.0.2")
		s.Addr("www.spam.example.dbl.test", "127.0.0.2")
		s.Addr("bad.blogs.example.host.test", "127.0.0.2")
		s.Addr("xn--bcher-kva.example.dbl.test", "127.0.0.2")
	}
	_, l := fixture(t, set,
		Config{Name: "dbl", Zone: "dbl.test", Domains: true, Weight: 2, Codes: codes(t, "127.0.0.&2 4 spam", "127.0.0.&8 1 new", "127.0.0.&4 9 other")},
		Config{Name: "host", Zone: "host.test", Domains: true, Asks: []Role{URL}, Weight: 2, Host: true})
	for _, c := range []struct {
		claim string
		names []Name
		want  string
	}{
		{"the registered domain is asked for, its bits read", []Name{{URL, "a.b.Spam.Example."}}, "dbl url spam.example 127.0.0.10 4; dbl url spam.example 127.0.0.10 1"},
		{"also below a public suffix of two labels", []Name{{Sender, "mail.spam.co.uk"}}, "dbl sender spam.co.uk 127.0.0.2 4"},
		{"a list may want whole host names", []Name{{URL, "bad.blogs.example"}}, "host url bad.blogs.example 127.0.0.2 2"},
		{"only those roles", []Name{{From, "bad.blogs.example"}}, ""},
		{"U-labels are asked for as A-labels", []Name{{From, "bücher.example"}}, "dbl from xn--bcher-kva.example 127.0.0.2 4"},
		{"what is named twice is asked once", []Name{{Sender, "spam.co.uk"}, {From, "x.spam.co.uk"}, {URL, "spam.co.uk"}}, "dbl sender spam.co.uk 127.0.0.2 4"},
		{"addresses and rubbish are not asked about", []Name{{Helo, "[192.0.2.1]"}, {Helo, "192.0.2.1"}, {URL, "2001:db8::1"}, {Helo, "localhost"},
			{From, "a b.example"}, {From, ""}, {From, strings.Repeat("x.", 130) + "example"}, {From, "\x00.example"}, {From, "."}}, ""},
	} {
		if got := told(l.Check(t.Context(), Subject{Names: c.names})); got != c.want {
			t.Errorf("%s: got %q, want %q", c.claim, got, c.want)
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, c := range []struct {
		claim, answer, why string
	}{
		{"another resolver than ours", "127.255.255.254", "resolver of your own"},
		{"too many questions", "127.255.255.255", "too many questions"},
		{"a mistyped zone", "127.255.255.252", "mistyped"},
		{"an error nobody described", "127.255.255.17", "refuses us"},
		{"the site of a domain grabber", "203.0.113.1", "another owner"},
		{"the code that lists refuse with", "127.0.0.1", "refuse"},
	} {
		var log bytes.Buffer
		s, l := fixture(t, func(s *dnstest.Server) {
			good(s, "bl.test")
			s.Addr("7.100.51.198.bl.test", c.answer)
		}, Config{Name: "bl", Zone: "bl.test", Weight: 5})
		l.log = slog.New(slog.NewTextHandler(&log, nil))
		r := l.Check(t.Context(), Subject{Client: stranger})
		if len(r.Hits) > 0 || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Why, c.why) {
			t.Errorf("%s: %+v", c.claim, r)
		}
		if st := l.Status()[0]; st.State != Off || !strings.Contains(st.Why, c.why) {
			t.Errorf("%s: %+v", c.claim, st)
		}
		if got := told(l.Check(t.Context(), Subject{Client: stranger})); got != "" || s.Queries("A", "7.100.51.198.bl.test") != 1 {
			t.Errorf("%s: it was asked again: %q", c.claim, got)
		}
		if n := strings.Count(log.String(), "a list is not asked"); n != 1 {
			t.Errorf("%s: %d log lines: %s", c.claim, n, log.String())
		}
		f := r.Findings()
		if len(f) != 1 || f[0].Rule != "DNSBL_SILENT" || f[0].Weight != 0 {
			t.Errorf("%s: findings %+v", c.claim, f)
		}
	}
}

func TestListsThatFailTheirTestAreOff(t *testing.T) {
	for _, c := range []struct {
		claim  string
		config Config
		set    func(*dnstest.Server)
		state  State
		why    string
	}{
		{"good", Config{}, func(s *dnstest.Server) { good(s, "bl.test") }, On, ""},
		{"good, whatever its codes say of the test point", Config{Codes: codes(t, "127.0.0.9")}, func(s *dnstest.Server) { good(s, "bl.test") }, On, ""},
		{"it is empty", Config{}, nil, Off, "does not list 127.0.0.2"},
		{"it lists everybody", Config{}, func(s *dnstest.Server) { s.Addr("*.bl.test", "127.0.0.2") }, Off, "may list everybody"},
		{"its domain was sold", Config{}, func(s *dnstest.Server) { s.Addr("*.bl.test", "203.0.113.9") }, Off, "another owner"},
		{"it refuses", Config{}, func(s *dnstest.Server) { s.Addr("*.bl.test", "127.255.255.254") }, Off, "127.255.255.254"},
		{"it cannot be asked", Config{}, func(s *dnstest.Server) { s.SetFault(".", dnstest.Fault{Kind: dnstest.ServFail}) }, Off, "cannot be tested"},
		{"domains", Config{Domains: true}, func(s *dnstest.Server) { good(s, "bl.test") }, On, ""},
		{"domains, all of them", Config{Domains: true}, func(s *dnstest.Server) { s.Addr("*.bl.test", "127.0.0.2") }, Off, "lists invalid"},
		{"its own test points", Config{Domains: true, Test: Test{Listed: "dbltest.com", Unlisted: "example.com"}},
			func(s *dnstest.Server) { s.Addr("dbltest.com.bl.test", "127.0.1.2") }, On, ""},
		{"no tests", Config{Test: Test{Off: true}}, nil, On, "not tested"},
	} {
		c.config.Name, c.config.Zone = "bl", "bl.test"
		_, l := fixture(t, c.set, c.config)
		if st := l.Status()[0]; st.State != c.state || !strings.Contains(st.Why, c.why) {
			t.Errorf("%s: %s (%s), want %s (%s)", c.claim, st.State, st.Why, c.state, c.why)
		}
	}
}

func TestRunTestsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := dnstest.New()
		s.SetTTL(1, 1)
		r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: s.Exchange})
		if err != nil {
			t.Fatal(err)
		}
		l := New(r, nil)
		if err := l.Configure([]Config{{Name: "bl", Zone: "bl.test", Weight: 1}}); err != nil {
			t.Fatal(err)
		}
		if l.Status()[0].State != Untested || told(l.Check(t.Context(), Subject{Client: stranger})) != "" {
			t.Error("a list is asked before its test")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		state := func(claim string, after time.Duration, want State) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if st := l.Status()[0]; st.State != want {
				t.Errorf("%s: %s (%s), want %s", claim, st.State, st.Why, want)
			}
		}
		state("at the start it is empty", 0, Off)
		good(s, "bl.test")
		state("it is filled, and tested within minutes", 7*time.Minute, On)
		s.Addr("7.100.51.198.bl.test", "127.255.255.255")
		l.Check(t.Context(), Subject{Client: stranger})
		state("it refuses us", 0, Off)
		s.Remove("7.100.51.198.bl.test")
		state("it does not any more", 20*time.Minute, On)
		s.SetFault("7.100.51.198.bl.test", dnstest.Fault{Kind: dnstest.Drop})
		for range 3 {
			start := time.Now()
			if got := told(l.Check(t.Context(), Subject{Client: stranger})); got != "failed bl 198.51.100.7" {
				t.Errorf("silent: %q", got)
			}
			if took := time.Since(start); took > DefaultTimeout {
				t.Errorf("a silent list took %v", took)
			}
			time.Sleep(10 * time.Second) // for the resolver to forget
		}
		state("three silences", 0, Off)
		state("it answers again", time.Minute, On)
		s.Remove("2.0.0.127.bl.test")
		state("it loses its test point", 80*time.Minute, Off)
		if err := l.Configure(nil); err != nil || len(l.Status()) != 0 {
			t.Errorf("no lists: %v, %v", l.Status(), err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestALostResolverIsNotTheFaultOfLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := fixture(t, func(s *dnstest.Server) { good(s, "bl.test", "bl2.test", "bl3.test") },
			Config{Name: "bl", Zone: "bl.test"}, Config{Name: "bl2", Zone: "bl2.test"}, Config{Name: "bl3", Zone: "bl3.test"})
		s.SetFault(".", dnstest.Fault{Kind: dnstest.Drop})
		for i := range 2 {
			l.Check(t.Context(), Subject{Client: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})})
		}
		start := time.Now()
		for i := range 200 {
			r := l.Check(t.Context(), Subject{Client: netip.AddrFrom4([4]byte{198, 51, 101, byte(i)})})
			if len(r.Failed) != 3 || len(r.Hits) != 0 {
				t.Fatalf("check %d: %+v", i, r)
			}
		}
		if took := time.Since(start); took > 4*DefaultTimeout {
			t.Errorf("200 checks took %v", took)
		}
		for _, st := range l.Status() {
			if st.State != On {
				t.Errorf("%s: %s (%s)", st.Name, st.State, st.Why)
			}
		}
		time.Sleep(dns.DefaultTimeout) // virtual: lookups that nobody waits for any more end
	})
}

func TestASilentListIsLeftAloneThoughCallersHaveLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := fixture(t, func(s *dnstest.Server) { good(s, "bl.test", "bl2.test") },
			Config{Name: "bl", Zone: "bl.test"}, Config{Name: "bl2", Zone: "bl2.test"})
		for i := range maxSilences {
			s.SetFault(fmt.Sprintf("%d.100.51.198.bl.test", i), dnstest.Fault{Kind: dnstest.Drop})
			ctx, cancel := context.WithTimeout(t.Context(), DefaultTimeout)
			l.Check(ctx, Subject{Client: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})})
			cancel()
		}
		for _, st := range l.Status() {
			if want := map[string]State{"bl": Off, "bl2": On}[st.Name]; st.State != want {
				t.Errorf("%s: %s (%s), want %s", st.Name, st.State, st.Why, want)
			}
		}
		time.Sleep(dns.DefaultTimeout)
	})
}

func TestBounds(t *testing.T) {
	s, l := fixture(t, func(s *dnstest.Server) {
		for i := range MaxLists {
			good(s, fmt.Sprintf("d%d.test", i))
		}
	}, func() (all []Config) {
		for i := range MaxLists {
			all = append(all, Config{Name: fmt.Sprintf("d%d", i), Zone: fmt.Sprintf("d%d.test", i), Domains: true, Host: true})
		}
		return all
	}()...)
	var names []Name
	for i := range 5000 {
		names = append(names, Name{URL, fmt.Sprintf("www.n%d.example", i)})
	}
	l.Check(t.Context(), Subject{Names: names})
	asked := 0
	for i := range 5000 {
		for d := range MaxLists {
			asked += s.Queries("A", fmt.Sprintf("n%d.example.d%d.test", i, d)) + s.Queries("A", fmt.Sprintf("www.n%d.example.d%d.test", i, d))
		}
	}
	if asked != maxQuestions {
		t.Errorf("%d questions for 5,000 names, want %d", asked, maxQuestions)
	}
}

func TestConfigurationsAreChecked(t *testing.T) {
	fine := Config{Name: "bl", Zone: "bl.test"}
	for _, c := range []struct {
		claim string
		make  func(*Config)
		want  string
	}{
		{"fine", func(c *Config) {}, ""},
		{"no name", func(c *Config) { c.Name = "" }, "the name is not"},
		{"a name with a blank", func(c *Config) { c.Name = "a b" }, "the name is not"},
		{"no zone", func(c *Config) { c.Zone = "" }, "the zone"},
		{"a zone without room", func(c *Config) { c.Zone = strings.Repeat("abcdefghi.", 21) + "test" }, "the zone"},
		{"a negative weight", func(c *Config) { c.Weight = -1 }, "allow = true"},
		{"an unknown role", func(c *Config) { c.Asks = []Role{"ehlo"} }, "is none of"},
		{"a list of addresses about domains", func(c *Config) { c.Asks = []Role{URL} }, "cannot be asked about the url"},
		{"a list of domains about the client", func(c *Config) { c.Asks, c.Domains = []Role{Client}, true }, "cannot be asked about the client"},
		{"too many codes", func(c *Config) { c.Codes = make([]Code, maxCodes+1) }, "codes"},
	} {
		config := fine
		c.make(&config)
		err := Validate([]Config{config})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.claim, err, c.want)
		}
	}
	if err := Validate([]Config{fine, fine}); err == nil {
		t.Error("two lists of the same name")
	}
	if err := Validate(make([]Config, MaxLists+1)); err == nil {
		t.Error("too many lists")
	}
}

func TestCodes(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.2 4.0 sends spam": "127.0.0.2 4 sends spam", "127.0.0.4-11": "127.0.0.4-11 0 ", "127.0.*.3 0 x": "127.0.*.3 0 x",
		"127.0.0.&8 a site": "127.0.0.&8 0 a site", "127.0.0.1 unusable go away": "127.0.0.1 0 go away",
		"": "error", "127.0.0": "error", "126.0.0.1": "error", "127.0.0.256": "error", "127.0.0.9-2": "error", "*.0.0.2": "error",
		"127.0.0.&0": "error", "127.0.0.&256": "error", "127.0.0.2 -3 x": "error", "127.0.0.2 NaN x": "error", "127.0.0.2 1e9 x": "error",
		"127.0.0.2 1 " + strings.Repeat("x", 201): "error",
	} {
		c, err := ParseCode(text)
		got := fmt.Sprintf("%s %g %s", c.Pattern, c.Weight, c.Meaning)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestBuiltinsAreGood(t *testing.T) {
	var configs []Config
	for _, b := range Builtins() {
		configs = append(configs, b.Config)
		if b.About == "" || !strings.HasPrefix(b.Terms, "https://") || len(b.Codes) == 0 {
			t.Errorf("%+v", b)
		}
	}
	if err := Validate(configs); err != nil {
		t.Error(err)
	}
	if b, ok := Known("Spamhaus-ZEN"); !ok || b.Zone != "zen.spamhaus.org" {
		t.Errorf("%+v", b)
	}
}

func TestFindingsCountAListOnce(t *testing.T) {
	hit := func(list string, allow bool, weight float64, asked string) Hit {
		return Hit{List: list, Allow: allow, Role: URL, Asked: asked, Code: netip.MustParseAddr("127.0.0.2"), Weight: weight, Meaning: "m" + asked}
	}
	r := Report{Hits: []Hit{hit("a-b", false, 1, "x"), hit("wl", true, -1, "x"), hit("a-b", false, 4, "y"), hit("wl", true, -3, "z")},
		Failed: []Failure{{List: "q"}, {List: "q"}, {List: "p"}}}
	var got []string
	for _, f := range r.Findings() {
		got = append(got, fmt.Sprintf("%s %g %s", f.Rule, f.Weight, f.Evidence))
	}
	want := []string{"DNSBL_A_B 4 url x is 127.0.0.2, url y is 127.0.0.2", "DNSWL_WL -3 url x is 127.0.0.2, url z is 127.0.0.2", "DNSBL_SILENT 0 q, p"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReasonsOfListsAreTamed(t *testing.T) {
	s, l := fixture(t, func(s *dnstest.Server) {
		good(s, "bl.test")
		s.Addr("7.100.51.198.bl.test", "127.0.0.2")
		s.TXT("7.100.51.198.bl.test", "see\r\n250 https://why.test/"+strings.Repeat("x", 500))
	}, Config{Name: "bl", Zone: "bl.test"})
	ctx, reasons := explain.With(t.Context())
	r := l.Check(ctx, Subject{Client: stranger})
	if len(r.Hits) != 1 || len(reasons.List()) != 1 || s.Queries("TXT", "7.100.51.198.bl.test") != 0 {
		t.Fatalf("%+v, %v", r, reasons.List())
	}
	text, err := l.Reason(t.Context(), r.Hits[0])
	if err != nil || !strings.HasPrefix(text, "see??250 https://why.test/xxx") || len(text) != maxReason {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := l.Reason(t.Context(), Hit{}); err == nil {
		t.Error("a reason for nothing")
	}
	s.SetFault("9.100.51.198.bl.test", dnstest.Fault{Kind: dnstest.ServFail})
	if _, err := l.Reason(t.Context(), Hit{query: "9.100.51.198.bl.test"}); err == nil || errors.Is(err, dns.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestListsThatStayKeepTheirState(t *testing.T) {
	one, two := Config{Name: "one", Zone: "one.test", Weight: 1}, Config{Name: "two", Zone: "two.test"}
	_, l := fixture(t, func(s *dnstest.Server) { good(s, "one.test", "two.test") }, one, two)
	two.Weight = 5
	if err := l.Configure([]Config{two, one}); err != nil {
		t.Fatal(err)
	}
	if got := l.Status(); got[0].State != Untested || got[1].State != On || got[1].Name != "one" {
		t.Errorf("got %+v", got)
	}
	if err := l.Configure([]Config{{Name: "bad"}}); err == nil || len(l.Status()) != 2 {
		t.Errorf("a mistake changed the lists: %v, %+v", err, l.Status())
	}
}

// BenchmarkCheck asks five lists about a client and ten links; all answers are remembered.
func BenchmarkCheck(b *testing.B) {
	s := dnstest.New()
	r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: s.Exchange})
	if err != nil {
		b.Fatal(err)
	}
	l := New(r, nil)
	var configs []Config
	for i := range 5 {
		configs = append(configs, Config{Name: fmt.Sprint("l", i), Zone: fmt.Sprintf("l%d.test", i), Domains: i > 1, Test: Test{Off: true}})
	}
	if err := l.Configure(configs); err != nil {
		b.Fatal(err)
	}
	subject := Subject{Client: stranger}
	for i := range 10 {
		subject.Names = append(subject.Names, Name{URL, fmt.Sprintf("www.n%d.example", i)})
	}
	for b.Loop() {
		if r := l.Check(b.Context(), subject); len(r.Failed) > 0 {
			b.Fatal(r)
		}
	}
}

func FuzzCode(f *testing.F) {
	f.Add("127.0.0.2 4.0 sends spam")
	f.Add("127.0.*.&8 unusable x")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCode(text)
		if err != nil {
			return
		}
		again, err := ParsePattern(c.Pattern.String())
		if err != nil || again != c.Pattern || c.Weight < 0 || c.Weight > maxWeight {
			t.Errorf("%q is read as %+v, and again as %+v, %v", text, c, again, err)
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("www.Bücher.example.", "1.2.3.4")
	f.Fuzz(func(t *testing.T, a, b string) {
		c := complete(Config{Name: "x", Zone: strings.Repeat("z", 50) + ".test", Domains: true})
		for _, n := range clean([]Name{{URL, a}, {From, b}}) {
			for _, name := range []string{n.Domain, registrable(n.Domain)} {
				if q := c.queryDomain(name); q != "" && !dns.IsHostName(q) {
					t.Errorf("%q is asked for as %q", a, q)
				}
			}
		}
	})
}
