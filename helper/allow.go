package helper

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"posthaste/mail"
)

// A refusal is a job that the lists do not allow. It is temporary, because it is our administrator's
// matter: a list that is mended at the next restart heals it.
func refusal(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, mail.NewStatus(451, "4.3.5", "the configuration of this mail system does not allow that delivery"))...)
}

// allow checks a request against the lists and makes a task of it.
func (l *lists) allow(r request) (*task, error) {
	if r.Forward {
		return l.allowForward(r)
	}
	who, err := l.account(r.User)
	if err != nil {
		return nil, err
	}
	t := &task{account: who, spec: spec{Limits: l.Limits}}
	t.timeout = within(r.Timeout, l.Limits.Timeout)
	t.output = within(r.MaxOutput, l.Limits.Output)
	if len(r.Program) > 0 {
		return t, l.allowProgram(t, r)
	}
	return t, l.allowFile(t, r)
}

func (l *lists) allowProgram(t *task, r request) error {
	words := slices.Clone(r.Program)
	if len(words) > maxArgs || slices.ContainsFunc(words, func(w string) bool { return strings.ContainsRune(w, 0) }) {
		return refusal("a command of %d words", len(words))
	}
	words[0] = lookPath(words[0])
	if !l.allowsProgram(words) {
		return refusal("the program %q is not listed: add it to helper.commands and restart posthaste", strings.Join(words, " "))
	}
	for _, v := range r.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || !slices.Contains(jobVariables, name) || strings.ContainsRune(v, 0) {
			return refusal("the variable %q is none that a program may be given", name)
		}
	}
	t.spec.Program, t.spec.Dir = words, t.account.home
	t.spec.Env = append(slices.Clone(r.Env), "HOME="+t.account.home, "USER="+t.account.name, "LOGNAME="+t.account.name,
		"SHELL="+shell, "PATH="+searchPath)
	return nil
}

// lookPath returns the absolute path of a program, or what was asked for.
func lookPath(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(searchPath) {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p
		}
	}
	return name
}

func (l *lists) allowFile(t *task, r request) error {
	if !strings.HasPrefix(r.File, "/") || strings.ContainsRune(r.File, 0) {
		return refusal("the file %q has no absolute path", r.File)
	}
	file := path.Clean(r.File)
	if !allowsFile(l.Files, file, t.account.home) {
		return refusal("the file %q is not listed for user %s: add it to helper.paths and restart posthaste", file, t.account.name)
	}
	f := &fileSpec{Path: file, Format: r.Format, Patterns: l.Files, Home: t.account.home, UID: t.account.uid,
		Sender: r.Sender, ID: r.ID, Fresh: r.Fresh, Received: r.Received, Within: t.timeout}
	switch f.Format {
	case Mbox, Maildir:
	case "":
		f.Format = Mbox
	default:
		return refusal("the format %q is neither mbox nor maildir", r.Format)
	}
	t.spec.File = f
	if slices.Contains(l.SpoolDirs, path.Dir(file)) {
		f.Spool = true
		t.joinSpool(path.Dir(file))
	}
	return nil
}

// allowsProgram tells whether a command in words may run. Its first word must be a clean absolute path.
func (l *lists) allowsProgram(words []string) bool {
	if !path.IsAbs(words[0]) || path.Clean(words[0]) != words[0] {
		return false
	}
	return slices.ContainsFunc(l.Programs, func(entry string) bool {
		if !isCommandLine(entry) {
			ok, _ := path.Match(entry, words[0])
			return ok
		}
		return slices.Equal(Split(entry), words)
	})
}

// isCommandLine tells whether an entry of the list of programs stands for one exact command.
func isCommandLine(entry string) bool {
	return len(Split(strings.NewReplacer("*", "", "?", "", "[", "", "]", "").Replace(entry))) != 1
}

// allowsFile tells whether a clean absolute path may be written by a user with a home.
func allowsFile(patterns []string, file, home string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if below, ok := strings.CutPrefix(p, "~/"); ok {
			if home == "" || home == "/" {
				return false
			}
			p = literal(home) + "/" + below
		}
		return matchFile(path.Clean(p), file)
	})
}

// matchFile matches file with a pattern that may end in "/**".
func matchFile(pattern, file string) bool {
	above, tree := strings.CutSuffix(pattern, "/**")
	if !tree {
		ok, _ := path.Match(pattern, file)
		return ok
	}
	depth := strings.Count(above, "/")
	parts := strings.Split(file, "/")
	if len(parts) <= depth+1 {
		return false
	}
	ok, _ := path.Match(above, strings.Join(parts[:depth+1], "/"))
	return ok
}

// literal returns a pattern that matches s alone.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(strings.TrimSuffix(s, "/"))
}

// isRoot tells whether this process may become others.
func isRoot() bool { return os.Geteuid() == 0 }
