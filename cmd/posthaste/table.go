package main

import (
	"fmt"
	"log/slog"
	"strings"

	"posthaste/node"
	tables "posthaste/table"
)

type tableCommands struct {
	Get tableGet `cmd:"" help:"Look a key up in a table: TYPE:NAME is one of inline:{key=value}, file:/path, cidr:/path, regexp:/path, sql:NAME, ldap:NAME, http:NAME."`
}

type tableGet struct {
	Table string `arg:"" name:"type:name" help:"The table, as file:/etc/posthaste/transport."`
	Key   string `arg:"" help:"The key, as ann@example.org. It is looked up as it is, without the other keys that mail would try."`
}

// A tableAnswer is what `table get --json` prints.
type tableAnswer struct {
	Table string `json:"table"`
	Key   string `json:"key"`
	Found bool   `json:"found"`
	Value string `json:"value,omitempty"`
}

// Run prints the value. Without one it fails quietly with status 1, as postmap -q does.
func (c *tableGet) Run(e *env) error {
	set, err := c.tables(e)
	if err != nil {
		return err
	}
	defer set.Close()
	t, err := set.Open(c.Table)
	if err != nil {
		return err
	}
	value, found, err := t.Lookup(e.ctx, c.Key)
	if err != nil {
		return err
	}
	if e.out.json {
		if err := e.out.object(tableAnswer{c.Table, c.Key, found, value}); err != nil {
			return err
		}
	}
	if !found {
		return errSilent
	}
	if !e.out.json {
		fmt.Fprintln(e.out.w, value)
	}
	return nil
}

// tables needs the configuration only for tables that it defines.
func (c *tableGet) tables(e *env) (*tables.Set, error) {
	conf := tables.Config{Log: slog.New(slog.DiscardHandler)} // every problem is this command's error
	switch kind, _, _ := strings.Cut(c.Table, ":"); kind {
	case "sql", "ldap", "http":
		cfg, err := e.loadConfig()
		if err != nil {
			return nil, err
		}
		conf.Definitions = node.TableDefinitions(cfg)
	}
	return tables.New(conf)
}
