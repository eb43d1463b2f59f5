package trace

import "strings"

// Bounds of events, whose words are in part those of strangers. A block of them fits a value of kv.
const (
	maxText      = 4 << 10  // bytes of one text
	maxTo        = 10_000   // addresses of one event
	maxBlockSize = 2 << 20  // bytes of the events of one block, the last left out
	maxWaiting   = 64 << 20 // bytes of events in memory, between two flushes
)

// clip brings e within the bounds. A copy is made, so that no event keeps a large header in memory.
func (e *Event) clip() {
	for _, s := range e.texts() {
		if len(*s) > maxText {
			*s = strings.Clone(strings.ToValidUTF8((*s)[:maxText], ""))
		}
	}
	e.To = e.To[:min(len(e.To), maxTo)]
}

func (e *Event) texts() [7]*string {
	return [...]*string{&e.Peer, &e.Asked, &e.Answered, &e.Reason, &e.Text, &e.From, &e.MessageID}
}

// size returns about how many bytes e takes.
func (e *Event) size() int {
	n := 64
	for _, s := range e.texts() {
		n += len(*s)
	}
	for _, a := range e.To {
		n += len(a.Local) + len(a.Domain) + 2
	}
	return n
}
