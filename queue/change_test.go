package queue

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"posthaste/kv/memkv"
	"posthaste/mail"
)

// stand returns a queue in which nothing runs.
func stand(t testing.TB) *Queue {
	t.Helper()
	return New(Config{KV: memkv.New(), Hostname: "mx.north.test"})
}

func (q *Queue) count(t testing.TB, f Filter) (n int) {
	t.Helper()
	for _, err := range q.List(t.Context(), f) {
		must(t, err)
		n++
	}
	return n
}

func TestFilterChooses(t *testing.T) {
	now := time.Now()
	e := newEntry(envelope("Ann@north.test", "bob@south.test", "carl@mail.west.test"), now.Add(-2*time.Hour))
	e.Size = 5000
	e.Recipients[0].Status = &mail.Status{Code: 450, Enhanced: "4.2.0", Text: "greylisted", Peer: "mx.south.test"}
	null := newEntry(envelope("", "bob@south.test"), now)
	broken := &Entry{ID: "1m81saesw00m7dxp", corrupt: "not the known format"}
	for _, c := range []struct {
		claim string
		f     Filter
		e     *Entry
		want  bool
	}{
		{"nothing asked for is everything", Filter{}, e, true},
		{"a part of the sender in any case", Filter{Sender: "ann@NORTH"}, e, true},
		{"the null sender", Filter{Sender: "<>"}, null, true},
		{"the null sender is not in others", Filter{Sender: "<>"}, e, false},
		{"a part of a recipient", Filter{Recipient: "carl"}, e, true},
		{"a whole domain", Filter{Domain: "south.test"}, e, true},
		{"a domain is not what is below it", Filter{Domain: "west.test"}, e, false},
		{"a glob of domains", Filter{Domain: "*.WEST.test"}, e, true},
		{"old enough", Filter{Older: time.Hour}, e, true},
		{"not old enough", Filter{Older: 3 * time.Hour}, e, false},
		{"young enough", Filter{Newer: time.Hour}, e, false},
		{"large enough", Filter{Larger: 4999}, e, true},
		{"exactly as large is not larger", Filter{Larger: 5000}, e, false},
		{"small enough", Filter{Smaller: 5001}, e, true},
		{"what a host said", Filter{Reason: "GREYlisted"}, e, true},
		{"who said it", Filter{Reason: "mx.south.test said: 450 4.2.0"}, e, true},
		{"one recipient has all that is asked", Filter{Recipient: "carl", Reason: "greylisted"}, e, false},
		{"why it is corrupt", Filter{Reason: "format", State: Corrupt}, broken, true},
		{"the state", Filter{State: Held}, e, false},
	} {
		if got := c.f.chooses(c.e, now); got != c.want {
			t.Errorf("%s: %v", c.claim, got)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c*e", "abcde", true}, {"a?c", "abc", true},
		{"a?c", "ac", false}, {"*a*b", "aab", true}, {"*ab", "aab", true}, {"", "x", false}, {"**x**", "x", true}, {"ab", "abc", false},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("%q %q: %v", c.pattern, c.s, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "a"), rapid.StringMatching(`[ab]{0,8}`).Draw(t, "b")
		c := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "c")
		if !glob(a+"*"+c, a+b+c) {
			t.Errorf("%s*%s does not match %s", a, c, a+b+c)
		}
	})
}

func TestManyAreChangedAndThoseThatAreNotAreNamed(t *testing.T) {
	q := stand(t)
	var ids []mail.QueueID
	for i := range 500 {
		id, err := q.Put(t.Context(), envelope("ann@north.test", fmt.Sprintf("r%d@south.test", i)), mail.Bytes(letter))
		must(t, err)
		ids = append(ids, id)
	}
	gone := mail.NewQueueID(time.Now(), 0, 77)
	failed := q.Do(t.Context(), Change{Verb: VerbHold, Reason: "an attack"}, append(ids, gone))
	if len(failed) != 1 || !errors.Is(failed[gone], ErrNoEntry) {
		t.Errorf("failed: %v", failed)
	}
	if n := q.count(t, Filter{State: Held, Reason: "on hold: an attack"}); n != 500 {
		t.Errorf("%d on hold with the reason", n)
	}
	if failed := q.Do(t.Context(), Change{Verb: VerbDelete}, ids); len(failed) != 0 || q.count(t, Filter{}) != 0 {
		t.Errorf("after delete: %v", failed)
	}
}

func TestHoldKeepsTheLastAnswer(t *testing.T) {
	r := Recipient{State: Deferred, Status: &mail.Status{Code: 450, Enhanced: "4.2.0", Text: "greylisted", Peer: "mx.south.test"}}
	r.hold("a reason")
	r.hold("a reason")
	if want := "on hold: a reason"; r.State != Held || !strings.HasPrefix(r.Status.Text, want) || strings.Count(r.Status.Text, "on hold") != 1 {
		t.Errorf("%v %q", r.State, r.Status)
	}
}

func TestRequeueStartsAfreshAndRerouteStays(t *testing.T) {
	q := stand(t)
	id, err := q.Put(t.Context(), envelope("ann@north.test", "bob@south.test"), mail.Bytes(letter))
	must(t, err)
	must(t, q.one(t.Context(), Change{Verb: VerbReroute, Transport: "smtp:other.test"}, id))
	e, err := q.Show(t.Context(), id)
	if err != nil || e.Recipients[0].Reroute != "smtp:other.test" {
		t.Fatalf("%+v, %v", e, err)
	}
	must(t, q.Hold(t.Context(), id))
	must(t, q.one(t.Context(), Change{Verb: VerbRequeue}, id))
	e, err = q.Show(t.Context(), id)
	if r := e.Recipients[0]; err != nil || r.Reroute != "" || r.Attempts != 0 || r.State != Incoming {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestEditKeepsPlacesAndDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer func() { w.stop() }()
		w.answer = func(to mail.Address, now time.Time) *mail.Status {
			if to.Domain == "slow.test" {
				return mail.NewStatus(450, "4.2.0", "later")
			}
			return nil
		}
		id := w.put("ann@north.test", "bob@slow.test", "carl@slow.test")
		synctest.Wait()
		edit := func(x Edit) error { return w.q.one(t.Context(), Change{Verb: VerbEdit, Edit: x}, id) }
		if err := edit(Edit{Remove: []mail.Address{address("nobody@slow.test")}}); err == nil {
			t.Error("removed whom the entry has not")
		}
		if err := edit(Edit{Remove: []mail.Address{address("bob@slow.test"), address("carl@slow.test")}}); err == nil {
			t.Error("no recipient is left")
		}
		from := mail.ReversePath{Address: address("eve@north.test")}
		must(t, edit(Edit{Sender: &from, Remove: []mail.Address{address("bob@slow.test")}, Add: []mail.Address{address("bob@fast.test")}}))
		synctest.Wait()
		if w.taken(id, "bob@fast.test") != 1 {
			t.Error("the new recipient got nothing")
		}
		e, err := w.q.Show(t.Context(), id)
		must(t, err)
		if e.Envelope.From != from || e.Recipients[0].State != Failed || e.Recipients[1].State != Deferred || e.Recipients[2].State != Delivered {
			t.Errorf("%v %+v", e.Envelope.From, e.Recipients)
		}
		must(t, edit(Edit{Remove: []mail.Address{address("carl@slow.test")}, Add: []mail.Address{address("carl@fast.test")}}))
		synctest.Wait()
		if _, err := w.q.Show(t.Context(), id); !errors.Is(err, ErrNoEntry) {
			t.Errorf("after all have their outcome: %v", err)
		}
	})
}

func TestPictureCountsRecipientsByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := stand(t)
		put := func(from string, to ...string) {
			_, err := q.Put(t.Context(), envelope(from, to...), mail.Bytes(letter))
			must(t, err)
		}
		put("ann@north.test", "a@south.test", "b@south.test", "c@west.test")
		time.Sleep(25 * time.Minute) // of the bubble
		put("", "a@south.test")
		p, err := q.Picture(t.Context(), Filter{}, false)
		must(t, err)
		if len(p.Rows) != 2 || p.Rows[0].Domain != "south.test" || p.Rows[0].Total != 3 || p.Rows[0].Ages[0] != 1 || p.Rows[0].Ages[3] != 2 || p.Stats.Entries[Incoming] != 2 {
			t.Errorf("%+v", p)
		}
		if p, err = q.Picture(t.Context(), Filter{}, true); err != nil || len(p.Rows) != 2 || p.Rows[1].Domain != "<>" {
			t.Errorf("by sender: %+v, %v", p, err)
		}
		if len(AgeColumns()) != len(p.Rows[0].Ages) {
			t.Error("not a name for each column")
		}
	})
}

func TestHoldRules(t *testing.T) {
	q := stand(t)
	for _, r := range []HoldRule{{Name: "x"}, {Sender: "*"}, {Name: "x", Sender: strings.Repeat("x", maxRuleText+1)}} {
		if q.AddRule(t.Context(), r) == nil {
			t.Errorf("%+v was taken", r)
		}
	}
	must(t, q.AddRule(t.Context(), HoldRule{Name: "news", Sender: "*@News.test", Recipient: "south.test"}))
	must(t, q.AddRule(t.Context(), HoldRule{Name: "net", Client: "192.0.2.0/24"}))
	other := New(Config{KV: q.kv, Hostname: "mx2.north.test"}) // another node sees them too
	for _, c := range []struct {
		claim, from, to, ip string
		held                bool
	}{
		{"sender and destination", "a@news.test", "b@south.test", "198.51.100.1", true},
		{"one of two is not enough", "a@news.test", "b@west.test", "198.51.100.1", false},
		{"the client's network", "", "b@west.test", "192.0.2.7", true},
	} {
		env := envelope(c.from, c.to)
		env.Origin.IP = netip.MustParseAddr(c.ip)
		if held, err := other.Holds(t.Context(), &env); err != nil || held != c.held {
			t.Errorf("%s: Holds %v, %v", c.claim, held, err)
		}
		id, err := other.Put(t.Context(), env, mail.Bytes(letter))
		must(t, err)
		e, err := q.Show(t.Context(), id)
		must(t, err)
		if (e.State() == Held) != c.held || c.held != (e.Recipients[0].Status != nil) {
			t.Errorf("%s: %v %v", c.claim, e.State(), e.Recipients[0].Status)
		}
	}
	must(t, q.RemoveRule(t.Context(), "news"))
	if held, err := other.Holds(t.Context(), new(envelope("a@news.test", "b@south.test"))); held || err != nil {
		t.Errorf("a removed rule holds: %v, %v", held, err)
	}
	if err := q.RemoveRule(t.Context(), "news"); !errors.Is(err, ErrNoRule) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestMailWithAnOriginIsPutOnce(t *testing.T) {
	q := stand(t)
	var first mail.QueueID
	for range 2 {
		env := envelope("ann@north.test", "bob@south.test")
		env.ID = q.NewIDFor("drop 1")
		id, err := q.PutOnce(t.Context(), "drop 1", env, mail.Bytes(letter))
		must(t, err)
		if first == "" {
			first = id
		}
		if id != first || q.count(t, Filter{}) != 1 {
			t.Errorf("%s after %s", id, first)
		}
	}
}

// BenchmarkList lists a long queue as JSON.
func BenchmarkList(b *testing.B) {
	q := stand(b)
	const n = 200_000
	for i := range n {
		_, err := q.Put(b.Context(), envelope("ann@north.test", fmt.Sprintf("r%d@south%d.test", i, i%1000)), mail.Bytes("x"))
		must(b, err)
	}
	for b.Loop() {
		var text []byte
		for e, err := range q.List(b.Context(), Filter{}) {
			must(b, err)
			text = e.AppendJSON(text[:0])
		}
	}
}
