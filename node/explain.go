package node

import (
	"context"
	"errors"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/directory"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/queue"
)

const (
	// explainTime bounds one explanation: it may ask the DNS and tables.
	explainTime = 30 * time.Second
	// maxExplained bounds the addresses that an alias leads to and that are told one by one.
	maxExplained = 50
)

// explain runs the deciders of a real session and a real delivery for one recipient, and returns what
// they said.
func (n *Node) explain(ctx context.Context, r admin.ExplainRequest) (admin.Explanation, error) {
	p := n.present()
	defer p.release()
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	ctx, reasons := explain.With(ctx)
	client := mail.Origin{IP: r.IP, Helo: r.Helo, Protocol: "ESMTP"}
	answer := mail.StatusOf(p.inbound.ExplainRecipient(ctx, client, r.From, r.To))
	e := admin.Explanation{Answer: answer, Taken: answer.OK()}
	if answer.OK() {
		w := walk{plan: p, from: r.From, seen: map[mail.Address]bool{}}
		w.follow(ctx, r.To)
		e.Ways = w.ways
	}
	e.Reasons = reasons.List()
	return e, nil
}

// A walk follows an address to where its mail ends.
type walk struct {
	plan *plan
	from mail.ReversePath
	seen map[mail.Address]bool
	ways []admin.Way
}

func (w *walk) follow(ctx context.Context, to mail.Address) {
	if w.seen[to] || len(w.seen) >= maxExplained {
		return
	}
	w.seen[to] = true
	target, err := w.plan.people.Resolve(ctx, to)
	if err != nil {
		w.ways = append(w.ways, admin.Way{Address: to, Problem: err.Error()})
		return
	}
	if target.Kind == directory.KindAlias || target.Kind == directory.KindMoved {
		for _, b := range target.Branches {
			w.ways = append(w.ways, admin.Way{Address: b.Address, Transport: b.Target.String()})
		}
		for _, a := range target.Addresses {
			w.follow(ctx, a)
		}
		return
	}
	w.ways = append(w.ways, w.way(ctx, to, target))
}

// way asks the router, and what it finds for its hosts.
func (w *walk) way(ctx context.Context, to mail.Address, target directory.Target) admin.Way {
	way := admin.Way{Address: to}
	found, err := router{w.plan.node}.Route(ctx, queue.Query{Envelope: &mail.Envelope{From: w.from}, To: to})
	var s *mail.Status
	switch {
	case errors.As(err, &s):
		way.Problem = s.Error()
	case err != nil:
		way.Problem = err.Error()
	case found.Agent == agentLocal:
		way.Transport = target.String()
	default:
		way.Transport = strings.TrimSpace(found.Agent + " " + found.Destination)
	}
	return way
}
