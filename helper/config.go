package helper

import (
	"fmt"
	"log/slog"
	"path"
	"strings"
	"time"
)

// Defaults of Config.
const (
	defaultJobs      = 20
	defaultTimeout   = 5 * time.Minute
	defaultOutput    = 4096
	defaultOpenFiles = 256
	defaultMinUID    = 1000
)

func (cfg Config) withDefaults() Config {
	l := &cfg.Limits
	setDefault(&l.Jobs, defaultJobs)
	setDefault(&l.Timeout, defaultTimeout)
	setDefault(&l.Output, defaultOutput)
	setDefault(&l.OpenFiles, defaultOpenFiles)
	setDefault(&cfg.MinUID, defaultMinUID)
	setDefault(&l.CPU, l.Timeout)
	if cfg.SpoolDirs == nil {
		cfg.SpoolDirs = []string{"/var/mail", "/var/spool/mail"}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// Check says what is wrong with the lists and limits, as Start would.
func (cfg Config) Check() error {
	cfg = cfg.withDefaults()
	return cfg.check()
}

// check is Check once the defaults are filled in.
func (cfg *Config) check() error {
	l := cfg.Limits
	if l.Jobs < 1 || l.Timeout < time.Millisecond || l.Timeout > maxTimeout || l.Output < 0 || l.Output > maxOutput ||
		l.CPU < 0 || l.FileSize < 0 || l.OpenFiles < 8 || l.Processes < 0 || cfg.MinUID < 1 {
		return fmt.Errorf("helper: a limit is out of range: %+v", l)
	}
	for _, p := range cfg.Programs {
		if strings.TrimSpace(p) == "" {
			return fmt.Errorf("helper: an empty entry in the list of programs")
		}
		if _, err := path.Match(p, ""); err != nil && !isCommandLine(p) {
			return fmt.Errorf("helper: program %q: %w", p, err)
		}
	}
	for _, f := range cfg.Files {
		if !strings.HasPrefix(f, "/") && !strings.HasPrefix(f, "~/") {
			return fmt.Errorf("helper: file %q: want a path that starts with / or ~/", f)
		}
		if _, err := path.Match(f, ""); err != nil {
			return fmt.Errorf("helper: file %q: %w", f, err)
		}
	}
	return nil
}

// lists is what the helper is told at its start.
type lists struct {
	Programs  []string `json:"programs"`
	Files     []string `json:"files"`
	Users     []string `json:"users"`
	MinUID    int      `json:"minuid"`
	User      string   `json:"user"`
	SpoolDirs []string `json:"spooldirs"`
	Forwards  bool     `json:"forwards"`
	Limits    Limits   `json:"limits"`
}

func (cfg *Config) wire() lists {
	return lists{cfg.Programs, cfg.Files, cfg.Users, cfg.MinUID, cfg.User, cfg.SpoolDirs, cfg.Forwards, cfg.Limits}
}
