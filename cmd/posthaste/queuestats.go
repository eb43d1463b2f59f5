package main

import (
	"fmt"
	"time"

	"posthaste/admin"
	"posthaste/queue"
)

type queueStats struct {
	By string `help:"Rows: domains of recipients (destination) or of senders (sender)." enum:"destination,sender" default:"destination"`
	selection
}

func (c *queueStats) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		request := admin.QueueStatsRequest{Select: c.request(), BySender: c.By == "sender"}
		picture, err := admin.Call[admin.QueueStats](e.ctx, client, "queue/stats", request)
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(picture)
		}
		printPicture(e.out, picture.Picture)
		printDestinations(e.out, picture.Destinations)
		return nil
	})
}

// printPicture draws the table that qshape(1) made customary.
func printPicture(p *printer, picture queue.Picture) {
	s := picture.Stats
	total := 0
	for _, n := range s.Entries {
		total += n
	}
	p.say("%d entries, %s", total, bytesText(s.Bytes))
	for _, state := range []queue.State{queue.Incoming, queue.Active, queue.Deferred, queue.Held, queue.Corrupt} {
		if n := s.Entries[state]; n > 0 {
			p.say("  %-9s %d", state, n)
		}
	}
	if !s.Oldest.IsZero() {
		p.say("  oldest came %s ago", ageText(time.Since(s.Oldest)))
	}
	if len(picture.Rows) == 0 {
		return
	}
	p.say("")
	titles := []string{"DOMAIN", ">TOTAL"}
	for _, column := range queue.AgeColumns() {
		titles = append(titles, ">"+column)
	}
	t := p.table(titles...)
	sum := queue.PictureRow{Domain: "TOTAL"}
	for _, r := range picture.Rows {
		sum.Total += r.Total
		for i, n := range r.Ages {
			sum.Ages[i] += n
		}
	}
	for _, r := range append([]queue.PictureRow{sum}, picture.Rows...) {
		cells := []string{r.Domain, fmt.Sprint(r.Total)}
		for _, n := range r.Ages {
			cells = append(cells, fmt.Sprint(n))
		}
		t.row(cells...)
	}
	t.print("")
}

// printDestinations says how the places that mail goes to do now.
func printDestinations(p *printer, all []queue.Destination) {
	if len(all) == 0 {
		return
	}
	p.say("")
	t := p.table("DESTINATION", ">WINDOW", ">BUSY", ">WAITING", "SUSPENDED UNTIL", "WHY")
	now := time.Now()
	for _, d := range all {
		until := "-"
		if d.Suspended.After(now) {
			until = timeText(d.Suspended, now)
		}
		why := d.Why
		if why == "" && d.Rate != "" && d.Waiting > 0 {
			why = "limited to " + d.Rate
		}
		t.row(d.Key, fmt.Sprint(d.Window), fmt.Sprint(d.Busy), fmt.Sprint(d.Waiting), until, why)
	}
	t.print("")
}

type queueRules struct {
	Add    queueRuleAdd    `cmd:"" help:"Put new mail on hold that has all that is named."`
	List   queueRuleList   `cmd:"" help:"List the rules."`
	Remove queueRuleRemove `cmd:"" help:"Remove a rule; what it has put on hold stays there."`
}

type queueRuleAdd struct {
	Name      string `arg:"" help:"Name of the rule: shown as the reason."`
	Sender    string `help:"Sender; * stands for any text, <> is the null sender." placeholder:"GLOB"`
	Recipient string `help:"Recipient, or its domain." placeholder:"GLOB"`
	Client    string `help:"Network or address of the client, or a pattern of its name or login." placeholder:"GLOB"`
}

func (c *queueRuleAdd) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		rule := queue.HoldRule{Name: c.Name, Sender: c.Sender, Recipient: c.Recipient, Client: c.Client}
		if _, err := admin.Call[struct{}](e.ctx, client, "queue/rule/add", rule); err != nil {
			return err
		}
		e.out.say("new mail that matches waits: posthaste queue list --state hold --reason 'rule %s'", c.Name)
		return nil
	})
}

type queueRuleList struct{}

func (c *queueRuleList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("NAME", "SENDER", "RECIPIENT", "CLIENT", "SINCE")
		for rule, err := range admin.List[queue.HoldRule](e.ctx, client, "queue/rule/list", struct{}{}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(rule)
				continue
			}
			t.row(rule.Name, orAny(rule.Sender), orAny(rule.Recipient), orAny(rule.Client), timeText(rule.Created, time.Now()))
		}
		t.print("no rules: all new mail goes on its way")
		return nil
	})
}

func orAny(pattern string) string {
	if pattern == "" {
		return "*"
	}
	return pattern
}

type queueRuleRemove struct {
	Name string `arg:"" help:"Name of the rule."`
}

func (c *queueRuleRemove) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		_, err := admin.Call[struct{}](e.ctx, client, "queue/rule/remove", queue.HoldRule{Name: c.Name})
		if err == nil {
			e.out.say("%s is removed; queue release --reason 'rule %s' lets go what it held", c.Name, c.Name)
		}
		return err
	})
}
