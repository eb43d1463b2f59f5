package greylist

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

func try(ip, from, to string) Try {
	address := func(s string) mail.Address {
		local, domain, _ := strings.Cut(s, "@")
		return mail.Address{Local: local, Domain: domain}
	}
	return Try{Client: netip.MustParseAddr(ip), From: mail.ReversePath{Address: address(from)}, To: address(to)}
}

func TestWhoComesAgainIsLetThrough(t *testing.T) {
	store := memkv.New()
	config := Config{KV: store, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	g := New(config)
	now := time.Unix(1_700_000_000, 0)
	const day = 24 * time.Hour
	for _, c := range []struct {
		claim string
		after time.Duration // since the row before
		try   Try
		want  time.Duration
	}{
		{"a stranger waits", 0, try("192.0.2.1", "bob@south.test", "ann@north.test"), time.Minute},
		{"at once is too soon", 10 * time.Second, try("192.0.2.1", "bob@south.test", "ann@north.test"), 50 * time.Second},
		{"for another recipient anew", 50 * time.Second, try("192.0.2.1", "bob@south.test", "eve@north.test"), time.Minute},
		{"after a minute it is let through, from a neighbour too", 0, try("192.0.2.77", "bob@south.test", "ann@north.test"), 0},
		{"and so is all of that domain", 0, try("192.0.2.1", "carol@south.test", "eve@north.test"), 0},
		{"but not another domain", 0, try("192.0.2.1", "bob@west.test", "ann@north.test"), time.Minute},
		{"nor another network", 0, try("198.51.100.1", "bob@south.test", "ann@north.test"), time.Minute},
		{"return paths with numbers are one sender", 0, try("203.0.113.1", "bounce-17=x@list.test", "ann@north.test"), time.Minute},
		{"as they come again", 2 * time.Minute, try("203.0.113.1", "bounce-18=y@list.test", "ann@north.test"), 0},
		{"reports wait too", 0, try("203.0.113.9", "", "ann@north.test"), time.Minute},
		{"35 days later a pair is still known", 35 * day, try("192.0.2.1", "bob@south.test", "x@north.test"), 0},
		{"and again from then on", 35 * day, try("192.0.2.1", "bob@south.test", "x@north.test"), 0},
		{"but not 36 days after its latest mail", 36 * day, try("192.0.2.1", "bob@south.test", "x@north.test"), time.Minute},
		{"who comes two days late is a stranger", 2 * day, try("192.0.2.1", "bob@south.test", "x@north.test"), time.Minute},
		{"an exempt client never waits", 0, try("10.0.0.1", "x@y.test", "ann@north.test"), 0},
		{"nor mail that authenticates", 0, Try{Client: netip.MustParseAddr("203.0.113.200"), Authenticated: true}, 0},
		{"nor a known sender", 0, Try{Client: netip.MustParseAddr("203.0.113.200"), Known: true}, 0},
		{"nor a client on this host", 0, Try{}, 0},
	} {
		now = now.Add(c.after)
		if got, reason := g.Check(t.Context(), c.try, now); got != c.want || reason == "" {
			t.Errorf("%s: %v (%s), want %v", c.claim, got, reason, c.want)
		}
	}
	again := New(config)
	if _, reason := again.Check(t.Context(), try("192.0.2.1", "bob@south.test", "x@north.test"), now.Add(time.Minute)); !strings.Contains(reason, "again after 1m0s") {
		t.Errorf("after a restart: %s", reason)
	}
}

func TestNetworksBecomeKnown(t *testing.T) {
	g := New(Config{KV: memkv.New()})
	now := time.Unix(1_700_000_000, 0)
	for i := range DefaultRules.Passes {
		next := try("192.0.2.1", fmt.Sprintf("bob@d%d.test", i), "ann@north.test")
		if wait, _ := g.Check(t.Context(), next, now); wait == 0 {
			t.Fatalf("domain %d does not wait", i)
		}
		now = now.Add(2 * time.Minute)
		if wait, reason := g.Check(t.Context(), next, now); wait != 0 {
			t.Fatalf("domain %d waits: %s", i, reason)
		}
	}
	if wait, reason := g.Check(t.Context(), try("192.0.2.5", "new@never.test", "ann@north.test"), now); wait != 0 {
		t.Errorf("a known network waits: %s", reason)
	}
	if wait, _ := g.Check(t.Context(), try("192.0.3.5", "new@never.test", "ann@north.test"), now); wait == 0 {
		t.Error("its neighbour does not")
	}
}

func TestExpectedMailDoesNotWait(t *testing.T) {
	g := New(Config{KV: memkv.New()})
	now := time.Unix(1_700_000_000, 0)
	ann := mail.Address{Local: "Ann", Domain: "north.test"}
	if err := g.Expect(t.Context(), Expectation{To: ann, From: "Shop.test", Until: now.Add(10 * time.Minute)}, now); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		claim string
		after time.Duration
		from  string
		to    string
		wait  bool
	}{
		{"from the domain", 0, "x@shop.test", "ann@north.test", false},
		{"from below it", 0, "x@mail.SHOP.test", "ann@north.test", false},
		{"from a name that only ends alike", 0, "x@myshop.test", "ann@north.test", true},
		{"for somebody else", 0, "x@shop.test", "eve@north.test", true},
		{"when the time is over", 10 * time.Minute, "y@shop.test", "ann@north.test", true},
	} {
		if wait, reason := g.Check(t.Context(), try("192.0.2.1", c.from, c.to), now.Add(c.after)); (wait > 0) != c.wait {
			t.Errorf("%s: %v, %s", c.claim, wait, reason)
		}
	}
	for claim, e := range map[string]Expectation{
		"nobody":        {Until: now.Add(time.Minute)},
		"for too long":  {To: ann, Until: now.Add(maxExpecting + 1)},
		"in the past":   {To: ann, Until: now},
		"from a person": {To: ann, From: "x@shop.test", Until: now.Add(time.Minute)},
	} {
		if err := g.Expect(t.Context(), e, now); !errors.Is(err, ErrExpectation) {
			t.Errorf("%s: %v", claim, err)
		}
	}
	for i := range 3 * maxExpected {
		if err := g.Expect(t.Context(), Expectation{To: ann, From: fmt.Sprintf("d%d.test", i), Until: now.Add(time.Hour)}, now); err != nil {
			t.Fatal(err)
		}
	}
	if wait, _ := g.Check(t.Context(), try("198.51.100.1", "x@d0.test", "ann@north.test"), now); wait == 0 {
		t.Error("expectations are not bounded")
	}
}

// broken is a store that fails.
type broken struct{ kv.Store }

func (broken) View(context.Context, kv.Partition, func(kv.Reader) error) error {
	return errors.New("disk on fire")
}

func (broken) Update(context.Context, kv.Partition, func(kv.Txn) error) (kv.Version, error) {
	return 0, errors.New("disk on fire")
}

func TestAStoreThatFailsPutsNothingOff(t *testing.T) {
	g := New(Config{KV: broken{}})
	if wait, reason := g.Check(t.Context(), try("192.0.2.1", "bob@south.test", "ann@north.test"), time.Now()); wait != 0 || reason == "" {
		t.Errorf("%v, %s", wait, reason)
	}
}

func TestWhatIsOverIsDeleted(t *testing.T) {
	store := memkv.New()
	g := New(Config{KV: store})
	now := time.Unix(1_700_000_000, 0)
	p := bucketOf([]byte{24, 192, 0, 2, 0})
	count := func() (n int) {
		store.View(t.Context(), p, func(r kv.Reader) error {
			all, _ := r.Scan(nil, nil, false)
			for range all {
				n++
			}
			return nil
		})
		return n
	}
	store.Update(t.Context(), p, func(x kv.Txn) error {
		for i := range maxKeys + 100 { // somebody makes up senders
			x.Put(hash("t/", []byte(fmt.Sprint(i))), stamp{now.Unix(), now.Unix(), 1}.append(nil))
		}
		x.Put([]byte("t/strange"), nil)
		x.Put([]byte("e/strange"), []byte("{"))
		x.Put(hash("p/", nil), stamp{now.Unix(), now.Unix(), 1}.append(nil))
		return nil
	})
	if err := g.sweep(t.Context(), p, now); err != nil || count() != maxKeys {
		t.Errorf("%v, %d keys, want %d", err, count(), maxKeys)
	}
	if err := g.sweep(t.Context(), p, now.Add(DefaultRules.Retry)); err != nil || count() != 1 {
		t.Errorf("%v, %d keys, want the pair alone", err, count())
	}
	if err := g.sweep(t.Context(), p, now.Add(DefaultRules.Pass)); err != nil || count() != 0 {
		t.Errorf("%v, %d keys, want none", err, count())
	}
	for i := range 2 * maxPassing {
		g.remember([]byte(fmt.Sprint(i)), now)
	}
	if len(g.passing) > maxPassing {
		t.Errorf("%d in memory", len(g.passing))
	}
	g.fresh.Store(maxFresh)
	if wait, _ := g.Check(t.Context(), try("192.0.2.1", "bob@south.test", "ann@north.test"), now); wait != 0 || count() != 0 {
		t.Error("past the bound strangers are still remembered")
	}
}

func FuzzStamp(f *testing.F) {
	f.Add(stamp{1, 2, 3}.append(nil))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again stamp
		s.parse(b)
		if again.parse(s.append(nil)); again != s {
			t.Errorf("%x: %+v, then %+v", b, s, again)
		}
		DefaultRules.decide(past{s, s, s}, time.Unix(1_700_000_000, 0))
	})
}
