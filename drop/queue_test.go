package drop_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/drop"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/queue"
	"posthaste/submit"
)

// TestFromTheDirectoryIntoTheQueue goes the whole way of a message from sendmail.
func TestFromTheDirectoryIntoTheQueue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "drop")
	if err := drop.Prepare(dir, os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	q := queue.New(queue.Config{KV: memkv.New(), Hostname: "mx.north.test"})
	s := submit.New(submit.Config{Hostname: "mx.north.test", Domain: "north.test", Queue: q})
	p := drop.NewPicker(drop.Config{
		Dir: dir, Domain: "north.test", Submit: submit.Local{Submitter: s, Queue: q},
		Login: func(uint32) (string, string) { return "ann", "Ann" },
	})
	message := drop.Submission{Recipients: []mail.Recipient{{Address: mail.Address{Local: "root"}}}}
	if err := drop.Write(dir, message, strings.NewReader("Subject: x\nBcc: carl@south.test\n\nhello\n")); err != nil {
		t.Fatal(err)
	}
	if err := p.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := 0
	for e, err := range q.List(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		count++
		if to := e.Recipients[0].Address.String(); to != "root@north.test" || e.Envelope.From.String() != "ann@north.test" {
			t.Errorf("from %s to %s", e.Envelope.From, to)
		}
		content, err := q.ReadContent(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content.Bytes())
		for _, part := range []string{"Received: by mx.north.test", "id " + string(e.ID), "From: Ann <ann@north.test>\r\n", "Date: ", "Message-ID: <"} {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in %q", part, text)
			}
		}
		if strings.Contains(text, "Bcc") {
			t.Errorf("Bcc is in %q", text)
		}
	}
	if count != 1 {
		t.Errorf("%d entries", count)
	}
}
