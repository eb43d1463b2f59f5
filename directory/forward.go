package directory

import (
	"context"

	"posthaste/mail"
)

// A Forward sends the mail of an account to other addresses.
type Forward struct {
	To   []mail.Address `json:"to"`
	Keep bool           `json:"keep,omitempty"` // the account gets its mail too
}

// SetForward sends mail for the account with an address to 1 to MaxTargets others; without any it ends
// that. It is for the whole account, its sub-addresses included. ErrNoAccount says that the address is
// no account's.
func (d *Directory) SetForward(ctx context.Context, address mail.Address, f Forward) error {
	address, err := checkAddress(address)
	if err != nil {
		return err
	}
	var targets []mail.Address
	if len(f.To) > 0 {
		if targets, err = checkTargets(address, f.To); err != nil {
			return err
		}
	}
	return d.updateRecord(ctx, address, func(old *record) (*record, error) {
		if old == nil || old.State != active {
			return nil, noAccount(address.String())
		}
		old.Forward, old.Keep = targets, f.Keep && targets != nil
		return old, nil
	})
}

// Forward returns where the mail of the account with an address goes; nowhere else when it names none.
func (d *Directory) Forward(ctx context.Context, address mail.Address) (Forward, error) {
	r, err := d.record(ctx, normal(address))
	if err == nil && (r.Account == 0 || r.State == claimed) {
		err = noAccount(address.String())
	}
	return Forward{To: r.Forward, Keep: r.Keep}, err
}

// forwardOf returns where an account that forwards leads. Among its own targets its address means its
// mailbox.
func forwardOf(r record) Target {
	target := Target{Kind: KindAlias, Account: r.Account}
	own, keep := normal(r.Address), r.Keep
	for _, to := range r.Forward {
		if normal(to) == own {
			keep = true
			continue
		}
		target.Addresses = append(target.Addresses, to)
	}
	if keep {
		box := Branch{Address: r.Address, Target: Target{Kind: KindAccount, Account: r.Account}}
		target.Branches = []Branch{box}
	}
	return target
}
