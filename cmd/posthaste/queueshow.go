package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/reply"
)

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
		var q queueEntry
		if err := json.Unmarshal(shown.Entry, &q); err != nil {
			return fmt.Errorf("queue show: %w", err)
		}
		q.explain(e.out, &shown, time.Now())
		_, err = e.out.w.Write(shown.Content)
		return err
	})
}

// explain tells in words where an entry stands.
func (q *queueEntry) explain(p *printer, shown *admin.QueueEntry, now time.Time) {
	p.say("%s  %s", p.bold(q.ID), stateText(q.State))
	p.say("from      %s", senderText(q.Sender))
	p.say("came      %s, %s ago%s", q.Created.Local().Format(time.DateTime), ageText(now.Sub(q.Created)), byText(shown))
	p.say("size      %s", bytesText(q.Size))
	if q.Priority != 0 {
		p.say("priority  %d", q.Priority)
	}
	if q.State == "corrupt" {
		p.say("%s", p.red("reason    "+q.Reason))
		p.say("what to do: posthaste queue delete %s removes it; nothing else can be done with it here", q.ID)
	}
	for i := range q.Recipients {
		q.Recipients[i].explain(p, q.ID, now)
	}
	if shown.Problem != "" && q.State != "corrupt" {
		p.say("%s", p.red("the content cannot be read: "+shown.Problem))
	}
	p.say("")
}

func byText(shown *admin.QueueEntry) string {
	o := shown.Envelope.Origin
	text := ""
	if o.Protocol != "" {
		text += " by " + o.Protocol
	}
	if o.IP.IsValid() {
		text += " from " + o.IP.String()
	}
	if o.Login != "" {
		text += " as " + o.Login
	}
	return text
}

func stateText(state string) string {
	switch state {
	case "incoming":
		return "incoming: it was not tried yet"
	case "active":
		return "active: it is being delivered, or next in line for its destination"
	case "deferred":
		return "deferred: it was tried and will be tried again"
	case "hold":
		return "hold: it waits for an operator"
	case "corrupt":
		return "corrupt: it cannot be read and was set aside"
	}
	return state
}

func (r *queueRecipient) explain(p *printer, id string, now time.Time) {
	p.say("")
	p.say("to        %s  %s", p.bold(r.Address), stateText(r.State))
	if r.Reroute != "" {
		p.say("  goes by %s, which an operator chose; queue reroute - %s undoes that", r.Reroute, id)
	}
	if answer := r.answer(); answer != "" {
		p.say("  last answer after %d attempts: %s", r.Attempts, answer)
	}
	if r.Next != nil && (r.State == "deferred" || r.State == "incoming") {
		if wait := r.Next.Sub(now); wait > 0 {
			p.say("  next attempt in %s, at %s", ageText(wait), timeText(*r.Next, now))
		} else {
			p.say("  next attempt now")
		}
	}
	for _, advice := range r.advice(id) {
		p.say("  %s", p.dim(advice))
	}
}

// advice says what an operator can do about r.
func (r *queueRecipient) advice(id string) []string {
	switch r.State {
	case "deferred":
		return append(r.meaning(id), "posthaste queue retry "+id+" tries at once, queue reroute sends it another way")
	case "hold":
		return []string{"posthaste queue release " + id + " lets it go, queue delete removes it"}
	case "corrupt":
		return []string{"its content is damaged: queue release tries again, queue delete removes it"}
	}
	return nil
}

// meaning puts the last answer in words.
func (r *queueRecipient) meaning(id string) []string {
	_, text, said := strings.Cut(r.Reason, " said: ")
	if !said {
		text = r.Reason
	}
	status, err := reply.Parse(r.Status + " " + text)
	if err != nil {
		return nil
	}
	if !said && (status.Enhanced == "4.3.5" || status.Enhanced == "4.3.0") { // RFC 3463 section 3.4: about the system itself
		return []string{"Something is wrong here, not at the recipient's: the log, and posthaste trace " + id + ", tell what."}
	}
	advice := reply.Explain(status.Code, status.Enhanced, status.Text)
	return append([]string{advice.Meaning}, advice.Do...)
}

// ageText prints a duration in its largest unit.
func ageText(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", max(d, 0)/time.Second)
}
