// Package unix makes the users of this machine a layer of a [directory.Layers]: their mail goes into
// /var/mail/USER or ~/Maildir, or where their ~/.forward says.
//
// Only listed users have mail here. A .forward counts when it is a regular file of the user or root
// that nobody else may write to; one that its owner got wrong is not followed, and the mail goes to
// the mailbox, where its owner sees it. One that we cannot read leaves the mail waiting. Programs and
// files that it names belong to the user.
//
// Users are read from /etc/passwd, again when it has changed. Those of other sources (LDAP, NIS) are
// not known.
package unix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"

	"posthaste/aliases"
	"posthaste/directory"
	"posthaste/directory/aliasmap"
	"posthaste/directory/source"
	"posthaste/explain"
	"posthaste/mail"
)

// Defaults of Config.
const (
	DefaultMinUID  = 1000
	DefaultMaxUID  = 59999 // above are nobody and the users of containers
	DefaultMailbox = "/var/mail/{user}"
	DefaultForward = "~/.forward"

	maxForward = 64 << 10 // bytes of a .forward file
)

// A Reader reads the .forward files of users, whose homes we may have no right to look into.
type Reader interface {
	// ReadForward returns the content of the file at path, which belongs to user u. The error is
	// fs.ErrNotExist when there is none, source.ErrUnsafe when it is not to be believed; any other
	// is temporary.
	ReadForward(ctx context.Context, u User, path string) ([]byte, error)
}

// Config says which users have mail, and where.
type Config struct {
	aliasmap.Names

	// Users lists who has mail. "*" stands for all whose uid is between MinUID and MaxUID, which
	// are 1000 and 59999 by default.
	Users          []string
	MinUID, MaxUID int

	// Mailbox is where mail goes: an mbox, or with a slash at its end a Maildir. {user} stands for the
	// name of the user, ~/ at the start for the home. Default: /var/mail/{user}.
	Mailbox string

	// Forward is the file that a user forwards with. Default: ~/.forward; "none" is none.
	Forward string

	Passwd string // default: /etc/passwd
	Reader Reader // default: [Direct]
	Log    *slog.Logger
}

// Users is the layer. It may be used at the same time.
type Users struct {
	cfg    Config
	passwd passwd
}

// New returns the layer.
func New(cfg Config) (*Users, error) {
	setDefault(&cfg.MinUID, DefaultMinUID)
	setDefault(&cfg.MaxUID, DefaultMaxUID)
	setDefault(&cfg.Mailbox, DefaultMailbox)
	setDefault(&cfg.Forward, DefaultForward)
	setDefault(&cfg.Passwd, "/etc/passwd")
	if cfg.Reader == nil {
		cfg.Reader = Direct{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Forward == "none" {
		cfg.Forward = ""
	}
	for _, p := range [...]string{cfg.Mailbox, cfg.Forward} {
		if p != "" && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "~/") {
			return nil, fmt.Errorf("unix: path %q: want one that begins with / or ~/", p)
		}
	}
	if !strings.Contains(cfg.Mailbox, "{user}") && !strings.HasPrefix(cfg.Mailbox, "~/") {
		return nil, fmt.Errorf("unix: mailbox %q would be everybody's: put {user} into it, or ~/ before it", cfg.Mailbox)
	}
	return &Users{cfg: cfg, passwd: passwd{path: cfg.Passwd}}, nil
}

func setDefault[T int | string](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Domain tells whether domain is that of this machine's users.
func (u *Users) Domain(_ context.Context, domain string) (bool, error) {
	return u.cfg.Local(domain), nil
}

// Find returns where mail for a user goes: the mailbox, or what the user forwards to.
func (u *Users) Find(ctx context.Context, address mail.Address) (directory.Target, error) {
	user, box, err := u.find(address)
	if err != nil || box.Kind == directory.KindNone || u.cfg.Forward == "" {
		return box, err
	}
	forward, err := u.forward(ctx, user, address)
	if err != nil || forward.Kind == directory.KindNone {
		return box, err
	}
	forward.Detail = box.Detail
	return forward, nil
}

// Mailbox returns the mailbox of a user, whatever the user forwards.
func (u *Users) Mailbox(_ context.Context, address mail.Address) (directory.Target, error) {
	_, box, err := u.find(address)
	return box, err
}

// find returns the user that address names, with mail here or not, and the user's mailbox.
func (u *Users) find(address mail.Address) (User, directory.Target, error) {
	if !u.cfg.Local(address.Domain) {
		return User{}, directory.Target{}, nil
	}
	all, err := u.passwd.users()
	if err != nil {
		return User{}, directory.Target{}, fmt.Errorf("unix: %w", err)
	}
	user, ok := all.named(address.Local)
	detail := ""
	if !ok {
		var name string
		if name, detail, ok = u.cfg.Split(address.Local); ok {
			user, ok = all.named(name)
		}
	}
	if !ok || !u.listed(user) {
		return User{}, directory.Target{}, nil
	}
	return user, directory.Target{Kind: directory.KindUnix, User: user.Name, Text: u.cfg.place(u.cfg.Mailbox, user), Detail: detail}, nil
}

// listed tells whether a user has mail here.
func (u *Users) listed(user User) bool {
	return slices.Contains(u.cfg.Users, user.Name) ||
		slices.Contains(u.cfg.Users, "*") && int(user.UID) >= u.cfg.MinUID && int(user.UID) <= u.cfg.MaxUID
}

// place fills a path of the configuration in.
func (cfg *Config) place(p string, user User) string {
	p = strings.ReplaceAll(p, "{user}", user.Name)
	if below, ok := strings.CutPrefix(p, "~/"); ok {
		p = strings.TrimSuffix(user.Home, "/") + "/" + below
	}
	return p
}

// forward returns where a user forwards to; KindNone when nowhere.
func (u *Users) forward(ctx context.Context, user User, address mail.Address) (directory.Target, error) {
	file := u.cfg.place(u.cfg.Forward, user)
	if !path.IsAbs(file) || user.Home == "" {
		return directory.Target{}, nil
	}
	text, err := u.cfg.Reader.ReadForward(ctx, user, file)
	if errors.Is(err, fs.ErrNotExist) {
		return directory.Target{}, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return directory.Target{}, fmt.Errorf("unix: %w: whether %s forwards cannot be told, so the mail waits; let posthaste look into the home, or follow no forwards", err, user.Name)
	}
	if err != nil && !errors.Is(err, source.ErrUnsafe) {
		return directory.Target{}, fmt.Errorf("unix: the forward of %s: %w", user.Name, err)
	}
	var target directory.Target
	var list []aliases.Target
	if err == nil {
		list, err = aliases.ParseTargets(text)
	}
	if err == nil && len(list) > 0 {
		target, err = u.cfg.Names.Target(address, list, user.Name)
	}
	if err != nil {
		u.cfg.Log.Warn("unix: a forward is not followed; the mail goes to the mailbox", "user", user.Name, "file", file, "err", err)
		explain.Note(ctx, "forward", "%s is not followed: %v", file, err)
		return directory.Target{}, nil
	}
	if len(list) > 0 {
		explain.Note(ctx, "forward", "%s forwards with %s", user.Name, file)
	}
	return target, nil
}

// Direct is the Reader that reads with our own rights.
type Direct struct{}

// ReadForward implements [Reader].
func (Direct) ReadForward(_ context.Context, u User, path string) ([]byte, error) {
	text, _, err := source.ReadOwned(path, maxForward, u.UID)
	return text, err
}
