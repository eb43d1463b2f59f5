package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"posthaste/config"
	"posthaste/manual"
)

type manCommand struct {
	Page string `arg:"" optional:"" help:"A page, as queue or posthaste.toml. Default: posthaste."`
	Dir  string `help:"Write all pages into this folder, for man(1)." placeholder:"DIR" type:"path"`
}

// Help says how to read what comes out.
func (c *manCommand) Help() string {
	return "Pages are in mdoc: posthaste man queue | mandoc -a"
}

func (c *manCommand) Run(e *env) error {
	pages := manual.Pages(newParser(new(commands)).Model, config.Settings())
	if c.Dir != "" {
		return writePages(c.Dir, pages)
	}
	var names []string
	for _, p := range pages {
		name := strings.TrimSuffix(strings.TrimSuffix(p.Name, ".1"), ".5")
		if c.Page == name || "posthaste-"+c.Page == name || c.Page == "" && name == "posthaste" {
			_, err := e.out.w.Write(p.Text)
			return err
		}
		names = append(names, strings.TrimPrefix(name, "posthaste-"))
	}
	return fmt.Errorf("there is no page %q: there are %s", c.Page, strings.Join(names, ", "))
}

func writePages(dir string, pages []manual.Page) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range pages {
		if err := os.WriteFile(filepath.Join(dir, p.Name), p.Text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
