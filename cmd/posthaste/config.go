package main

import (
	"fmt"
	"log/slog"

	"posthaste/config"
	"posthaste/node"
)

type configCommands struct {
	Check   configCheck   `cmd:"" help:"Report everything that is wrong with the configuration."`
	Show    configShow    `cmd:"" help:"Print the effective values."`
	Doc     configDoc     `cmd:"" help:"Print the manual of every key, or of those that begin so."`
	Example configExample `cmd:"" help:"Print a short working configuration."`
}

type configCheck struct {
	Offline bool `help:"Do not ask the servers behind tables."`
}

// Help tells what is looked at.
func (c *configCheck) Help() string {
	return "It does what a node does at its start, beside one that may run: certificates, tables, routes, aliases with all that they include, " +
		"rules and limits are read, the servers behind tables are asked, users and programs that are named are looked for. " +
		"Ports are not opened, and the data directory is not looked at."
}

func (c *configCheck) Run(e *env) error {
	file := config.Find(e.configFile)
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := node.Check(e.ctx, cfg, node.Trial{File: file, Offline: c.Offline, Log: log}); err != nil {
		return err
	}
	e.out.say("%s is fine: %s with %d listeners, data in %s", file, cfg.Hostname, len(cfg.Listen), cfg.Data)
	return nil
}

type configShow struct{}

func (c *configShow) Run(e *env) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	if !e.out.json {
		return cfg.WriteTOML(e.out.w)
	}
	for _, s := range cfg.Show() {
		e.out.object(s)
	}
	return nil
}

type configDoc struct {
	Key string `arg:"" optional:"" help:"A key or the start of one, as smtp."`
}

func (c *configDoc) Run(e *env) error {
	found := false
	for _, s := range config.Settings() {
		if len(s.Key) < len(c.Key) || s.Key[:len(c.Key)] != c.Key {
			continue
		}
		found = true
		if e.out.json {
			e.out.object(s)
			continue
		}
		fmt.Fprintf(e.out.w, "%s", e.out.bold(s.Key))
		if s.Default != "" {
			fmt.Fprintf(e.out.w, "  default %s", s.Default)
		}
		if s.Bounds != "" {
			fmt.Fprintf(e.out.w, "  (%s)", s.Bounds)
		}
		fmt.Fprintf(e.out.w, "\n    %s\n", s.Doc)
	}
	if !found {
		return fmt.Errorf("no key begins with %q: posthaste config doc lists them all", c.Key)
	}
	return nil
}

type configExample struct{}

func (c *configExample) Run(e *env) error {
	_, err := fmt.Fprint(e.out.w, config.Example)
	return err
}
