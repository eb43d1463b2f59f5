package queue

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"posthaste/mail"
)

// routesPerDomain bounds the searches for the way to one domain, which all wait for the same DNS.
const routesPerDomain = 2

// findWays asks the router for each recipient of t and places the tasks that come of it.
func (d *dispatcher) findWays(t *task) *task {
	r := t.record
	var answers []*mail.Status
	var failed []int
	held := map[string][]int{} // by reason
	ways := map[string]*way{}
	for _, i := range t.recipients {
		route, err := d.route(r.entry, i)
		if hold := (*Hold)(nil); errors.As(err, &hold) {
			held[hold.Reason] = append(held[hold.Reason], i)
			continue
		}
		if err != nil {
			failed, answers = append(failed, i), append(answers, mail.StatusOf(err))
			continue
		}
		key := route.Agent + "\x00" + route.Destination
		if ways[key] == nil {
			ways[key] = &way{key: key, route: route}
		}
		ways[key].recipients = append(ways[key].recipients, i)
	}
	now, at := time.Now(), d.q.clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	o := outcome{failed: len(ways)+len(held) == 0 && hostFailed(answers)}
	if o.failed {
		o.answer = answers[0]
	}
	d.finishTask(t, o, now)
	if r.dropped { // an operator has changed it meanwhile
		d.ended(r)
		return d.following(now)
	}
	r.open += len(ways)
	for _, w := range ways {
		d.split(r, w, t.urgent)
	}
	for reason, recipients := range held {
		r.open++
		d.shards[shardOf(r.entry.ID)].committer.add(closing{task: &task{record: r, recipients: recipients}, hold: reason, at: at})
	}
	if len(failed) > 0 {
		d.shards[shardOf(r.entry.ID)].committer.add(closing{
			task: &task{record: r, recipients: failed}, answers: answers, at: at, unrouted: true,
		})
		return d.following(now)
	}
	if r.open--; r.open <= 0 {
		d.forget(r)
	}
	d.ended(r)
	return d.following(now)
}

// A way is a route that some recipients of an entry share.
type way struct {
	key        string
	route      Route
	recipients []int
}

// split makes tasks of at most Limits.Batch recipients. Its caller counted one of them open.
func (d *dispatcher) split(r *record, w *way, urgent bool) {
	r.open--
	batch := d.sched.batch(w.route, d.q.limits().Batch)
	for _, i := range w.recipients {
		r.entry.Recipients[i].lifetime = w.route.Expire
	}
	for left := w.recipients; len(left) > 0; {
		n := min(len(left), batch)
		t := r.task(left[:n:n], urgent)
		t.route, t.limit = w.route, w.route.Limit
		left = left[n:]
		r.open++
		d.place(t, w.key)
	}
}

// route asks the router for the way to recipient i of e.
func (d *dispatcher) route(e *Entry, i int) (route Route, err error) {
	r := &e.Recipients[i]
	defer func() {
		if p := recover(); p != nil {
			d.q.log.Error("queue: the router panicked", "to", r.Address, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("queue: the router panicked: %v", p)
		}
	}()
	route, err = d.router.Route(d.jobs, Query{
		ID: e.ID, Envelope: &e.Envelope, To: r.Address, Attempts: r.Attempts, Reroute: r.Reroute,
	})
	if err == nil && d.agents[route.Agent] == nil {
		err = fmt.Errorf("queue: the route to %s names the unknown agent %q", r.Address, route.Agent)
		d.q.log.Error("queue: no such delivery agent", "to", r.Address, "agent", route.Agent)
	}
	if route.Domain == "" {
		route.Domain = r.Address.Domain
	}
	return route, err
}
