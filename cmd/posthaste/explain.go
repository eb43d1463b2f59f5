package main

import (
	"fmt"
	"io"
	"strings"

	"posthaste/mail"
	"posthaste/reply"
)

type explainCommands struct {
	Message explainMessage `cmd:"" help:"Say what was decided about a message, by which rules, and what would have changed it."`
	Rcpt    explainRcpt    `cmd:"" help:"Say what would become of mail for a recipient, and why."`
	Reply   explainReply   `cmd:"" help:"Say what the answer of a mail system means, and what to do about it."`
}

type explainReply struct {
	Text []string `arg:"" optional:"" passthrough:"partial" help:"The answer, as it stands in a log or a report: 550 5.7.1 … Without it, standard input is read."`
}

// maxPasted is how much of standard input is read.
const maxPasted = 64 << 10

func (c *explainReply) Run(e *env) error {
	text := strings.Join(c.Text, " ")
	if text == "" {
		pasted, err := io.ReadAll(io.LimitReader(e.in, maxPasted))
		if err != nil {
			return err
		}
		text = string(pasted)
	}
	status, err := reply.Parse(text)
	if err != nil {
		return fmt.Errorf("%w: give it as it stands in the log or report", err)
	}
	advice := reply.Of(status)
	if e.out.json {
		return e.out.object(struct {
			*mail.Status
			reply.Advice
		}{status, advice})
	}
	printAdvice(e.out, status, advice)
	return nil
}

func printAdvice(p *printer, s *mail.Status, a reply.Advice) {
	outcome := p.green("taken")
	switch {
	case s.Permanent():
		outcome = p.red("refused for good")
	case s.Code/100 == 4:
		outcome = "not now, it is tried again"
	case s.Code/100 == 3:
		outcome = "no outcome yet"
	}
	p.say("%s", p.bold(a.Meaning))
	p.say("")
	p.say("Outcome:  %s (%s)", outcome, a.Class)
	p.say("Whose:    %s", a.Who)
	for i, do := range a.Do {
		label := "What to do:"
		if i > 0 {
			label = ""
		}
		p.say("%-11s %s", label, do)
	}
	if a.Link != "" {
		p.say("Ask at:   %s", a.Link)
	}
	if a.Rule != "" {
		p.say("%s", p.dim("Known by: "+a.Rule))
	}
}
