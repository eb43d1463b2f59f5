package classifier

import (
	"context"
	"math"
	"time"
)

// With each message learned, so many are rehearsed: of the other class, so that a thousand messages of
// one class in a row do not push out what is known of the other, and of its own.
const (
	rehearseOther = 16
	rehearseOwn   = 8
)

// A lesson is a message as a model learns it.
type lesson struct {
	id     memoryKey
	class  Class
	outer  float64  // what others add to the logit of this model
	places []uint32 // of its features
}

// remembered returns what was learned from a message, the zero memory when it is not known.
func (m *model) remembered(ctx context.Context, id memoryKey) (memory, error) {
	m.syncing.Lock() // what is being written is in the store or in sending, not in both
	defer m.syncing.Unlock()
	m.mu.RLock()
	known, ok := m.pending.memories[id]
	later := []memory{m.pending.rehearsed[id]}
	if !ok && m.sending != nil {
		known, ok = m.sending.memories[id]
		later = append(later, m.sending.rehearsed[id])
	}
	m.mu.RUnlock()
	if !ok {
		var err error
		if known, err = m.readMemory(ctx, id); err != nil {
			return known, err
		}
	}
	for _, l := range later {
		if known.class == l.class {
			known.rehearse(l)
		}
	}
	return known, nil
}

// rehearse adds what a message taught later.
func (l *memory) rehearse(later memory) {
	for v := range l.taught {
		l.taught[v].step += later.taught[v].step
		l.taught[v].counted = l.taught[v].counted || later.taught[v].counted
	}
}

// teach takes back what is known of a message, learns it as l says, unless its class is 0, and then
// rehearses others.
func (m *model) teach(l lesson, known memory, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		m.slots = make([]slot, 1<<m.bits)
	}
	if known.class != 0 {
		for v := range views {
			m.apply(v, l.places, known.change(v, -1), true)
		}
		m.count(known, -1)
		m.unkeep(l.id)
	}
	delete(m.pending.rehearsed, l.id)
	made := memory{class: l.class, day: day(now)}
	if l.class != 0 {
		m.study(l, &made)
		m.count(made, 1)
	}
	m.pending.memories[l.id] = made
	if l.class != 0 {
		m.keep(l)
		m.rehearse(other(l.class), rehearseOther)
		m.rehearse(l.class, rehearseOwn)
	}
}

func other(c Class) Class { return Ham + Spam - c }

// rehearse lets n messages of a class teach once more, which those judged rightly do not.
func (m *model) rehearse(class Class, n int) {
	all := m.kept.of(class)
	for range min(n, len(all)) {
		l := all[m.chance.IntN(len(all))]
		known, waiting := m.pending.memories[l.id]
		if !waiting {
			known = m.pending.rehearsed[l.id]
			known.class = class
		}
		if !m.study(l.lesson, &known) {
			continue
		}
		if waiting {
			m.pending.memories[l.id] = known
		} else {
			m.pending.rehearsed[l.id] = known
		}
	}
}

// study moves the weights until l is judged rightly in every view, and adds what it took to made. It
// returns false when l was judged rightly before.
func (m *model) study(l lesson, made *memory) (taught bool) {
	for v := range views {
		taught = m.studyIn(v, l, &made.taught[v]) || taught
	}
	return taught
}

func (m *model) studyIn(v view, l lesson, made *taught) bool {
	target := 0.0
	if l.class == Spam {
		target = 1
	}
	logit, n := m.raw(v, l.places)
	if n == 0 {
		return false
	}
	scale := scaleOf(n)
	var sum change
	for range maxStep {
		e := target - 1/(1+math.Exp(-l.outer-logit*scale))
		if math.Abs(e) < margin {
			break
		}
		c := change{sum: int32(math.Round(e * scale * unit))}
		if sum == (change{}) {
			c.ham, c.spam = made.lessonCount(l.class)
		}
		m.apply(v, l.places, c, false)
		sum = change{sum.sum + c.sum, sum.ham + c.ham, sum.spam + c.spam}
		logit, _ = m.raw(v, l.places)
	}
	if sum == (change{}) {
		return false
	}
	for _, place := range l.places {
		if at, ok := v.slotOf(place, m.mask()); ok {
			m.pending.add(at, sum)
		}
	}
	made.step += sum.sum
	made.counted = true
	return true
}

func (m *model) mask() uint32 { return uint32(1)<<m.bits - 1 }

// raw returns the sum of the weights of a message in v, and of how many features.
func (m *model) raw(v view, places []uint32) (sum float64, n int) {
	mask := m.mask()
	for _, place := range places {
		if at, ok := v.slotOf(place, mask); ok {
			sum += m.slots[at].weight()
			n++
		}
	}
	return sum, n
}

// apply adds c to slots, and to what is to be written.
func (m *model) apply(v view, places []uint32, c change, write bool) {
	mask := m.mask()
	for _, place := range places {
		at, ok := v.slotOf(place, mask)
		if !ok {
			continue
		}
		m.slots[at].add(c)
		if write {
			m.pending.add(at, c)
		}
	}
}

// count counts a message in the totals.
func (m *model) count(l memory, sign int64) {
	var n totals
	if l.class == Ham {
		n.ham = sign
	} else {
		n.spam = sign
	}
	m.totals.add(n)
	m.pending.totals.add(n)
}
