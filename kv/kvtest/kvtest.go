// Package kvtest is the meaning of [kv.Store]: every driver passes [Run].
//
// The suite has four parts: plain claims, a model that random transactions are compared with, crashes
// at random points, and (for a driver that can hold its disk back) what may be seen between applying
// a commit and its sync. Random parts print their seed.
package kvtest

import (
	"testing"

	"posthaste/kv"
)

// A Machine is a place where a store lives and that can lose its power.
type Machine interface {
	// Start opens the store on what the disk holds, after closing one that still runs.
	Start(t *testing.T) kv.Store
	// Crash cuts the power: from now on only what was durable is left, and of the rest whatever
	// seed decides: nothing with seed 0. A store that runs goes on without effect, or fails, until
	// Start.
	Crash(t *testing.T, seed uint64)
}

// A SyncHolder is a Machine that can hold its disk back.
type SyncHolder interface {
	Machine
	// HoldSyncs makes every sync wait until release is called.
	HoldSyncs() (release func())
}

// A Config says how to test a driver.
type Config struct {
	// New returns a machine with an empty disk, which lives until t ends.
	New func(t *testing.T) Machine
	// RealTime is for drivers that talk to another process and so cannot run in a bubble of
	// testing/synctest.
	RealTime bool
	// Rounds is how many crashes to try; 0 is 30.
	Rounds int
}

const defaultRounds = 30

// Run tests the whole contract.
func Run(t *testing.T, cfg Config) {
	if cfg.Rounds == 0 {
		cfg.Rounds = defaultRounds
	}
	t.Run("claims", func(t *testing.T) { runClaims(t, cfg) })
	t.Run("model", func(t *testing.T) { runModel(t, cfg) })
	t.Run("crash", func(t *testing.T) { runCrashes(t, cfg) })
	t.Run("sync", func(t *testing.T) { runSyncs(t, cfg) })
}
