package dkim

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns/dnstest"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/message"
)

// A bench is a KeyStore on a store in memory, with a DNS and a clock that tests move.
type bench struct {
	*KeyStore
	t     *testing.T
	store kv.Store
	dns   *dnstest.Server
	now   time.Time
	log   bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, store: memkv.New(), dns: dnstest.New(), now: now}
	b.dns.SetTTL(0, 0)
	b.KeyStore = b.another()
	return b
}

// another is a second node on the same store.
func (b *bench) another() *KeyStore {
	return NewKeyStore(StoreConfig{Store: b.store, Resolver: freshResolver{b.t, b.dns}, Clock: func() time.Time { return b.now },
		Log: slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
}

// must is for calls that cannot fail in a sound program.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (b *bench) publish(keys ...Key) {
	for _, k := range keys {
		b.dns.TXT(k.Name(), k.Record)
	}
}

// signatures returns how many signatures a message of domain gets, all of which must verify.
func (b *bench) signatures(s *KeyStore, domain string) int {
	b.t.Helper()
	fields := must(s.Sign(b.t.Context(), domain, []byte(letter)))
	whole := append(bytes.Clone(fields), letter...)
	got := NewVerifier(freshResolver{b.t, b.dns}).Verify(b.t.Context(), message.ParseHeader(whole), whole, b.now)
	for _, v := range got {
		if v.Result != Pass || v.Domain != domain {
			b.t.Errorf("%s", v.Resinfo())
		}
	}
	return len(got)
}

func TestKeysSignOnceActive(t *testing.T) {
	b := newBench(t)
	if n := b.signatures(b.KeyStore, "north.test"); n != 0 {
		t.Errorf("%d signatures without keys", n)
	}
	keys := must(b.Add(t.Context(), "North.Test", AddOptions{}))
	if len(keys) != 2 || keys[0].State != New || keys[0].Domain != "north.test" {
		t.Errorf("made %+v", keys)
	}
	if n := b.signatures(b.KeyStore, "north.test"); n != 0 {
		t.Errorf("%d signatures before the keys are published", n)
	}
	for _, k := range keys {
		if _, err := b.Activate(t.Context(), "north.test", k.Selector, false); !errors.Is(err, ErrNotPublished) {
			t.Errorf("activate an unpublished key: %v", err)
		}
	}
	b.publish(keys...)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.signatures(b.KeyStore, "north.test"); n != 2 {
		t.Errorf("%d signatures after the sweep, want 2", n)
	}
	if n := b.signatures(b.KeyStore, "sub.north.test"); n != 0 {
		t.Errorf("%d signatures for a domain below", n)
	}
}

func TestRotationOverlaps(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	old := must(b.Add(ctx, "north.test", AddOptions{Active: true}))
	b.publish(old...)
	fresh := must(b.Rotate(ctx, "north.test"))
	if len(fresh) != 2 || b.signatures(b.KeyStore, "north.test") != 2 {
		t.Fatalf("rotation made %+v", fresh)
	}
	if _, err := b.Rotate(ctx, "north.test"); !errors.Is(err, ErrRotating) {
		t.Errorf("a second rotation: %v", err)
	}
	b.publish(fresh[0]) // the other is still missing
	if err := b.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	states := func() (all []string) {
		for _, k := range must(b.Keys(ctx, "north.test")) {
			all = append(all, string(k.Algorithm)+" "+string(k.State))
		}
		slices.Sort(all)
		return all
	}
	want := []string{"ed25519 active", "ed25519 new", "rsa2048 active", "rsa2048 retiring"}
	if got := states(); !slices.Equal(got, want) {
		t.Errorf("with one record published: %v, want %v", got, want)
	}
	if n := b.signatures(b.KeyStore, "north.test"); n != 2 {
		t.Errorf("%d signatures in the middle of a rotation, want 2", n)
	}
	must(b.Activate(ctx, "north.test", fresh[1].Selector, true))
	b.publish(fresh[1])
	if n := b.signatures(b.KeyStore, "north.test"); n != 2 {
		t.Errorf("%d signatures after it, want 2", n)
	}
	b.now = b.now.Add(KeepRetiring)
	want = []string{"ed25519 active", "ed25519 retired", "rsa2048 active", "rsa2048 retired"}
	if got := states(); !slices.Equal(got, want) {
		t.Errorf("after its time: %v, want %v", got, want)
	}
}

func TestAnotherNodeHearsOfChanges(t *testing.T) {
	b := newBench(t)
	other := b.another()
	if n := b.signatures(other, "north.test"); n != 0 {
		t.Errorf("%d signatures without keys", n)
	}
	keys := must(b.Add(t.Context(), "north.test", AddOptions{Active: true}))
	b.publish(keys...)
	if n := b.signatures(other, "north.test"); n != 2 {
		t.Errorf("%d signatures by the other node, want 2", n)
	}
	if err := b.Delete(t.Context(), "north.test", keys[0].Selector); err != nil {
		t.Fatal(err)
	}
	if n := b.signatures(other, "north.test"); n != 1 {
		t.Errorf("%d signatures by the other node after a key was deleted, want 1", n)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	one := AddOptions{Selector: "a", Algorithms: []Algorithm{Ed25519}}
	must(b.Add(ctx, "north.test", one))
	long := strings.Repeat("a.", 100) + "test"
	for name, test := range map[string]struct {
		domain  string
		options AddOptions
		want    error
	}{
		"a selector that is taken":      {"north.test", one, ErrExists},
		"the same in capitals":          {"NORTH.test", AddOptions{Selector: "A", Algorithms: one.Algorithms}, ErrExists},
		"a selector that is none":       {"north.test", AddOptions{Selector: "a b", Algorithms: one.Algorithms}, ErrSelector},
		"a selector with a slash":       {"north.test", AddOptions{Selector: "../k", Algorithms: one.Algorithms}, ErrSelector},
		"a domain that is none":         {"no domain", one, ErrDomain},
		"no domain":                     {"", one, ErrDomain},
		"a domain too long for the key": {long, one, ErrDomain},
	} {
		if _, err := b.Add(ctx, test.domain, test.options); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	for i := 1; i < MaxKeys; i++ {
		must(b.Add(ctx, "north.test", AddOptions{Algorithms: one.Algorithms}))
	}
	if _, err := b.Add(ctx, "north.test", AddOptions{Algorithms: one.Algorithms}); !errors.Is(err, ErrTooMany) {
		t.Errorf("key %d: %v", MaxKeys+1, err)
	}
	if _, err := b.Rotate(ctx, "north.test"); !errors.Is(err, ErrNoActive) {
		t.Errorf("rotate what does not sign: %v", err)
	}
	if err := b.Delete(ctx, "north.test", "nobody"); !errors.Is(err, ErrNoKey) {
		t.Errorf("delete a key that is not there: %v", err)
	}
	if _, err := b.Activate(ctx, "north.test", "nobody", true); !errors.Is(err, ErrNoKey) {
		t.Errorf("activate a key that is not there: %v", err)
	}
	if signer, err := b.Signing(ctx, long); signer != nil || err != nil {
		t.Errorf("the signer of a domain that can have no keys: %v, %v", signer, err)
	}
}

func TestKeysThatCannotBeReadAreAnError(t *testing.T) {
	for name, value := range map[string]string{
		"no JSON":         "{",
		"no private half": `{"selector":"a","algorithm":"ed25519","state":"active"}`,
	} {
		b := newBench(t)
		_, err := b.store.Update(t.Context(), "dkim/north.test", func(tx kv.Txn) error {
			tx.Put([]byte("k/a"), []byte(value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if fields, err := b.Sign(t.Context(), "north.test", []byte(letter)); err == nil {
			t.Errorf("%s: signed as %q, want an error", name, fields)
		}
		if err := b.Delete(t.Context(), "north.test", "a"); err != nil {
			t.Errorf("%s: delete it: %v", name, err)
		}
	}
}

func TestSecretsAreNeverTold(t *testing.T) {
	b := newBench(t)
	keys := must(b.Add(t.Context(), "north.test", AddOptions{}))
	b.publish(keys...)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := must(b.read(t.Context(), "dkim/north.test"))
	for _, k := range all {
		for _, secret := range []string{string(k.PKCS8), string(k.PKCS8[len(k.PKCS8)-20:])} {
			if strings.Contains(b.log.String(), secret) {
				t.Error("the log holds a private key")
			}
		}
	}
	if !strings.Contains(b.log.String(), "signs now") {
		t.Errorf("the log does not tell of the keys:\n%s", &b.log)
	}
}

func TestCheckSaysWhatToDo(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	for name, test := range map[string]struct {
		state   State
		publish func(Key)
		status  Status
		advice  string
	}{
		"all is well":                 {Active, func(k Key) { b.publish(k) }, Published, "all is well"},
		"nothing is published":        {Active, func(Key) {}, Missing, "receivers take mail for unsigned"},
		"another key is published":    {Active, func(k Key) { b.dns.TXT(k.Name(), "v=DKIM1; p="+strings.Repeat("A", 44)+"; k=ed25519") }, Different, "replace the record"},
		"the record is revoked":       {Active, func(k Key) { b.dns.TXT(k.Name(), "v=DKIM1; p=") }, Different, "replace the record"},
		"the record only tests":       {Active, func(k Key) { b.dns.TXT(k.Name(), k.Record+"; t=y") }, Different, "replace the record"},
		"the record is for no mail":   {Active, func(k Key) { b.dns.TXT(k.Name(), k.Record+"; s=other") }, Different, "replace the record"},
		"two records":                 {Active, func(k Key) { b.publish(k); b.dns.TXT(k.Name(), "v=DKIM1; p=") }, Different, "replace the record"},
		"the record has white space":  {Active, func(k Key) { b.dns.TXT(k.Name(), strings.ReplaceAll(k.Record, "p=", "p= ")) }, Published, "all is well"},
		"it waits to be published":    {New, func(Key) {}, Missing, "it signs once it is seen there"},
		"it waits and is published":   {New, func(k Key) { b.publish(k) }, Published, "makes it sign now"},
		"the name server is out":      {Active, func(k Key) { b.dns.SetFault(k.Name(), dnstest.Fault{Kind: dnstest.ServFail}) }, Unknown, "ask again later"},
		"its time is not over":        {Retiring, func(k Key) { b.publish(k) }, Published, "leave the record until"},
		"its record went too early":   {Retiring, func(Key) {}, Missing, "for mail on its way"},
		"its time is over":            {Retired, func(k Key) { b.publish(k) }, Published, "remove the record"},
		"nothing is left but the key": {Retired, func(Key) {}, Missing, "posthaste dkim delete"},
	} {
		t.Run(name, func(t *testing.T) {
			domain := strings.ReplaceAll(name, " ", "-") + ".test"
			k := must(b.Add(ctx, domain, AddOptions{Algorithms: []Algorithm{Ed25519}}))[0]
			k.State = test.state
			test.publish(k)
			got := b.check(ctx, k)
			if got.Status != test.status || !strings.Contains(got.Advice, test.advice) {
				t.Errorf("%s (%s): %s; want %s: %s", got.Status, got.Problem, got.Advice, test.status, test.advice)
			}
		})
	}
}

func TestRunLooksForRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		keys := must(b.Add(ctx, "north.test", AddOptions{Algorithms: []Algorithm{Ed25519}}))
		go func() { done <- b.Run(ctx) }()
		synctest.Wait()
		if n := b.signatures(b.KeyStore, "north.test"); n != 0 {
			t.Errorf("%d signatures before the record is published", n)
		}
		b.publish(keys...)
		time.Sleep(sweepEvery)
		synctest.Wait()
		if n := b.signatures(b.KeyStore, "north.test"); n != 1 {
			t.Errorf("%d signatures after the record was seen, want 1", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRecordsAreCut(t *testing.T) {
	b := newBench(t)
	keys := must(b.Add(t.Context(), "north.test", AddOptions{Selector: "s"}))
	for _, k := range keys {
		if strings.Join(k.Strings(), "") != k.Record {
			t.Errorf("the strings of %s are not its record", k.Selector)
		}
		for _, part := range k.Strings() {
			if len(part) > 255 {
				t.Errorf("a string of %d bytes", len(part))
			}
		}
		if err := b.dns.Add(k.Zone()); err != nil {
			t.Errorf("the zone text of %s: %v\n%s", k.Selector, err, k.Zone())
		}
		if c := b.check(t.Context(), k); c.Status != Published {
			t.Errorf("the zone text of %s, published: %s %s", k.Selector, c.Status, c.Problem)
		}
	}
	if keys[0].Name() != "s-rsa._domainkey.north.test" || keys[1].Name() != "s-ed25519._domainkey.north.test" {
		t.Errorf("names %s and %s", keys[0].Name(), keys[1].Name())
	}
}
