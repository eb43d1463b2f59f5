package aliasmap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"strconv"
	"strings"
	"sync"

	"posthaste/aliases"
	"posthaste/directory"
	"posthaste/directory/source"
	"posthaste/explain"
	"posthaste/mail"
)

// Bounds of what an alias includes.
const (
	maxIncludes = 1000 // files remembered
	maxDepth    = 5    // files that include files
)

// errBroken is what mail for an alias hears that cannot be read.
var errBroken = mail.Status{Code: 451, Enhanced: "4.3.5", Text: "what this address leads to cannot be read at the moment, try again later"}

// A File is a layer of one alias file, which it reads again when it has changed. The aliases hold in
// the domains of Names; one whose name has a domain holds in that alone, wherever it is ours. The name
// "*" takes what nobody else takes.
//
// An alias file is believed when it belongs to root or to the user who runs us, and nobody else may
// write to it. What an included file of another user says of programs and files is done as that user.
type File struct {
	names Names
	path  string
	log   *slog.Logger

	mu       sync.Mutex // guards the rest; held while files are read, so that they are read once
	state    source.State
	loaded   bool
	byName   map[mail.Address]aliases.Entry
	included map[string]included
}

// An included is the content of an included file.
type included struct {
	state   source.State
	targets []aliases.Target
	user    string // who programs and files belong to
}

// NewFile returns the layer of the alias file with a path. The file is read when it is first needed.
func NewFile(path string, names Names, log *slog.Logger) *File {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &File{names: names, path: path, log: log, included: map[string]included{}}
}

// Check reads the file anew and returns how many aliases it has. The error tells all that is wrong
// with it; aliases.Problems leave the other aliases in use.
func (f *File) Check() (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.load()
	return len(f.byName), err
}

// Domain tells whether domain is local.
func (f *File) Domain(_ context.Context, domain string) (bool, error) {
	return f.names.Local(domain), nil
}

// Find looks an address up.
func (f *File) Find(ctx context.Context, address mail.Address) (directory.Target, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		return directory.Target{}, err
	}
	entry, detail, ok := f.lookup(address)
	if !ok {
		return directory.Target{}, nil
	}
	target := f.target(ctx, address, entry)
	target.Detail = detail
	return target, nil
}

// CatchAll returns the alias "*" of a local domain.
func (f *File) CatchAll(ctx context.Context, address mail.Address) (directory.Target, error) {
	return f.Find(ctx, mail.Address{Local: "*", Domain: address.Domain})
}

// lookup returns the alias of an address: that of the whole local-part comes before that without
// detail, one with a domain before one without.
func (f *File) lookup(address mail.Address) (entry aliases.Entry, detail string, ok bool) {
	local := strings.ToLower(address.Local)
	for _, domain := range [...]string{address.Domain, ""} {
		if domain == "" && !f.names.Local(address.Domain) {
			continue
		}
		if entry, ok = f.byName[mail.Address{Local: local, Domain: domain}]; ok {
			return entry, "", true
		}
	}
	name, _, split := f.names.Split(local)
	if !split {
		return entry, "", false
	}
	entry, _, ok = f.lookup(mail.Address{Local: name, Domain: address.Domain})
	_, detail, _ = f.names.Split(address.Local)
	return entry, detail, ok
}

// refresh reads the file if it has changed. A file with some wrong lines is used, and the log tells of
// them; one that cannot be read at all is an error.
func (f *File) refresh() error {
	now, err := source.Current(f.path)
	if err != nil {
		return fmt.Errorf("aliasmap: %w", err)
	}
	if f.loaded && now == f.state {
		return nil
	}
	err = f.load()
	var wrong aliases.Problems
	if errors.As(err, &wrong) && f.loaded {
		f.log.Error("aliasmap: some aliases cannot be read; mail for them waits", "file", f.path, "problems", wrong.Error())
		return nil
	}
	return err
}

// load reads the file.
func (f *File) load() error {
	f.loaded = false
	text, state, err := source.Read(f.path, aliases.MaxFile)
	if err != nil {
		return fmt.Errorf("aliasmap: %w", err)
	}
	if !state.Trusted() {
		return fmt.Errorf("aliasmap: %s belongs to neither root nor the user who runs posthaste", f.path)
	}
	entries, err := aliases.Parse(text)
	f.byName = make(map[mail.Address]aliases.Entry, len(entries))
	for _, e := range entries {
		f.byName[e.Name] = e
	}
	f.state, f.loaded = state, true
	if err != nil {
		return fmt.Errorf("aliasmap: %s: %w", f.path, err)
	}
	return nil
}

// target makes a Target of an alias.
func (f *File) target(ctx context.Context, address mail.Address, entry aliases.Entry) directory.Target {
	explain.Note(ctx, "alias file", "%s line %d has %s", f.path, entry.Line, entry.Name)
	g := gathering{names: f.names, of: address}
	err := errors.New("the line is wrong")
	if len(entry.Targets) > 0 {
		err = f.gather(&g, entry.Targets, "", 0)
	}
	if err != nil {
		explain.Note(ctx, "alias file", "%s cannot be used: %v", entry.Name, err)
		f.log.Error("aliasmap: an alias cannot be used; its mail waits", "file", f.path, "line", entry.Line,
			"alias", entry.Name, "err", err)
		return directory.Target{Kind: directory.KindDefer, Status: &errBroken}
	}
	return g.done()
}

// gather adds targets and what the files they include hold.
func (f *File) gather(g *gathering, targets []aliases.Target, user string, depth int) error {
	for _, t := range targets {
		if t.Kind != aliases.Include {
			g.add(t, user)
			continue
		}
		if depth == maxDepth {
			return fmt.Errorf("%s: more than %d files that include files", t.Text, maxDepth)
		}
		list, err := f.include(t.Text)
		if err != nil {
			return err
		}
		owner := list.user
		if owner == "" {
			owner = user // below another user's file nobody gets root's rights back
		}
		if err := f.gather(g, list.targets, owner, depth+1); err != nil {
			return err
		}
		if len(g.target.Addresses)+len(g.target.Branches) > aliases.MaxTargets {
			return fmt.Errorf("%s: more than %d targets with all that is included", t.Text, aliases.MaxTargets)
		}
	}
	return nil
}

// include returns the content of a file of targets.
func (f *File) include(path string) (included, error) {
	now, err := source.Current(path)
	if err != nil {
		return included{}, err
	}
	if known, ok := f.included[path]; ok && known.state == now {
		return known, nil
	}
	text, state, err := source.Read(path, aliases.MaxFile)
	if err != nil {
		return included{}, err
	}
	list := included{state: state}
	if !state.Trusted() {
		if list.user, err = userName(state.Owner); err != nil {
			return included{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	if list.targets, err = aliases.ParseTargets(text); err != nil {
		return included{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(f.included) >= maxIncludes {
		clear(f.included)
	}
	f.included[path] = list
	return list, nil
}

// userName returns the name of a user of this machine.
func userName(uid uint32) (string, error) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return "", fmt.Errorf("it belongs to nobody known here: %w", err)
	}
	return u.Username, nil
}
