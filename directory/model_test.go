package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"posthaste/kv/memkv"
	"posthaste/mail"
)

// A model is what the directory should know about one domain.
type model struct {
	accounts map[string]mail.AccountID
	aliases  map[string][]mail.Address
	first    mail.AccountID
}

func (m *model) resolve(local string) Target {
	local = strings.ToLower(local)
	if target, ok := m.exact(local); ok {
		return target
	}
	if user, detail, ok := strings.Cut(local, "+"); ok && user != "" {
		if target, ok := m.exact(user); ok {
			target.Detail = detail
			return target
		}
	}
	if m.first != 0 && local == "postmaster" {
		return Target{Kind: KindAccount, Account: m.first}
	}
	target, ok := m.exact("*")
	target.CatchAll = ok
	return target
}

func (m *model) exact(local string) (Target, bool) {
	if id, ok := m.accounts[local]; ok {
		return Target{Kind: KindAccount, Account: id}, true
	}
	targets, ok := m.aliases[local]
	if ok {
		return Target{Kind: KindAlias, Addresses: targets}, true
	}
	return Target{}, false
}

func (m *model) held(local string) bool {
	_, ok := m.exact(local)
	return ok
}

// Whatever is done to it, the directory answers as the model does, through a cache or without.
func TestDirectoryIsLikeItsModel(t *testing.T) {
	locals := []string{"a", "b", "a+x", "c", "postmaster", "*"}
	rapid.Check(t, func(t *rapid.T) {
		store := memkv.New()
		d := New(store, Config{})
		defer d.Close()
		if _, err := d.AddDomain(t.Context(), "north.test", DomainOptions{}); err != nil {
			t.Fatal(err)
		}
		m := model{accounts: map[string]mail.AccountID{}, aliases: map[string][]mail.Address{}}
		local := rapid.SampledFrom(locals)
		t.Repeat(map[string]func(*rapid.T){
			"add account": func(t *rapid.T) {
				name := local.Filter(func(s string) bool { return s != "*" }).Draw(t, "local")
				account, err := d.AddAccount(t.Context(), mail.Address{Local: strings.ToUpper(name), Domain: "north.test"}, AccountOptions{})
				if held := m.held(name); held != errors.Is(err, ErrExists) || !held && err != nil {
					t.Fatalf("add account %s, held %t: %v", name, held, err)
				}
				if err != nil {
					return
				}
				m.accounts[name] = account.ID
				if m.first == 0 {
					m.first = account.ID
				}
			},
			"delete account": func(t *rapid.T) {
				name := local.Draw(t, "local")
				account, err := d.AccountByAddress(t.Context(), mail.Address{Local: name, Domain: "north.test"})
				if account.ID != m.accounts[name] {
					t.Fatalf("account %s is %s (%v), want %s", name, account.ID, err, m.accounts[name])
				}
				if err != nil {
					return
				}
				if _, err := d.DeleteAccount(t.Context(), account.ID, nil); err != nil {
					t.Fatal(err)
				}
				delete(m.accounts, name)
				if m.first == account.ID {
					m.first = m.next()
				}
			},
			"set alias": func(t *rapid.T) {
				name, target := local.Draw(t, "local"), local.Draw(t, "target")
				targets := []mail.Address{{Local: target, Domain: "north.test"}}
				err := d.SetAlias(t.Context(), mail.Address{Local: name, Domain: "north.test"}, targets)
				if taken := m.accounts[name] != 0; taken != errors.Is(err, ErrExists) || !taken && err != nil {
					t.Fatalf("set alias %s, taken %t: %v", name, taken, err)
				}
				if err == nil {
					m.aliases[name] = targets
				}
			},
			"delete alias": func(t *rapid.T) {
				name := local.Draw(t, "local")
				err := d.DeleteAlias(t.Context(), mail.Address{Local: name, Domain: "north.test"})
				if _, ok := m.aliases[name]; ok != (err == nil) {
					t.Fatalf("delete alias %s: %v", name, err)
				}
				delete(m.aliases, name)
			},
			"": func(t *rapid.T) {
				for _, name := range slices.Concat(locals, []string{"B+y", "nobody"}) {
					for range 2 {
						got, err := d.Resolve(t.Context(), mail.Address{Local: name, Domain: "north.test"})
						want := m.resolve(name)
						if err != nil || got.Kind != want.Kind || got.Account != want.Account || got.Detail != want.Detail ||
							got.CatchAll != want.CatchAll || !slices.Equal(got.Addresses, want.Addresses) {
							t.Fatalf("%s resolves to %+v, %v; want %+v", name, got, err, want)
						}
					}
				}
			},
		})
	})
}

// next is the account that stands in once the first has left: that of the least address.
func (m *model) next() mail.AccountID {
	least := ""
	for name := range m.accounts {
		if least == "" || name < least {
			least = name
		}
	}
	return m.accounts[least]
}
