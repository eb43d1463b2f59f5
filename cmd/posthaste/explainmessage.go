package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/mail"
	"posthaste/trace"
)

type explainMessage struct {
	Key string `arg:"" help:"A queue ID, a Message-ID, an address, or the id in a reply that refused a message."`
}

func (c *explainMessage) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		told := 0
		for event, err := range admin.List[trace.Event](e.ctx, client, "explain/message", admin.VerdictRequest{Key: c.Key}) {
			if err != nil {
				return err
			}
			if told++; e.out.json {
				if err := e.out.object(event); err != nil {
					return err
				}
				continue
			}
			if told > 1 {
				e.out.say("")
			}
			e.out.verdict(event)
		}
		if told == 0 {
			return fmt.Errorf("nothing was decided about %q that is recorded: verdicts are kept for trace.keep; posthaste trace %s tells all that is known", c.Key, c.Key)
		}
		return nil
	})
}

// verdict prints what was decided about a message, and what led to it.
func (p *printer) verdict(e trace.Event) {
	p.say("%s", p.bold(verdictTitle(e)))
	p.say("%-11s %s", "When:", timeText(e.Time, time.Now()))
	for _, line := range []struct{ name, text string }{{"Message:", string(e.ID)}, {"Message-ID:", oneLine(e.MessageID)}, {"From:", oneLine(e.From)},
		{"For:", recipientsText(e.To)}, {"Client:", oneLine(e.Peer)}, {"Answer:", oneLine(e.Answered)}} {
		if line.text != "" {
			p.say("%-11s %s", line.name, line.text)
		}
	}
	if e.Verdict == nil {
		p.say("%-11s %s", "Why:", oneLine(e.Text))
		return
	}
	p.say("%-11s %s", "Why:", oneLine(e.Verdict.Reason))
	p.say("")
	t := p.table(">POINTS", "RULE", "SEEN", "MEANING")
	for _, f := range e.Verdict.Findings {
		t.row(weightText(f.Weight), oneLine(f.Rule), shorten(oneLine(f.Evidence), maxSeen), oneLine(f.Meaning))
	}
	t.row(weightText(e.Verdict.Score), "in all", "", "")
	t.print("No rule matched.")
	if len(e.Verdict.Otherwise) > 0 {
		p.say("")
		p.say("It would have been otherwise:")
		for _, s := range e.Verdict.Otherwise {
			p.say("  - %s", oneLine(s))
		}
	}
}

func verdictTitle(e trace.Event) string {
	switch {
	case e.Verdict == nil && strings.HasPrefix(e.Answered, "4"):
		return "Put off"
	case e.Verdict == nil:
		return "Refused"
	}
	switch e.Verdict.Action {
	case mail.Accept:
		return "Delivered"
	case mail.Tag:
		return "Delivered with a tag"
	case mail.Junk:
		return "Filed as junk"
	case mail.Quarantine:
		return "Kept in quarantine"
	case mail.Greylist:
		return "Put off"
	}
	return "Refused"
}

// maxSeen is how much of an evidence a table shows.
const maxSeen = 60

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func weightText(w float64) string {
	s := strconv.FormatFloat(w, 'f', -1, 64)
	if w > 0 {
		return "+" + s
	}
	return s
}

func recipientsText(to []mail.Address) string {
	names := make([]string, len(to))
	for i, a := range to {
		names[i] = oneLine(a.String())
	}
	return strings.Join(names, ", ")
}
