package directory

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/kv/memkv"
	"posthaste/mail"
)

func TestForwardOfAnAccount(t *testing.T) {
	store := memkv.New()
	d, other := open(t, store), New(store, Config{DefaultDomain: "north.test"})
	defer other.Close()
	ann := add(t, d, "ann@north.test").ID
	own := []Branch{{Address: at("ann@north.test"), Target: Target{Kind: KindAccount, Account: ann}}}
	for _, c := range []struct {
		claim string
		set   Forward
		want  Target
	}{
		{"elsewhere", Forward{To: ats("eve@far.test")}, Target{Kind: KindAlias, Account: ann, Addresses: ats("eve@far.test")}},
		{"with a copy", Forward{To: ats("eve@far.test"), Keep: true}, Target{Kind: KindAlias, Account: ann, Addresses: ats("eve@far.test"), Branches: own}},
		{"to itself and elsewhere", Forward{To: ats("ANN@north.test", "eve@far.test")}, Target{Kind: KindAlias, Account: ann, Addresses: ats("eve@far.test"), Branches: own}},
		{"ended", Forward{Keep: true}, Target{Kind: KindAccount, Account: ann}},
	} {
		if err := d.SetForward(t.Context(), at("ann@north.test"), c.set); err != nil {
			t.Fatal(err)
		}
		for name, d := range map[string]*Directory{"it": d, "another one": other} {
			got, err := d.Resolve(t.Context(), at("ann@north.test"))
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s: %s answers %v (-want +got):\n%s", c.claim, name, err, diff)
			}
		}
		if ok, err := d.Owns(t.Context(), ann, at("ann+x@north.test")); !ok || err != nil {
			t.Errorf("%s: the account may not send as its own address (%v)", c.claim, err)
		}
		if account, err := d.AccountByLogin(t.Context(), "ann"); err != nil || account.ID != ann {
			t.Errorf("%s: logging in gives %v, %v", c.claim, account, err)
		}
	}
}

func TestForwardIsRefused(t *testing.T) {
	d := open(t, memkv.New())
	add(t, d, "ann@north.test")
	alias(t, d, "sales@north.test", "ann@north.test")
	for _, c := range []struct {
		claim, address string
		to             []mail.Address
		want           error
	}{
		{"of nobody", "eve@north.test", ats("x@far.test"), ErrNoAccount},
		{"of an alias", "sales@north.test", ats("x@far.test"), ErrNoAccount},
		{"to no address", "ann@north.test", ats("x@-"), ErrInvalid},
		{"to too many", "ann@north.test", slices.Repeat(ats("x@far.test"), MaxTargets+1), ErrInvalid},
	} {
		if err := d.SetForward(t.Context(), at(c.address), Forward{To: c.to}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.claim, err, c.want)
		}
	}
}

func TestMoved(t *testing.T) {
	d := open(t, memkv.New())
	add(t, d, "ann@north.test")
	old, now := at("old@north.test"), at("new@far.test")
	for code, want := range map[int]string{MovedForward: "251 2.1.5 old@north.test has moved, we forward to <new@far.test>",
		MovedRefuse: "551 5.1.6 old@north.test has moved, please try <new@far.test>"} {
		if err := d.SetMoved(t.Context(), old, now, code); err != nil {
			t.Fatal(err)
		}
		got, err := d.Resolve(t.Context(), old)
		if err != nil || got.Kind != KindMoved || got.Status.Error() != want || !slices.Equal(got.Addresses, []mail.Address{now}) {
			t.Errorf("%d: %+v, %v; want %s", code, got, err, want)
		}
	}
	if err := d.AddAlias(t.Context(), old, []mail.Address{now}); !errors.Is(err, ErrExists) {
		t.Errorf("an alias in its place: %v, want ErrExists", err)
	}
	if err := d.SetMoved(t.Context(), at("ann@north.test"), now, MovedForward); !errors.Is(err, ErrExists) {
		t.Errorf("an account in its place: %v, want ErrExists", err)
	}
	if err := d.SetMoved(t.Context(), old, now, 250); !errors.Is(err, ErrInvalid) {
		t.Errorf("another code: %v, want ErrInvalid", err)
	}
	if err := d.DeleteAlias(t.Context(), old); err != nil {
		t.Error(err)
	}
	if got, err := d.Resolve(t.Context(), old); err != nil || got.Kind != KindNone {
		t.Errorf("deleted: %v, %v", got, err)
	}
}
