package aliasmap_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste/directory"
	"posthaste/directory/aliasmap"
	"posthaste/directory/unix"
	"posthaste/explain"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/srs"
	"posthaste/table"
)

// A list is a table for tests.
type list map[string]string

func (l list) Lookup(_ context.Context, key string) (string, bool, error) {
	value, found := l[strings.ToLower(key)]
	return value, found, nil
}

var errDown = errors.New("connection refused")

type down struct{}

func (down) Lookup(context.Context, string) (string, bool, error) { return "", false, errDown }

func at(s string) (a mail.Address) {
	a.UnmarshalText([]byte(s))
	return a
}

// A town has all layers: accounts of north.test in the directory, and host.test as the local domain
// with an alias file, Unix users and tables.
type town struct {
	t         testing.TB
	dir       string
	directory *directory.Directory
	layers    *directory.Layers
	ann       mail.AccountID
	srs       *srs.Rewriter
}

const passwd = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
ux:x:1000:1000::HOME/ux:/bin/sh
fay:x:1001:1001::HOME/fay:/bin/sh
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
broken line
`

const aliasFile = `# as on any machine
postmaster: root
root: ux, ann@north.test
self: self, eve@far.test
ux: \ux, bob@far.test
prog: "|/usr/bin/program -x"
arch: /var/archive/mail
drop: /dev/null
gone: :fail: 5.1.6 gone for ever
shut: :defer: come back
list: :include:DIR/list
owner-list: ann@north.test
broken: a b c
other@north.test: far@far.test
lost: \nobodyhere
*: ux
`

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{t: t, dir: t.TempDir(), directory: directory.New(memkv.New(), directory.Config{DefaultDomain: "north.test"})}
	t.Cleanup(w.directory.Close)
	if _, err := w.directory.AddDomain(t.Context(), "north.test", directory.DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.directory.AddDomain(t.Context(), "backup.test", directory.DomainOptions{Relay: true}); err != nil {
		t.Fatal(err)
	}
	account, err := w.directory.AddAccount(t.Context(), at("ann@north.test"), directory.AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.ann = account.ID
	w.write("passwd", strings.ReplaceAll(passwd, "HOME", w.dir))
	w.write("aliases", strings.ReplaceAll(aliasFile, "DIR", w.dir))
	w.write("list", "ann@north.test\n# all\nux\n")
	names := aliasmap.Names{Domains: []string{"host.test"}}
	users, err := unix.New(unix.Config{Names: names, Users: []string{"*"}, Passwd: filepath.Join(w.dir, "passwd")})
	if err != nil {
		t.Fatal(err)
	}
	if w.srs, err = srs.New(srs.Config{Domain: "north.test", Secrets: [][]byte{[]byte("0123456789abcdef")}}); err != nil {
		t.Fatal(err)
	}
	tables := &aliasmap.Tables{Names: names, Own: []table.Table{list{"virtual.test": "yes"}}, Aliases: []table.Table{list{
		"info@virtual.test": "ann@north.test, ux", "@all.test": "ann@north.test", "@virtual.test": "@north.test",
		"tab": "eve@far.test", "ann@north.test": "never", "self@virtual.test": "self@virtual.test, ann@north.test",
		"x@north.test": "eve@far.test", "*@north.test": "never", "prog@virtual.test": "|/bin/sh", "no@virtual.test": ":fail: not here",
	}}}
	w.layers = directory.NewLayers(w.directory, &aliasmap.Returns{SRS: w.srs}, tables, aliasmap.NewFile(filepath.Join(w.dir, "aliases"), names, nil), users)
	return w
}

func (w *town) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func alias(to ...string) directory.Target {
	target := directory.Target{Kind: directory.KindAlias}
	for _, s := range to {
		target.Addresses = append(target.Addresses, at(s))
	}
	return target
}

func with(target directory.Target, branches ...directory.Branch) directory.Target {
	target.Branches = branches
	return target
}

func box(user, address string) directory.Branch {
	return directory.Branch{Address: at(address), Target: mailbox(user)}
}

func mailbox(user string) directory.Target {
	return directory.Target{Kind: directory.KindUnix, User: user, Text: "/var/mail/" + user}
}

func TestLayers(t *testing.T) {
	w := newTown(t)
	account := directory.Target{Kind: directory.KindAccount, Account: w.ann}
	detailed := mailbox("ux")
	detailed.Detail = "tag"
	owned := alias("ann@north.test", "ux@host.test")
	owned.Owner = at("owner-list@host.test")
	caught := alias("ux@host.test")
	caught.CatchAll = true
	virtual := alias("any@north.test")
	virtual.CatchAll = true
	standIn := account
	standIn.StandIn = true
	for _, c := range []struct {
		claim   string
		address string
		want    directory.Target
	}{
		{"an account comes before any table", "ann@north.test", account},
		{"its domain is asked without regard to case", "ann@NORTH.test", account},
		{"a table comes before nobody", "x@north.test", alias("eve@far.test")},
		{"nobody", "nobody@north.test", directory.Target{}},
		{"somebody else's domain", "ann@far.test", directory.Target{Kind: directory.KindRemote}},
		{"a domain that we relay for is left alone", "x@backup.test", directory.Target{Kind: directory.KindRelay}},
		{"an address literal", "ux@[192.0.2.1]", directory.Target{Kind: directory.KindRemote}},
		{"a stand-in", "abuse@north.test", standIn},
		{"an alias with a domain, in a domain of the directory", "other@north.test", alias("far@far.test")},
		{"names of the machine are none in other domains of ours", "prog@north.test", directory.Target{}},
		{"a virtual alias", "info@virtual.test", alias("ann@north.test", "ux@host.test")},
		{"a virtual alias, with a detail", "info+x@virtual.test", alias("ann@north.test", "ux@host.test")},
		{"a whole virtual domain", "any@virtual.test", virtual},
		{"a refusal by a table", "no@virtual.test", directory.Target{Kind: directory.KindFail, Status: mail.NewStatus(550, "5.2.1", "not here")}},
		{"a name in a table", "tab@host.test", alias("eve@far.test")},
		{"an alias to itself without mailbox", "self@virtual.test", with(alias("ann@north.test"), directory.Branch{Address: at("self@virtual.test")})},
		{"an alias", "Root@host.test", alias("ux@host.test", "ann@north.test")},
		{"a backslash stops at the mailbox", "ux@host.test", with(alias("bob@far.test"), box("ux", "ux@host.test"))},
		{"so does the alias itself, but where there is no mailbox", "self@host.test", with(alias("eve@far.test"), directory.Branch{Address: at("self@host.test")})},
		{"a program", "prog@host.test", with(alias(), directory.Branch{Address: at("prog@host.test"),
			Target: directory.Target{Kind: directory.KindProgram, Text: "/usr/bin/program -x"}})},
		{"a file", "arch@host.test", with(alias(), directory.Branch{Address: at("arch@host.test"),
			Target: directory.Target{Kind: directory.KindFile, Text: "/var/archive/mail"}})},
		{"/dev/null", "drop@host.test", directory.Target{Kind: directory.KindDiscard}},
		{"a refusal", "gone@host.test", directory.Target{Kind: directory.KindFail, Status: mail.NewStatus(550, "5.1.6", "gone for ever")}},
		{"a delay", "shut@host.test", directory.Target{Kind: directory.KindDefer, Status: mail.NewStatus(451, "4.2.1", "come back")}},
		{"a list with its owner", "list@host.test", owned},
		{"a line that is wrong", "broken@host.test", directory.Target{Kind: directory.KindDefer,
			Status: mail.NewStatus(451, "4.3.5", "what this address leads to cannot be read at the moment, try again later")}},
		{"a mailbox that is not there", "lost@host.test", with(alias(), directory.Branch{Address: at("nobodyhere@host.test")})},
		{"a Unix user", "fay@host.test", mailbox("fay")},
		{"root is not listed, but an alias", "postmaster@host.test", alias("root@host.test")},
		{"neither is nobody, and the catch-all of the file takes that", "nobody@host.test", caught},
		{"daemon neither", "daemon@host.test", caught},
	} {
		got, err := w.layers.Resolve(t.Context(), at(c.address))
		if err != nil {
			t.Errorf("%s: %v", c.claim, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", c.claim, c.address, diff)
		}
	}
}

func TestUnixUserWithDetail(t *testing.T) {
	w := newTown(t)
	want := mailbox("fay")
	want.Detail = "Tag"
	if got, err := w.layers.Resolve(t.Context(), at("FAY+Tag@host.test")); err != nil || !cmp.Equal(want, got) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestReturnPathsLeadBack(t *testing.T) {
	w := newTown(t)
	path := w.srs.Forward(mail.ReversePath{Address: at("eve@far.test")}, time.Now())
	if got, err := w.layers.Resolve(t.Context(), path.Address); err != nil || !cmp.Equal(alias("eve@far.test"), got) {
		t.Errorf("%s leads to %v, %v", path, got, err)
	}
	forged := path.Address
	forged.Local = strings.Replace(forged.Local, "far.test", "victim.test", 1)
	if got, err := w.layers.Resolve(t.Context(), forged); err != nil || got.Kind != directory.KindFail {
		t.Errorf("%s leads to %v, %v; we would be a relay", forged, got, err)
	}
}

func TestForward(t *testing.T) {
	w := newTown(t)
	home := filepath.Join(w.dir, "fay", ".forward")
	program := directory.Branch{Address: at("fay@host.test"), Target: directory.Target{Kind: directory.KindProgram, Text: "/usr/bin/vacation fay", User: "fay"}}
	for _, c := range []struct {
		claim, text string
		mode        os.FileMode
		want        directory.Target
	}{
		{"to another host", "eve@far.test\n", 0o644, alias("eve@far.test")},
		{"with a copy", "# mine\n\\fay, eve@far.test\n", 0o600, with(alias("eve@far.test"), box("fay", "fay@host.test"))},
		{"with a copy, by name", "fay\neve@far.test\n", 0o644, with(alias("eve@far.test"), box("fay", "fay@host.test"))},
		{"to a program, as the user", "\"|/usr/bin/vacation fay\"\n", 0o644, with(alias(), program)},
		{"to nowhere", "/dev/null\n", 0o644, directory.Target{Kind: directory.KindDiscard}},
		{"empty", "# nothing\n", 0o644, mailbox("fay")},
		{"writable by others", "eve@far.test\n", 0o666, mailbox("fay")},
		{"writable by the group", "eve@far.test\n", 0o664, mailbox("fay")},
		{"wrong", "eve at far\n", 0o644, mailbox("fay")},
		{"with an include", ":include:/etc/passwd\n", 0o644, mailbox("fay")},
	} {
		w.write("fay/.forward", c.text)
		if err := os.Chmod(home, c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := w.layers.Resolve(t.Context(), at("fay@host.test"))
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", c.claim, err, diff)
		}
	}
	if err := os.Remove(home); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(w.dir, "list"), home); err != nil {
		t.Fatal(err)
	}
	if got, err := w.layers.Resolve(t.Context(), at("fay@host.test")); err != nil || got.Kind != directory.KindUnix {
		t.Errorf("a symbolic link: %v, %v, want the mailbox", got, err)
	}
}

func TestForwardOfAnotherUserIsNotFollowed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give files away")
	}
	w := newTown(t)
	w.write("fay/.forward", "eve@far.test\n")
	for uid, want := range map[int]directory.Kind{1001: directory.KindAlias, 1000: directory.KindUnix, 0: directory.KindAlias} {
		if err := os.Chown(filepath.Join(w.dir, "fay", ".forward"), uid, uid); err != nil {
			t.Fatal(err)
		}
		if got, err := w.layers.Resolve(t.Context(), at("fay@host.test")); err != nil || got.Kind != want {
			t.Errorf("owned by %d: %v, %v, want kind %d", uid, got, err, want)
		}
	}
}

// What root did not write itself runs as the one who wrote it.
func TestIncludedFileRunsAsItsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give files away")
	}
	w := newTown(t)
	w.write("list", "|/bin/true, /var/archive/x")
	for uid, want := range map[int]string{0: "", 1: "daemon"} {
		if err := os.Chown(filepath.Join(w.dir, "list"), uid, uid); err != nil {
			t.Fatal(err)
		}
		got, err := w.layers.Resolve(t.Context(), at("list@host.test"))
		if err != nil || len(got.Branches) != 2 || got.Branches[0].Target.User != want || got.Branches[1].Target.User != want {
			t.Errorf("owned by %d: %+v, %v; want user %q", uid, got, err, want)
		}
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	w := newTown(t)
	for _, step := range []struct{ file, text, address, want string }{
		{"aliases", "new: one@far.test\n", "new@host.test", "an alias for one@far.test"},
		{"aliases", "new: two@far.test\n", "new@host.test", "an alias for two@far.test"},
		{"aliases", "new: :include:" + w.dir + "/list\n", "new@host.test", "an alias for ann@north.test, ux@host.test"},
		{"list", "one@far.test", "new@host.test", "an alias for one@far.test"},
		{"passwd", "new:x:1007:1007::/home/new:\nux:x:1000:1000::/:\n", "ux@host.test", "the mailbox /var/mail/ux of the Unix user ux"},
		{"aliases", "", "new@host.test", "the mailbox /var/mail/new of the Unix user new"},
		{"aliases", "new: what is this\n", "new@host.test", "answered with 451 4.3.5 what this address leads to cannot be read at the moment, try again later"},
	} {
		w.write(step.file, step.text)
		got, err := w.layers.Resolve(t.Context(), at(step.address))
		if err != nil || got.String() != step.want {
			t.Errorf("%s with %q: %s is %s, %v; want %s", step.file, step.text, step.address, got, err, step.want)
		}
	}
}

func TestWhatCannotBeReadIsTemporary(t *testing.T) {
	for claim, spoil := range map[string]func(w *town){
		"no alias file":                func(w *town) { os.Remove(filepath.Join(w.dir, "aliases")) },
		"one that others may write to": func(w *town) { os.Chmod(filepath.Join(w.dir, "aliases"), 0o666) },
		"a folder": func(w *town) {
			os.Remove(filepath.Join(w.dir, "aliases"))
			os.Mkdir(filepath.Join(w.dir, "aliases"), 0o755)
		},
		"an included file that is gone": func(w *town) { os.Remove(filepath.Join(w.dir, "list")) },
		"one that is wrong":             func(w *town) { w.write("list", "a b c") },
		"one that includes itself":      func(w *town) { w.write("list", ":include:"+w.dir+"/list") },
		"a table": func(w *town) {
			w.layers = directory.NewLayers(w.directory, &aliasmap.Tables{Own: []table.Table{down{}}})
		},
		"no list of users": func(w *town) {
			w.write("aliases", "")
			os.Remove(filepath.Join(w.dir, "passwd"))
		},
	} {
		w := newTown(t)
		spoil(w)
		got, err := w.layers.Resolve(t.Context(), at("list@host.test"))
		if err == nil && got.Kind != directory.KindDefer || err != nil && !mail.StatusOf(err).Temporary() {
			t.Errorf("%s: %v, %v; want a temporary failure", claim, got, err)
		}
		if got, err := w.layers.Resolve(t.Context(), at("ann@north.test")); err != nil || got.Kind != directory.KindAccount {
			t.Errorf("%s: the account is %v, %v", claim, got, err)
		}
	}
	w := newTown(t)
	if _, err := w.layers.Resolve(t.Context(), at("prog@virtual.test")); err == nil {
		t.Error("a table ran a program")
	}
}

func TestOwnsThroughLayers(t *testing.T) {
	w := newTown(t)
	for address, want := range map[string]bool{"root@host.test": true, "info@virtual.test": true, "list@host.test": true, "ann@north.test": true,
		"ux@host.test": false, "prog@host.test": false, "eve@far.test": false} {
		if got, err := w.layers.Owns(t.Context(), w.ann, at(address)); err != nil || got != want {
			t.Errorf("ann owns %s: %t, %v; want %t", address, got, err, want)
		}
	}
}

func TestExplained(t *testing.T) {
	w := newTown(t)
	ctx, reasons := explain.With(t.Context())
	if _, err := w.layers.Resolve(ctx, at("list@host.test")); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, r := range reasons.List() {
		all.WriteString(r.Subject + ": " + r.Text + "\n")
	}
	for _, want := range []string{"alias file: ", "aliases line 11 has list\n", "directory: list@host.test is an alias for ann@north.test, ux@host.test\n"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %q in\n%s", want, &all)
		}
	}
}

func BenchmarkResolveAccountOverLayers(b *testing.B) {
	w := newTown(b)
	to := at("ann@north.test")
	for b.Loop() {
		if got, err := w.layers.Resolve(b.Context(), to); err != nil || got.Kind != directory.KindAccount {
			b.Fatal(got, err)
		}
	}
}
