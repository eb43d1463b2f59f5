package node

import (
	"context"

	"posthaste/deliver/local"
	"posthaste/deliver/remote"
	"posthaste/directory"
	"posthaste/mail"
	"posthaste/queue"
)

// The names of the delivery agents.
const (
	agentLocal  = "local"
	agentRemote = "remote"
)

// localLimit bounds the deliveries to our own accounts at a time; the store shares one sync among them.
const localLimit = 64

// A router tells the queue how a recipient is reached.
type router struct {
	directory *directory.Directory
	remote    *remote.Agent
}

// Route sends what is not ours to its mail exchangers, all else, also unknown users, to local delivery.
func (r router) Route(ctx context.Context, q queue.Query) (queue.Route, error) {
	target, err := r.directory.Resolve(ctx, q.To)
	if err != nil {
		return queue.Route{}, err
	}
	if target.Kind != directory.KindRemote && target.Kind != directory.KindRelay {
		return queue.Route{Agent: agentLocal, Destination: agentLocal, Limit: localLimit}, nil
	}
	dest, err := r.remote.Route(ctx, q.ID, q.To.Domain)
	if err != nil {
		return queue.Route{}, err
	}
	return queue.Route{Agent: agentRemote, Destination: dest.Key, Via: dest}, nil
}

func (n *Node) agents() map[string]queue.Agent {
	return map[string]queue.Agent{agentLocal: localAgent{n.local}, agentRemote: remoteAgent{n.remote}}
}

// A localAgent delivers queued mail to our accounts.
type localAgent struct{ local *local.Agent }

// Deliver hands the job to local delivery.
func (a localAgent) Deliver(ctx context.Context, job queue.Job) []*mail.Status {
	return a.local.Deliver(ctx, local.Message{Envelope: job.Envelope, Content: job.Content})
}

// A remoteAgent delivers queued mail to other hosts.
type remoteAgent struct{ remote *remote.Agent }

// Deliver hands the job to the hosts that were found when it was routed.
func (a remoteAgent) Deliver(ctx context.Context, job queue.Job) []*mail.Status {
	dest := job.Route.Via.(remote.Destination)
	return a.remote.Deliver(ctx, job.Envelope, job.Envelope.Recipients, job.Content, dest)
}
