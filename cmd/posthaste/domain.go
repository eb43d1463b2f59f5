package main

import (
	"posthaste/admin"
	"posthaste/directory"
)

type domainCommands struct {
	Add    domainAdd    `cmd:"" help:"Take mail for a domain."`
	List   domainList   `cmd:"" help:"List the domains."`
	Delete domainDelete `cmd:"" help:"Stop taking mail for a domain without addresses."`
}

type domainAdd struct {
	Name  string `arg:"" help:"The domain, as example.org."`
	Relay bool   `help:"Only as backup: take its mail and hand it on to its better MX hosts."`
}

func (c *domainAdd) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		added, err := admin.Call[directory.Domain](e.ctx, client, "domain/add", admin.DomainRequest{Name: c.Name, Relay: c.Relay})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(added)
		}
		e.out.say("%s is ours now. Next: posthaste account add someone@%s", added.Name, added.Name)
		if !c.Relay {
			e.out.say("Its mail will be signed: publish the keys that posthaste dkim dns %s prints.", added.Name)
		}
		return nil
	})
}

type domainList struct{}

func (c *domainList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("DOMAIN", "KIND", "SINCE")
		for d, err := range admin.List[directory.Domain](e.ctx, client, "domain/list", struct{}{}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(d)
				continue
			}
			kind := "local"
			if d.Relay {
				kind = "relay (backup)"
			}
			t.row(d.Name, kind, d.Created.Local().Format("2006-01-02"))
		}
		t.print("no domains yet: posthaste domain add example.org")
		return nil
	})
}

type domainDelete struct {
	Name string `arg:"" help:"The domain."`
}

func (c *domainDelete) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		if _, err := admin.Call[struct{}](e.ctx, client, "domain/delete", admin.DomainRequest{Name: c.Name}); err != nil {
			return err
		}
		e.out.say("%s is not ours any more.", c.Name)
		return nil
	})
}
