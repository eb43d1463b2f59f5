package helper

import (
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// An account is a Unix user to become.
type account struct {
	name   string
	home   string
	uid    int
	gid    int
	groups []uint32
}

// account finds the user of a job and checks that it may be become.
func (l *lists) account(name string) (account, error) {
	if name == "" {
		name = l.User
	}
	if name == "" || !isRoot() && name == l.User {
		return l.self()
	}
	a, err := lookup(name)
	switch {
	case err != nil:
		return account{}, err
	case !isRoot() && a.uid == os.Getuid():
		return a, nil
	case !isRoot():
		return account{}, refusal("user %q: posthaste was not started as root, so it cannot become others", name)
	case l.listed(a):
		return a, nil
	case name == l.User && a.uid != 0:
		return a, nil
	}
	return account{}, refusal("user %q may not be become: add it to the list of users and restart posthaste", name)
}

// lookup finds a user of the system.
func lookup(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, refusal("user %q: %v", name, err)
	}
	return accountOf(u)
}

// listed tells whether a is among Users.
func (l *lists) listed(a account) bool {
	return slices.Contains(l.Users, a.name) || a.uid == 0 && slices.Contains(l.Users, "root") ||
		a.uid >= l.MinUID && slices.Contains(l.Users, "*")
}

// self is the user who runs the helper, for jobs that name none.
func (l *lists) self() (account, error) {
	if isRoot() && !slices.Contains(l.Users, "root") {
		return account{}, refusal("a job names no user, and the configuration none to become for it")
	}
	u, err := user.Current()
	if err != nil {
		return account{}, refusal("who runs this process: %v", err)
	}
	return accountOf(u)
}

func accountOf(u *user.User) (account, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, refusal("user %q has the uid %q", u.Username, u.Uid)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, refusal("user %q has the gid %q", u.Username, u.Gid)
	}
	a := account{name: u.Username, home: u.HomeDir, uid: uid, gid: gid, groups: []uint32{uint32(gid)}}
	ids, err := u.GroupIds()
	if err != nil {
		return account{}, refusal("groups of user %q: %v", u.Username, err)
	}
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil && int(n) != gid {
			a.groups = append(a.groups, uint32(n))
		}
	}
	return a, nil
}

// credential is what a child becomes; nil leaves it what the helper is.
func (a *account) credential() *syscall.Credential {
	if !isRoot() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: a.groups}
}
