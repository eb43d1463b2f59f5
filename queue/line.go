package queue

// lowTurn is how often what has low priority comes first.
const lowTurn = 4

// A line is what waits for its turn, in order of priority and, within one, of coming. Of four picks,
// three go to the highest priority that can be served; the fourth goes to the priorities in turn. So
// when n priorities wait, each has its turn in at most 4n picks, and none starves.
type line[T any] struct {
	tiers []*tier[T] // highest priority first
	picks int
	turn  int // counts the turns of the tiers
}

type tier[T any] struct {
	priority int8
	items    []T
}

// push adds v at the end of its priority.
func (l *line[T]) push(priority int8, v T) {
	i := 0
	for i < len(l.tiers) && l.tiers[i].priority > priority {
		i++
	}
	if i == len(l.tiers) || l.tiers[i].priority != priority {
		l.tiers = append(l.tiers, nil)
		copy(l.tiers[i+1:], l.tiers[i:])
		l.tiers[i] = &tier[T]{priority: priority}
	}
	l.tiers[i].items = append(l.tiers[i].items, v)
}

// pick takes the first item that fits, in the order of this turn.
func (l *line[T]) pick(fits func(T) bool) (v T, ok bool) {
	for t := range l.order {
		for i, v := range t.items {
			if fits(v) {
				t.remove(i)
				return v, true
			}
		}
	}
	return v, false
}

// order yields the tiers as they are to be asked in this turn.
func (l *line[T]) order(yield func(*tier[T]) bool) {
	l.drop()
	first := -1
	if n := len(l.tiers); n > 1 && l.picks%lowTurn == lowTurn-1 {
		first = l.turn % n
		if !yield(l.tiers[first]) {
			return
		}
	}
	for i, t := range l.tiers {
		if i != first && !yield(t) {
			return
		}
	}
}

func (t *tier[T]) remove(i int) {
	var none T
	if i > 0 {
		copy(t.items[1:i+1], t.items[:i])
	}
	t.items[0] = none
	t.items = t.items[1:]
}

// picked counts a turn.
func (l *line[T]) picked() {
	if l.picks++; l.picks%lowTurn == 0 {
		l.turn++
	}
}

// top returns the highest priority that waits.
func (l *line[T]) top() int8 {
	l.drop()
	if len(l.tiers) == 0 {
		return 0
	}
	return l.tiers[0].priority
}

// drop forgets priorities of which nothing waits.
func (l *line[T]) drop() {
	kept := l.tiers[:0]
	for _, t := range l.tiers {
		if len(t.items) > 0 {
			kept = append(kept, t)
		}
	}
	clear(l.tiers[len(kept):])
	l.tiers = kept
}
