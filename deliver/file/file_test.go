package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posthaste/helper"
	"posthaste/mail"
	"posthaste/mailfile"
)

func TestMain(m *testing.M) {
	helper.Main()
	os.Exit(m.Run())
}

func TestEachRecipientGetsACopyAndARepeatNone(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	user := ""
	if os.Getuid() == 0 {
		user = "nobody"
	}
	h, err := helper.Start(helper.Config{Files: []string{dir + "/*"}, User: user})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	a := New(h, "")
	env := mail.Envelope{ID: "0123456789abcdef", From: mail.ReversePath{Address: mail.Address{Local: "ann", Domain: "north.test"}}, Received: time.Unix(1700000000, 0)}
	rcpts := []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: "south.test"}}, {Address: mail.Address{Local: "eve", Domain: "south.test"}}}
	for _, c := range []struct {
		path string
		want int // after two attempts
	}{{filepath.Join(dir, "maildir") + "/", 2}, {filepath.Join(dir, "mbox"), 4}, {"/dev/null", 0}} {
		for range 2 {
			for _, s := range a.Deliver(t.Context(), env, rcpts, mail.Bytes("Subject: x\r\n\r\nbody\r\n"), c.path) {
				if !s.OK() {
					t.Errorf("%s: %v", c.path, s)
				}
			}
		}
		if c.want == 0 {
			continue
		}
		if os.Getuid() == 0 {
			os.Chmod(c.path, 0o755)
		}
		messages, _, err := mailfile.Open(c.path)
		if err != nil {
			t.Fatal(err)
		}
		n, bobs := 0, 0
		for m, err := range messages {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if strings.HasPrefix(string(m.Content), "Return-Path: <ann@north.test>\r\nDelivered-To: bob@south.test\r\nSubject: x\r\n") {
				bobs++
			}
		}
		if n != c.want || bobs != c.want/2 {
			t.Errorf("%s: %d messages, %d for bob, want %d", c.path, n, bobs, c.want)
		}
	}
	if s := a.Deliver(t.Context(), env, rcpts, mail.Bytes("x"), "/etc/passwd"); s[0].Enhanced != "4.3.5" {
		t.Errorf("a file that is not listed: %v", s[0])
	}
}
