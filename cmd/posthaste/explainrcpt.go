package main

import (
	"fmt"
	"net/netip"

	"posthaste/admin"
	"posthaste/mail"
	"posthaste/smtp"
)

type explainRcpt struct {
	Address string `arg:"" help:"The recipient."`
	From    string `help:"The sender; <> is the null sender." default:"<>" placeholder:"ADDRESS"`
	IP      string `name:"ip" help:"Address of the host that would send it. Default: a stranger's, 192.0.2.1." default:"192.0.2.1" placeholder:"IP"`
	Helo    string `help:"What that host calls itself." default:"client.invalid" placeholder:"NAME"`
}

// Help says what is asked.
func (c *explainRcpt) Help() string {
	return "The deciders of a real session and a real delivery are asked, tables, DNS and the hosts of relay domains included; nothing is sent."
}

func (c *explainRcpt) Run(e *env) error {
	request, err := c.request()
	if err != nil {
		return err
	}
	return e.withAdmin(func(client *admin.Client) error {
		found, err := admin.Call[admin.Explanation](e.ctx, client, "explain", request)
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(found)
		}
		c.print(e.out, found)
		return nil
	})
}

func (c *explainRcpt) request() (r admin.ExplainRequest, err error) {
	if r.To, err = smtp.ParseAddress(c.Address); err != nil {
		return r, fmt.Errorf("recipient %q: %w", c.Address, err)
	}
	if c.From != "<>" && c.From != "" {
		var from mail.Address
		if from, err = smtp.ParseAddress(c.From); err != nil {
			return r, fmt.Errorf("sender %q: %w", c.From, err)
		}
		r.From = mail.ReversePath{Address: from}
	}
	if r.IP, err = netip.ParseAddr(c.IP); err != nil {
		return r, fmt.Errorf("--ip %q is no IP address, as 192.0.2.1 or 2001:db8::1", c.IP)
	}
	r.Helo = c.Helo
	return r, nil
}

func (c *explainRcpt) print(p *printer, e admin.Explanation) {
	verdict := p.green("taken")
	if !e.Taken {
		verdict = p.red("refused")
		if e.Answer.Temporary() {
			verdict = p.red("put off")
		}
	}
	p.say("Mail from <%s> by %s to %s would be %s:", trimNull(c.From), c.IP, p.bold(c.Address), verdict)
	p.say("  %s", e.Answer.Error())
	if len(e.Reasons) > 0 {
		p.say("\n%s", p.bold("Why"))
		t := p.table("DECIDER", "WHAT IT SAW AND WHAT CAME OF IT")
		for _, r := range e.Reasons {
			t.row(r.Subject, r.Text)
		}
		t.print("")
	}
	if len(e.Ways) > 0 {
		p.say("\n%s", p.bold("Where it goes"))
		t := p.table("ADDRESS", "WAY")
		for _, w := range e.Ways {
			way := w.Transport
			if w.Problem != "" {
				way = p.red(w.Problem)
			}
			t.row(w.Address.String(), way)
		}
		t.print("")
	}
}

func trimNull(from string) string {
	if from == "<>" {
		return ""
	}
	return from
}
