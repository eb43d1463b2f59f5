package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"posthaste/mail"
	"posthaste/queue"
)

// A QueueRequest chooses entries; what is empty chooses all.
type QueueRequest struct {
	State     string `json:"state,omitempty"`     // incoming, active, deferred, hold or corrupt
	Sender    string `json:"sender,omitempty"`    // a part of it
	Recipient string `json:"recipient,omitempty"` // a part of it
}

// QueueList yields the entries, oldest first.
func (a *Admin) QueueList(ctx context.Context, r QueueRequest) iter.Seq2[*queue.Entry, error] {
	return a.cfg.Queue.List(ctx, queue.Filter{State: queue.State(r.State), Sender: r.Sender, Recipient: r.Recipient})
}

// A QueueShowRequest names one entry.
type QueueShowRequest struct {
	ID string `json:"id"`
}

// A QueueEntry is one entry with its content.
type QueueEntry struct {
	Entry    json.RawMessage `json:"entry"` // as QueueList prints it
	Envelope mail.Envelope   `json:"envelope"`
	Content  []byte          `json:"content,omitempty"`
	Problem  string          `json:"problem,omitempty"` // why the content cannot be shown
}

// QueueShow returns an entry with its content.
func (a *Admin) QueueShow(ctx context.Context, r QueueShowRequest) (QueueEntry, error) {
	id, err := mail.ParseQueueID(r.ID)
	if err != nil {
		return QueueEntry{}, notAnID(r.ID)
	}
	e, err := a.cfg.Queue.Show(ctx, id)
	if err != nil {
		return QueueEntry{}, err
	}
	shown := QueueEntry{Envelope: e.Envelope}
	if shown.Entry, err = e.MarshalJSON(); err != nil {
		return QueueEntry{}, err
	}
	content, err := a.cfg.Queue.ReadContent(ctx, id)
	if err != nil {
		shown.Problem = err.Error()
		return shown, nil
	}
	defer content.Close()
	shown.Content = content.Bytes()
	return shown, nil
}

// A QueueDoRequest does something to entries.
type QueueDoRequest struct {
	Verb string   `json:"verb"` // retry, hold, release or delete
	IDs  []string `json:"ids"`
}

// QueueDone tells what was done to each entry.
type QueueDone struct {
	Results []QueueResult `json:"results"`
}

// A QueueResult is the outcome for one entry; Error is empty when it was done.
type QueueResult struct {
	ID    string `json:"id"`
	Error string `json:"error,omitempty"`
}

// QueueDo does one thing to several entries, each by itself.
func (a *Admin) QueueDo(ctx context.Context, r QueueDoRequest) (QueueDone, error) {
	verbs := map[string]func(context.Context, mail.QueueID) error{
		"retry": a.cfg.Queue.Retry, "hold": a.cfg.Queue.Hold, "release": a.cfg.Queue.Release, "delete": a.cfg.Queue.Delete,
	}
	do := verbs[r.Verb]
	if do == nil {
		return QueueDone{}, fmt.Errorf("nothing is known of %q: retry, hold, release or delete", r.Verb)
	}
	var done QueueDone
	for _, text := range r.IDs {
		id, err := mail.ParseQueueID(text)
		if err == nil {
			err = do(ctx, id)
		} else {
			err = notAnID(text)
		}
		result := QueueResult{ID: text}
		if err != nil {
			result.Error = err.Error()
		}
		done.Results = append(done.Results, result)
	}
	return done, nil
}

func notAnID(text string) error {
	return fmt.Errorf("%q is not a queue ID: posthaste queue list shows them", text)
}
