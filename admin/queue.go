package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"posthaste/config"
	"posthaste/mail"
	"posthaste/queue"
	"posthaste/route"
)

// A QueueRequest chooses entries; what is empty chooses all.
type QueueRequest struct {
	State     string          `json:"state,omitempty"`     // incoming, active, deferred, hold or corrupt
	Sender    string          `json:"sender,omitempty"`    // a part of it
	Recipient string          `json:"recipient,omitempty"` // a part of it
	Domain    string          `json:"domain,omitempty"`    // of a recipient; * is any text
	Older     config.Duration `json:"older,omitempty"`
	Newer     config.Duration `json:"newer,omitempty"`
	Larger    config.Size     `json:"larger,omitempty"`
	Smaller   config.Size     `json:"smaller,omitempty"`
	Reason    string          `json:"reason,omitempty"` // a part of a last answer
}

func (r QueueRequest) filter() (queue.Filter, error) {
	f := queue.Filter{
		State: queue.State(r.State), Sender: r.Sender, Recipient: r.Recipient, Domain: r.Domain,
		Older: r.Older.D(), Newer: r.Newer.D(), Larger: int64(r.Larger), Smaller: int64(r.Smaller), Reason: r.Reason,
	}
	switch f.State {
	case "", queue.Incoming, queue.Active, queue.Deferred, queue.Held, queue.Corrupt:
		return f, nil
	}
	return f, fmt.Errorf("there is no state %q: incoming, active, deferred, hold or corrupt", r.State)
}

// QueueList yields the entries, oldest first.
func (a *Admin) QueueList(ctx context.Context, r QueueRequest) iter.Seq2[*queue.Entry, error] {
	f, err := r.filter()
	if err != nil {
		return func(yield func(*queue.Entry, error) bool) { yield(nil, err) }
	}
	return a.cfg.Queue.List(ctx, f)
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
		return QueueEntry{}, fmt.Errorf("there is no entry %s: it was delivered, deleted, or never was; posthaste trace %s tells", id, id)
	}
	shown := QueueEntry{Envelope: e.Envelope, Entry: e.AppendJSON(nil)}
	content, err := a.cfg.Queue.ReadContent(ctx, id)
	if err != nil {
		shown.Problem = err.Error()
		return shown, nil
	}
	defer content.Close()
	shown.Content = content.Bytes()
	return shown, nil
}

// A QueueDoRequest does something to entries: those of IDs that Select chooses, or without IDs all
// that it chooses. All must be set where neither names any.
type QueueDoRequest struct {
	Verb      string       `json:"verb"` // retry, hold, release, requeue, reroute, edit or delete
	IDs       []string     `json:"ids,omitempty"`
	Select    QueueRequest `json:"select,omitzero"`
	All       bool         `json:"all,omitempty"`
	DryRun    bool         `json:"dryrun,omitempty"` // only count
	Reason    string       `json:"reason,omitempty"` // of hold
	Transport string       `json:"transport,omitempty"`
	Edit      QueueEdit    `json:"edit,omitzero"`
}

// A QueueEdit says how an envelope is to be changed.
type QueueEdit struct {
	Sender   *string  `json:"sender,omitempty"` // "" or "<>" is the null sender
	Add      []string `json:"add,omitempty"`
	Remove   []string `json:"remove,omitempty"`
	Priority *int8    `json:"priority,omitempty"`
}

// QueueDone tells what was done.
type QueueDone struct {
	Chosen  int           `json:"chosen"`
	Done    int           `json:"done"`
	Results []QueueResult `json:"results,omitempty"` // of each ID asked for, else of what failed
}

// A QueueResult is the outcome for one entry; Error is empty when it was done.
type QueueResult struct {
	ID    string `json:"id"`
	Error string `json:"error,omitempty"`
}

// maxFailures bounds how many failures of a change of many are told.
const maxFailures = 1000

// QueueDo does one thing to many entries, each by itself.
func (a *Admin) QueueDo(ctx context.Context, r QueueDoRequest) (QueueDone, error) {
	c, err := r.change(a)
	if err != nil {
		return QueueDone{}, err
	}
	var done QueueDone
	ids, err := a.choose(ctx, r, &done)
	if err != nil {
		return done, err
	}
	done.Chosen = len(ids)
	if r.DryRun {
		return done, nil
	}
	failed := a.cfg.Queue.Do(ctx, c, ids)
	done.Done = len(ids) - len(failed)
	for _, id := range ids {
		err := failed[id]
		if err == nil && len(r.IDs) == 0 || len(r.IDs) == 0 && len(done.Results) >= maxFailures {
			continue
		}
		done.Results = append(done.Results, resultOf(id, err))
	}
	return done, nil
}

func resultOf(id mail.QueueID, err error) QueueResult {
	result := QueueResult{ID: string(id)}
	switch {
	case errors.Is(err, queue.ErrNoEntry):
		result.Error = fmt.Sprintf("there is no entry %s: it was delivered, deleted, or never was; posthaste trace %s tells", id, id)
	case err != nil:
		result.Error = err.Error()
	}
	return result
}

// choose returns the IDs that r means. What is no ID becomes a result of done.
func (a *Admin) choose(ctx context.Context, r QueueDoRequest, done *QueueDone) (ids []mail.QueueID, err error) {
	f, err := r.Select.filter()
	if err != nil {
		return nil, err
	}
	if len(r.IDs) == 0 {
		if f.Empty() && !r.All {
			return nil, queue.ErrNoChoice
		}
		for e, err := range a.cfg.Queue.List(ctx, f) {
			if err != nil {
				return nil, err
			}
			ids = append(ids, e.ID)
		}
		return ids, nil
	}
	for _, text := range r.IDs {
		id, err := mail.ParseQueueID(text)
		if err != nil {
			done.Results = append(done.Results, QueueResult{ID: text, Error: notAnID(text).Error()})
			continue
		}
		if !f.Empty() {
			if chosen, err := a.cfg.Queue.Chooses(ctx, f, id); err == nil && !chosen {
				continue
			}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// change reads what is to be done.
func (r QueueDoRequest) change(a *Admin) (queue.Change, error) {
	c := queue.Change{Verb: queue.Verb(r.Verb), Reason: r.Reason}
	var err error
	switch c.Verb {
	case queue.VerbRetry, queue.VerbHold, queue.VerbRelease, queue.VerbRequeue, queue.VerbDelete:
	case queue.VerbReroute:
		if c.Transport = r.Transport; c.Transport == "-" {
			c.Transport = ""
		} else if _, err = route.Parse(c.Transport); err != nil {
			err = fmt.Errorf("transport %q: %w", c.Transport, err)
		}
	case queue.VerbEdit:
		c.Edit, err = r.Edit.parse(a)
	default:
		err = fmt.Errorf("nothing is known of %q: retry, hold, release, requeue, reroute, edit or delete", r.Verb)
	}
	return c, err
}

// maxPriority is the greatest priority (RFC 6710 section 4).
const maxPriority = 9

func (x QueueEdit) parse(a *Admin) (edit queue.Edit, err error) {
	if x.Sender != nil {
		var from mail.ReversePath
		if *x.Sender != "" && *x.Sender != "<>" {
			if from.Address, err = a.address(*x.Sender); err != nil {
				return edit, err
			}
		}
		edit.Sender = &from
	}
	if edit.Add, err = a.addresses(x.Add); err != nil {
		return edit, err
	}
	if edit.Remove, err = a.addresses(x.Remove); err != nil {
		return edit, err
	}
	if x.Priority != nil && (*x.Priority < -maxPriority || *x.Priority > maxPriority) {
		return edit, fmt.Errorf("a priority is %d to %d; 0 is that of ordinary mail", -maxPriority, maxPriority)
	}
	edit.Priority = x.Priority
	if edit.Empty() {
		return edit, errors.New("say what to change: --from, --add, --remove, --replace or --priority")
	}
	return edit, nil
}

func (a *Admin) addresses(texts []string) (list []mail.Address, err error) {
	for _, text := range texts {
		address, err := a.address(text)
		if err != nil {
			return nil, err
		}
		list = append(list, address)
	}
	return list, nil
}

func notAnID(text string) error {
	return fmt.Errorf("%q is not a queue ID: posthaste queue list shows them", text)
}

// A QueueStatsRequest asks for a picture of the queue.
type QueueStatsRequest struct {
	Select   QueueRequest `json:"select,omitzero"`
	BySender bool         `json:"bysender,omitempty"` // rows are domains of senders, not of recipients
}

// QueueStats is a picture of the queue.
type QueueStats struct {
	queue.Picture
	Destinations []queue.Destination `json:"destinations,omitempty"` // while the node runs
}

// QueueStats counts who waits, by domain and age, and says how destinations do.
func (a *Admin) QueueStats(ctx context.Context, r QueueStatsRequest) (QueueStats, error) {
	f, err := r.Select.filter()
	if err != nil {
		return QueueStats{}, err
	}
	picture, err := a.cfg.Queue.Picture(ctx, f, r.BySender)
	return QueueStats{picture, a.cfg.Queue.Destinations()}, err
}

// QueueRules yields the hold rules by name.
func (a *Admin) QueueRules(ctx context.Context) iter.Seq2[queue.HoldRule, error] {
	return func(yield func(queue.HoldRule, error) bool) {
		rules, err := a.cfg.Queue.Rules(ctx)
		if err != nil {
			yield(queue.HoldRule{}, err)
			return
		}
		for _, r := range rules {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// AddQueueRule makes new mail that the rule names wait for an operator.
func (a *Admin) AddQueueRule(ctx context.Context, r queue.HoldRule) error {
	return a.cfg.Queue.AddRule(ctx, r)
}

// RemoveQueueRule ends a hold rule.
func (a *Admin) RemoveQueueRule(ctx context.Context, r queue.HoldRule) error {
	err := a.cfg.Queue.RemoveRule(ctx, r.Name)
	if errors.Is(err, queue.ErrNoRule) {
		return fmt.Errorf("there is no hold rule %q: posthaste queue rule list shows them", r.Name)
	}
	return err
}
