package ban

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthaste/wire"
)

// ErrNoBan means that nobody is banned under that name.
var ErrNoBan = errors.New("ban: there is no such ban")

// Add bans a subject for a while, 0 being until it is removed, in the place of a ban that it may have.
// It returns once the ban is stored.
func (b *Bans) Add(ctx context.Context, who Subject, d time.Duration, reason string, now time.Time) (Ban, error) {
	ban, err := b.operators(who, d, reason, now)
	if err != nil {
		return Ban{}, err
	}
	if b.store != nil {
		if err := b.store.write(ctx, map[Subject]Ban{who: ban}); err != nil {
			return Ban{}, err
		}
	}
	b.mu.Lock()
	b.begin(ban, now)
	b.mu.Unlock()
	b.tell(ban, "by an operator")
	return ban, nil
}

// operators returns the ban that an operator asks for.
func (b *Bans) operators(who Subject, d time.Duration, reason string, now time.Time) (Ban, error) {
	reason = strings.ToValidUTF8(strings.Join(strings.Fields(reason), " "), "?")
	switch {
	case who == Subject{}:
		return Ban{}, errors.New("ban: nobody is named")
	case d < 0:
		return Ban{}, fmt.Errorf("ban: %v is no time to be banned", d)
	case len(reason) > maxReason:
		return Ban{}, fmt.Errorf("ban: the reason has %d bytes (%d allowed)", len(reason), maxReason)
	case strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' || r > '~' }):
		return Ban{}, errors.New("ban: the reason goes to clients: printable ASCII only")
	}
	if s := b.settings.Load(); who.Network.IsValid() && wire.Contains(s.exempt, who.Network.Addr()) {
		return Ban{}, fmt.Errorf("ban: %s is exempt (limits.exempt, ban.allow), a ban would have no effect", who)
	}
	ban := Ban{Subject: who, Reason: cmp.Or(reason, "banned"), Since: now.UTC().Truncate(time.Second)}
	if d > 0 {
		ban.Until = ban.Since.Add(d)
	}
	return ban, nil
}

// Remove ends a ban and forgets what led to it. It returns ErrNoBan where there is none.
func (b *Bans) Remove(ctx context.Context, who Subject, now time.Time) error {
	b.mu.Lock()
	e := b.bans[who]
	delete(b.histories, who)
	b.mu.Unlock()
	if e == nil || !e.holds(now) {
		return fmt.Errorf("%w: %s", ErrNoBan, who)
	}
	if b.store != nil {
		if err := b.store.remove(ctx, who); err != nil {
			return err
		}
	}
	b.mu.Lock()
	b.end(who)
	b.mu.Unlock()
	b.log.Info("ban removed", "subject", who.String())
	return nil
}

// List returns the bans in force at now, the latest first.
func (b *Bans) List(now time.Time) []Ban {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []Ban
	for _, e := range b.bans {
		if e.holds(now) {
			ban := e.Ban
			ban.Hits = e.hits.Load()
			all = append(all, ban)
		}
	}
	slices.SortFunc(all, func(x, y Ban) int {
		return cmp.Or(y.Since.Compare(x.Since), cmp.Compare(x.Subject.String(), y.Subject.String()))
	})
	return all
}
