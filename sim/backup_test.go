package sim

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestAPrimaryAwayForAnHour: the backup refuses whom the primary does not know while it is up, remembers
// that while it is down, holds the mail of the hour, and hands it on at the primary's ETRN. Nobody who
// was forged hears of it.
func TestAPrimaryAwayForAnHour(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		south, backup := w.Host("mx.south.test"), w.Host("backup.south.test")
		south.Start()
		south.Domain("south.test", "bob", "joy")
		backup.Config.SMTP.ETRN = true
		backup.Config.Relay.Networks = []netip.Prefix{netip.PrefixFrom(south.IP, 32)}
		backup.Start()
		backup.Backup("south.test")
		victim := w.Peer("mx.victim.test", "victim.test")

		verify := func(when, bob, nobody, joy string) {
			c := dial(t, w, backup, "mx")
			defer c.nc.Close()
			c.want("250", "EHLO stranger.test")
			c.want("250", "MAIL FROM:<eve@victim.test>")
			for _, r := range []struct{ to, code string }{{"bob", bob}, {"nobody", nobody}, {"joy", joy}} {
				if r.code != "" {
					c.want(r.code, "RCPT TO:<"+r.to+"@south.test>")
				}
			}
			if t.Failed() {
				t.Fatal(when)
			}
		}
		verify("while the primary is up", "250", "550 5.1.1", "")
		south.Crash()
		began := time.Now()
		verify("while it is down", "250", "550 5.1.1", "250 2.1.5")
		var letters []Letter
		for range 60 {
			letter := w.Ledger.Letter("ann@north.test", "bob@south.test")
			mustPromise(t, w, n, "submission", letter)
			letters = append(letters, letter)
			time.Sleep(time.Minute)
		}
		verify("an hour later", "250", "550 5.1.1", "")
		forged := w.Ledger.Letter("eve@victim.test", "bob@south.test", "nobody@south.test")
		mustPromise(t, w, backup, "mx", forged)
		time.Sleep(time.Minute)
		if held := len(backup.Queue()); len(n.Queue()) > 0 || held != len(letters)+1 {
			t.Errorf("after %v %d wait at the sender and %d at the backup, want 0 and %d", time.Since(began), len(n.Queue()), held, len(letters)+1)
		}
		south.Start()
		back := time.Now()
		if got := etrn(t, w, south, backup); !strings.HasPrefix(got, "253") {
			t.Errorf("ETRN: %q, want 253", got)
		}
		time.Sleep(time.Minute)
		if left := len(backup.Queue()); left > 0 {
			t.Errorf("%v after ETRN %d still wait", time.Since(back), left)
		}
		for _, letter := range letters {
			wantFate(t, w, letter, Fate{Mailboxes: 1})
		}
		if got := w.Tally().Fate(forged, "bob@south.test"); got != (Fate{Mailboxes: 1}) || len(victim.Received()) > 0 {
			t.Errorf("the forged letter to bob: %+v; its forged sender got %d messages", got, len(victim.Received()))
		}
	})
}

// etrn asks a backup, from the machine of the primary, for the mail of south.test.
func etrn(t *testing.T, w *World, from, backup *Host) string {
	nc, err := w.Net.Dial(t.Context(), from.IP, backup.Address("mx"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := newTalk(t, nc)
	c.want("250", "EHLO mx.south.test")
	c.send("ETRN south.test\r\n")
	return c.reply()
}
