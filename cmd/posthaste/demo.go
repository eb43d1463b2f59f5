package main

import (
	"posthaste/demo"
)

type demoCommand struct {
	Once  bool   `help:"End when the message was read back, instead of serving on."`
	Break string `help:"Break something on purpose: mx-down, user-unknown, tempfail or forged." placeholder:"WHAT"`
}

func (c *demoCommand) Run(e *env) error {
	return demo.Run(e.ctx, demo.Options{Once: c.Once, JSON: e.out.json, Break: c.Break, Color: e.out.color, Out: e.out.w})
}
