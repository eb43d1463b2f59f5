package kvtest

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"posthaste/kv"
)

// runModel compares random transactions with maps.
func runModel(t *testing.T, cfg Config) {
	machine := cfg.New(t)
	store := machine.Start(t)
	rapid.Check(t, func(rt *rapid.T) {
		erase(t, store)
		m := model{rt: rt, s: store, partitions: map[kv.Partition]contents{}}
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			m.transaction(t)
		}
		m.compare(t)
	})
}

type contents map[string]string

type model struct {
	rt         *rapid.T
	s          kv.Store
	partitions map[kv.Partition]contents
}

var errRollback = errors.New("rolled back")

// drawKey draws from few bytes, so that keys meet and nest.
func (m *model) drawKey(label string) string {
	return rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 0, 3, -1).Draw(m.rt, label) +
		rapid.SampledFrom([]string{"", "\x00", "\xff"}).Draw(m.rt, label+" end")
}

func (m *model) transaction(t *testing.T) {
	p := rapid.SampledFrom([]kv.Partition{"a", "a/", "b"}).Draw(m.rt, "partition")
	fails := rapid.IntRange(0, 4).Draw(m.rt, "fails") == 0
	after := maps.Clone(m.partitions[p])
	if after == nil {
		after = contents{}
	}
	steps := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 8).Draw(m.rt, "steps")
	_, err := m.s.Update(t.Context(), p, func(tx kv.Txn) error {
		for _, step := range steps {
			m.step(tx, after, step)
		}
		if fails {
			return errRollback
		}
		return nil
	})
	if fails != errors.Is(err, errRollback) || !fails && err != nil {
		m.rt.Fatalf("update: %v, fails %t", err, fails)
	}
	if !fails {
		m.partitions[p] = after
	}
}

func (m *model) step(tx kv.Txn, after contents, step int) {
	key := m.drawKey("key")
	switch step {
	case 0:
		value := m.drawKey("value")
		tx.Put([]byte(key), []byte(value))
		after[key] = value
	case 1:
		tx.Delete([]byte(key))
		delete(after, key)
	case 2:
		end := m.drawKey("end")
		tx.DeleteRange([]byte(key), []byte(end))
		maps.DeleteFunc(after, func(k, _ string) bool { return k >= key && k < end })
	case 3:
		value, err := tx.Get([]byte(key))
		want, ok := after[key]
		if ok != (err == nil) || string(value) != want {
			m.rt.Fatalf("get %q: %q, %v; want %q, %t", key, value, err, want, ok)
		}
	case 4:
		m.scan(tx, after, key, m.drawKey("end"), rapid.Bool().Draw(m.rt, "reverse"))
	}
}

func (m *model) scan(r kv.Reader, want contents, start, end string, reverse bool) {
	var got []string
	seq, errf := r.Scan([]byte(start), []byte(end), reverse)
	for key, value := range seq {
		got = append(got, string(key)+"="+string(value))
	}
	var expected []string
	for _, key := range slices.SortedFunc(maps.Keys(want), strings.Compare) {
		if key >= start && key < end {
			expected = append(expected, key+"="+want[key])
		}
	}
	if reverse {
		slices.Reverse(expected)
	}
	if err := errf(); err != nil || !slices.Equal(got, expected) {
		m.rt.Fatalf("scan %q to %q, reverse %t: %q, %v; want %q", start, end, reverse, got, err, expected)
	}
}

func (m *model) compare(t *testing.T) {
	for p, want := range m.partitions {
		err := m.s.View(t.Context(), p, func(r kv.Reader) error {
			m.scan(r, want, "", "\xff\xff", false)
			return nil
		})
		if err != nil {
			m.rt.Fatal(err)
		}
	}
}
