package queue

import (
	"fmt"

	"posthaste/mail"
	"posthaste/trace"
)

// judge returns the answers as shaping rules change them, and what they tell of the destination.
func (d *dispatcher) judge(t *task, answers []*mail.Status) ([]*mail.Status, outcome) {
	o := outcome{failed: hostFailed(answers)}
	if o.failed {
		o.answer = answers[0]
	}
	d.mu.Lock()
	sh := t.to.pool.shape
	d.mu.Unlock()
	judged := make([]*mail.Status, len(answers))
	for i, a := range answers {
		judged[i] = a
		y := sh.reply(a)
		if y == nil {
			continue
		}
		judged[i] = y.change(a)
		if o.reply == nil && (y.Action == Slow || y.Action == Suspend) {
			o.reply, o.answer = y, a
			d.tellShaped(t, y, a)
		}
	}
	return judged, o
}

// tellShaped leaves in the trace why a destination is slowed or suspended.
func (d *dispatcher) tellShaped(t *task, y *Reply, a *mail.Status) {
	words := map[ReplyAction]string{Slow: "slowed down", Suspend: "suspended"}
	text := fmt.Sprintf("destination %s is %s for %s: %s", t.route.Destination, words[y.Action], duration(y.lasts()), y.reason())
	d.q.trace.Record(trace.Event{ID: t.record.entry.ID, Step: trace.Queue, Peer: a.Peer, Answered: a.Error(), Text: text})
	d.q.log.Warn("queue: a destination asks for less mail", "destination", t.route.Destination, "action", string(y.Action),
		"for", y.lasts(), "reason", y.reason(), "status", a.Error())
}
