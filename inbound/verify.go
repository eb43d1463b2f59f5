package inbound

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"posthaste/explain"
	"posthaste/kv"
	"posthaste/mail"
)

// A Prober asks the next host for an address whether it takes mail for it, from the null sender, and
// hands over none. The answer to RCPT has the host in its Peer; without Peer nobody could be asked.
type Prober interface {
	Probe(ctx context.Context, to mail.Address) *mail.Status
}

// Times of a [Verifier], as Postfix's verify(8) has them.
const (
	positiveFresh = 7 * 24 * time.Hour  // a yes is not asked again
	positiveKept  = 31 * 24 * time.Hour // it counts while nobody can be asked
	negativeFresh = 3 * time.Hour
	negativeKept  = 3 * 24 * time.Hour

	probeTime = 6 * time.Second // a client waits at RCPT meanwhile
	downTime  = time.Minute     // a domain whose primary did not answer is not asked again
	maxDown   = 1000            // domains remembered as such
)

// A Verifier tells whether recipients of other hosts exist, by asking ahead, and remembers the answers.
type Verifier struct {
	prober Prober
	cache  verifyCache
	strict bool
	log    *slog.Logger
	flight singleflight.Group

	mu   sync.Mutex // guards down
	down map[string]time.Time
}

// A VerifierConfig says how a Verifier works.
type VerifierConfig struct {
	KV     kv.Store
	Prober Prober
	Defer  bool         // who cannot be asked about is put off (450), not taken
	Log    *slog.Logger // default: none
}

// NewVerifier returns a Verifier.
func NewVerifier(cfg VerifierConfig) *Verifier {
	v := &Verifier{prober: cfg.Prober, cache: verifyCache{cfg.KV}, strict: cfg.Defer, log: cfg.Log, down: map[string]time.Time{}}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	return v
}

// Check returns nil for a recipient that exists, a permanent *mail.Status for one that does not. While
// the host that knows cannot be asked and nothing is remembered, all are taken, as a backup has to, or
// put off, as configured. What was taken so and is refused later is reported to its sender; that is the
// one report about relayed mail that an unknown recipient can cause.
func (v *Verifier) Check(ctx context.Context, to mail.Address) error {
	to.Local = strings.ToLower(to.Local)
	known, err := v.cache.load(ctx, to)
	if err != nil {
		v.log.Warn("inbound: cannot read what is remembered about a recipient", "to", to.String(), "err", err)
	}
	now := time.Now()
	if known.fresh(now) {
		explain.Note(ctx, "verify", "%s: remembered since %s: %s", to, known.At.Format(time.DateTime), known.Answer.Error())
		return known.verdict(to)
	}
	if answer, ok := v.ask(ctx, to, now); ok {
		return answer.verdict(to)
	}
	switch {
	case known.kept(now):
		explain.Note(ctx, "verify", "%s: its host cannot be asked; what it said on %s still counts: %s", to, known.At.Format(time.DateTime), known.Answer.Error())
		return known.verdict(to)
	case v.strict:
		explain.Note(ctx, "verify", "%s: its host cannot be asked, so it is put off", to)
		return mail.NewStatus(450, "4.4.1", "the host of %s cannot be asked about this recipient now, try again later", to.Domain)
	}
	explain.Note(ctx, "verify", "%s: its host cannot be asked, so it is taken until the host is back", to)
	return nil
}

// ask asks the next host, once for all who want to know at the same time. It is false without an answer
// that settles the matter.
func (v *Verifier) ask(ctx context.Context, to mail.Address, now time.Time) (verified, bool) {
	if v.isDown(to.Domain, now) {
		return verified{}, false
	}
	probe := context.WithoutCancel(ctx) // others may wait for it when this client has gone
	answer := v.flight.DoChan(to.String(), func() (any, error) {
		probe, cancel := context.WithTimeout(probe, probeTime)
		defer cancel()
		return v.probe(probe, to, now), nil
	})
	select {
	case r := <-answer:
		got := r.Val.(verified)
		return got, !got.At.IsZero()
	case <-ctx.Done():
		return verified{}, false
	}
}

// probe asks and remembers. Without an answer its result is zero.
func (v *Verifier) probe(ctx context.Context, to mail.Address, now time.Time) verified {
	status := v.prober.Probe(ctx, to)
	explain.Note(ctx, "verify", "%s: asked its host, which said: %s", to, status)
	if !settles(status) {
		if status.Peer == "" {
			v.setDown(to.Domain, now)
		}
		return verified{}
	}
	got := verified{At: now.UTC().Truncate(time.Second), Answer: *status}
	if err := v.cache.save(context.WithoutCancel(ctx), to, got); err != nil {
		v.log.Warn("inbound: cannot remember an answer about a recipient", "to", to.String(), "err", err)
	}
	return got
}

// settles tells whether an answer says that a recipient exists or does not. A refusal of the whole
// connection, of us, or by policy says nothing about the recipient.
func settles(s *mail.Status) bool {
	if s.OK() {
		return true
	}
	if s.Peer == "" || !s.Permanent() {
		return false
	}
	if s.Enhanced != "" {
		return strings.HasPrefix(s.Enhanced, "5.1.") && s.Enhanced != "5.1.7" && s.Enhanced != "5.1.8" || strings.HasPrefix(s.Enhanced, "5.2.")
	}
	return s.Code == 550 || s.Code == 551 || s.Code == 553
}

func (v *Verifier) isDown(domain string, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	until, ok := v.down[domain]
	if ok && !now.Before(until) {
		delete(v.down, domain)
		ok = false
	}
	return ok
}

func (v *Verifier) setDown(domain string, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.down) >= maxDown {
		clear(v.down) // they are asked again: no harm
	}
	v.down[domain] = now.Add(downTime)
}

// A verified is a remembered answer.
type verified struct {
	At     time.Time   `json:"at"` // zero: there is none
	Answer mail.Status `json:"answer"`
}

func (a verified) fresh(now time.Time) bool { return a.within(now, positiveFresh, negativeFresh) }
func (a verified) kept(now time.Time) bool  { return a.within(now, positiveKept, negativeKept) }

func (a verified) within(now time.Time, yes, no time.Duration) bool {
	limit := no
	if a.Answer.OK() {
		limit = yes
	}
	return !a.At.IsZero() && now.Sub(a.At) < limit
}

// verdict is what a client is told.
func (a verified) verdict(to mail.Address) error {
	if a.Answer.OK() {
		return nil
	}
	return mail.NewStatus(550, "5.1.1", "%s: %s says: %s", to, a.Answer.Peer, fmt.Sprintf("%.200s", a.Answer.Error()))
}
