package classifier

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"posthaste/kv"
)

// Sizes of models: slots are 1 << bits, of 8 bytes each.
const (
	globalBits  = 20
	accountBits = 14
)

// The parameters of learning, chosen by cross-validation: see docs/performance.md.
const (
	alpha   = 40.0 // how strongly lessons move a weight
	beta    = 0.5  // how much of that the first lessons of a feature have
	margin  = 0.1  // an error in probability below which a message teaches nothing
	maxStep = 5    // steps of one lesson
	unit    = 1 << 14
)

// A view is a set of features by which a model judges on its own, with slots of its own: each learns
// where itself errs, and so none relies on what another knows. The model for all has both; the model of
// an account has the second alone.
type view uint8

// The views.
const (
	general view = iota // of what is said of any mail: see origin.general
	whole               // of every feature
	views
)

// How the views are added up. That of the whole knows its lists and ways best and misjudges what comes
// another way: its say is bounded.
const (
	generalShare = 0.7
	wholeShare   = 0.3
	wholeMost    = 2.0
)

// A place is where a feature falls on: the slot in the view of general features in the low bits, from
// which that in the view of the whole follows, and whether the feature is a general one.
const (
	placeGeneral = 1 << 23
	wholeMix     = 0x55555
)

// slotOf returns the slot of a place in v; false when it has none there.
func (v view) slotOf(place, mask uint32) (uint32, bool) {
	if v == whole {
		return (place ^ wholeMix) & mask, true
	}
	return place & mask, place&placeGeneral != 0
}

// maxPending is how many slots may have changed before they are written in the midst of learning.
const maxPending = 1 << 16

// A slot holds what was learned of the features that fall on it.
type slot struct {
	sum       int32  // of the steps of lessons, in 1/unit
	ham, spam uint16 // lessons
}

// A change is to be added to a slot.
type change struct{ sum, ham, spam int32 }

// totals count messages learned.
type totals struct{ ham, spam int64 }

func (t *totals) add(o totals) {
	t.ham += o.ham
	t.spam += o.spam
}

// A model is one set of weights: of everybody, or of an account.
type model struct {
	kv        kv.Store
	partition kv.Partition
	bits      uint
	pairs     bool // pairs of words count, not words alone

	newest  atomic.Uint64 // version that the store told of
	loading atomic.Bool   // nothing was read yet
	cancel  func()        // of the watch

	syncing sync.Mutex // one reading or writing of the store at a time

	mu      sync.RWMutex // guards what follows
	slots   []slot       // nil while all are zero
	totals  totals
	version kv.Version      // up to which other nodes' lessons are in slots
	pending *batch          // in slots, and not yet written
	kept    notebook        // messages to rehearse
	chance  *rand.Rand      // which of them; the same ones in the same course of lessons
	sending *batch          // in slots, and perhaps written; changes only while syncing is held
	own     map[uint64]bool // batches in slots that the store holds after version
}

func newModel(store kv.Store, p kv.Partition, bits uint, pairs bool) *model {
	m := &model{kv: store, partition: p, bits: bits, pairs: pairs, pending: newBatch(), own: make(map[uint64]bool),
		chance: rand.New(rand.NewPCG(1, 2))}
	m.kept.max = accountKept
	if pairs {
		m.kept.max = globalKept
	}
	m.loading.Store(true)
	m.cancel = store.Watch(p, func(v kv.Version) { m.newest.Store(uint64(v)) })
	return m
}

// rates holds what a step counts by the number of lessons of its feature.
var rates = func() (r [256]float64) {
	for n := range r {
		r[n] = rateOf(n)
	}
	return r
}()

// rateOf makes features with few lessons learn fast and those with many keep what they know.
func rateOf(n int) float64 { return alpha / unit / (beta + math.Sqrt(float64(n))) }

// weight returns what a slot adds to the logit of a message.
func (s slot) weight() float64 {
	if s.sum == 0 {
		return 0
	}
	n := int(s.ham) + int(s.spam)
	if n < len(rates) {
		return float64(s.sum) * rates[n]
	}
	return float64(s.sum) * rateOf(n)
}

// scales make long messages comparable with short ones.
func (m *model) scales(t *Tokens) (scales [views]float64) {
	if m.pairs {
		return [views]float64{scaleOf(t.general), scaleOf(len(t.features))}
	}
	return [views]float64{0, scaleOf(t.single)}
}

// both adds up what the views say.
func (m *model) both(logits [views]float64) float64 {
	if !m.pairs {
		return logits[whole]
	}
	return generalShare*logits[general] + wholeShare*wholeMost*math.Tanh(logits[whole]/wholeMost)
}

func scaleOf(features int) float64 { return 1 / math.Sqrt(float64(features)+1) }

// places returns where the features of t fall on.
func (m *model) places(t *Tokens) []uint32 {
	mask := uint32(1)<<m.bits - 1
	all := make([]uint32, 0, len(t.features))
	for _, f := range t.features {
		switch {
		case m.pairs && t.words[f.word].origin.general():
			all = append(all, f.hash&mask|placeGeneral)
		case m.pairs || !f.pair:
			all = append(all, f.hash&mask)
		}
	}
	return all
}

// logit returns the opinion of m about t, 0 where it has not learned enough.
func (m *model) logit(t *Tokens) float64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.slots == nil || !m.enoughLocked() {
		return 0
	}
	var sum [views]float64
	mask := uint32(len(m.slots) - 1)
	for _, place := range m.places(t) {
		for v := range views {
			if at, ok := v.slotOf(place, mask); ok {
				sum[v] += m.slots[at].weight()
			}
		}
	}
	for v, scale := range m.scales(t) {
		sum[v] *= scale
	}
	return m.both(sum)
}

func (m *model) enoughLocked() bool { return m.totals.ham >= minGlobal && m.totals.spam >= minGlobal }

// enough tells whether a model alone carries an opinion.
func (m *model) enough() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.enoughLocked()
}

// counted tells whether an account's model counts.
func (m *model) counted() bool {
	n := m.counts()
	return n.ham+n.spam >= minAccount
}

func (m *model) counts() totals {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.totals
}

func (m *model) stats() Stats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := Stats{Ham: m.totals.ham, Spam: m.totals.spam, Slots: 1 << m.bits}
	for _, x := range m.slots {
		if x != (slot{}) {
			s.Used++
		}
	}
	return s
}

// add adds c within the bounds of a slot.
func (s *slot) add(c change) {
	s.sum = int32(min(max(int64(s.sum)+int64(c.sum), math.MinInt32), math.MaxInt32))
	s.ham = uint16(min(max(int32(s.ham)+c.ham, 0), math.MaxUint16))
	s.spam = uint16(min(max(int32(s.spam)+c.spam, 0), math.MaxUint16))
}

// crowded tells whether much waits to be written.
func (m *model) crowded() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.pending.changes) >= maxPending || len(m.pending.memories) >= maxPending
}

// A batch is what waits to be written.
type batch struct {
	id       uint64 // of its own, so that it is not added twice
	changes  map[uint32]change
	totals   totals
	memories map[memoryKey]memory
	// rehearsed is to be added to memories that the store has.
	rehearsed map[memoryKey]memory
	pages     map[pageKey]page // of the notebook
}

func newBatch() *batch {
	return &batch{changes: make(map[uint32]change), memories: make(map[memoryKey]memory),
		rehearsed: make(map[memoryKey]memory), pages: make(map[pageKey]page)}
}

func (b *batch) empty() bool { return len(b.changes) == 0 && len(b.memories) == 0 }

func (b *batch) add(at uint32, c change) {
	have := b.changes[at]
	b.changes[at] = change{have.sum + c.sum, have.ham + c.ham, have.spam + c.spam}
}

// indexes returns the slots that b changes, in order.
func (b *batch) indexes() []uint32 {
	all := make([]uint32, 0, len(b.changes))
	for at, c := range b.changes {
		if c != (change{}) {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return all
}
