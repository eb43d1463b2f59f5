package main

import (
	"posthaste/admin"
)

type reloadCommand struct{}

// Help tells what a reload keeps.
func (c *reloadCommand) Help() string {
	return "The running node reads its configuration and takes it over as a whole, or changes nothing and says why. " +
		"Sessions and deliveries that have begun end under the configuration they began with. SIGHUP does the same."
}

func (c *reloadCommand) Run(e *env) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	client, err := admin.Dial(e.ctx, cfg.Data)
	if err != nil {
		return err
	}
	if _, err := admin.Call[struct{}](e.ctx, client, "reload", struct{}{}); err != nil {
		return err
	}
	e.out.say("the configuration is in force")
	return nil
}
