package admin

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"posthaste/trace"
)

// A VerdictRequest asks what was decided about a message, and why.
type VerdictRequest struct {
	Key string `json:"key"` // a queue ID, a Message-ID, an address, or the id in a reply that refused
}

// maxVerdicts bounds what one question returns, the latest.
const maxVerdicts = 100

// Verdicts returns the events that tell of decisions about a message: verdicts of the filter, and what
// was refused.
func (a *Admin) Verdicts(ctx context.Context, r VerdictRequest) ([]trace.Event, error) {
	if r.Key == "" {
		return nil, fmt.Errorf("which message? name a queue ID, a Message-ID, an address, or the id in a reply")
	}
	story, err := a.cfg.Trace.Story(ctx, r.Key, 0)
	if err != nil {
		return nil, err
	}
	found := decisions(story)
	return found[max(0, len(found)-maxVerdicts):], nil
}

// decisions returns the events of a story that tell of decisions. The answer to a client says again what the
// verdict before it says; it only adds who the client was, and for whom the message was.
func decisions(story []trace.Event) (found []trace.Event) {
	for _, e := range story {
		if len(found) > 0 && saidAlready(found[len(found)-1], e) {
			last := &found[len(found)-1]
			last.Peer = cmp.Or(last.Peer, e.Peer)
			if len(last.To) == 0 {
				last.To = e.To
			}
			continue
		}
		if e.Verdict != nil || !e.OK && (e.Step == trace.Check || e.Step == trace.Receive || e.Step == trace.Submit) {
			found = append(found, e)
		}
	}
	return found
}

// saidAlready tells whether an answer to a client is that of the verdict before it.
func saidAlready(verdict, answer trace.Event) bool {
	same := answer.ID != "" && answer.ID == verdict.ID || answer.Session != "" && answer.Session == verdict.Session
	return same && verdict.Verdict != nil && answer.Verdict == nil && answer.Answered != "" && strings.HasSuffix(verdict.Answered, answer.Answered)
}
