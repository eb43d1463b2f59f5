package queue

import (
	"fmt"
	"runtime/debug"
	"time"

	"posthaste/mail"
)

// routesPerDomain bounds the searches for the way to one domain, which all wait for the same DNS.
const routesPerDomain = 2

// findWays asks the router for each recipient of t and places the tasks that come of it.
func (d *dispatcher) findWays(t *task) *task {
	var answers []*mail.Status
	var failed []int
	ways := map[string]*way{}
	for _, i := range t.recipients {
		route, err := d.route(t.record.entry, i)
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
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finishTask(t, answers, len(ways) == 0 && hostFailed(answers), now)
	r := t.record
	r.open += len(ways)
	if len(failed) > 0 {
		d.close(&task{record: r, recipients: failed}, answers, now)
	} else {
		r.open--
	}
	for _, w := range ways {
		d.split(r, w, t.urgent, now)
	}
	return d.following(now)
}

// A way is a route that some recipients of an entry share.
type way struct {
	key        string
	route      Route
	recipients []int
}

// split makes tasks of at most Limits.Batch recipients. Its caller counted one of them open.
func (d *dispatcher) split(r *record, w *way, urgent bool, now time.Time) {
	r.open--
	for left := w.recipients; len(left) > 0; {
		n := min(len(left), d.q.limits.Batch)
		t := &task{record: r, recipients: left[:n:n], route: w.route, sender: r.sender, urgent: urgent}
		left = left[n:]
		r.open++
		d.place(t, w.key, w.route.Limit, now)
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
