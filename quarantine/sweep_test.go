package quarantine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/mail"
)

func TestWhatIsTooOldExpiresWithATrace(t *testing.T) {
	w := newWorld(t)
	var ids []ID
	for i := range uint32(30) {
		ids = append(ids, w.put(w.item(i, "ann@north.test", "bob@relay.test")))
	}
	late := w.item(99, "ann@north.test") // its queue ID is as old, but it came into the quarantine just now
	w.now = w.now.Add(w.policy.Keep - time.Second)
	w.put(late)
	if err := w.Sweep(t.Context()); err != nil || w.events.count("expired") != 0 {
		t.Fatalf("%v; %d expired a second too early", err, w.events.count("expired"))
	}
	w.now = w.now.Add(time.Second)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.events.count("rule: it lay there for 30 days"); n != 60 {
		t.Errorf("%d events, want one for each message and recipient: 60", n)
	}
	if list, err := w.List(t.Context(), Filter{}); err != nil || len(list) != 1 {
		t.Errorf("%d are left, %v; want the late one", len(list), err)
	}
	if err := w.Release(t.Context(), ids[0], Choice{}); !errors.Is(err, ErrGone) {
		t.Errorf("release what expired: %v", err)
	}
	w.now = w.now.Add(rememberGone + time.Second)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Release(t.Context(), ids[0], Choice{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a week later: %v", err)
	}
}

func TestTheOldestOfAnOwnerGoFirst(t *testing.T) {
	w := newWorld(t)
	var ann, bob []ID
	for i := range uint32(20) {
		ann = append(ann, w.put(w.item(i, "ann@north.test")))
		if i < 3 {
			bob = append(bob, w.put(w.item(i+100, "bob@relay.test", "ann@north.test")))
		}
		w.now = w.now.Add(time.Second)
	}
	w.policy.PerOwner = int64(5*len(letter) + 1)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := w.List(t.Context(), Filter{Account: w.ann})
	if err != nil || len(list) != 5 || list[0].ID != ann[19] || list[4].ID != ann[15] {
		t.Errorf("got %d, %v; want the newest 5", len(list), err)
	}
	for _, id := range bob {
		if s, err := w.Show(t.Context(), id); err != nil || s.Header == "" || s.Recipients[0].State != Kept || s.Recipients[1].State != Expired {
			t.Errorf("what two have goes for the one who has too much alone: %+v, %v", s.Recipients, err)
		}
	}
	if n := w.events.count("kept for its owner"); n != 18 {
		t.Errorf("%d events, want 18", n)
	}
}

func TestTheOldestOfAllGoFirst(t *testing.T) {
	w := newWorld(t)
	const n = 3 * batch
	var ids []ID
	for i := range uint32(n) {
		ids = append(ids, w.put(w.item(i, fmt.Sprintf("u%d@relay.test", i))))
		w.now = w.now.Add(time.Millisecond)
	}
	w.policy.Max = int64(100 * len(letter))
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := w.List(t.Context(), Filter{})
	if err != nil || len(list) != 100 || list[99].ID != ids[n-100] {
		t.Errorf("%d are left, %v; want the newest 100", len(list), err)
	}
	if got := w.events.count("expired"); got != n-100 {
		t.Errorf("%d events, want %d", got, n-100)
	}
}

// A flood must not have to wait for the next round of housekeeping.
func TestRunMindsTheBoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.policy.Max = int64(10 * len(letter))
		for i := range uint32(200) {
			w.put(w.item(i, "ann@north.test"))
		}
		done := make(chan error, 1)
		go func() { done <- w.Run(t.Context()) }()
		time.Sleep(time.Second) // virtual
		if list, err := w.List(t.Context(), Filter{}); err != nil || len(list) > 10 {
			t.Errorf("%d are kept after a second, %v; want 10", len(list), err)
		}
	})
}

func TestSlots(t *testing.T) {
	at := func(s string) time.Time {
		t, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			panic(err)
		}
		return t
	}
	for _, c := range []struct{ digest, now, want string }{
		{"daily", "2026-11-30 07:00", "2026-11-30 07:00"},
		{"daily", "2026-11-30 06:59", "2026-11-29 07:00"},
		{"daily", "2026-12-01 00:00", "2026-11-30 07:00"},
		{"hourly", "2026-11-30 06:59", "2026-11-30 06:00"},
		{"weekly", "2026-11-30 07:00", "2026-11-30 07:00"}, // a Monday
		{"weekly", "2026-11-30 06:00", "2026-11-23 07:00"},
		{"weekly", "2026-12-06 23:00", "2026-11-30 07:00"},
	} {
		p := Policy{Digest: c.digest, Hour: 7}
		if got, ok := p.slot(at(c.now)); !ok || !got.Equal(at(c.want)) {
			t.Errorf("%s at %s: %v; want %s", c.digest, c.now, got, c.want)
		}
	}
	if _, ok := (&Policy{Digest: "off"}).slot(at("2026-11-30 07:00")); ok {
		t.Error("off has slots")
	}
}

func TestReasonsAreForPeople(t *testing.T) {
	finding := func(weight float64, meaning string) mail.Finding {
		return mail.Finding{Rule: "X", Weight: weight, Meaning: meaning}
	}
	for _, c := range []struct {
		name     string
		findings []mail.Finding
		want     string
	}{
		{"nothing was found", nil, "9 points"},
		{"what speaks for the message is no reason", []mail.Finding{finding(-4, "Known.")}, "9 points"},
		{"the two gravest", []mail.Finding{finding(6, "We never play."), finding(3, "sends spam"), finding(1, "More.")}, "9 points: We never play; sends spam"},
		{"a stranger's words stay on their line", []mail.Finding{finding(6, "a\r\nRelease: http://evil.test")}, "9 points: a  Release: http://evil.test"},
	} {
		e := Entry{Reason: "9 points", Verdict: mail.Verdict{Findings: c.findings}}
		if got := e.Why(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDigestsTellOfWhatIsNewOnce(t *testing.T) {
	w := newWorld(t)
	send := func(want int, why string) {
		t.Helper()
		before := len(w.queued())
		if err := w.SendDigests(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(w.queued()) - before; got != want {
			t.Errorf("%s: %d digests, want %d", why, got, want)
		}
	}
	send(0, "nothing is there")
	w.put(w.item(1, "ann@north.test", "bob@relay.test"))
	w.put(w.item(2, "ann@north.test"))
	gone := w.put(w.item(3, "carl@relay.test"))
	if err := w.Delete(t.Context(), gone, Choice{}); err != nil {
		t.Fatal(err)
	}
	send(0, "it is not time yet")
	w.now = w.now.Add(24 * time.Hour)
	send(2, "the next day, one for each owner")
	w.crash()
	send(0, "after a restart")
	w.now = w.now.Add(24 * time.Hour)
	send(0, "nothing new")
	w.put(w.item(4, "ann@north.test"))
	w.now = w.now.Add(24 * time.Hour)
	send(1, "one message is new")
	for _, e := range w.queued() {
		if !e.Envelope.From.Null() {
			t.Errorf("a digest has a sender to report to: %v", e.Envelope.From)
		}
	}
}

// A crash after the queue took a digest and before we noted that must not send it again.
func TestACrashDoesNotRepeatADigest(t *testing.T) {
	w := newWorld(t)
	w.put(w.item(1, "ann@north.test"))
	w.now = w.now.Add(24 * time.Hour)
	owners := map[string][]held{}
	for part := range parts {
		some, err := w.byOwner(t.Context(), 'n', byte(part))
		if err != nil {
			t.Fatal(err)
		}
		for hash, list := range some {
			owners[hash] = append([]held(nil), list...)
		}
	}
	for _, news := range owners {
		policy := w.policy
		if err := w.sendDigest(t.Context(), &policy, nil, news); err != nil {
			t.Fatal(err)
		}
		if err := w.sendDigest(t.Context(), &policy, nil, news); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.queued()); n != 1 {
		t.Errorf("%d digests, want 1", n)
	}
}

func TestADigestIsBoundedAndSafe(t *testing.T) {
	w := newWorld(t)
	for i := range uint32(maxListed + 20) {
		item := w.item(i, "ann@north.test")
		item.Content = []byte("From: \"<script>alert(1)</script>\" <x@else.test>\r\nSubject: <img src=x onerror=y>\r\n\r\nx\r\n")
		w.put(item)
	}
	w.now = w.now.Add(24 * time.Hour)
	if err := w.SendDigests(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := decoded(t, w.content(w.queued()[0]))
	for _, want := range []string{"120 messages are waiting", "20 more are not listed", "&lt;script&gt;", "/quarantine/release/", "/quarantine/trust/", "/quarantine/delete/"} {
		if !strings.Contains(text, want) {
			t.Errorf("the digest lacks %q", want)
		}
	}
	if _, markup, _ := strings.Cut(text, "<!DOCTYPE"); strings.Contains(markup, "<script") || strings.Contains(markup, "<img") {
		t.Error("a stranger's markup is in the digest")
	}
	if n := strings.Count(text, "/quarantine/release/"); n != 2*maxListed {
		t.Errorf("%d links to release, want %d", n, 2*maxListed)
	}
	if got := mail.ReversePath.Null(w.queued()[0].Envelope.From); !got {
		t.Error("has a sender")
	}
}
