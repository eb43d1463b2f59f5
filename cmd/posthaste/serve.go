package main

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"posthaste/config"
	"posthaste/node"
)

type serveCommand struct{}

// Run serves until SIGTERM or SIGINT. It prints one line, "ready", when every listener accepts.
func (c *serveCommand) Run(e *env) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	log := newLogger(e, cfg.Log)
	n, err := node.Open(e.ctx, cfg, log, node.Options{})
	if err != nil {
		return err
	}
	return n.Run(e.ctx, func() { fmt.Fprintln(e.out.w, "ready") })
}

func newLogger(e *env, c config.Log) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(c.Level)) // config has checked the word
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(e.err, options))
	}
	return slog.New(slog.NewTextHandler(e.err, options))
}

type versionCommand struct{}

func (c *versionCommand) Run(e *env) error {
	version := map[string]string{"version": "devel", "go": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version["version"] = info.Main.Version
	}
	if e.out.json {
		return e.out.object(version)
	}
	e.out.say("posthaste %s, built with %s", version["version"], version["go"])
	return nil
}
