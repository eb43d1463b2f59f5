package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"posthaste/deliver/file"
	"posthaste/deliver/local"
	"posthaste/deliver/remote"
	"posthaste/directory"
	"posthaste/mail"
	"posthaste/queue"
	"posthaste/route"
)

// The names of the delivery agents.
const (
	agentLocal   = "local"
	agentRemote  = "remote"
	agentPipe    = "pipe"
	agentFile    = "file"
	agentDiscard = "discard"
)

// localLimit bounds the deliveries to our own accounts at a time; the store shares one sync among them.
const localLimit = 64

// lmtpPort is where LMTP servers listen that no one gave another port.
const lmtpPort = 24

// A router tells the queue how a recipient is reached, by the plan in force.
type router struct{ node *Node }

// Route asks whose the address is and by which transport it is reached, and then the DNS, where that
// counts.
func (r router) Route(ctx context.Context, q queue.Query) (queue.Route, error) {
	p := r.node.present()
	defer p.release()
	way, err := p.route(ctx, q)
	return way, p.unrouted(q, err)
}

// unrouted answers for a recipient whose way could not be found out. What went wrong is ours and stays
// here: in the log and in the trace.
func (p *plan) unrouted(q queue.Query, err error) error {
	var status *mail.Status
	var hold *queue.Hold
	if q.ID == "" || err == nil || errors.As(err, &status) || errors.As(err, &hold) {
		return err
	}
	p.node.log.Warn("a route cannot be found, the message waits", "qid", q.ID, "to", q.To.String(), "err", err)
	answer := mail.NewStatus(451, "4.3.5", "this mail system cannot find out where the message goes: posthaste trace %s tells why", q.ID)
	p.tell(q.ID, q.Envelope.From, q.To, answer, err)
	return answer
}

func (p *plan) route(ctx context.Context, q queue.Query) (queue.Route, error) {
	target, err := p.people.Resolve(ctx, q.To)
	if err != nil {
		return queue.Route{}, err
	}
	t, err := p.routes.Find(ctx, route.Query{
		Sender: q.Envelope.From, To: q.To, Place: placeOf(target.Kind), Attempt: q.Attempts + 1, Reroute: q.Reroute,
	})
	if err != nil {
		return queue.Route{}, err
	}
	way, err := p.way(ctx, q, t)
	if target.Kind == directory.KindRelay {
		way.Expire = p.cfg.Relay.Expire.D()
	}
	return way, err
}

func placeOf(kind directory.Kind) route.Place {
	switch kind {
	case directory.KindRemote:
		return route.Elsewhere
	case directory.KindRelay:
		return route.Relayed
	}
	return route.Ours
}

// way returns what the queue needs to know of a transport.
func (p *plan) way(ctx context.Context, q queue.Query, t route.Transport) (queue.Route, error) {
	switch t.Kind {
	case route.Local:
		return queue.Route{Agent: agentLocal, Destination: agentLocal, Limit: localLimit}, nil
	case route.Pipe:
		limit, known := p.pipes.Limit(t.Name)
		if !known {
			return queue.Route{}, fmt.Errorf("node: there is no [[pipe]] %q", t.Name)
		}
		return queue.Route{Agent: agentPipe, Destination: t.Name, Limit: limit, Via: t.Name}, nil
	case route.File:
		return queue.Route{Agent: agentFile, Destination: t.Path, Limit: file.Limit, Via: t.Path}, nil
	case route.Discard:
		return queue.Route{Agent: agentDiscard, Destination: agentDiscard}, nil
	case route.Error, route.Defer:
		if q.ID != "" && !t.Status.Temporary() { // of waiting the queue tells itself; without an ID somebody only asks
			p.tell(q.ID, q.Envelope.From, q.To, t.Status, nil)
		}
		return queue.Route{}, t.Status
	case route.Hold:
		return queue.Route{}, &queue.Hold{Reason: t.Status.Text}
	}
	dest, err := p.destination(ctx, q, t)
	if err != nil {
		return queue.Route{}, err
	}
	return queue.Route{Agent: agentRemote, Destination: dest.Name(), Via: dest, Source: dest.Source}, nil
}

// destination returns the hosts that a transport means.
func (p *plan) destination(ctx context.Context, q queue.Query, t route.Transport) (remote.Destination, error) {
	switch {
	case t.Kind == route.MX && t.Host != "":
		return p.remote.Route(ctx, q.ID, t.Host)
	case t.Kind == route.MX:
		return p.remote.Route(ctx, q.ID, q.To.Domain)
	case t.Kind == route.Smarthost:
		host, known := p.smarthosts[t.Name]
		if !known {
			return remote.Destination{}, fmt.Errorf("node: there is no [[smarthost]] %q", t.Name)
		}
		return p.remote.Smarthost(ctx, q.ID, host)
	case t.Path != "":
		return remote.Socket(t.Path), nil
	}
	port := t.Port
	if port == 0 {
		port = p.cfg.Remote.Port
		if t.Kind == route.LMTP {
			port = lmtpPort
		}
	}
	dest := remote.Fixed(t.Host, port)
	dest.LMTP = t.Kind == route.LMTP
	return dest, nil
}

func (n *Node) agents() map[string]queue.Agent {
	return map[string]queue.Agent{
		agentLocal: agent{n, (*plan).deliverLocal}, agentRemote: agent{n, (*plan).deliverRemote},
		agentPipe: agent{n, telling((*plan).deliverPipe)}, agentFile: agent{n, telling((*plan).deliverFile)},
		agentDiscard: agent{n, telling((*plan).discard)},
	}
}

// An agent delivers queued mail by the plan in force when it starts.
type agent struct {
	node *Node
	do   deliver
}

// Deliver hands the job on. What became of mail of an account counts for what it may send.
func (a agent) Deliver(ctx context.Context, job queue.Job) []*mail.Status {
	p := a.node.present()
	defer p.release()
	answers := a.do(p, ctx, job)
	for _, s := range answers {
		if account := job.Envelope.Origin.Account; account != 0 && !s.Temporary() {
			a.node.outflow.Outcome(ctx, account, s.OK(), time.Now())
		}
	}
	return answers
}

func (p *plan) deliverLocal(ctx context.Context, job queue.Job) []*mail.Status {
	return p.local.Deliver(ctx, local.Message{Envelope: job.Envelope, Content: job.Content})
}

// deliverRemote hands the job to the hosts that were found when it was routed.
func (p *plan) deliverRemote(ctx context.Context, job queue.Job) []*mail.Status {
	env, content, err := p.rewriter.Outgoing(ctx, job.Envelope, job.Content)
	if err != nil {
		return all(mail.StatusOf(err), len(job.Envelope.Recipients))
	}
	dest := job.Route.Via.(remote.Destination)
	dest.PerConnection = job.PerConnection
	return p.remote.Deliver(ctx, env, env.Recipients, content, dest)
}

func (p *plan) deliverPipe(ctx context.Context, job queue.Job) []*mail.Status {
	return p.pipes.Deliver(ctx, job.Envelope, job.Envelope.Recipients, job.Content, job.Route.Via.(string))
}

func (p *plan) deliverFile(ctx context.Context, job queue.Job) []*mail.Status {
	return p.files.Deliver(ctx, job.Envelope, job.Envelope.Recipients, job.Content, job.Route.Via.(string))
}

// discard takes the job and forgets it, as a transport table asks.
func (p *plan) discard(_ context.Context, job queue.Job) []*mail.Status {
	return all(mail.NewStatus(250, "2.1.5", "discarded, as the transport table says"), len(job.Envelope.Recipients))
}

// all answers the same for each recipient.
func all(s *mail.Status, recipients int) []*mail.Status {
	answers := make([]*mail.Status, recipients)
	for i := range answers {
		answers[i] = s
	}
	return answers
}
