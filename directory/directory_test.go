package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

// at reads "local@domain" for tests.
func at(s string) mail.Address {
	i := strings.LastIndexByte(s, '@')
	return mail.Address{Local: s[:i], Domain: s[i+1:]}
}

func ats(ss ...string) []mail.Address {
	var as []mail.Address
	for _, s := range ss {
		as = append(as, at(s))
	}
	return as
}

// open returns a directory with the domains north.test and, relayed only, relay.test.
func open(t testing.TB, store kv.Store) *Directory {
	t.Helper()
	d := New(store, Config{DefaultDomain: "north.test"})
	t.Cleanup(d.Close)
	for name, opts := range map[string]DomainOptions{"north.test": {}, "relay.test": {Relay: true}} {
		if _, err := d.AddDomain(t.Context(), name, opts); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func add(t testing.TB, d *Directory, address string) Account {
	t.Helper()
	account, err := d.AddAccount(t.Context(), at(address), AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func alias(t testing.TB, d *Directory, address string, targets ...string) {
	t.Helper()
	if err := d.AddAlias(t.Context(), at(address), ats(targets...)); err != nil {
		t.Fatal(err)
	}
}

func TestResolve(t *testing.T) {
	d := open(t, memkv.New())
	ann := add(t, d, "Ann@north.test").ID
	bob := add(t, d, "bob@north.test").ID
	plus := add(t, d, "c+c@north.test").ID
	uml := add(t, d, "JÖRG@north.test").ID
	alias(t, d, "sales@north.test", "bob@north.test", "eve@far.test")

	for _, c := range []struct {
		claim   string
		address string
		want    Target
	}{
		{"an account", "bob@north.test", Target{Kind: KindAccount, Account: bob}},
		{"case does not matter", "aNN@NORTH.test", Target{Kind: KindAccount, Account: ann}},
		{"nor beyond ASCII, however composed", "jo\u0308rg@north.test", Target{Kind: KindAccount, Account: uml}},
		{"a sub-address keeps its detail as written", "ann+Big+Tag@north.test", Target{Kind: KindAccount, Account: ann, Detail: "Big+Tag"}},
		{"an exact address wins over a sub-address", "c+c@north.test", Target{Kind: KindAccount, Account: plus}},
		{"a separator at the start splits nothing", "+ann@north.test", Target{}},
		{"an alias, one step only", "sales@north.test", Target{Kind: KindAlias, Addresses: ats("bob@north.test", "eve@far.test")}},
		{"a sub-address of an alias", "sales+x@north.test", Target{Kind: KindAlias, Addresses: ats("bob@north.test", "eve@far.test"), Detail: "x"}},
		{"nobody", "eve@north.test", Target{}},
		{"the first account stands in for postmaster", "PostMaster@north.test", Target{Kind: KindAccount, Account: ann, StandIn: true}},
		{"and for abuse", "abuse@north.test", Target{Kind: KindAccount, Account: ann, StandIn: true}},
		{"and for our own sender of reports", "MAILER-DAEMON@north.test", Target{Kind: KindAccount, Account: ann, StandIn: true}},
		{"and for whom cron writes to", "root@north.test", Target{Kind: KindAccount, Account: ann, StandIn: true}},
		{"postmaster without domain is ours", "postmaster@", Target{Kind: KindAccount, Account: ann, StandIn: true}},
		{"a relayed domain", "any@relay.test", Target{Kind: KindRelay}},
		{"somebody else's domain", "ann@far.test", Target{Kind: KindRemote}},
		{"an address literal is somebody else's", "ann@[127.0.0.1]", Target{Kind: KindRemote}},
	} {
		for range 2 { // asked, then remembered
			got, err := d.Resolve(t.Context(), at(c.address))
			if err != nil {
				t.Errorf("%s: %v", c.claim, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", c.claim, c.address, diff)
			}
		}
	}
}

// Each change must show in the very next Resolve, made through the same directory or another one
// on the same store.
func TestResolveForgetsAtOnce(t *testing.T) {
	store := memkv.New()
	d := open(t, store)
	other := New(store, Config{DefaultDomain: "north.test"})
	defer other.Close()
	ctx := t.Context()
	var ann Account
	for _, step := range []struct {
		name    string
		do      func() error
		address string
		want    Kind
	}{
		{"nothing yet", func() error { return nil }, "ann@north.test", KindNone},
		{"account added", func() error { ann = add(t, d, "ann@north.test"); return nil }, "ann@north.test", KindAccount},
		{"it became postmaster", func() error { return nil }, "postmaster@north.test", KindAccount},
		{"unknown", func() error { return nil }, "who@north.test", KindNone},
		{"catch-all added", func() error { return d.AddAlias(ctx, at("*@north.test"), ats("ann@north.test")) }, "who@north.test", KindAlias},
		{"alias added in place of catch-all", func() error { return d.AddAlias(ctx, at("who@north.test"), ats("x@far.test")) }, "who+y@north.test", KindAlias},
		{"catch-all removed", func() error { return d.DeleteAlias(ctx, at("*@north.test")) }, "nobody@north.test", KindNone},
		{"alias removed", func() error { return d.DeleteAlias(ctx, at("who@north.test")) }, "who+y@north.test", KindNone},
		{"account removed", func() error { _, err := d.DeleteAccount(ctx, ann.ID, nil); return err }, "ann@north.test", KindNone},
		{"no postmaster any more", func() error { return nil }, "postmaster@north.test", KindNone},
		{"not ours", func() error { return nil }, "a@south.test", KindRemote},
		{"domain added", func() error { _, err := d.AddDomain(ctx, "south.test", DomainOptions{}); return err }, "a@south.test", KindNone},
		{"domain removed", func() error { return d.DeleteDomain(ctx, "south.test") }, "a@south.test", KindRemote},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for i, d := range []*Directory{d, other, d, other} {
			got, err := d.Resolve(ctx, at(step.address))
			if err != nil || got.Kind != step.want {
				t.Errorf("%s: directory %d resolves %s to kind %d (%v), want %d", step.name, i%2, step.address, got.Kind, err, step.want)
			}
		}
	}
}

func TestConflictsNameTheHolder(t *testing.T) {
	d := open(t, memkv.New())
	ctx := t.Context()
	ann := add(t, d, "ann@north.test")
	alias(t, d, "sales@north.test", "ann@north.test", "bob@far.test")

	again, err := d.AddAccount(ctx, at("ANN@north.test"), AccountOptions{})
	if !errors.Is(err, ErrExists) || again != ann || !strings.Contains(err.Error(), ann.ID.String()) {
		t.Errorf("account again: %+v, %v; want the account and ErrExists naming it", again, err)
	}
	if _, err := d.AddAccount(ctx, at("sales@north.test"), AccountOptions{}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "ann@north.test and 1 more") {
		t.Errorf("account over alias: %v; want ErrExists naming the targets", err)
	}
	if err := d.AddAlias(ctx, at("ann@north.test"), ats("x@far.test")); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), ann.ID.String()) {
		t.Errorf("alias over account: %v; want ErrExists naming it", err)
	}
	if err := d.SetAlias(ctx, at("ann@north.test"), ats("x@far.test")); !errors.Is(err, ErrExists) {
		t.Errorf("SetAlias over account: %v; want ErrExists", err)
	}
	if err := d.AddAlias(ctx, at("sales@north.test"), ats("ann@north.test", "bob@far.test")); err != nil {
		t.Errorf("the same alias again: %v; want no error", err)
	}
	if err := d.AddAlias(ctx, at("sales@north.test"), ats("x@far.test")); !errors.Is(err, ErrExists) {
		t.Errorf("alias with other targets: %v; want ErrExists", err)
	}
	if err := d.SetAlias(ctx, at("sales@north.test"), ats("x@far.test")); err != nil {
		t.Errorf("SetAlias: %v", err)
	}
}

func TestRefused(t *testing.T) {
	d := open(t, memkv.New())
	ctx := t.Context()
	for _, c := range []struct {
		claim string
		err   error
		want  error
	}{
		{"account in nobody's domain", second(d.AddAccount(ctx, at("a@far.test"), AccountOptions{})), ErrNoDomain},
		{"account in a relayed domain", second(d.AddAccount(ctx, at("a@relay.test"), AccountOptions{})), ErrInvalid},
		{"catch-all as account", second(d.AddAccount(ctx, at("*@north.test"), AccountOptions{})), ErrInvalid},
		{"empty local-part", second(d.AddAccount(ctx, at("@north.test"), AccountOptions{})), ErrInvalid},
		{"long local-part", second(d.AddAccount(ctx, at(strings.Repeat("a", MaxLocal+1)+"@north.test"), AccountOptions{})), ErrInvalid},
		{"negative quota", second(d.AddAccount(ctx, at("a@north.test"), AccountOptions{Quota: -1})), ErrInvalid},
		{"alias without targets", d.AddAlias(ctx, at("a@north.test"), nil), ErrInvalid},
		{"alias with too many", d.AddAlias(ctx, at("a@north.test"), make([]mail.Address, MaxTargets+1)), ErrInvalid},
		{"alias to nonsense", d.AddAlias(ctx, at("a@north.test"), ats("x@bad domain")), ErrInvalid},
		{"no domain name", second(d.AddDomain(ctx, "bad domain", DomainOptions{})), ErrInvalid},
		{"long domain name", second(d.AddDomain(ctx, strings.Repeat("a.", 130), DomainOptions{})), ErrInvalid},
		{"the same domain with other options", second(d.AddDomain(ctx, "relay.test", DomainOptions{})), ErrExists},
		{"no such alias", d.DeleteAlias(ctx, at("a@north.test")), ErrNoAlias},
		{"no such account", second(d.DeleteAccount(ctx, 1234567890, nil)), ErrNoAccount},
		{"quota of no account", d.SetQuota(ctx, 1234567890, 1), ErrNoAccount},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: got %v, want %v", c.claim, c.err, c.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestDomainNames(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 49)+".", 4) + strings.Repeat("b", 49) // 249 bytes
	d := open(t, memkv.New())
	for given, want := range map[string]string{
		"Bücher.Example.": "xn--bcher-kva.example",
		"EXAMPLE.org":     "example.org",
		long:              long,
	} {
		got, err := d.AddDomain(t.Context(), given, DomainOptions{})
		if err != nil || got.Name != want {
			t.Errorf("AddDomain(%s) = %s, %v; want %s", given, got.Name, err, want)
		}
		if again, err := d.Domain(t.Context(), want); err != nil || again != got {
			t.Errorf("Domain(%s) = %+v, %v; want %+v", want, again, err, got)
		}
		if id := add(t, d, "x@"+want).ID; id == 0 {
			t.Errorf("no account in %s", want)
		}
	}
}

func TestAccountByLogin(t *testing.T) {
	d := open(t, memkv.New())
	if _, err := d.AddDomain(t.Context(), "bücher.test", DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	ann := add(t, d, "ann@north.test")
	bob := add(t, d, "bob@xn--bcher-kva.test")
	alias(t, d, "sales@north.test", "ann@north.test")
	for login, want := range map[string]mail.AccountID{
		"ann@north.test": ann.ID, "Ann@North.Test": ann.ID, "ann": ann.ID, "bob@BÜCHER.test": bob.ID,
		"bob": 0, "sales@north.test": 0, "ann+tag@north.test": 0, "": 0, "@": 0, "ann@": 0, "@north.test": 0, "\x00": 0,
		strings.Repeat("x", 5000): 0, "postmaster@north.test": 0, "*@north.test": 0,
	} {
		got, err := d.AccountByLogin(t.Context(), login)
		if got.ID != want || (want == 0) != errors.Is(err, ErrNoAccount) {
			t.Errorf("login %.20q: account %s, %v; want %s", login, got.ID, err, want)
		}
	}
}

func TestOwns(t *testing.T) {
	d := open(t, memkv.New())
	ann, bob := add(t, d, "ann@north.test").ID, add(t, d, "bob@north.test").ID
	alias(t, d, "team@north.test", "bob@north.test", "eve@far.test")
	alias(t, d, "all@north.test", "team@north.test")
	alias(t, d, "loop@north.test", "loop@north.test", "pool@north.test")
	alias(t, d, "pool@north.test", "loop@north.test", "bob@north.test")
	for _, c := range []struct {
		who     mail.AccountID
		address string
		want    bool
	}{
		{ann, "ann@north.test", true}, {ann, "ann+x@north.test", true}, {ann, "bob@north.test", false},
		{bob, "all@north.test", true}, {ann, "all@north.test", false}, {bob, "eve@far.test", false},
		{ann, "postmaster@north.test", true}, {bob, "postmaster@north.test", false},
		{ann, "nobody@north.test", false}, {ann, "x@relay.test", false},
		{bob, "loop@north.test", true}, {ann, "loop@north.test", false},
	} {
		if got, err := d.Owns(t.Context(), c.who, at(c.address)); err != nil || got != c.want {
			t.Errorf("%s owns %s: %t, %v; want %t", c.who, c.address, got, err, c.want)
		}
	}
}

func TestListingsAreOrderedAndComplete(t *testing.T) {
	d := open(t, memkv.New())
	ctx := t.Context()
	if _, err := d.AddDomain(ctx, "a.test", DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"zoe@a.test"}
	add(t, d, "zoe@a.test")
	for i := range 10_000 { // more than a page in most buckets
		name := fmt.Sprintf("u%05d@north.test", i)
		if i%2 == 0 {
			alias(t, d, name, "x@far.test")
		} else if i%100 == 1 {
			add(t, d, name)
			want = append(want, name)
		}
	}
	var got []string
	for account, err := range d.Accounts(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, account.Address.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	aliases := 0
	for a, err := range d.Aliases(ctx, "north.test") {
		if want := fmt.Sprintf("u%05d@north.test", 2*aliases); err != nil || a.Address.String() != want {
			t.Fatalf("alias %d is %s, %v; want %s", aliases, a.Address, err, want)
		}
		aliases++
	}
	if aliases != 5000 {
		t.Errorf("%d aliases, want 5000", aliases)
	}
	var domains []string
	err := d.Domains(ctx, func(d Domain) error { domains = append(domains, d.Name); return nil })
	if diff := cmp.Diff([]string{"a.test", "north.test", "relay.test"}, domains); err != nil || diff != "" {
		t.Errorf("domains: %v (-want +got):\n%s", err, diff)
	}
	for account, err := range d.Accounts(ctx, "a.test") {
		if err != nil || account.Address.Local != "zoe" {
			t.Errorf("a.test has %s, %v", account.Address, err)
		}
	}
	if err := d.DeleteDomain(ctx, "a.test"); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("deleting a domain with an account: %v, want ErrNotEmpty", err)
	}
}

func TestDeleteAccount(t *testing.T) {
	d := open(t, memkv.New())
	ctx := t.Context()
	ann := add(t, d, "ann@north.test")
	bob := add(t, d, "bob@north.test")
	if err := d.SetCredentials(ctx, ann.ID, Credentials{Hash: "x"}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk on fire")
	got, err := d.DeleteAccount(ctx, ann.ID, func(_ context.Context, a Account) error {
		if target, _ := d.Resolve(ctx, a.Address); target.Kind != KindNone {
			t.Error("mail still comes in while the account is erased")
		}
		if c, _ := d.Credentials(ctx, a.ID); c.Hash != "" {
			t.Error("its password still works while the account is erased")
		}
		return broken
	})
	if !errors.Is(err, broken) || got.ID != ann.ID {
		t.Fatalf("got %+v, %v; want the error of erase", got, err)
	}
	if _, err := d.AddAccount(ctx, ann.Address, AccountOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("the address of a half-deleted account is free: %v", err)
	}
	if target, _ := d.Resolve(ctx, at("postmaster@north.test")); target.Account != bob.ID {
		t.Errorf("postmaster is %+v, want the other account", target)
	}
	half, err := d.AccountByAddress(ctx, ann.Address)
	if err != nil || !half.Leaving {
		t.Fatalf("half-deleted account: %+v, %v; want to find it leaving", half, err)
	}
	if _, err := d.DeleteAccount(ctx, half.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Account(ctx, ann.ID); !errors.Is(err, ErrNoAccount) {
		t.Errorf("deleted account: %v, want ErrNoAccount", err)
	}
	if again := add(t, d, "ann@north.test"); again.ID == ann.ID {
		t.Error("an account ID was used twice")
	}
}

// Of many who make one address at the same time exactly one wins, and the account is his.
func TestConcurrentAddAccount(t *testing.T) {
	d := open(t, memkv.New())
	const makers = 16
	for round := range 20 {
		address := mail.Address{Local: fmt.Sprint("u", round), Domain: "north.test"}
		var wg sync.WaitGroup
		accounts, errs := make([]Account, makers), make([]error, makers)
		for i := range makers {
			wg.Go(func() {
				accounts[i], errs[i] = d.AddAccount(t.Context(), address, AccountOptions{Name: fmt.Sprint(i)})
			})
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			if err == nil && winner >= 0 {
				t.Fatalf("%d and %d both made %s", winner, i, address)
			}
			if err == nil {
				winner = i
			} else if !errors.Is(err, ErrExists) {
				t.Fatal(err)
			}
		}
		got, err := d.AccountByAddress(t.Context(), address)
		if err != nil || winner < 0 || got != accounts[winner] {
			t.Fatalf("%s is %+v, %v; want that of maker %d", address, got, err, winner)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	d := open(t, memkv.New())
	for i := range maxDomains + 100 {
		if _, err := d.Resolve(t.Context(), at(fmt.Sprintf("x@d%d.test", i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxAnswers + 100 {
		if _, err := d.Resolve(t.Context(), at(fmt.Sprintf("x%d@north.test", i))); err != nil {
			t.Fatal(err)
		}
	}
	d.cache.mu.Lock()
	answers, domains := len(d.cache.answers), len(d.cache.domains)
	d.cache.mu.Unlock()
	if answers > maxAnswers || domains > maxDomains {
		t.Errorf("%d answers and %d domains are remembered, want at most %d and %d", answers, domains, maxAnswers, maxDomains)
	}
}

func TestSecretIsTheSameForAll(t *testing.T) {
	store := memkv.New()
	a, b := open(t, store), New(store, Config{})
	defer b.Close()
	first, err1 := a.Secret(t.Context(), "x")
	second, err2 := b.Secret(t.Context(), "x")
	other, err3 := b.Secret(t.Context(), "y")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if len(first) != SecretBytes || string(first) != string(second) || string(first) == string(other) {
		t.Errorf("secrets %x, %x and %x: want the same, the same, another", first, second, other)
	}
}

func BenchmarkResolve(b *testing.B) {
	d := open(b, memkv.New())
	add(b, d, "ann@north.test")
	for b.Loop() {
		if _, err := d.Resolve(b.Context(), mail.Address{Local: "ann+tag", Domain: "north.test"}); err != nil {
			b.Fatal(err)
		}
	}
}
