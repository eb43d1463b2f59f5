package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"strings"

	"posthaste/config"
	"posthaste/directory/aliasmap"
	"posthaste/table"
)

// A Trial says how a configuration is tried out.
type Trial struct {
	File    string // named in errors
	Offline bool   // do not ask the servers behind tables
	Log     *slog.Logger
}

// Check tells all that would keep a node with cfg from starting or let mail wait, as far as that can be
// found out beside one that runs: it builds all that goes by the configuration, on an empty store of
// its own, asks every table, reads what alias files include, and looks for the users and programs that
// are named. Listeners are not opened, and the data directory is not looked at.
func Check(ctx context.Context, cfg *config.Config, t Trial) error {
	return together(t.File, tryOut(ctx, cfg, t), checkTables(ctx, cfg, t), checkIncludes(cfg, t), checkMachine(cfg, t))
}

// tryOut opens a node on an empty store.
func tryOut(ctx context.Context, cfg *config.Config, t Trial) (err error) {
	scratch, err := os.MkdirTemp("", "posthaste-check-")
	if err != nil {
		return fmt.Errorf("node: no place to try the configuration out: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	tried := *cfg
	tried.Data, tried.Store = scratch, config.Store{Cache: cfg.Store.Cache}
	n, err := Open(ctx, &tried, t.Log, Options{File: t.File, InProcess: true})
	if err != nil {
		return err
	}
	return n.Close()
}

// checkTables asks the servers behind tables whether they answer. What else is wrong with tables is
// found where they are opened.
func checkTables(ctx context.Context, c *config.Config, t Trial) error {
	definitions := TableDefinitions(c)
	set, err := table.New(table.Config{Definitions: definitions, Log: t.Log})
	if err != nil {
		return nil
	}
	defer set.Close()
	if t.Offline {
		return nil
	}
	var problems problems
	for _, err := range errorsIn(set.Check(ctx)) {
		key := "table"
		for i, d := range definitions {
			if strings.HasPrefix(err.Error(), "table "+d.Type+":"+d.Name+":") {
				key = fmt.Sprintf("table[%d]", i)
			}
		}
		problems.add(c, key, err)
	}
	return problems.err(t.File)
}

// errorsIn returns the errors that were joined in err.
func errorsIn(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// checkIncludes reads what alias files include.
func checkIncludes(c *config.Config, t Trial) error {
	var problems problems
	for _, path := range c.Alias.Files {
		f := aliasmap.NewFile(path, aliasmap.Names{Domains: localDomains(c), Separator: separator(c)}, nil)
		if _, err := f.Check(); err != nil {
			continue // found where the file is opened
		}
		_, err := f.Includes()
		for _, one := range errorsIn(err) {
			problems.add(c, "alias.files", one)
		}
	}
	return problems.err(t.File)
}

// checkMachine looks for the users and programs that are named.
func checkMachine(c *config.Config, t Trial) error {
	var problems problems
	if c.User != "" {
		_, _, err := lookupUser(c.User)
		problems.add(c, "user", err)
	}
	exists := func(key, name string) {
		if _, err := user.Lookup(name); name != "" && name != "*" && err != nil {
			problems.add(c, key, fmt.Errorf("there is no user %q on this machine", name))
		}
	}
	for _, name := range c.Unix.Users {
		exists("unix.users", name)
	}
	if needsHelper(c) {
		exists("helper.user", c.Helper.User)
		problems.add(c, "helper", helperConfig(c, t.Log).Check())
	}
	for i, p := range c.Pipes {
		exists(fmt.Sprintf("pipe[%d].user", i), p.User)
		if _, err := exec.LookPath(p.Command[0]); err != nil {
			problems.add(c, fmt.Sprintf("pipe[%d].command", i), err)
		}
	}
	return problems.err(t.File)
}
