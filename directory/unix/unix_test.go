package unix

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"posthaste/directory/aliasmap"
	"posthaste/mail"
)

func TestConfigIsChecked(t *testing.T) {
	for claim, cfg := range map[string]Config{
		"a mailbox that is everybody's": {Mailbox: "/var/mail/all"},
		"a relative mailbox":            {Mailbox: "mail/{user}"},
		"a relative forward":            {Forward: ".forward"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is accepted", claim)
		}
	}
	for _, box := range []string{"", "~/Maildir/", "/var/mail/{user}", "/srv/{user}/mail/"} {
		if _, err := New(Config{Mailbox: box}); err != nil {
			t.Errorf("%q: %v", box, err)
		}
	}
}

func FuzzPasswd(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n../x:x:1:1::/:\nann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, u := range parsePasswd([]byte(text)) {
			if name != u.Name || !isUserName(name) {
				t.Errorf("user %q is %+v", name, u)
			}
		}
	})
}

// denied is a Reader without rights.
type denied struct{}

func (denied) ReadForward(context.Context, User, string) ([]byte, error) {
	return nil, fs.ErrPermission
}

func TestForwardThatCannotBeReadIsTemporary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte("ann:x:1000:1000::/home/ann:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for forward, want := range map[string]bool{"": true, "none": false} {
		u, err := New(Config{Names: aliasmap.Names{Domains: []string{"host.test"}}, Users: []string{"ann"}, Passwd: file, Forward: forward, Reader: denied{}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.Find(t.Context(), mail.Address{Local: "ann", Domain: "host.test"})
		if (err != nil) != want || err != nil && !mail.StatusOf(err).Temporary() {
			t.Errorf("forward %q: %v; want an error: %t", forward, err, want)
		}
	}
}
