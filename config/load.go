package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// DefaultFile is where a node looks when nothing names a file.
const DefaultFile = "/etc/posthaste/posthaste.toml"

// EnvFile is the environment variable that names the file.
const EnvFile = "POSTHASTE_CONFIG"

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// Find returns the file to read: the one given, else the one that the environment names, else
// [DefaultFile].
func Find(given string) string {
	if given != "" {
		return given
	}
	if env := os.Getenv(EnvFile); env != "" {
		return env
	}
	return DefaultFile
}

// Load reads and checks a file. What is wrong with its content comes as an [*Error] with all problems.
func Load(file string) (*Config, error) {
	info, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("config: there is no file %s: name one with --config FILE or %s, or write one: posthaste config example > %s", file, EnvFile, file)
	}
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("config: %s has %d bytes, more than %d: not a configuration", file, info.Size(), maxFile)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(file, text)
}

// Parse reads and checks a configuration; file is for messages only.
func Parse(file string, text []byte) (*Config, error) {
	c := Default()
	problems := decode(text, c)
	if len(problems) < maxProblems {
		problems = append(problems, c.check()...)
	}
	if len(problems) == 0 {
		return c, nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	return nil, &Error{File: file, Problems: problems}
}

// Default returns the settings of an empty file, which lacks what is required.
func Default() *Config {
	c := newDefault(reflect.TypeFor[Config]()).Interface().(Config)
	return &c
}

// check returns what is wrong with values that parse.
func (c *Config) check() []Problem {
	var problems []Problem
	report := func(key, text string, args ...any) {
		problems = append(problems, c.Problem(key, text, args...))
	}
	walk(reflect.ValueOf(c).Elem(), "", func(key string, field reflect.StructField, value reflect.Value) {
		if text := outOfBounds(field, value); text != "" {
			report(key, "%s", text)
		}
	})
	switch {
	case c.Hostname == "":
		report("hostname", `missing: set it to this host's full name, as hostname = "mail.example.org"`)
	case !qualified(c.Hostname):
		report("hostname", "%q is not a fully qualified host name such as mail.example.org: other servers refuse mail from it", c.Hostname)
	}
	if c.Domain != "" && !qualified(c.Domain) {
		report("domain", "%q is not a domain such as example.org", c.Domain)
	}
	if !filepath.IsAbs(c.Data) {
		report("data", "%q is not an absolute path", c.Data)
	}
	if c.Queue.RetryMax < c.Queue.Retry {
		report("queue.retry_max", "is less than queue.retry")
	}
	if c.Store.Blob != "" {
		report("store.blob", "object stores are not available in this version: leave it out, large content then lies in data")
	}
	if len(c.Listen) == 0 && !c.Drop.Enabled {
		report("", "no [[listen]] section: without one this node serves nobody; see `posthaste config example`")
	}
	c.checkListen(report)
	c.checkNames(report)
	return problems
}

// Problem returns what is wrong with a key, at the line where the file sets it or, where it does not,
// where its section begins.
func (c *Config) Problem(key, text string, args ...any) Problem {
	line := c.lines[key]
	for section := key; line == 0 && section != ""; line = c.lines[section] {
		section = section[:max(strings.LastIndexByte(section, '.'), 0)]
	}
	return Problem{Line: line, Key: key, Text: fmt.Sprintf(text, args...)}
}

// TableNames returns all tables, as type:name, that settings name.
func (c *Config) TableNames() []string {
	var all []string
	for _, names := range [][]string{
		c.Route.Transports, c.Route.Senders, c.Relay.Domains, c.Relay.Recipients, c.Alias.Tables, c.Alias.Domains,
		c.Rewrite.Canonical, c.Rewrite.SenderCanonical, c.Rewrite.RecipientCanonical, c.Rewrite.Generic,
		c.Rewrite.RecipientBcc, c.Rewrite.SenderBcc, c.TLSPolicy.Tables, c.Outflow.Accounts,
	} {
		all = append(all, names...)
	}
	for _, a := range c.Access {
		all = append(all, a.Table)
	}
	return all
}

// checkNames reports names of sections that stand twice.
func (c *Config) checkNames(report func(key, text string, args ...any)) {
	seen := map[string]bool{}
	check := func(section string, i int, name string) {
		if key := section + " " + name; name != "" && seen[key] {
			report(fmt.Sprintf("%s[%d].name", section, i), "%q stands twice", name)
		} else {
			seen[key] = true
		}
	}
	for i, s := range c.Smarthosts {
		check("smarthost", i, s.Name)
	}
	for i, p := range c.Pipes {
		check("pipe", i, p.Name)
	}
	for i, t := range c.Tables {
		check("table", i, t.Type+":"+t.Name)
	}
}

func (c *Config) checkListen(report func(key, text string, args ...any)) {
	seen := map[string]int{}
	for i, l := range c.Listen {
		key := fmt.Sprintf("listen[%d]", i)
		at := func(name string) string {
			if k := join(key, name); c.lines[k] != 0 {
				return k
			}
			return key
		}
		_, port, err := net.SplitHostPort(l.Address)
		number, numberErr := strconv.Atoi(port)
		switch {
		case l.Address == "":
			report(key, `address is missing, as address = ":25"`)
		case err != nil || numberErr != nil || number < 0 || number > 65535:
			report(at("address"), "%q is not host:port, as :25 or 127.0.0.1:2525", l.Address)
		case seen[l.Address] > 0 && number != 0:
			report(at("address"), "%s is taken by the listener of line %d", l.Address, seen[l.Address])
		}
		seen[l.Address] = c.lines[at("address")]
	}
}

// qualified tells whether name has two labels or more of letters, digits and hyphens.
func qualified(name string) bool {
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(labels) > 1 && len(name) <= 253
}

// walk calls f for every setting below table, in order.
func walk(table reflect.Value, path string, f func(key string, field reflect.StructField, value reflect.Value)) {
	for i := range table.NumField() {
		field, value := table.Type().Field(i), table.Field(i)
		if !field.IsExported() {
			continue
		}
		key := join(path, field.Tag.Get("toml"))
		switch {
		case field.Tag.Get("doc") != "":
			f(key, field, value)
		case field.Type.Kind() == reflect.Slice:
			for j := range value.Len() {
				walk(value.Index(j), fmt.Sprintf("%s[%d]", key, j), f)
			}
		default:
			walk(value, key, f)
		}
	}
}

// outOfBounds checks value against the tags required, min, max and oneof.
func outOfBounds(field reflect.StructField, value reflect.Value) string {
	if field.Tag.Get("required") != "" && (value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0) {
		return "missing"
	}
	if words := field.Tag.Get("oneof"); words != "" && !slices.Contains(strings.Fields(words), value.String()) {
		if value.String() == "" {
			return "missing: one of " + strings.Join(strings.Fields(words), ", ")
		}
		return fmt.Sprintf("%q is none of %s", value.String(), strings.Join(strings.Fields(words), ", "))
	}
	for _, bound := range []string{"min", "max"} {
		text := field.Tag.Get(bound)
		if text == "" {
			continue
		}
		limit := reflect.New(value.Type()).Elem()
		mustSet(limit, text)
		if bound == "min" && value.Int() < limit.Int() || bound == "max" && value.Int() > limit.Int() {
			return fmt.Sprintf("%s is out of bounds: %s", printed(value), boundsText(field))
		}
	}
	return ""
}

func boundsText(field reflect.StructField) string {
	low, high := field.Tag.Get("min"), field.Tag.Get("max")
	switch {
	case low != "" && high != "":
		return low + " to " + high
	case low != "":
		return "at least " + low
	case high != "":
		return "at most " + high
	}
	return ""
}
