package drop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posthaste/mail"
)

// A Submitter takes mail of users of the system, as *submit.Local does. Submitting one origin again
// is a no-op. The error is a *mail.Status where the message cannot be taken as it is.
type Submitter interface {
	Submit(ctx context.Context, user mail.Address, origin string, env mail.Envelope, content mail.Content) error
}

// A Returner is a Submitter that can tell a user, in a report, why a message of the user's cannot be
// taken, as *submit.Local does. To tell of one origin again is a no-op.
type Returner interface {
	Return(ctx context.Context, user mail.Address, origin string, why *mail.Status, env mail.Envelope, content mail.Content) error
}

// Config says what a Picker works with.
type Config struct {
	Dir     string
	Domain  string       // of the addresses of the system's users
	Trusted []string     // login names that besides root may name any sender
	MaxSize int64        // bytes of content, default 50 MiB
	Submit  Submitter    // where it is a Returner too, users hear of what is refused
	Log     *slog.Logger // default: none

	// Login returns login and full name of a user ID. Default: from the system's users.
	Login func(uid uint32) (login, name string)
}

// A Picker takes messages out of the directory.
type Picker struct {
	cfg   Config
	later map[string]delay // files that could not be submitted yet, by name
	aside map[string]bool  // what could not be moved to bad either
}

// A delay says when to try a file again.
type delay struct {
	next time.Time
	wait time.Duration
}

const (
	badDir         = "bad"
	reasonSuffix   = ".reason"
	defaultMaxSize = 50 << 20
	pollInterval   = time.Second
	firstWait      = 2 * time.Second // before a file is tried again; doubles
	maxWait        = 5 * time.Minute
	tempAge        = 36 * time.Hour // a file that nobody finished in this time is removed
	maxAside       = 10_000
)

// NewPicker returns a Picker.
func NewPicker(cfg Config) *Picker {
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = defaultMaxSize
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Login == nil {
		cfg.Login = systemLogin
	}
	return &Picker{cfg: cfg, later: map[string]delay{}, aside: map[string]bool{}}
}

// Run picks up messages until ctx ends: at the start all that are there, then what comes within a
// second. Trouble is logged and tried again.
func (p *Picker) Run(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var seen time.Time
	for ctx.Err() == nil {
		info, err := os.Stat(p.cfg.Dir)
		now := time.Now()
		switch {
		case err != nil:
			p.cfg.Log.Error("drop: cannot read the directory", "err", err)
			seen = time.Time{}
		case !info.ModTime().Equal(seen) || p.due(now):
			if err := p.Scan(ctx); err != nil && ctx.Err() == nil {
				p.cfg.Log.Error("drop: cannot read the directory", "err", err)
			}
			// A file that comes in the same moment leaves the same time: look once more.
			if seen = info.ModTime(); now.Sub(seen) < 2*pollInterval {
				seen = time.Time{}
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// due tells whether a file is to be tried again.
func (p *Picker) due(now time.Time) bool {
	for _, d := range p.later {
		if !now.Before(d.next) {
			return true
		}
	}
	return false
}

// Scan submits all that lies in the directory and is due.
func (p *Picker) Scan(ctx context.Context) error {
	dir, err := os.Open(p.cfg.Dir)
	if err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	defer dir.Close()
	const batch = 1000
	for {
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			p.look(ctx, name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("drop: %w", err)
		}
	}
}

func (p *Picker) look(ctx context.Context, name string) {
	switch {
	case strings.HasPrefix(name, newPrefix):
		if d, waits := p.later[name]; (!waits || !time.Now().Before(d.next)) && !p.aside[name] {
			p.pick(ctx, name)
		}
	case strings.HasPrefix(name, tempPrefix):
		info, err := os.Lstat(filepath.Join(p.cfg.Dir, name))
		if err == nil && time.Since(info.ModTime()) > tempAge {
			os.Remove(filepath.Join(p.cfg.Dir, name))
		}
	}
}

// pick submits one file.
func (p *Picker) pick(ctx context.Context, name string) {
	path := filepath.Join(p.cfg.Dir, name)
	err := p.submit(ctx, path, name)
	var status *mail.Status
	switch {
	case err == nil, errors.Is(err, os.ErrNotExist):
		delete(p.later, name)
	case isFormat(err):
		delete(p.later, name)
		p.setAside(ctx, name, err, slog.LevelError)
	case errors.As(err, &status) && status.Permanent():
		delete(p.later, name)
		level := slog.LevelError
		if _, told := p.cfg.Submit.(Returner); told {
			level = slog.LevelWarn // its user knows, and can do something about it
		}
		p.setAside(ctx, name, err, level)
	case ctx.Err() != nil:
	default:
		d := p.later[name]
		d.wait = min(max(2*d.wait, firstWait), maxWait)
		d.next = time.Now().Add(d.wait)
		p.later[name] = d
		p.cfg.Log.Warn("drop: a message waits in the directory", "file", name, "err", err, "pause", d.wait)
	}
}

// submit reads a file, submits it and removes it.
func (p *Picker) submit(ctx context.Context, path, name string) error {
	file, st, err := p.read(path)
	if err != nil {
		return err
	}
	s, content, err := parse(file)
	if err != nil {
		return err
	}
	m := p.identify(s, st.Uid, content)
	m.env.Received = time.Unix(st.Mtim.Sec, st.Mtim.Nsec)
	if now := time.Now(); m.env.Received.After(now) || now.Sub(m.env.Received) > 0 && st.Mtim.Sec <= 0 {
		m.env.Received = now // its owner may set any time
	}
	origin := fmt.Sprintf("drop\x00%s\x00%d\x00%d", name, st.Ino, st.Mtim.Nano())
	if err := p.cfg.Submit.Submit(ctx, m.user, origin, m.env, mail.Bytes(m.content)); err != nil {
		return p.refused(ctx, m, origin, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("drop: %w", err) // tried again: the queue knows it by its origin
	}
	return nil
}

// refused tells the user of a message that will never be taken. It returns err, or what is to be tried
// again before that.
func (p *Picker) refused(ctx context.Context, m identified, origin string, err error) error {
	var status *mail.Status
	returner, ok := p.cfg.Submit.(Returner)
	if !ok || !errors.As(err, &status) || !status.Permanent() {
		return err
	}
	if failed := returner.Return(ctx, m.user, origin, status, m.env, mail.Bytes(m.content)); failed != nil {
		return fmt.Errorf("drop: tell %s why the message is refused (%s): %v", m.user, status.Text, failed)
	}
	return err
}

// read returns the whole of a file and who owns it. It reads once: its owner may go on writing.
func (p *Picker) read(path string) ([]byte, *syscall.Stat_t, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return nil, nil, malformed("it is no regular file")
	case errors.Is(err, os.ErrPermission):
		return nil, nil, malformed("it cannot be read: %v", err)
	case err != nil:
		return nil, nil, fmt.Errorf("drop: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("drop: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return nil, nil, malformed("it is no regular file")
	case st.Nlink != 1: // else a user could submit what another wrote elsewhere
		return nil, nil, malformed("it has %d names: it may belong to somebody else than who put it here", st.Nlink)
	}
	file, err := io.ReadAll(io.LimitReader(f, maxHead+p.cfg.MaxSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("drop: %w", err)
	}
	if int64(len(file)) > maxHead+p.cfg.MaxSize {
		return nil, nil, malformed("it has more than the %d bytes allowed", p.cfg.MaxSize)
	}
	return file, st, nil
}

// setAside moves a file to bad, with the reason in a file beside it.
func (p *Picker) setAside(ctx context.Context, name string, why error, level slog.Level) {
	p.cfg.Log.Log(ctx, level, "drop: a message cannot be submitted and was set aside in "+badDir, "file", name, "err", why)
	bad := filepath.Join(p.cfg.Dir, badDir)
	err := os.Mkdir(bad, 0o700)
	if err == nil || errors.Is(err, os.ErrExist) {
		os.WriteFile(filepath.Join(bad, name+reasonSuffix), []byte(why.Error()+"\n"), 0o600)
		err = os.Rename(filepath.Join(p.cfg.Dir, name), filepath.Join(bad, name))
	}
	if err != nil && len(p.aside) < maxAside {
		p.aside[name] = true // a folder of another user, say: it stays and is not looked at again
		p.cfg.Log.Error("drop: it cannot be set aside either and is left alone", "file", name, "err", err)
	}
}
