package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"posthaste/directory"
	"posthaste/mail"
	"posthaste/quarantine"
	"posthaste/trace"
)

// A QuarantineRequest says which messages in the quarantine are meant, and what to learn from it.
type QuarantineRequest struct {
	ID    string    `json:"id,omitempty"`  // of show, release and delete
	For   string    `json:"for,omitempty"` // only for the user with this address; empty: for all
	Since time.Time `json:"since,omitzero"`
	Limit int       `json:"limit,omitempty"`
	Spam  bool      `json:"spam,omitempty"`  // delete: learn that it is spam
	Trust bool      `json:"trust,omitempty"` // release: trust its author from now on
}

// QuarantineList yields the messages in the quarantine, the newest first.
func (a *Admin) QuarantineList(ctx context.Context, r QuarantineRequest) iter.Seq2[quarantine.Entry, error] {
	return func(yield func(quarantine.Entry, error) bool) {
		f := quarantine.Filter{Since: r.Since, Limit: r.Limit}
		var err error
		if r.For != "" {
			f.Account, f.Recipient, err = a.quarantineUser(ctx, r.For)
		}
		var list []quarantine.Entry
		if err == nil {
			list, err = a.cfg.Quarantine.List(ctx, f)
		}
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(quarantine.Entry{}, err)
		}
	}
}

// quarantineUser returns the account that an address is of or, where it is of none, the address.
func (a *Admin) quarantineUser(ctx context.Context, text string) (mail.AccountID, mail.Address, error) {
	address, err := a.address(text)
	if err != nil {
		return 0, mail.Address{}, err
	}
	account, err := a.cfg.Directory.AccountByAddress(ctx, address)
	if errors.Is(err, directory.ErrNoAccount) {
		return 0, address, nil
	}
	return account.ID, mail.Address{}, err
}

// QuarantineShow returns one message with its header, its verdict and the beginning of its text.
func (a *Admin) QuarantineShow(ctx context.Context, r QuarantineRequest) (quarantine.Shown, error) {
	id, err := a.quarantineID(ctx, r.ID)
	if err != nil {
		return quarantine.Shown{}, err
	}
	shown, err := a.cfg.Quarantine.Show(ctx, id)
	return shown, explainQuarantine(r.ID, err)
}

// quarantineID returns the ID that a message has in the quarantine. An operator may also name the queue ID
// under which it came, which is in its header, the log and the trace.
func (a *Admin) quarantineID(ctx context.Context, text string) (quarantine.ID, error) {
	id, err := mail.ParseQueueID(text)
	if err != nil {
		return "", noQuarantined(text)
	}
	if _, err = a.cfg.Quarantine.Show(ctx, id); !errors.Is(err, quarantine.ErrNotFound) || a.cfg.Trace == nil {
		return id, nil
	}
	story, err := a.cfg.Trace.Story(ctx, text, 0)
	for _, e := range story {
		if e.Step == trace.Quarantine && e.ID == id && e.Asked != "" {
			return mail.QueueID(e.Asked), err
		}
	}
	return id, err
}

// QuarantineRelease delivers a message after all.
func (a *Admin) QuarantineRelease(ctx context.Context, r QuarantineRequest) error {
	return a.quarantineDo(ctx, r, a.cfg.Quarantine.Release)
}

// QuarantineDelete drops a message.
func (a *Admin) QuarantineDelete(ctx context.Context, r QuarantineRequest) error {
	return a.quarantineDo(ctx, r, a.cfg.Quarantine.Delete)
}

func (a *Admin) quarantineDo(ctx context.Context, r QuarantineRequest, do func(context.Context, quarantine.ID, quarantine.Choice) error) error {
	id, err := a.quarantineID(ctx, r.ID)
	if err != nil {
		return err
	}
	c := quarantine.Choice{By: "an administrator", Spam: r.Spam, Trust: r.Trust}
	if r.For != "" {
		account, address, err := a.quarantineUser(ctx, r.For)
		if err != nil {
			return err
		}
		c.Owner = quarantine.Owner(account, address)
	}
	return explainQuarantine(r.ID, do(ctx, id, c))
}

// explainQuarantine puts the conditions of the quarantine in words for an operator.
func explainQuarantine(id string, err error) error {
	switch {
	case errors.Is(err, quarantine.ErrNotFound):
		return noQuarantined(id)
	case errors.Is(err, quarantine.ErrGone):
		return fmt.Errorf("message %s is not in the quarantine any more: posthaste quarantine show %s tells what became of it", id, id)
	}
	return err
}

func noQuarantined(id string) error {
	return fmt.Errorf("there is no message %q in the quarantine: posthaste quarantine list shows them", id)
}
