package remote

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/mail"
)

func TestNamesKeepApartWhatMustNotShare(t *testing.T) {
	base := Fixed("relay.test", 587)
	change := []func(*Destination){
		func(*Destination) {},
		func(d *Destination) { d.Login = &Login{"ann", "x"} },
		func(d *Destination) { d.Login = &Login{"bob", "x"} },
		func(d *Destination) { d.TLS = Verified },
		func(d *Destination) { d.Source = netip.MustParseAddr("192.0.2.9") },
		func(d *Destination) { d.Helo = "other.test" },
		func(d *Destination) { *d = Fixed("relay.test", 25) },
		func(d *Destination) { *d = Socket("/run/lmtp") },
		func(d *Destination) { d.policy, _ = parsePolicy("encrypt") },
	}
	names, keys := make(map[string]int), make(map[string]int)
	for i, fn := range change {
		d := base
		fn(&d)
		j := &job{dest: d}
		if other, known := names[d.Name()]; known {
			t.Errorf("%d and %d share the name %q", other, i, d.Name())
		}
		key := j.poolKey(d.Hosts[0])
		if other, known := keys[key]; known {
			t.Errorf("%d and %d share connections: %q", other, i, key)
		}
		names[d.Name()], keys[key] = i, i
	}
}

func TestSmarthost(t *testing.T) {
	w := newWorld(t, Config{}, nil, nil)
	w.dns.MX("isp.test", 20, "b.isp.test")
	w.dns.MX("isp.test", 10, "a.isp.test")
	for _, c := range []struct {
		claim string
		r     Smarthost
		want  []string // names by preference
		err   string
	}{
		{"hosts keep their order", Smarthost{Hosts: []string{"z.test", "a.test:2525", "[192.0.2.7]:26"}}, []string{"z.test:0", "a.test:2525", "[192.0.2.7]:26"}, ""},
		{"MX records are looked up, within the order", Smarthost{Hosts: []string{"isp.test:587", "south.test"}, MX: true},
			[]string{"a.isp.test:587", "b.isp.test:587", "mx1.south.test:0", "mx2.south.test:0"}, ""},
		{"what is unknown is passed over", Smarthost{Hosts: []string{"void.test", "isp.test"}, MX: true}, []string{"a.isp.test:0", "b.isp.test:0"}, ""},
		{"nothing known is an error", Smarthost{Hosts: []string{"void.test"}, MX: true}, nil, "550 5.1.2"},
		{"no hosts are the operator's mistake", Smarthost{}, nil, "451 4.3.5"},
		{"a port of letters is the operator's mistake", Smarthost{Hosts: []string{"a.test:smtp"}}, nil, "451 4.3.5"},
	} {
		dest, err := w.agent.Smarthost(t.Context(), "", c.r)
		var got []string
		for _, h := range shuffled(dest.Hosts) {
			got = append(got, strings.Join([]string{h.Name, itoa(h.Port)}, ":"))
		}
		if !slices.Equal(got, c.want) || c.err == "" != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: got %q, %v; want %q, %s", c.claim, got, err, c.want, c.err)
		}
	}
}

func itoa(n int) string { return portOf(netip.AddrPortFrom(netip.Addr{}, uint16(n))) }

func TestSmarthostsAreTriedInOrder(t *testing.T) {
	first, second := offering(), offering()
	first.replies["greeting"] = []string{"421 4.3.2 busy"}
	w := newWorld(t, Config{}, nil, nil)
	w.dns.Addr("one.test", "192.0.2.11")
	w.dns.Addr("two.test", "192.0.2.12")
	w.hosts["192.0.2.11:2525"], w.hosts["192.0.2.12:587"] = first, second
	dest, err := w.agent.Smarthost(t.Context(), "", Smarthost{Hosts: []string{"one.test:2525", "two.test"}, Port: 587, Helo: "out.north.test"})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.sendTo(t.Context(), dest, mail.Envelope{}, plainContent, "bob"); got[0] != "250 2.1.9 taken" || first.conns != 1 || second.conns != 1 {
		t.Errorf("got %q over %d and %d connections", got, first.conns, second.conns)
	}
	if lines := second.seen(); lines[0] != "EHLO out.north.test" {
		t.Errorf("we call ourselves %q", lines[0])
	}
}

func TestSocketAndSource(t *testing.T) {
	lmtp := offering()
	lmtp.lmtp = true
	w := newWorld(t, Config{}, nil)
	w.hosts["/run/lmtp"] = lmtp
	if got := w.sendTo(t.Context(), Socket("/run/lmtp"), mail.Envelope{}, plainContent, "bob", "eve"); !strings.HasPrefix(got[1], "250") {
		t.Errorf("got %q", got)
	}
	if want := []string{"unix /run/lmtp"}; !slices.Equal(w.dialed, want) {
		t.Errorf("dialed %q, want %q", w.dialed, want)
	}
	h := offering()
	w.hosts["192.0.2.5:25"] = h
	w.dns.Addr("both.test", "192.0.2.5")
	w.dns.Addr("both.test", "2001:db8::5")
	w.dns.Addr("six.test", "2001:db8::6")
	var from []string
	w.agent.cfg.DialFrom = func(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
		from = append(from, source.String()+" "+address)
		return w.dial(ctx, network, address)
	}
	for name, want := range map[string]string{"both.test": "250", "six.test": "451 4.4.1"} {
		dest := Fixed(name, 25)
		dest.Source = netip.MustParseAddr("192.0.2.99")
		if got := w.sendTo(t.Context(), dest, mail.Envelope{}, plainContent, "bob"); !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: got %q, want %s", name, got, want)
		}
	}
	if want := []string{"192.0.2.99 192.0.2.5:25"}; !slices.Equal(from, want) {
		t.Errorf("connected %q, want %q", from, want)
	}
}

func TestOwnAddressIsALoop(t *testing.T) {
	own := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:25"), netip.MustParseAddrPort("192.0.2.77:2525")}
	w := newWorld(t, Config{OwnAddresses: own}, nil, nil) // mx2.south.test is us
	w.dns.MX("loop.test", 10, "mx2.south.test")
	w.dns.MX("loop.test", 20, "mx1.south.test")
	w.dns.Addr("implicit.test", "192.0.2.2")
	w.dns.Addr("port.test", "192.0.2.77")
	for domain, want := range map[string]string{
		"south.test": "mx1.south.test", "loop.test": "554 5.4.6", "implicit.test": "554 5.4.6", "port.test": "port.test",
	} {
		dest, err := w.agent.Route(t.Context(), "", domain)
		if got := dest.Key; err == nil && got != want || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %q, %v; want %s", domain, got, err, want)
		}
	}
}

func TestDeadHostsAreTriedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backup := offering()
		w := newWorld(t, Config{Idle: -1}, nil, backup)
		w.pipes = true
		send := func(want ...string) {
			t.Helper()
			w.dialed = nil
			if got := w.send(t, mail.Envelope{}, plainContent, "bob"); got[0] != "250 2.1.9 taken" || !slices.Equal(w.dialed, want) {
				t.Errorf("got %q, dialed %q; want %q", got, w.dialed, want)
			}
		}
		const one, two = "tcp 192.0.2.1:25", "tcp 192.0.2.2:25"
		send(one, two)
		send(two)
		backup.replies["greeting"] = []string{"421 4.3.2 busy", "220 ready"}
		w.hosts["192.0.2.1:25"] = offering() // up again, and now the only one
		send(two, one)
		send(one)
		delete(w.hosts, "192.0.2.1:25")
		send(one, two)
		<-time.After(mourning)
		send(one, two)
	})
}

func TestGraveyardIsBounded(t *testing.T) {
	g, now := newGraveyard(), time.Now()
	for i := range maxGraves + 100 {
		g.bury(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 25), now)
	}
	if len(g.until) > maxGraves {
		t.Errorf("%d are remembered, want at most %d", len(g.until), maxGraves)
	}
}

func TestProbe(t *testing.T) {
	for _, c := range []struct{ claim, key, reply, want string }{
		{"a recipient that is taken", "", "", "250"},
		{"a recipient that is not", "RCPT", "550 5.1.1 no such user", "550 5.1.1 no such user"},
		{"a recipient for later", "RCPT", "450 4.2.1 greylisted", "450 4.2.1"},
		{"a sender that is refused says nothing", "MAIL", "550 5.7.1 no null senders", "451 4.4.1"},
		{"a host that refuses us says nothing", "greeting", "554 5.7.1 go away", "451 4.4.1"},
		{"a host that hangs up says nothing", "RCPT", "drop", "451 4.4.2"},
	} {
		h := offering("PIPELINING", "CHUNKING")
		if c.key != "" {
			h.replies[c.key] = []string{c.reply}
		}
		w := newWorld(t, Config{}, h)
		dest, err := w.agent.Route(t.Context(), "", "south.test")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got := w.agent.Probe(t.Context(), dest, mail.ReversePath{}, mail.Address{Local: "bob", Domain: "south.test"})
			if !strings.HasPrefix(got.Error(), c.want) {
				t.Errorf("%s: got %v, want %s", c.claim, got, c.want)
			}
		}
		for _, line := range h.seen() {
			if strings.HasPrefix(line, "DATA") || strings.HasPrefix(line, "BDAT") || strings.HasPrefix(line, "MAIL") && line != "MAIL FROM:<>" {
				t.Errorf("%s: the host saw %q", c.claim, line)
			}
		}
	}
}
