package main

import (
	"fmt"
	"strings"

	"posthaste/admin"
	"posthaste/directory"
	"posthaste/mail"
)

type aliasCommands struct {
	Add    aliasAdd    `cmd:"" help:"Send mail for an address to others."`
	Moved  aliasMoved  `cmd:"" help:"Tell senders that the owner of an address has a new one."`
	List   aliasList   `cmd:"" help:"List the aliases."`
	Delete aliasDelete `cmd:"" help:"Delete an alias."`
}

type aliasAdd struct {
	Address string   `arg:"" help:"The alias; *@example.org takes all mail of the domain that nobody else takes."`
	Targets []string `arg:"" help:"Where its mail goes: addresses here or elsewhere."`
}

func (c *aliasAdd) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		entry, err := admin.Call[directory.AliasEntry](e.ctx, client, "alias/add", admin.AliasRequest{Address: c.Address, Targets: c.Targets})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(entry)
		}
		e.out.say("Mail for %s goes to %s now.", entry.Address, addressList(entry.Targets))
		return nil
	})
}

type aliasMoved struct {
	Address string `arg:"" help:"The old address."`
	To      string `arg:"" name:"new" help:"The new address."`
	Refuse  bool   `help:"Refuse mail and tell the sender the new address (551). Default: forward it, and say so (251)."`
}

func (c *aliasMoved) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		request := admin.MovedRequest{Address: c.Address, To: c.To, Refuse: c.Refuse}
		entry, err := admin.Call[directory.AliasEntry](e.ctx, client, "alias/moved", request)
		switch {
		case err != nil:
			return err
		case e.out.json:
			return e.out.object(entry)
		case c.Refuse:
			e.out.say("Mail for %s is refused now, and senders are told of %s.", entry.Address, entry.Targets[0])
		default:
			e.out.say("Mail for %s is forwarded to %s now, and senders are told.", entry.Address, entry.Targets[0])
		}
		return nil
	})
}

type aliasList struct {
	Domain string `arg:"" optional:"" help:"Only aliases of this domain."`
}

func (c *aliasList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("ALIAS", "TARGETS")
		for entry, err := range admin.List[directory.AliasEntry](e.ctx, client, "alias/list", admin.DomainRequest{Name: c.Domain}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(entry)
				continue
			}
			targets := addressList(entry.Targets)
			if entry.Moved != 0 {
				targets = fmt.Sprintf("moved to %s (%d)", targets, entry.Moved)
			}
			t.row(entry.Address.String(), targets)
		}
		t.print("no aliases yet: posthaste alias add info@example.org user@example.org")
		return nil
	})
}

type aliasDelete struct {
	Address string `arg:"" help:"The alias."`
}

func (c *aliasDelete) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		if _, err := admin.Call[struct{}](e.ctx, client, "alias/delete", admin.AliasRequest{Address: c.Address}); err != nil {
			return err
		}
		e.out.say("%s leads nowhere now.", c.Address)
		return nil
	})
}

func addressList(addresses []mail.Address) string {
	texts := make([]string, len(addresses))
	for i, a := range addresses {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
