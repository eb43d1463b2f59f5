package unix

import "testing"

func TestConfigIsChecked(t *testing.T) {
	for claim, cfg := range map[string]Config{
		"a mailbox that is everybody's": {Mailbox: "/var/mail/all"},
		"a relative mailbox":            {Mailbox: "mail/%u"},
		"a relative forward":            {Forward: ".forward"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is accepted", claim)
		}
	}
	for _, box := range []string{"", "%h/Maildir/", "/var/mail/%u", "/srv/%u/mail/"} {
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
