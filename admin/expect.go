package admin

import (
	"context"
	"time"

	"posthaste/filter/greylist"
)

// An ExpectRequest says what mail somebody waits for.
type ExpectRequest struct {
	Address string        `json:"address"`
	From    string        `json:"from,omitempty"` // a domain; empty: from anywhere
	For     time.Duration `json:"for"`
}

// Expect lets that mail through without greylisting.
func (a *Admin) Expect(ctx context.Context, r ExpectRequest) (greylist.Expectation, error) {
	to, err := a.address(r.Address)
	if err != nil {
		return greylist.Expectation{}, err
	}
	now := time.Now()
	e := greylist.Expectation{To: to, From: r.From, Until: now.Add(r.For).UTC().Truncate(time.Second)}
	return e, a.cfg.Greylist.Expect(ctx, e, now)
}
