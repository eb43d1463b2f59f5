package directory

import (
	"context"
	"errors"
	"testing"

	"posthaste/kv"
	"posthaste/kv/memkv"
)

var errCrash = errors.New("power cut")

// A failing store lets a number of Updates through, then none. With unknown, the last one that it
// lets through is committed and yet reported as unknown, until the caller gives up.
type failing struct {
	kv.Store
	left    int
	unknown bool
}

func (f *failing) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	if f.left--; f.left < 0 {
		return 0, errCrash
	}
	v, err := f.Store.Update(ctx, p, fn)
	if err == nil && f.unknown && f.left%2 == 0 {
		return 0, kv.ErrUnknown
	}
	return v, err
}

// Whatever step a crash cuts, doing it again finishes the work, and until then mail for the address
// goes nowhere rather than to somebody else.
func TestCrashBetweenSteps(t *testing.T) {
	for steps := range 8 {
		store := memkv.New()
		open(t, store)
		broken := New(&failing{Store: store, left: steps}, Config{})
		made, err := broken.AddAccount(t.Context(), at("ann@north.test"), AccountOptions{})
		broken.Close()
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatalf("after %d steps: %v", steps, err)
		}
		d := New(store, Config{})
		again, errAgain := d.AddAccount(t.Context(), at("ann@north.test"), AccountOptions{})
		switch {
		case err == nil && (!errors.Is(errAgain, ErrExists) || again != made):
			t.Errorf("made, then again: %+v, %v; want %+v, ErrExists", again, errAgain, made)
		case errAgain != nil && !errors.Is(errAgain, ErrExists):
			t.Errorf("cut after %d steps, then again: %v", steps, errAgain)
		}
		target, err := d.Resolve(t.Context(), at("ann@north.test"))
		if err != nil || target.Account != again.ID || again.ID == 0 {
			t.Errorf("cut after %d steps, then again: %+v, %v; want account %s", steps, target, err, again.ID)
		}
		if target, err := d.Resolve(t.Context(), at("postmaster@north.test")); err != nil || target.Account != again.ID {
			t.Errorf("cut after %d steps, then again: postmaster is %+v, %v; want account %s", steps, target, err, again.ID)
		}

		broken = New(&failing{Store: store, left: steps}, Config{})
		_, err = broken.DeleteAccount(t.Context(), again.ID, nil)
		broken.Close()
		if err != nil {
			left, err := d.AccountByAddress(t.Context(), at("ann@north.test"))
			if errors.Is(err, ErrNoAccount) { // the address is free; what is left is by ID
				left, err = again, nil
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.DeleteAccount(t.Context(), left.ID, nil); err != nil {
				t.Errorf("delete cut after %d steps, then again: %v", steps, err)
			}
		}
		if _, err := d.Account(t.Context(), again.ID); !errors.Is(err, ErrNoAccount) {
			t.Errorf("delete cut after %d steps, then again: the account is there (%v)", steps, err)
		}
		d.Close()
	}
}

func TestUnknownOutcomeIsRepeated(t *testing.T) {
	store := memkv.New()
	open(t, store)
	d := New(&failing{Store: store, left: 1000, unknown: true}, Config{})
	defer d.Close()
	ann, err := d.AddAccount(t.Context(), at("ann@north.test"), AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if target, err := d.Resolve(t.Context(), at("ann@north.test")); err != nil || target.Account != ann.ID {
		t.Errorf("resolves to %+v, %v; want %s", target, err, ann.ID)
	}
	if err := d.AddAlias(t.Context(), at("a@north.test"), ats("b@far.test")); err != nil {
		t.Error(err)
	}
	if err := d.DeleteAlias(t.Context(), at("a@north.test")); err != nil {
		t.Errorf("a repeated deletion finds nothing and is right: %v", err)
	}
	if _, err := d.DeleteAccount(t.Context(), ann.ID, nil); err != nil {
		t.Errorf("delete: %v", err)
	}
}
