package memkv_test

import (
	"testing"

	"posthaste/kv"
	"posthaste/kv/kvtest"
	"posthaste/kv/memkv"
)

// A machine keeps its store over restarts, because a closed one is gone.
type machine struct{ store *memkv.Store }

func (m *machine) Start(*testing.T) kv.Store {
	m.store = m.store.Crash()
	return m.store
}

func (m *machine) Crash(_ *testing.T, _ uint64) { m.store = m.store.Crash() }

func TestContract(t *testing.T) {
	kvtest.Run(t, kvtest.Config{
		New: func(*testing.T) kvtest.Machine { return &machine{memkv.New()} },
	})
}
