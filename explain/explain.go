// Package explain lets what decides about mail say why, when somebody asks.
//
// A decider calls [Note] once per decision: what it looked at, and what came of it. That costs nothing
// unless the context came from [With], as under `posthaste explain rcpt`, which runs the very deciders
// that a session runs. So an explanation cannot drift from what really happens.
package explain

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// A Reason is one decision on the way.
type Reason struct {
	Subject string `json:"subject"` // who decided: table, access, alias, route …
	Text    string `json:"text"`    // what it looked at, and what came of it, for people
}

// Reasons gathers what deciders note. They may note at the same time.
type Reasons struct {
	mu  sync.Mutex // guards all
	all []Reason
}

// maxReasons bounds what one question gathers.
const maxReasons = 1000

type key struct{}

// With returns a context under which deciders explain themselves, and where their reasons gather.
func With(ctx context.Context) (context.Context, *Reasons) {
	r := new(Reasons)
	return context.WithValue(ctx, key{}, r), r
}

// On tells whether somebody listens, for a decider whose reason is costly to find words for.
func On(ctx context.Context) bool {
	return ctx.Value(key{}) != nil
}

// Note records a decision of subject, where somebody listens. One that was told already is not told again.
func Note(ctx context.Context, subject, format string, args ...any) {
	r, ok := ctx.Value(key{}).(*Reasons)
	if !ok {
		return
	}
	reason := Reason{Subject: subject, Text: fmt.Sprintf(format, args...)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) < maxReasons && !slices.Contains(r.all, reason) {
		r.all = append(r.all, reason)
	}
}

// List returns the reasons so far, in their order.
func (r *Reasons) List() []Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Reason(nil), r.all...)
}
