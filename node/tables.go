package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"posthaste/config"
	"posthaste/deliver/remote"
	"posthaste/route"
	"posthaste/table"
)

// buildTables opens the tables that the configuration names and makes the routes out of them.
func (p *plan) buildTables(context.Context) error {
	c := p.cfg
	var problems problems
	set := table.Config{Log: p.node.log, Definitions: TableDefinitions(c)}
	var err error
	if p.tables, err = table.New(set); err != nil {
		return p.wrongTables(set, err)
	}
	p.routes = route.New(route.Config{
		Transports: p.openTables("route.transports", c.Route.Transports, &problems),
		Senders:    p.openTables("route.senders", c.Route.Senders, &problems),
		NullClient: p.parsePlan("route.null_client", c.Route.NullClient, &problems),
		Relay:      p.parsePlan("relay.transport", c.Relay.Transport, &problems),
		Default:    p.parsePlan("route.default", c.Route.Default, &problems),
		Separator:  separator(c),
	})
	p.smarthosts = map[string]remote.Smarthost{}
	for i, s := range c.Smarthosts {
		host, err := smarthost(s)
		problems.add(c, fmt.Sprintf("smarthost[%d]", i), err)
		p.smarthosts[s.Name] = host
	}
	return problems.err(p.node.options.File)
}

// wrongTables says which of the definitions of set brought err about.
func (p *plan) wrongTables(set table.Config, err error) error {
	var problems problems
	for i, d := range set.Definitions {
		one, err := table.New(table.Config{Log: set.Log, Definitions: []table.Definition{d}})
		problems.add(p.cfg, fmt.Sprintf("table[%d]", i), err)
		if err == nil {
			one.Close()
		}
	}
	if len(problems) == 0 { // each is right by itself
		problems.add(p.cfg, "table", err)
	}
	return problems.err(p.node.options.File)
}

// problems gathers what is wrong with values that only their users can judge.
type problems []config.Problem

func (p *problems) add(c *config.Config, key string, err error) {
	if err != nil {
		*p = append(*p, c.Problem(key, "%v", err))
	}
}

func (p problems) err(file string) error {
	if len(p) == 0 {
		return nil
	}
	return &config.Error{File: cmp.Or(file, "configuration"), Problems: p}
}

// together makes one error of several, with all problems of the configuration in order of line.
func together(file string, errs ...error) error {
	var all problems
	var others []error
	for _, err := range errs {
		var wrong *config.Error
		switch {
		case errors.As(err, &wrong):
			all = append(all, wrong.Problems...)
		case err != nil:
			others = append(others, err)
		}
	}
	if len(all) == 0 {
		return errors.Join(others...)
	}
	for _, err := range others {
		all = append(all, config.Problem{Text: err.Error()})
	}
	slices.SortStableFunc(all, func(a, b config.Problem) int { return cmp.Compare(a.Line, b.Line) })
	return all.err(file)
}

// openTables opens the tables of a key.
func (p *plan) openTables(key string, specs []string, problems *problems) []table.Table {
	var all []table.Table
	for _, spec := range specs {
		t, err := p.tables.Open(spec)
		problems.add(p.cfg, key, err)
		if err == nil {
			all = append(all, t)
		}
	}
	return all
}

// parsePlan reads the transport of a key; nil where it is empty.
func (p *plan) parsePlan(key, text string, problems *problems) route.Plan {
	if text == "" {
		return nil
	}
	plan, err := route.Parse(text)
	if err == nil {
		err = p.checkPlan(plan)
	}
	problems.add(p.cfg, key, err)
	return plan
}

// checkPlan tells whether what a plan names exists.
func (p *plan) checkPlan(plan route.Plan) error {
	for _, step := range plan {
		switch step.Kind {
		case route.Smarthost:
			if !hasName(p.cfg.Smarthosts, step.Name, func(s config.Smarthost) string { return s.Name }) {
				return fmt.Errorf("there is no [[smarthost]] %q", step.Name)
			}
		case route.Pipe:
			if !hasName(p.cfg.Pipes, step.Name, func(s config.Pipe) string { return s.Name }) {
				return fmt.Errorf("there is no [[pipe]] %q", step.Name)
			}
		}
	}
	return nil
}

func hasName[T any](all []T, name string, nameOf func(T) string) bool {
	for _, t := range all {
		if nameOf(t) == name {
			return true
		}
	}
	return false
}

// TableDefinitions returns the tables that c defines.
func TableDefinitions(c *config.Config) []table.Definition {
	all := make([]table.Definition, len(c.Tables))
	for i, t := range c.Tables {
		all[i] = table.Definition{
			Name: t.Name, Type: t.Type, URL: t.URL, Query: t.Query, Base: t.Base, Scope: t.Scope, Attribute: t.Attribute,
			User: t.User, PasswordFile: t.Password, StartTLS: t.StartTLS, CA: t.CA, CacheBytes: int64(t.Cache),
			TTL: orNever(t.TTL), NegativeTTL: orNever(t.NegativeTTL), StaleTTL: t.Stale.D(), Timeout: t.Timeout.D(), Parallel: t.Connections,
		}
	}
	return all
}

// orNever returns a time for which a table remembers; 0s in the configuration is not at all.
func orNever(d config.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d.D()
}

func smarthost(s config.Smarthost) (remote.Smarthost, error) {
	host := remote.Smarthost{Hosts: s.Hosts, MX: s.MX, Source: s.Source, Helo: s.Helo, Port: smarthostPort(s)}
	var err error
	if host.TLS, err = remote.ParseTLS(s.TLS); err != nil {
		return host, err
	}
	if s.Username == "" {
		return host, nil
	}
	password, err := secret(s.Password)
	if err == nil && password == "" {
		err = errors.New("username without password_file")
	}
	host.Login = &remote.Login{Username: s.Username, Password: password}
	return host, err
}

// smarthostPort returns the port of hosts that name none: RFC 8314 section 3.3, RFC 6409 section 3.1.
func smarthostPort(s config.Smarthost) int {
	switch {
	case s.Port != 0:
		return s.Port
	case s.TLS == "implicit":
		return 465
	case s.Username != "":
		return 587
	}
	return 25
}

// maxSecret bounds a file that holds a password.
const maxSecret = 4096

// secret reads a password from a file; "" where none is named. A newline at its end is not part of it.
func secret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	if len(text) > maxSecret {
		return "", fmt.Errorf("%s has %d bytes, which is no password", file, len(text))
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
