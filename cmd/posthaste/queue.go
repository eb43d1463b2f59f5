package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/config"
)

type queueCommands struct {
	List    queueList    `cmd:"" help:"List the entries, oldest first."`
	Show    queueShow    `cmd:"" help:"Explain an entry, and print its content."`
	Stats   queueStats   `cmd:"" help:"Count who waits, by domain and age."`
	Retry   queueRetry   `cmd:"" help:"Try entries now, whatever is known of their destinations."`
	Hold    queueHold    `cmd:"" help:"Keep entries from being tried."`
	Release queueRelease `cmd:"" help:"Try entries that were held."`
	Requeue queueRequeue `cmd:"" help:"Start entries afresh: routes anew, attempts from 0."`
	Reroute queueReroute `cmd:"" help:"Send entries by another transport."`
	Edit    queueEdit    `cmd:"" help:"Change sender, recipients or priority of entries."`
	Delete  queueDelete  `cmd:"" help:"Delete entries; nobody gets a report."`
	Rule    queueRules   `cmd:"" help:"Rules that put new mail on hold."`
}

// A selection is the flags that choose entries.
type selection struct {
	State     string          `help:"Only entries in this state: incoming, active, deferred, hold or corrupt." placeholder:"STATE"`
	Sender    string          `help:"Only entries whose sender contains this; <> is the null sender." placeholder:"TEXT"`
	Recipient string          `help:"Only entries with a recipient that contains this." placeholder:"TEXT"`
	Domain    string          `help:"Only entries with a recipient in this domain; * stands for any text." placeholder:"GLOB"`
	Older     config.Duration `help:"Only entries that came longer ago than this, as 2h or 3d." placeholder:"AGE"`
	Newer     config.Duration `help:"Only entries that came less long ago than this." placeholder:"AGE"`
	Larger    config.Size     `help:"Only entries with more bytes than this, as 10MiB." placeholder:"SIZE"`
	Smaller   config.Size     `help:"Only entries with fewer bytes than this." placeholder:"SIZE"`
	Reason    string          `help:"Only entries with a last answer that contains this." placeholder:"TEXT"`
}

func (s *selection) request() admin.QueueRequest {
	return admin.QueueRequest{
		State: s.State, Sender: s.Sender, Recipient: s.Recipient, Domain: s.Domain,
		Older: s.Older, Newer: s.Newer, Larger: s.Larger, Smaller: s.Smaller, Reason: s.Reason,
	}
}

// A queueEntry is one line of `queue list --json`. The words are fixed: scripts rely on them.
type queueEntry struct {
	ID         string           `json:"id"`
	State      string           `json:"state"`
	Sender     string           `json:"sender"`
	Size       int64            `json:"size"`
	Created    time.Time        `json:"created"`
	Next       *time.Time       `json:"next"`
	Priority   int8             `json:"priority"`
	Recipients []queueRecipient `json:"recipients"`
	Reason     string           `json:"reason"` // why it is corrupt
}

type queueRecipient struct {
	Address  string     `json:"address"`
	State    string     `json:"state"`
	Status   string     `json:"status"`
	Reason   string     `json:"reason"`
	Attempts int        `json:"attempts"`
	Next     *time.Time `json:"next"`
	Reroute  string     `json:"reroute"`
}

// answer is status and reason in one line.
func (r *queueRecipient) answer() string {
	text := r.Reason
	if r.Status != "" && !strings.HasPrefix(text, r.Status) {
		text = strings.TrimSpace(r.Status + " " + text)
	}
	return strings.ReplaceAll(text, "\n", " / ")
}

type queueList struct {
	selection
}

func (c *queueList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("ID", "STATE", ">SIZE", "CAME", "NEXT", "FROM", "TO", "REASON")
		now := time.Now()
		for line, err := range admin.Lines(e.ctx, client, "queue/list", c.request()) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.w.Write(line)
				fmt.Fprintln(e.out.w)
				continue
			}
			var q queueEntry
			if err := json.Unmarshal(line, &q); err != nil {
				return fmt.Errorf("queue list: %w", err)
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
	cells := []string{q.ID, q.State, bytesText(q.Size), timeText(q.Created, now), next, senderText(q.Sender)}
	if q.State == "corrupt" {
		t.row(append(cells, "", q.Reason)...)
	}
	for i, r := range q.Recipients {
		if i == 1 {
			cells = make([]string, len(cells))
		}
		t.row(append(append([]string(nil), cells...), r.Address, r.answer())...)
	}
}

func senderText(from string) string {
	if from == "" {
		return "<>"
	}
	return from
}
