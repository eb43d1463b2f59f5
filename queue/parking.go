package queue

import (
	"container/heap"
	"time"
)

// A parking holds destinations that wait for a time, the next first. One that was called away, or
// waits for another time by now, is passed over.
type parking struct{ lots lots }

type lot struct {
	until time.Time
	to    *destination
}

// add parks d until d.parked.
func (p *parking) add(d *destination) { heap.Push(&p.lots, lot{d.parked, d}) }

// due takes out what has waited until now.
func (p *parking) due(now time.Time) (out []*destination) {
	for len(p.lots) > 0 && !p.lots[0].until.After(now) {
		if l := heap.Pop(&p.lots).(lot); l.current() {
			l.to.parked = time.Time{}
			out = append(out, l.to)
		}
	}
	return out
}

// first returns the next time, or zero.
func (p *parking) first() time.Time {
	for len(p.lots) > 0 && !p.lots[0].current() {
		heap.Pop(&p.lots)
	}
	if len(p.lots) == 0 {
		return time.Time{}
	}
	return p.lots[0].until
}

func (l lot) current() bool { return !l.to.parked.IsZero() && l.to.parked.Equal(l.until) }

// lots implement heap.Interface.
type lots []lot

func (l lots) Len() int           { return len(l) }
func (l lots) Less(i, j int) bool { return l[i].until.Before(l[j].until) }
func (l lots) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *lots) Push(x any)        { *l = append(*l, x.(lot)) }
func (l *lots) Pop() any {
	old := *l
	last := old[len(old)-1]
	old[len(old)-1] = lot{}
	*l = old[:len(old)-1]
	return last
}
