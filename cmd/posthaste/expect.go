package main

import (
	"posthaste/admin"
	"posthaste/config"
	"posthaste/filter/greylist"
)

type expectCommand struct {
	Address string          `arg:"" help:"Who waits for mail."`
	From    string          `help:"The sender's domain; those below it count too. Default: any." placeholder:"DOMAIN"`
	For     config.Duration `help:"How long, up to a day." default:"10m"`
}

func (c *expectCommand) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		got, err := admin.Call[greylist.Expectation](e.ctx, client, "expect", admin.ExpectRequest{Address: c.Address, From: c.From, For: c.For.D()})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(got)
		}
		from := "anywhere"
		if got.From != "" {
			from = got.From
		}
		e.out.say("mail for %s from %s does not wait until %s", got.To, from, got.Until.Local().Format("15:04:05"))
		return nil
	})
}
