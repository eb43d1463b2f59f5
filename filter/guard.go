package filter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"posthaste/mail"
)

// Times of a [Guard].
const (
	DefaultTimeout = 10 * time.Second
	maxFailures    = 3                // in a row until the engine is left alone
	minRest        = time.Second      // for which it is at least,
	maxRest        = 15 * time.Second // and at most
	restFactor     = 10               // how many times as long as the failure took
)

// ErrResting is why an engine was not asked: it failed several times just before.
var ErrResting = errors.New("it failed several times in a row and is left alone for some seconds")

// A Guard is an Engine that bounds another in time, leaves it alone for a while once it has failed
// several times in a row, and says what its silence means. How long depends on what asking in vain costs:
// one that refuses to talk is asked again after a second, so that little mail passes it unseen; one that
// keeps mail waiting, after 15. Make it with NewGuard.
type Guard struct {
	Engine
	timeout time.Duration
	closed  bool
	log     *slog.Logger

	mu       sync.Mutex // guards what follows
	failures int
	rests    time.Time // until then; zero: it works
}

// NewGuard returns a Guard of e. With closed, mail that e cannot judge is put off (4xx); without, it goes
// on and the failure is a finding of no weight.
func NewGuard(e Engine, timeout time.Duration, closed bool, log *slog.Logger) *Guard {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Guard{Engine: e, timeout: timeout, closed: closed, log: log}
}

// Scan asks the engine. Its failure is part of the result; an error means that ctx has ended.
func (g *Guard) Scan(ctx context.Context, m *Mail) (result Result, err error) {
	err = g.Do(ctx, string(m.Envelope.ID), func(ctx context.Context) (err error) {
		result, err = g.Engine.Scan(ctx, m)
		return err
	})
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil:
		return Result{}, ctx.Err()
	}
	return g.Silence(err), nil
}

// Do has ask say something to the engine within the guard's time, unless the engine is left alone now
// ([ErrResting]). A *mail.Status is an answer; any other error is a failure of the engine, unless ctx has
// ended: then the client has gone, which says nothing about the engine. id names the message in the log.
func (g *Guard) Do(ctx context.Context, id string, ask func(ctx context.Context) error) error {
	if !g.ready(time.Now()) {
		return ErrResting
	}
	limited, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	began := time.Now()
	err := ask(limited)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if status := (*mail.Status)(nil); errors.As(err, &status) {
		g.note(nil, 0, time.Now())
		return err
	}
	now := time.Now()
	g.note(err, now.Sub(began), now)
	if err != nil {
		g.log.Warn("filter: an engine gave no answer", "engine", g.Name(), "qid", id, "err", err)
	}
	return err
}

// Silence is the result of an engine that could not be asked and need not be.
func Silence(engine string, err error) Result {
	return Result{Findings: []mail.Finding{{Rule: "ENGINE_SILENT", Evidence: fmt.Sprintf("%s: %v", engine, err),
		Meaning: "A filter could not be asked. That is no evidence for or against the message."}}}
}

// Silence is the result of the engine when it could not be asked because of err.
func (g *Guard) Silence(err error) Result {
	r := Silence(g.Name(), err)
	if g.closed {
		r.Action, r.Reason = mail.Greylist, g.Name()+" cannot be asked, and no mail is taken without it"
		r.Reply = mail.NewStatus(451, "4.7.1", "a filter cannot be asked now, try again later")
	}
	return r
}

// ready tells whether the engine is to be asked. When its rest ends, one caller finds out for all.
func (g *Guard) ready(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rests.IsZero() {
		return true
	}
	if now.Before(g.rests) {
		return false
	}
	g.rests = now.Add(maxRest)
	return true
}

// note takes in how asking ended that took so long.
func (g *Guard) note(err error, took time.Duration, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.failures, g.rests = 0, time.Time{}
		return
	}
	if g.failures++; g.failures >= maxFailures {
		g.rests = now.Add(min(max(restFactor*took, minRest), maxRest))
	}
}
