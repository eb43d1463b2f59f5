package node

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"posthaste/config"
	"posthaste/queue"
)

// buildShaping reads the rules about how fast mail may leave.
func (p *plan) buildShaping(context.Context) error {
	c := p.cfg
	var problems problems
	p.shaping.NoBuiltin = !c.Queue.BuiltinShapes
	for i, s := range c.Shapes {
		key := fmt.Sprintf("shape[%d]", i)
		r := queue.Rule{Match: s.Match, Together: s.Together, Concurrency: s.Concurrency, PerConnection: s.PerConnection}
		problems.add(c, key+".rate", readRate(&r.Rate, s.Rate))
		for _, text := range s.Replies {
			reply, err := readReply(text)
			problems.add(c, key+".replies", err)
			r.Replies = append(r.Replies, reply)
		}
		p.shaping.Rules = append(p.shaping.Rules, r)
	}
	for i, s := range c.SenderRates {
		r := queue.SenderRule{Match: s.Match}
		problems.add(c, fmt.Sprintf("sender_rate[%d].rate", i), readRate(&r.Rate, s.Rate))
		p.shaping.Senders = append(p.shaping.Senders, r)
	}
	for i, w := range c.Warmups {
		start, err := time.ParseInLocation(time.DateOnly, w.Start, time.Local)
		if err != nil {
			err = fmt.Errorf("%q is no day: write it as 2026-11-22", w.Start)
		}
		problems.add(c, fmt.Sprintf("warmup[%d].start", i), err)
		p.shaping.Warmups = append(p.shaping.Warmups, queue.Warmup{Source: w.Source, Start: start, Daily: w.Daily})
	}
	if len(problems) == 0 {
		problems.add(c, "shape[0]", p.shaping.Check())
	}
	return problems.err(p.node.options.File)
}

func readRate(r *queue.Rate, text string) error {
	if text == "" {
		return nil
	}
	return r.UnmarshalText([]byte(text))
}

// readReply reads "ACTION [DURATION] REGEXP".
func readReply(text string) (queue.Reply, error) {
	word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	reply := queue.Reply{Action: queue.ReplyAction(word), Reason: "the reply matched a rule of ours: " + text}
	switch reply.Action {
	case queue.Slow, queue.Suspend, queue.Bounce, queue.Defer:
	default:
		return reply, fmt.Errorf("%q begins with none of slow, suspend, bounce and defer", text)
	}
	rest = strings.TrimSpace(rest)
	if first, after, ok := strings.Cut(rest, " "); ok {
		var d config.Duration
		if d.UnmarshalText([]byte(first)) == nil {
			reply.For, rest = d.D(), strings.TrimSpace(after)
		}
	}
	if rest == "" {
		return reply, fmt.Errorf("%q lacks the pattern of the answer", text)
	}
	var err error
	reply.Pattern, err = regexp.Compile(rest)
	return reply, err
}
