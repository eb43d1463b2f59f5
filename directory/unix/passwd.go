package unix

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"posthaste/directory/source"
)

// Bounds of the list of users.
const (
	maxPasswd = 64 << 20 // bytes
	maxUsers  = 1 << 20
)

// A User is a line of /etc/passwd.
type User struct {
	Name string
	UID  uint32
	GID  uint32
	Home string
}

// A passwd is the list of users, read again when it has changed.
type passwd struct {
	path string

	mu    sync.Mutex // guards the rest; held while the file is read, so that it is read once
	state source.State
	known users
}

// users are users by name.
type users map[string]User

// named returns the user with a name, in any case of its letters when none has it as it is written.
func (all users) named(name string) (User, bool) {
	u, ok := all[name]
	if !ok {
		u, ok = all[strings.ToLower(name)]
	}
	return u, ok
}

func (p *passwd) users() (users, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, err := source.Current(p.path)
	if err != nil {
		return nil, err
	}
	if p.known != nil && now == p.state {
		return p.known, nil
	}
	text, state, err := source.Read(p.path, maxPasswd)
	if err != nil {
		return nil, err
	}
	p.known, p.state = parsePasswd(text), state
	return p.known, nil
}

// parsePasswd reads passwd(5). Lines that are none are passed over, as the C library does; of two for
// one name the first counts.
func parsePasswd(text []byte) users {
	all := users{}
	for line := range bytes.Lines(text) {
		fields := strings.Split(strings.TrimRight(string(line), "\r\n"), ":")
		if len(fields) != 7 || !isUserName(fields[0]) || len(all) >= maxUsers {
			continue
		}
		uid, err1 := strconv.ParseUint(fields[2], 10, 32)
		gid, err2 := strconv.ParseUint(fields[3], 10, 32)
		if _, twice := all[fields[0]]; twice || err1 != nil || err2 != nil {
			continue
		}
		all[fields[0]] = User{Name: fields[0], UID: uint32(uid), GID: uint32(gid), Home: fields[5]}
	}
	return all
}

// isUserName tells whether a name is safe to stand in a path.
func isUserName(name string) bool {
	return name != "" && name[0] != '-' && name[0] != '+' && name[0] != '.' && len(name) <= 256 && !strings.ContainsAny(name, "/\x00 \t")
}
