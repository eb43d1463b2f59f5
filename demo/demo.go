// Package demo shows Posthaste at work: mail domains on real nodes, each with its own store, a name
// server and a certificate authority, all on loopback. It submits a message as a mail program would,
// and tells its journey from the nodes' own trace; the demo itself claims nothing.
//
// [Run] needs no root, no network and no configuration: only 127.0.0.0/8 and free ports. Everything it
// makes lies in one temporary directory, which is gone when it returns.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"posthaste/trace"
)

// onceLimit bounds a story that is to end by itself.
const onceLimit = 30 * time.Second

// Breaks are the things that can be broken on purpose, and what then happens.
var Breaks = map[string]string{
	"mx-down":      "the primary mail host of south.test is down: its backup takes the mail and hands it on later",
	"user-unknown": "nobody@south.test does not exist: the message comes back as a readable report",
	"tempfail":     "the disk of south.test is full: the mail waits at north.test and arrives on a later attempt",
	"forged":       "a stranger writes to Bob in Ann's name: south.test refuses it, since north.test publishes how to know its mail",
}

// Options say what to show and how.
type Options struct {
	Once  bool   // end when the story has ended, instead of serving on
	JSON  bool   // an object a line for every step
	Break string // a key of Breaks, or empty
	Color bool
	Out   io.Writer
}

// Run tells the story. It returns nil when the story ended as it should, and, without Once, when ctx
// ends.
func Run(ctx context.Context, o Options) (err error) {
	if _, known := Breaks[o.Break]; o.Break != "" && !known {
		return fmt.Errorf("demo: nothing is known of breaking %q, only of %s", o.Break, strings.Join(slices.Sorted(maps.Keys(Breaks)), ", "))
	}
	dir, err := os.MkdirTemp("", "posthaste-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	story, stop := context.WithCancel(ctx)
	defer stop()
	teller := newTeller(o)
	w, err := newWorld(story, dir, o.Break, teller)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	limited, cancel := context.WithTimeout(story, onceLimit)
	defer cancel()
	teller.opening(w)
	outcome := w.play(limited)
	w.flush(context.WithoutCancel(ctx))
	if outcome != nil {
		teller.failed(outcome)
		return fmt.Errorf("demo: %w", outcome)
	}
	if missing := teller.missing(); missing != "" {
		return fmt.Errorf("demo: the nodes recorded no step %q", missing)
	}
	teller.ended(o.Break)
	if o.Once {
		return nil
	}
	teller.howToConnect(w)
	<-ctx.Done()
	return nil
}

// required are the steps that every story has.
var required = []trace.Step{trace.Submit, trace.Queue, trace.DNS, trace.Connect, trace.Check, trace.Deliver, trace.Access}
