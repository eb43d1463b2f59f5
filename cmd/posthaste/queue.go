package main

import (
	"fmt"
	"strings"
	"time"

	"posthaste/admin"
)

type queueCommands struct {
	List    queueList  `cmd:"" help:"List the entries, oldest first."`
	Show    queueShow  `cmd:"" help:"Print an entry with its content."`
	Retry   queueRetry `cmd:"" help:"Try entries now."`
	Hold    queueHold  `cmd:"" help:"Keep entries from being tried."`
	Release queueFree  `cmd:"" help:"Try entries that were held."`
	Delete  queueDrop  `cmd:"" help:"Delete entries; nobody gets a report."`
}

// A queueEntry is one line of `queue list --json`. The words are fixed: scripts rely on them.
type queueEntry struct {
	ID         string     `json:"id"`
	State      string     `json:"state"`
	Sender     string     `json:"sender"`
	Size       int64      `json:"size"`
	Created    time.Time  `json:"created"`
	Next       *time.Time `json:"next"`
	Recipients []struct {
		Address string `json:"address"`
		State   string `json:"state"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
	} `json:"recipients"`
}

type queueList struct {
	State     string `help:"Only entries in this state: incoming, active, deferred, hold or corrupt." placeholder:"STATE"`
	Sender    string `help:"Only entries whose sender contains this; <> is the null sender." placeholder:"TEXT"`
	Recipient string `help:"Only entries with a recipient that contains this." placeholder:"TEXT"`
}

func (c *queueList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		request := admin.QueueRequest{State: c.State, Sender: c.Sender, Recipient: c.Recipient}
		if e.out.json {
			for raw, err := range admin.List[jsonLine](e.ctx, client, "queue/list", request) {
				if err != nil {
					return err
				}
				fmt.Fprintf(e.out.w, "%s\n", raw)
			}
			return nil
		}
		t := e.out.table("ID", "STATE", ">SIZE", "CAME", "NEXT", "FROM", "TO", "REASON")
		now := time.Now()
		for q, err := range admin.List[queueEntry](e.ctx, client, "queue/list", request) {
			if err != nil {
				return err
			}
			q.addTo(t, now)
		}
		t.print("the queue is empty")
		return nil
	})
}

// addTo adds a row for each recipient; the entry's own cells stand in the first.
func (q *queueEntry) addTo(t *table, now time.Time) {
	next := "-"
	if q.Next != nil && !q.Next.IsZero() {
		next = timeText(*q.Next, now)
	}
	cells := []string{q.ID, q.State, bytesText(q.Size), timeText(q.Created, now), next, q.Sender}
	for i, r := range q.Recipients {
		if i == 1 {
			cells = make([]string, len(cells))
		}
		reason := r.Reason
		if r.Status != "" && !strings.HasPrefix(reason, r.Status) {
			reason = strings.TrimSpace(r.Status + " " + reason)
		}
		t.row(append(append([]string(nil), cells...), r.Address, strings.ReplaceAll(reason, "\n", " / "))...)
	}
	if len(q.Recipients) == 0 {
		t.row(append(cells, "", "")...)
	}
}

// A jsonLine passes JSON through as it came.
type jsonLine []byte

// UnmarshalJSON keeps the text.
func (l *jsonLine) UnmarshalJSON(text []byte) error {
	*l = append((*l)[:0], text...)
	return nil
}

type queueShow struct {
	ID string `arg:"" help:"The queue ID."`
}

func (c *queueShow) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		shown, err := admin.Call[admin.QueueEntry](e.ctx, client, "queue/show", admin.QueueShowRequest{ID: c.ID})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(shown)
		}
		env := shown.Envelope
		from := env.From.String()
		if env.From.Null() {
			from = "<>"
		}
		e.out.say("%s %s", e.out.bold("entry"), shown.Entry)
		e.out.say("%s %s  %s %s  %s %s\n", e.out.bold("from"), from, e.out.bold("came"), env.Received.Local().Format(time.DateTime), e.out.bold("by"), env.Origin.Protocol)
		if shown.Problem != "" {
			e.out.say("%s", e.out.red("the content cannot be read: "+shown.Problem))
		}
		_, err = e.out.w.Write(shown.Content)
		return err
	})
}

type queueIDs struct {
	IDs []string `arg:"" name:"id" help:"Queue IDs."`
}

type (
	queueRetry struct{ queueIDs }
	queueHold  struct{ queueIDs }
	queueFree  struct{ queueIDs }
	queueDrop  struct{ queueIDs }
)

func (c *queueRetry) Run(e *env) error { return c.do(e, "retry", "is due now") }
func (c *queueHold) Run(e *env) error  { return c.do(e, "hold", "is on hold") }
func (c *queueFree) Run(e *env) error  { return c.do(e, "release", "is due now") }
func (c *queueDrop) Run(e *env) error  { return c.do(e, "delete", "is deleted") }

func (c *queueIDs) do(e *env, verb, done string) error {
	return e.withAdmin(func(client *admin.Client) error {
		answer, err := admin.Call[admin.QueueDone](e.ctx, client, "queue/do", admin.QueueDoRequest{Verb: verb, IDs: c.IDs})
		if err != nil {
			return err
		}
		failed := false
		for _, r := range answer.Results {
			switch {
			case e.out.json:
				e.out.object(r)
			case r.Error == "":
				e.out.say("%s %s", r.ID, done)
			default:
				fmt.Fprintf(e.err, "posthaste: %s\n", r.Error)
			}
			failed = failed || r.Error != ""
		}
		if failed {
			return errSilent
		}
		return nil
	})
}
