package ban

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/directory"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/trace"
)

// people are the accounts of tests: ann is 1, bob 2.
type people struct{}

func (people) AccountByLogin(_ context.Context, login string) (directory.Account, error) {
	for i, name := range []string{"ann", "bob"} {
		if strings.HasPrefix(strings.ToLower(login), name) {
			return directory.Account{ID: mail.AccountID(i + 1), Address: mail.Address{Local: name, Domain: "north.test"}}, nil
		}
	}
	return directory.Account{}, fmt.Errorf("%w: %s", directory.ErrNoAccount, login)
}

type tracer struct {
	mu     sync.Mutex
	events []trace.Event
}

func (r *tracer) Record(e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// guess fails n logins, each with another password.
func guess(b *Bans, addr, login string, n int, now time.Time) {
	for i := range n {
		b.failed(context.Background(), ip(addr), login, fmt.Sprint("wrong", i, now), now)
	}
}

func TestNetworksThatGuessAreBanned(t *testing.T) {
	now := time.Now()
	b := New(Config{Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Accounts: people{}})
	limit := DefaultRules.Limits[WrongPassword]
	guess(b, "192.0.2.1", "ann", limit, now)
	guess(b, "192.0.2.2", "ann", limit-1, now)
	guess(b, "2001:db8::1", "bob", limit, now)
	guess(b, "10.0.0.1", "bob", 2*limit, now)
	guess(b, "198.51.100.1", "nobody", DefaultRules.Limits[UnknownLogin], now)
	guess(b, "198.51.100.2", "nobody", DefaultRules.Limits[UnknownLogin]-1, now)
	for range limit {
		b.failed(t.Context(), ip("198.51.100.3"), "bob", "the same", now)
	}
	for _, c := range []struct {
		claim string
		addr  string
		after time.Duration
		want  bool
	}{
		{"too many", "192.0.2.1", 0, true},
		{"the same address mapped into IPv6", "::ffff:192.0.2.1", 0, true},
		{"one more is free", "192.0.2.2", 0, false},
		{"another address of the same IPv6 network", "2001:db8::2", 0, true},
		{"another IPv6 network", "2001:db8:0:1::1", 0, false},
		{"an address never seen", "192.0.2.3", 0, false},
		{"an exempt one", "10.0.0.1", 0, false},
		{"logins that do not exist weigh more", "198.51.100.1", 0, true},
		{"to the last of them", "198.51.100.2", 0, false},
		{"the same wrong password again is no guess", "198.51.100.3", 0, false},
		{"to the end of the time", "192.0.2.1", DefaultRules.First - 1, true},
		{"and no longer", "192.0.2.1", DefaultRules.First, false},
	} {
		if _, got := b.Banned(ip(c.addr), now.Add(c.after)); got != c.want {
			t.Errorf("%s: banned %t, want %t", c.claim, got, c.want)
		}
	}
	if _, banned := b.Banned(netip.Addr{}, now); banned {
		t.Error("a client on this host is banned")
	}
}

func TestOffencesOutsideTheWindowDoNotAddUp(t *testing.T) {
	now := time.Now()
	b := New(Config{Accounts: people{}})
	guess(b, "192.0.2.1", "ann", DefaultRules.Limits[WrongPassword]-1, now)
	guess(b, "192.0.2.1", "ann", DefaultRules.Limits[WrongPassword]-1, now.Add(DefaultRules.Window))
	if _, banned := b.Banned(ip("192.0.2.1"), now.Add(DefaultRules.Window)); banned {
		t.Error("two windows are counted as one")
	}
}

func TestKindsAddUpAndZeroIsNever(t *testing.T) {
	now := time.Now()
	b := New(Config{})
	for k := range kinds {
		for range DefaultRules.Limits[k] / 2 {
			b.offence(ip("192.0.2.1"), k, "", 0, "", now)
		}
	}
	if _, banned := b.Banned(ip("192.0.2.1"), now); !banned {
		t.Error("half of each kind is not banned")
	}
	rules := DefaultRules
	rules.Limits[Scan] = 0
	b.Configure(rules, nil, nil)
	for range 10_000 {
		b.offence(ip("192.0.2.9"), Scan, "", 0, "", now)
	}
	if _, banned := b.Banned(ip("192.0.2.9"), now); banned {
		t.Error("a kind that is off bans")
	}
}

func TestBansGrowLonger(t *testing.T) {
	now := time.Now()
	b := New(Config{Accounts: people{}})
	for i, want := range []time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour, 168 * time.Hour, 168 * time.Hour} {
		guess(b, "192.0.2.1", "ann", DefaultRules.Limits[WrongPassword], now)
		got, banned := b.Banned(ip("192.0.2.1"), now)
		if !banned || got.Until.Sub(now) != want || got.Times != i+1 {
			t.Errorf("ban %d: %v, %d times; want %v", i+1, got.Until.Sub(now), got.Times, want)
		}
		now = now.Add(want)
	}
	now = now.Add(DefaultRules.Longest)
	guess(b, "192.0.2.1", "ann", DefaultRules.Limits[WrongPassword], now)
	if got, _ := b.Banned(ip("192.0.2.1"), now); got.Until.Sub(now) != DefaultRules.First {
		t.Errorf("after a good week the next ban lasts %v", got.Until.Sub(now))
	}
}

func TestPrefixesAndSystems(t *testing.T) {
	now := time.Now()
	table, err := ReadASNTable(strings.NewReader("203.0.113.0/24 AS64500\n198.51.100.0/24 64500\n"))
	if err != nil {
		t.Fatal(err)
	}
	rules := DefaultRules
	rules.ASN = 8
	b := New(Config{Rules: rules, Accounts: people{}, ASN: table})
	limit := rules.Limits[WrongPassword]
	for i := range 4 {
		guess(b, fmt.Sprintf("203.0.113.%d", i), fmt.Sprint("bob", i), limit, now)
	}
	if _, banned := b.Banned(ip("203.0.113.200"), now); banned {
		t.Error("four networks ban a prefix")
	}
	for i := range limit { // a little from each
		guess(b, fmt.Sprintf("203.0.113.%d", 10+i), "bob", 1, now)
	}
	if got, _ := b.Banned(ip("203.0.113.200"), now); got.Subject.String() != "203.0.113.0/24" {
		t.Errorf("five networks' worth: %v", got)
	}
	if _, banned := b.Banned(ip("198.51.100.200"), now); banned {
		t.Error("five networks ban a system that needs eight")
	}
	for i := range 3 {
		guess(b, fmt.Sprintf("198.51.100.%d", i), "bob", limit, now)
	}
	if got, _ := b.Banned(ip("198.51.100.200"), now); got.Subject.String() != "AS64500" {
		t.Errorf("eight networks' worth: %v", got)
	}
}

func TestKnownDevicesAreNotBannedWithTheirNetwork(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	b := New(Config{Accounts: people{}})
	b.passed(ip("192.0.2.1"), 1, now)
	guess(b, "192.0.2.1", "bob", DefaultRules.Limits[WrongPassword], now)
	if why := b.Deny(ip("192.0.2.1"), true); why != "" {
		t.Errorf("a network where a device is known cannot connect to log in: %s", why)
	}
	if why := b.Deny(ip("192.0.2.1"), false); why == "" {
		t.Error("it can where nobody logs in")
	}
	if err := b.allow(ctx, ip("192.0.2.1"), "ann@north.test", now); err != nil {
		t.Errorf("the known device: %v", err)
	}
	if err := b.allow(ctx, ip("192.0.2.1"), "bob", now); err == nil {
		t.Error("an unknown device of a banned network may log in")
	}
	if err := b.allow(ctx, ip("192.0.2.1"), "nobody", now); err == nil {
		t.Error("an unknown login of a banned network is tried")
	}
	if _, err := b.Add(ctx, Subject{Network: netip.MustParsePrefix("192.0.0.0/16")}, 0, "", now); err != nil {
		t.Fatal(err)
	}
	if why := b.Deny(ip("192.0.3.1"), true); why == "" {
		t.Error("a network of a banned prefix where nobody is known is let in")
	}
	later := now.Add(DefaultRules.Devices)
	if err := b.allow(ctx, ip("192.0.2.1"), "ann", later); err == nil {
		t.Error("a device is known for ever")
	}
}

func TestSpreadAttackClosesTheLoginToUnknownDevices(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	events := new(tracer)
	b := New(Config{Accounts: people{}, Trace: events})
	b.passed(ip("192.0.2.1"), 1, now)
	for i := range DefaultRules.Login {
		if err := b.allow(ctx, ip("198.51.100.1"), "ann", now); err != nil {
			t.Fatalf("closed after %d attempts: %v", i, err)
		}
		login := "ann"
		if i%2 == 0 {
			login = "ANN@north.test" // the same account
		}
		guess(b, fmt.Sprintf("203.0.%d.1", i), login, 1, now)
	}
	if err := b.allow(ctx, ip("198.51.100.1"), "ann", now); err == nil {
		t.Error("an unknown device may go on")
	}
	if err := b.allow(ctx, ip("192.0.2.1"), "ann", now); err != nil {
		t.Errorf("the known device: %v", err)
	}
	if err := b.allow(ctx, ip("198.51.100.1"), "bob", now); err != nil {
		t.Errorf("another account: %v", err)
	}
	if why := b.Deny(ip("198.51.100.1"), false); why != "" {
		t.Errorf("a network that did nothing: %s", why)
	}
	if err := b.allow(ctx, ip("198.51.100.1"), "ann", now.Add(DefaultRules.First)); err != nil {
		t.Errorf("once it is over: %v", err)
	}
	if len(events.events) != 1 || events.events[0].Peer != "login:ann@north.test" {
		t.Errorf("traced %+v", events.events)
	}
	b = New(Config{Accounts: people{}})
	rules := DefaultRules
	rules.Limits[WrongPassword] = 0
	b.Configure(rules, nil, nil)
	guess(b, "203.0.113.1", "ann", 10*rules.Login, now)
	if err := b.allow(ctx, ip("198.51.100.1"), "ann", now); err != nil {
		t.Errorf("an attack from one network closed the login: %v", err)
	}
}

func TestWrongPasswordsAreAnsweredLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for _, c := range []struct {
			claim  string
			ctx    context.Context
			addr   netip.Addr
			before int
			want   time.Duration
		}{
			{"the first", t.Context(), ip("192.0.2.1"), 0, time.Second},
			{"each twice as late", t.Context(), ip("192.0.2.1"), 3, 8 * time.Second},
			{"on this host too", t.Context(), netip.Addr{}, 1, 2 * time.Second},
			{"not to exempt ones", t.Context(), ip("10.0.0.1"), 3, 0},
			{"not when all ends", over, ip("192.0.2.1"), 3, 0},
		} {
			start := time.Now()
			b.Gate(nil, c.addr).Failed(c.ctx, c.before)
			if d := time.Since(start); d != c.want {
				t.Errorf("%s: after %v, want %v", c.claim, d, c.want)
			}
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	now := time.Now()
	rules := DefaultRules
	rules.Limits[Scan] = 1
	b := New(Config{Rules: rules})
	if _, err := b.Add(t.Context(), Subject{Network: netip.MustParsePrefix("9.9.9.9/32")}, 0, "", now); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxHistories {
		addr := netip.AddrFrom4([4]byte{byte(10 + i>>16), byte(i >> 8), byte(i), 1})
		b.offence(addr, Scan, "", 0, "", now.Add(time.Duration(i)*time.Millisecond))
		b.passed(addr, mail.AccountID(i+1), now)
	}
	for i := range 2*maxDevices + 2 {
		b.devices.note(Device{netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1}), 32), 1}, now.Add(time.Duration(i)))
	}
	for i := range 2 * maxAccounts {
		b.devices.note(Device{netip.MustParsePrefix("192.0.2.1/32"), mail.AccountID(i + 1)}, now.Add(time.Duration(i)))
	}
	total := 0
	for _, list := range b.devices.at {
		total += len(list)
	}
	if len(b.histories) > maxHistories || len(b.bans) > maxBans || total > maxDevices || total != b.devices.count {
		t.Errorf("%d histories, %d bans, %d devices (counted %d)", len(b.histories), len(b.bans), total, b.devices.count)
	}
	if n := len(b.devices.at[netip.MustParsePrefix("192.0.2.1/32")]); n > maxAccounts {
		t.Errorf("%d accounts of one network", n)
	}
	if _, banned := b.Banned(ip("9.9.9.9"), now); !banned {
		t.Error("the ban of an operator made room")
	}
	widths := 0
	for _, n := range b.widths[0] {
		widths += n
	}
	if widths != len(b.bans) {
		t.Errorf("widths know of %d bans, want %d", widths, len(b.bans))
	}
}

func TestBansAndDevicesOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		defer store.Close()
		run := func(b *Bans) (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { b.Run(ctx) })
			return func() { cancel(); running.Wait() }
		}
		first, other := New(Config{KV: store, Accounts: people{}}), New(Config{KV: store, Accounts: people{}})
		stopFirst, stopOther := run(first), run(other)
		now := time.Now()
		guess(first, "192.0.2.1", "ann", DefaultRules.Limits[WrongPassword], now)
		first.passed(ip("192.0.2.1"), 2, now)
		time.Sleep(time.Second)
		if _, banned := other.Banned(ip("192.0.2.1"), time.Now()); !banned {
			t.Error("another node does not know of the ban")
		}
		if why := other.Deny(ip("192.0.2.1"), true); why != "" {
			t.Errorf("another node does not know the device: %s", why)
		}
		if err := other.Remove(t.Context(), Subject{Network: netip.MustParsePrefix("192.0.2.1/32")}, time.Now()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, banned := first.Banned(ip("192.0.2.1"), time.Now()); banned {
			t.Error("another node does not know that the ban was removed")
		}
		guess(first, "192.0.2.7", "ann", DefaultRules.Limits[WrongPassword], time.Now())
		stopFirst()
		stopOther()
		again := New(Config{KV: store, Accounts: people{}})
		if err := again.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := again.List(time.Now()); len(got) != 1 || got[0].Subject.String() != "192.0.2.7" {
			t.Errorf("after a restart %+v", got)
		}
		if !again.known(t.Context(), ip("192.0.2.1"), 2, time.Now()) {
			t.Error("after a restart a device is unknown")
		}
		time.Sleep(20 * time.Minute) // over, and the next is longer
		guess(again, "192.0.2.7", "ann", DefaultRules.Limits[WrongPassword], time.Now())
		if got, _ := again.Banned(ip("192.0.2.7"), time.Now()); got.Times != 2 {
			t.Errorf("after a restart the second ban is %+v", got)
		}
		again.sweep(t.Context(), time.Now().Add(2*DefaultRules.Devices))
		left := 0
		for _, p := range []kv.Partition{bansPartition, bucketOf(2)} {
			store.View(t.Context(), p, func(r kv.Reader) error {
				all, _ := r.Scan(nil, nil, false)
				for range all {
					left++
				}
				return nil
			})
		}
		if left != 0 || len(again.bans) != 0 || len(again.devices.at) != 0 {
			t.Errorf("%d keys, %d bans, %d devices are left after all is over", left, len(again.bans), len(again.devices.at))
		}
	})
}

func TestDevicesOfAnAccountAreBoundedInTheStore(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	k := newKeeper(store)
	start := time.Unix(1_700_000_000, 0)
	device := func(i int) Device {
		return Device{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 32), 7}
	}
	for i := range perAccount + 10 {
		if err := k.writeDevice(t.Context(), device(i), start.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range perAccount + 10 {
		if got := !k.seen(t.Context(), device(i)).IsZero(); got != (i >= 10) {
			t.Errorf("device %d of %d is kept: %t", i, perAccount+10, got)
		}
	}
}

func TestStrangeRecordsAreLeftOut(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	store.Update(t.Context(), bansPartition, func(x kv.Txn) error {
		x.Put([]byte("b/x"), []byte("{"))
		x.Put([]byte("b/y"), []byte(`{"subject":"what"}`))
		x.Put(banKey(Subject{ASN: 7}), []byte(`{"subject":"AS7"}`))
		return nil
	})
	store.Update(t.Context(), bucket(0), func(x kv.Txn) error {
		x.Put([]byte("d/"), nil)
		x.Put([]byte("d/123456789abc"), []byte("12345678"))
		return nil
	})
	b := New(Config{KV: store})
	if err := b.Load(t.Context()); err != nil || len(b.bans) != 1 || len(b.devices.at) != 0 {
		t.Errorf("%v, %d bans, %d devices", err, len(b.bans), len(b.devices.at))
	}
}

func TestOperatorsBans(t *testing.T) {
	now := time.Now()
	b := New(Config{Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, c := range []struct {
		claim, who, reason string
		d                  time.Duration
		ok                 bool
	}{
		{"a prefix", "192.0.2.0/24", "abuse", time.Hour, true},
		{"a prefix whose host bits are set", "192.0.2.77/24", "abuse", time.Hour, true},
		{"a system", "AS64500", "", 0, true},
		{"a login", "login:Ann@north.test", "", 0, true},
		{"all of IPv6", "::/0", "", 0, true},
		{"one that is exempt", "10.1.0.0/16", "", 0, false},
		{"a negative time", "192.0.2.1", "", -1, false},
		{"a reason that would be a second reply", "192.0.2.1", "x\r\n250 \x00", 0, false},
		{"a reason that is too long", "192.0.2.1", strings.Repeat("x", maxReason+1), 0, false},
	} {
		who, err := ParseSubject(c.who)
		if err == nil {
			_, err = b.Add(t.Context(), who, c.d, c.reason, now)
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.claim, err)
		}
	}
	if got, _ := b.Banned(ip("192.0.2.9"), now); got.Reason != "abuse" {
		t.Errorf("%+v", got)
	}
	if got, _ := b.Banned(ip("2001:db8::1"), now); got.Subject.String() != "::/0" {
		t.Errorf("%+v", got)
	}
	if n := len(b.List(now)); n != 4 {
		t.Errorf("%d bans", n)
	}
}

func TestNFT(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	b := New(Config{})
	for _, who := range []string{"192.0.2.1", "192.0.2.0/24", "198.51.100.7", "203.0.113.0/24", "2001:db8::/32", "AS1", "login:ann"} {
		s, err := ParseSubject(who)
		if err != nil {
			t.Fatal(err)
		}
		d := time.Hour
		if who == "2001:db8::/32" {
			d = 0
		}
		if _, err := b.Add(t.Context(), s, d, "", now); err != nil {
			t.Fatal(err)
		}
	}
	b.passed(ip("203.0.113.9"), 1, now)
	got, err := b.NFT("inet filter", "posthaste", now)
	want := `add table inet filter
add set inet filter posthaste4 { type ipv4_addr; flags interval, timeout; }
flush set inet filter posthaste4
add element inet filter posthaste4 { 192.0.2.0/24 timeout 3601s, 198.51.100.7 timeout 3601s }
add set inet filter posthaste6 { type ipv6_addr; flags interval, timeout; }
flush set inet filter posthaste6
add element inet filter posthaste6 { 2001:db8::/32 }
`
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	for _, bad := range [][2]string{{"inet filter; flush ruleset", "x"}, {"inet filter", "x y"}, {"inet", "x"}, {"x filter", "y"}, {"inet filter", ""}, {"inet -f", "x"}} {
		if _, err := b.NFT(bad[0], bad[1], now); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "2001:db8::/32", "AS64500", "login:ann@x", "::ffff:1.2.3.4", "fe80::1%eth0", "0.0.0.0/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseSubject(in)
		if err != nil {
			return
		}
		if again, err := ParseSubject(s.String()); err != nil || again != s {
			t.Errorf("%q is %+v, and %q again is %+v, %v", in, s, s.String(), again, err)
		}
	})
}

func FuzzASNTable(f *testing.F) {
	f.Add("192.0.2.0/24 1\n192.0.2.128/25 AS2 name\n# x\n\n0.0.0.0/0,3\n::/0 4\n2001:db8::/32 5", "192.0.2.129")
	f.Add("255.255.255.255/32 1\n255.255.255.0/24 2\nffff::/16 3", "255.255.255.255")
	f.Fuzz(func(t *testing.T, in, addr string) {
		table, err := ReadASNTable(strings.NewReader(in))
		a, err2 := netip.ParseAddr(addr)
		if err != nil || err2 != nil {
			return
		}
		want, bits := uint32(0), -1
		for line := range strings.Lines(in) { // the slow way: the last of the longest prefixes
			if p, err := parseASNLine(strings.TrimSpace(line)); err == nil && !strings.HasPrefix(strings.TrimSpace(line), "#") && p.prefix.Contains(a.Unmap()) && p.prefix.Bits() >= bits {
				want, bits = p.asn, p.prefix.Bits()
			}
		}
		if got := table.Lookup(a); got != want {
			t.Errorf("%q: %s is of %d, want %d", in, a, got, want)
		}
	})
}

func BenchmarkBanned(b *testing.B) {
	now := time.Now()
	for _, n := range []int{0, maxBans - 100} {
		bans := New(Config{})
		for i := range n {
			bans.begin(Ban{Subject: Subject{Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}, Until: now.Add(time.Hour), Times: 1}, now)
		}
		b.Run(fmt.Sprint(n, " bans"), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					bans.Banned(ip2, now)
				}
			})
		})
	}
}

var ip2 = netip.AddrFrom4([4]byte{10, 0, 0, 7})

func TestBannedMakesNoGarbage(t *testing.T) {
	now := time.Now()
	b := New(Config{Accounts: people{}})
	guess(b, "192.0.2.1", "ann", DefaultRules.Limits[WrongPassword], now)
	addr, other := ip("192.0.2.1"), ip("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { b.Banned(addr, now); b.Banned(other, now); b.Deny(other, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
