package admin

import (
	"strings"
	"testing"
	"time"

	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/quarantine"
	"posthaste/queue"
)

// Every operation on the quarantine, as the command line asks for it over the socket's handler.
func TestQuarantineOperations(t *testing.T) {
	a := newAdmin(t)
	keys := memkv.New()
	a.cfg.Queue = queue.New(queue.Config{KV: keys, Hostname: "mx.north.test", Node: 1})
	a.cfg.Quarantine = quarantine.New(quarantine.Config{KV: keys, Queue: a.cfg.Queue, Directory: a.cfg.Directory,
		Policy: func() quarantine.Policy { return quarantine.Policy{Keep: time.Hour} }})
	if _, err := a.AddAccount(t.Context(), AccountRequest{Address: "ann@north.test", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	put := func(to string) string {
		local, domain, _ := strings.Cut(to, "@")
		id, err := a.cfg.Quarantine.Put(t.Context(), quarantine.Item{Envelope: mail.Envelope{ID: a.cfg.Queue.NewID()},
			Recipients: []mail.Recipient{{Address: mail.Address{Local: local, Domain: domain}}}, Content: []byte("Subject: x\r\n\r\nHello.\r\n")})
		if err != nil {
			t.Fatal(err)
		}
		return string(id)
	}
	anns, bobs := put("ann@north.test"), put("bob@relay.test")
	client := Local(a)
	list := func(r QuarantineRequest) (ids []string) {
		t.Helper()
		for e, err := range List[quarantine.Entry](t.Context(), client, "quarantine/list", r) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, string(e.ID))
		}
		return ids
	}
	for _, c := range []struct {
		r    QuarantineRequest
		want int
	}{{QuarantineRequest{}, 2}, {QuarantineRequest{For: "ANN@north.test"}, 1}, {QuarantineRequest{For: "bob@relay.test"}, 1},
		{QuarantineRequest{For: "eve@relay.test"}, 0}, {QuarantineRequest{Limit: 1}, 1}, {QuarantineRequest{Since: time.Now().Add(time.Hour)}, 0}} {
		if got := list(c.r); len(got) != c.want {
			t.Errorf("list %+v: %d, want %d", c.r, len(got), c.want)
		}
	}
	shown, err := Call[quarantine.Shown](t.Context(), client, "quarantine/show", QuarantineRequest{ID: anns})
	if err != nil || shown.Preview != "Hello." || shown.Subject != "x" {
		t.Errorf("show: %+v, %v", shown, err)
	}
	do := func(operation string, r QuarantineRequest) error {
		_, err := Call[struct{}](t.Context(), client, operation, r)
		return err
	}
	if err := do("quarantine/release", QuarantineRequest{ID: bobs, For: "ann@north.test"}); err == nil || !strings.Contains(err.Error(), "no message") {
		t.Errorf("another's message was released: %v", err)
	}
	if err := do("quarantine/release", QuarantineRequest{ID: anns, For: "ann@north.test"}); err != nil {
		t.Error(err)
	}
	if err := do("quarantine/delete", QuarantineRequest{ID: bobs, Spam: true}); err != nil {
		t.Error(err)
	}
	if err := do("quarantine/delete", QuarantineRequest{ID: anns}); err == nil || !strings.Contains(err.Error(), "quarantine show "+anns) {
		t.Errorf("delete what was released: %v", err)
	}
	if got := list(QuarantineRequest{}); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}
