package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"

	"posthaste/config"
)

// becomeUser drops root for the configured user, for good. Not started as root it does nothing.
func becomeUser(name, data string, log *slog.Logger) error {
	if os.Getuid() != 0 {
		return nil
	}
	if name == "" {
		log.Warn("running as root: set user in the configuration to an ordinary user to become after the ports are bound")
		return nil
	}
	uid, gid, err := lookupUser(name)
	if err != nil {
		return err
	}
	if err := giveTree(data, uid, gid); err != nil {
		return err
	}
	// Go applies these to every thread.
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("node: leave root's groups: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("node: become group of %s: %w", name, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("node: become user %s: %w", name, err)
	}
	if syscall.Setuid(0) == nil {
		return fmt.Errorf("node: became %s, but could become root again", name)
	}
	return nil
}

func lookupUser(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("node: user %q: %w: create it with: useradd --system --home-dir / --shell /usr/sbin/nologin %s", name, err, name)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	if uid == 0 {
		return 0, 0, fmt.Errorf("node: user %q is root itself: name an ordinary user", name)
	}
	return uid, gid, nil
}

// giveTree gives what lies in data to a user, where it has another owner. A file with a second name is
// refused: the user could have put it there to get somebody else's.
func giveTree(data string, uid, gid int) error {
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		switch st, ok := info.Sys().(*syscall.Stat_t); {
		case ok && int(st.Uid) == uid:
			return nil
		case ok && !d.IsDir() && st.Nlink > 1:
			return fmt.Errorf("%s is a file of another user that has a second name elsewhere: remove it", path)
		}
		return os.Lchown(path, uid, gid)
	})
	if err != nil {
		return fmt.Errorf("node: give %s to the configured user: %w", data, err)
	}
	return nil
}

// confine lets this process touch only the files it needs, where the kernel has Landlock: data and the
// drop directory for writing; certificates, name service, time zones and the folders of files for
// reading. It cannot be undone.
func confine(cfg *config.Config, files []string, log *slog.Logger) {
	readDirs := []string{"/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/proc/self"}
	readFiles := []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/localtime", "/etc/passwd", "/etc/group",
		"/proc/sys/net/core/somaxconn", "/proc/meminfo", "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "/dev/urandom"}
	if cfg.TLS.Certificate.Source == "files" {
		// A renewed certificate is a new file under the old name, so the folders are what is allowed.
		readDirs = append(readDirs, certificateDirs(cfg.TLS.Certificate)...)
	}
	readDirs = append(readDirs, folders(files...)...)
	if cfg.Drop.Enabled || len(cfg.Unix.Users) > 0 {
		// Who adds a user makes a new /etc/passwd, which a rule for the one of today is not about.
		readDirs = append(readDirs, "/etc")
	}
	rules := []landlock.Rule{
		landlock.RWDirs(cfg.Data).WithRefer(),
		landlock.RODirs(readDirs...).IgnoreIfMissing(),
		landlock.ROFiles(readFiles...).IgnoreIfMissing(),
		landlock.RWFiles("/dev/null").IgnoreIfMissing(),
	}
	if cfg.Drop.Enabled {
		rules = append(rules, landlock.RWDirs(cfg.Drop.Directory).WithRefer().IgnoreIfMissing())
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		log.Warn("files are not confined by Landlock", "err", err)
	}
}

// configuredFiles returns the files that a reload reads again: the configuration itself, and what it
// names for tables, aliases and secrets.
func configuredFiles(cfg *config.Config, file string) []string {
	var files []string
	if file != "" {
		files = append(files, file)
	}
	files = append(append(files, cfg.Alias.Files...), cfg.Ban.ASNTable)
	for _, t := range cfg.Tables {
		files = append(files, t.Password, t.CA)
	}
	for _, s := range cfg.Smarthosts {
		files = append(files, s.Password)
	}
	for _, d := range cfg.Disclaimers {
		files = append(files, d.TextFile, d.HTMLFile)
	}
	for _, spec := range cfg.TableNames() {
		kind, path, _ := strings.Cut(spec, ":")
		switch kind {
		case "file", "cidr", "regexp":
			files = append(files, path)
		}
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// certificateDirs returns the folders of the files of c, and of what these link to.
func certificateDirs(c config.Certificate) []string {
	return folders(c.Cert, c.Key)
}

// folders returns the folders of files, and of what these link to: a file that is replaced is a new one
// under the old name.
func folders(files ...string) []string {
	var dirs []string
	for _, file := range files {
		dirs = append(dirs, filepath.Dir(file))
		if real, err := filepath.EvalSymlinks(file); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	return dirs
}
