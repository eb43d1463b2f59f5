package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"posthaste/config"
	"posthaste/node"
)

type serveCommand struct{}

// Help tells of the signals.
func (c *serveCommand) Help() string {
	return "It prints one line, ready, when every listener accepts. SIGTERM drains what it serves and ends it; SIGHUP reloads the configuration, as posthaste reload does."
}

// Run serves until SIGTERM or SIGINT.
func (c *serveCommand) Run(e *env) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1) // from the start, else one would end us
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	level := new(slog.LevelVar)
	setLevel(level, cfg.Log)
	log := newLogger(e, cfg.Log.Format, level)
	file, err := filepath.Abs(config.Find(e.configFile))
	if err != nil {
		return err
	}
	n, err := node.Open(e.ctx, cfg, log, node.Options{
		File: file, Reread: e.loadConfig, Reloaded: func(c *config.Config) { setLevel(level, c.Log) },
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(e.ctx)
	var reloads sync.WaitGroup
	defer reloads.Wait()
	defer stop()
	return n.Run(e.ctx, func() {
		reloads.Go(func() { reloadOn(ctx, hangups, n, log) })
		fmt.Fprintln(e.out.w, "ready")
	})
}

// reloadOn reloads the configuration at each signal until ctx ends.
func reloadOn(ctx context.Context, hangups <-chan os.Signal, n *node.Node, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if err := n.Reload(ctx); err != nil {
				log.Error("the configuration was not reloaded", "err", err)
			}
		}
	}
}

// setLevel makes the logger as verbose as c says.
func setLevel(level *slog.LevelVar, c config.Log) {
	var l slog.Level
	l.UnmarshalText([]byte(c.Level)) // config has checked the word
	level.Set(l)
}

func newLogger(e *env, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
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
