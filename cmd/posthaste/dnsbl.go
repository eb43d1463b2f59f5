package main

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"posthaste/admin"
	"posthaste/filter/dnsbl"
)

type dnsblCommands struct {
	List  dnsblList  `cmd:"" help:"List the lists that are asked, whether they work, and why not."`
	Check dnsblCheck `cmd:"" help:"Say what the lists have about an address or a domain."`
}

type dnsblList struct {
	Known bool `help:"List those that need no definition in the configuration, with their terms."`
}

func (c *dnsblList) Run(e *env) error {
	if c.Known {
		return listKnown(e.out)
	}
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("LIST", "STATE", "TESTED", ">ASKED", ">ENTRIES", ">FAILED", "ZONE", "WHY")
		for s, err := range admin.List[dnsbl.Status](e.ctx, client, "dnsbl/list", struct{}{}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(s)
				continue
			}
			tested := "never"
			if !s.Tested.IsZero() {
				tested = timeText(s.Tested, time.Now())
			}
			t.row(s.Name, string(s.State), tested, fmt.Sprint(s.Asked), fmt.Sprint(s.Entries), fmt.Sprint(s.Failed), s.Zone, oneLine(s.Why))
		}
		if !e.out.json {
			t.print("no lists: see [[dnsbl]] in posthaste config doc")
		}
		return nil
	})
}

func listKnown(p *printer) error {
	t := p.table("LIST", "ZONE", "WHAT IT HAS", "TERMS OF ITS OPERATOR")
	for _, b := range dnsbl.Builtins() {
		if p.json {
			if err := p.object(b); err != nil {
				return err
			}
			continue
		}
		t.row(b.Name, b.Zone, b.About, b.Terms)
	}
	if !p.json {
		t.print("")
	}
	return nil
}

type dnsblCheck struct {
	Subject string `arg:"" name:"address-or-domain" help:"What to ask about."`
}

func (c *dnsblCheck) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		a, err := admin.Call[admin.DNSBLAnswer](e.ctx, client, "dnsbl/check", admin.DNSBLRequest{Subject: c.Subject})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(a)
		}
		c.print(e.out, a)
		return nil
	})
}

func (c *dnsblCheck) print(p *printer, a admin.DNSBLAnswer) {
	t := p.table("LIST", "ASKED", "CODE", ">POINTS", "WHAT IT MEANS")
	for _, h := range a.Entries {
		meaning := h.Meaning
		if h.Text != "" {
			meaning += ": " + h.Text
		}
		t.row(h.List, h.Asked, h.Code.String(), fmt.Sprintf("%+.1f", h.Weight), oneLine(meaning))
	}
	t.print(noEntry(c.Subject, a.Lists))
	for _, f := range a.Failed {
		p.say("%s said nothing about %s: %s", f.List, f.Asked, oneLine(f.Why))
	}
	for _, s := range a.Lists {
		if s.State != dnsbl.On {
			p.say("%s was not asked: %s", s.Name, oneLine(s.Why))
		}
	}
}

// noEntry says that nothing was found, and where nothing was asked.
func noEntry(subject string, lists []dnsbl.Status) string {
	_, err := netip.ParseAddr(subject)
	asked := func(s dnsbl.Status) bool { return s.Domains == (err != nil) }
	if slices.ContainsFunc(lists, asked) {
		return "no list has an entry"
	}
	if err != nil {
		return "no list of domains is in the configuration: nothing was asked about " + oneLine(subject)
	}
	return "no list of addresses is in the configuration: nothing was asked about " + oneLine(subject)
}
