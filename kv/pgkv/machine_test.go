package pgkv

import (
	"testing"

	"posthaste/kv"
	"posthaste/kv/kvtest"
	"posthaste/kv/pgkv/pgtest"
)

// crashRounds is how often the server crashes under load; each costs a recovery.
const crashRounds = 5

// A machine is a database of a cluster; its power cut is that of the whole cluster.
type machine struct {
	cluster *pgtest.Cluster
	url     string
	store   *Store
}

func (m *machine) Start(t *testing.T) kv.Store {
	t.Helper()
	if m.store != nil {
		m.store.Close()
	}
	m.cluster.Resume(t)
	m.store = openStore(t, m.url)
	return m.store
}

func (m *machine) Crash(t *testing.T, _ uint64) { m.cluster.Crash(t) }

func openStore(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestPostgreSQL has one cluster for all, since making one takes long.
func TestPostgreSQL(t *testing.T) {
	cluster := pgtest.Start(t)
	t.Run("nodes", func(t *testing.T) { testNodes(t, cluster) })
	t.Run("contract", func(t *testing.T) {
		kvtest.Run(t, kvtest.Config{
			New: func(t *testing.T) kvtest.Machine {
				cluster.Resume(t)
				return &machine{cluster: cluster, url: cluster.Database(t)}
			},
			RealTime: true,
			Rounds:   crashRounds,
		})
	})
}
