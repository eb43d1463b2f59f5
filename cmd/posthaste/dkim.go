package main

import (
	"fmt"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/mailauth/dkim"
)

type dkimCommands struct {
	Add      dkimAdd      `cmd:"" help:"Make keys for a domain and print the records to publish."`
	List     dkimList     `cmd:"" help:"List the keys of a domain, or of all."`
	DNS      dkimDNS      `cmd:"" name:"dns" help:"Print the records of a domain as a zone file has them."`
	Check    dkimCheck    `cmd:"" help:"Ask the DNS for the records of a domain and say what to do; exits with 1 where something is."`
	Rotate   dkimRotate   `cmd:"" help:"Make keys that will replace those of a domain, once their records are published."`
	Activate dkimActivate `cmd:"" help:"Make a key sign whose record is published; what it replaces stops."`
	Delete   dkimDelete   `cmd:"" help:"Remove a key."`
}

type dkimAdd struct {
	Domain    string `arg:"" help:"The domain, as example.org."`
	Selector  string `help:"Name of the key; of two, each gets its algorithm behind it. Default: the day."`
	Algorithm string `help:"rsa, ed25519 or both." default:"both"`
	Active    bool   `help:"Sign at once, before the records are published: until then receivers take mail for unsigned."`
}

func (c *dkimAdd) Run(e *env) error {
	r := admin.DKIMRequest{Domain: c.Domain, Selector: c.Selector, Algorithm: c.Algorithm, Force: c.Active}
	return e.dkimKeys("dkim/add", r, func(keys []admin.DKIMKey) {
		e.out.publish(keys)
		if !c.Active {
			e.out.say("\nThe keys sign once these records are seen: posthaste dkim check %s", keys[0].Domain)
		} else {
			e.out.say("\nThe keys sign already: posthaste dkim check %s tells when all is well.", keys[0].Domain)
		}
	})
}

type dkimList struct {
	Domain string `arg:"" optional:"" help:"Only the keys of this domain."`
}

func (c *dkimList) Run(e *env) error {
	return e.dkimKeys("dkim/list", admin.DKIMRequest{Domain: c.Domain}, e.out.dkimTable)
}

type dkimDNS struct {
	Domain string `arg:"" help:"The domain."`
}

// Run leaves out retired keys, whose records are to go.
func (c *dkimDNS) Run(e *env) error {
	return e.dkimKeys("dkim/list", admin.DKIMRequest{Domain: c.Domain}, func(keys []admin.DKIMKey) {
		for _, k := range keys {
			if k.State != dkim.Retired {
				fmt.Fprintln(e.out.w, k.Zone)
			}
		}
	})
}

type dkimCheck struct {
	Domain string `arg:"" help:"The domain."`
}

func (c *dkimCheck) Run(e *env) error {
	well := true
	err := e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("SELECTOR", "STATE", "DNS", "WHAT TO DO")
		for k, err := range admin.List[admin.DKIMCheck](e.ctx, client, "dkim/check", admin.DKIMRequest{Domain: c.Domain}) {
			if err != nil {
				return err
			}
			well = well && k.OK
			if e.out.json {
				e.out.object(k)
				continue
			}
			found := string(k.Status)
			if k.Problem != "" {
				found += ": " + oneLine(k.Problem)
			}
			t.row(k.Selector, string(k.State), found, k.Advice)
		}
		t.print("no keys")
		return nil
	})
	if err == nil && !well {
		err = errSilent
	}
	return err
}

type dkimRotate struct {
	Domain string `arg:"" help:"The domain."`
}

func (c *dkimRotate) Run(e *env) error {
	return e.dkimKeys("dkim/rotate", admin.DKIMRequest{Domain: c.Domain}, func(keys []admin.DKIMKey) {
		e.out.publish(keys)
		e.out.say("\nThe old keys sign until these records are seen: posthaste dkim check %s", keys[0].Domain)
	})
}

type dkimActivate struct {
	Domain   string `arg:"" help:"The domain."`
	Selector string `arg:"" help:"The key."`
	Force    bool   `help:"Also where its record was not seen."`
}

func (c *dkimActivate) Run(e *env) error {
	r := admin.DKIMRequest{Domain: c.Domain, Selector: c.Selector, Force: c.Force}
	return e.dkimKeys("dkim/activate", r, func(keys []admin.DKIMKey) {
		e.out.say("%s signs for %s now.", keys[0].Selector, keys[0].Domain)
		for _, old := range keys[1:] {
			e.out.say("%s does not any more; leave its record until %s, for mail on its way.", old.Selector, old.Retires.Format(time.DateOnly))
		}
	})
}

type dkimDelete struct {
	Domain   string `arg:"" help:"The domain."`
	Selector string `arg:"" help:"The key."`
}

func (c *dkimDelete) Run(e *env) error {
	r := admin.DKIMRequest{Domain: c.Domain, Selector: c.Selector}
	return e.dkimKeys("dkim/delete", r, func(keys []admin.DKIMKey) {
		e.out.say("%s is gone. Its record may go too.", c.Selector)
		for _, k := range keys {
			if k.State == dkim.Active {
				return
			}
		}
		e.out.say("No key of %s signs any more.", c.Domain)
	})
}

// dkimKeys runs an operation and shows the keys that it answers with, as JSON or by show, which gets none
// only where the operation may have none left.
func (e *env) dkimKeys(operation string, r admin.DKIMRequest, show func([]admin.DKIMKey)) error {
	return e.withAdmin(func(client *admin.Client) error {
		var keys []admin.DKIMKey
		for k, err := range admin.List[admin.DKIMKey](e.ctx, client, operation, r) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(k)
				continue
			}
			keys = append(keys, k)
		}
		if !e.out.json {
			show(keys)
		}
		return nil
	})
}

// publish prints the records of keys that were made.
func (p *printer) publish(keys []admin.DKIMKey) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Selector
	}
	p.say("Made for %s: %s. Publish:\n", keys[0].Domain, strings.Join(names, ", "))
	for _, k := range keys {
		fmt.Fprintln(p.w, k.Zone)
	}
}

func (p *printer) dkimTable(keys []admin.DKIMKey) {
	t := p.table("DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "SINCE")
	for _, k := range keys {
		state, since := string(k.State), k.Created
		switch k.State {
		case dkim.Active:
			since = k.Activated
		case dkim.Retiring:
			state += " until " + k.Retires.Format(time.DateOnly)
			since = k.Retires.Add(-dkim.KeepRetiring)
		case dkim.Retired:
			since = k.Retires
		}
		t.row(k.Domain, k.Selector, string(k.Algorithm), state, since.Format(time.DateOnly))
	}
	t.print("no keys yet: posthaste dkim add example.org")
}
