package outflow

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/filter/correspondents"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

var start = time.Unix(1_700_000_000, 0).UTC().Truncate(24 * time.Hour)

func TestJudge(t *testing.T) {
	limits := Limits{MessagesHour: 10, MessagesDay: 30, RecipientsHour: 50, RecipientsDay: 100, FirstHour: 20, FirstDay: 40, Failures: 40, Burst: 10, BurstFloor: 15}
	at := func(h float64) time.Time { return start.Add(time.Duration(h * float64(time.Hour))) }
	for _, c := range []struct {
		claim  string
		before []sent
		now    float64
		next   amounts
		want   string // part of the reason
	}{
		{"nothing before", nil, 0, amounts{1, 50, 20, 0, 0}, ""},
		{"one message past a limit of its own", nil, 0, amounts{1, 51, 0, 0, 0}, "more than 50 recipients in an hour"},
		{"messages of an hour", []sent{{0, amounts{10, 10, 0, 0, 0}}}, 0.5, amounts{1, 1, 0, 0, 0}, "more than 10 messages in an hour"},
		{"half of the hour before counts", []sent{{0, amounts{10, 10, 0, 0, 0}}}, 1.5, amounts{5, 1, 0, 0, 0}, ""},
		{"and no less", []sent{{0, amounts{10, 10, 0, 0, 0}}}, 1.5, amounts{6, 1, 0, 0, 0}, "10 messages in an hour"},
		{"recipients of a day", []sent{{0, amounts{1, 50, 0, 0, 0}}, {5, amounts{1, 40, 0, 0, 0}}}, 20, amounts{1, 11, 0, 0, 0}, "more than 100 recipients in a day (90 before, 11 in this message)"},
		{"a day later all is well", []sent{{0, amounts{1, 50, 0, 0, 0}}, {5, amounts{1, 40, 0, 0, 0}}}, 24.1, amounts{1, 50, 0, 0, 0}, ""},
		{"first-time recipients", []sent{{0, amounts{1, 20, 20, 0, 0}}}, 0.1, amounts{1, 1, 1, 0, 0}, "20 first-time recipients in an hour"},
		{"but not those it knows", []sent{{0, amounts{1, 20, 20, 0, 0}}}, 0.1, amounts{1, 1, 0, 0, 0}, ""},
		{"first-time recipients of a day", []sent{{0, amounts{1, 20, 20, 0, 0}}, {3, amounts{1, 20, 20, 0, 0}}}, 6, amounts{1, 1, 1, 0, 0}, "40 first-time recipients in a day"},
		{"too many fail", []sent{{0, amounts{0, 0, 0, 20, 9}}}, 1, amounts{1, 1, 0, 0, 0}, "9 of 20 recipients in a day failed for good"},
		{"a few outcomes say nothing", []sent{{0, amounts{0, 0, 0, 19, 19}}}, 1, amounts{1, 1, 0, 0, 0}, ""},
		{"as many as may fail", []sent{{0, amounts{0, 0, 0, 20, 8}}}, 1, amounts{1, 1, 0, 0, 0}, ""},
		{"far more than on ordinary days", ordinary(7, 2), 7*24 + 2, amounts{1, 21, 0, 0, 0}, "more than 10 times the 2 of an ordinary day"},
		{"ten times as much is still no burst", ordinary(7, 2), 7*24 + 2, amounts{1, 20, 0, 0, 0}, ""},
		{"before a week nobody knows what is ordinary", ordinary(5, 2), 6 * 24, amounts{1, 21, 0, 0, 0}, ""},
		{"days without mail are not ordinary", ordinary(7, 2), 30 * 24, amounts{1, 20, 0, 0, 0}, ""},
		{"little is never a burst", ordinary(7, 1), 7*24 + 2, amounts{1, 15, 0, 0, 0}, ""},
		{"a clock that went back", []sent{{1000, amounts{10, 50, 0, 0, 0}}}, 1, amounts{1, 1, 0, 0, 0}, ""},
	} {
		var u usage
		for _, s := range c.before {
			u.add(s.amounts, at(s.hours))
		}
		u.learn(at(c.now))
		if got := limits.judge(&u, c.next, at(c.now)); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.claim, got, c.want)
		}
		if got := new(Limits).judge(&u, amounts{1e6, 1e6, 1e6, 0, 0}, at(c.now)); got != "" {
			t.Errorf("%s: without limits %q", c.claim, got)
		}
	}
}

// sent is mail of the past, in hours after start.
type sent struct {
	hours float64
	amounts
}

// ordinary is mail to n recipients on each of some days.
func ordinary(days, n int) (all []sent) {
	for d := range days {
		all = append(all, sent{float64(24*d) + 1, amounts{1, n, 0, 0, 0}})
	}
	return all
}

// told are the notices that came.
type told struct {
	mu      sync.Mutex
	notices []Notice
}

func (n *told) Notify(_ context.Context, notice Notice) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notices = append(n.notices, notice)
	return nil
}

var ann = Sender{Account: 1, Address: mail.Address{Local: "ann", Domain: "north.test"}, IP: netip.MustParseAddr("192.0.2.1")}

func people(from, n int) (all []mail.Address) {
	for i := range n {
		all = append(all, mail.Address{Local: fmt.Sprint("p", from+i), Domain: "south.test"})
	}
	return all
}

func TestABurstIsHeldAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, notes := memkv.New(), new(told)
		book := correspondents.New(store, nil)
		cfg := Config{Limits: Limits{FirstDay: 20, RecipientsDay: 100}, Book: book, KV: store, Notifier: notes,
			Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		o := New(cfg)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { o.Run(ctx) })
		send := func(who Sender, to []mail.Address) string {
			reason := o.Check(t.Context(), who, to, time.Now())
			if reason == "" {
				o.Sent(who, to, time.Now())
			} else {
				o.Held(t.Context(), who, "q1", reason, time.Now())
			}
			return reason
		}
		if got := send(ann, people(0, 20)); got != "" {
			t.Errorf("20 strangers: %s", got)
		}
		for range 5 {
			if got := send(ann, people(20, 1)); !strings.Contains(got, "first-time recipients") {
				t.Errorf("one more: %q", got)
			}
		}
		if got := send(ann, people(0, 20)); got != "" {
			t.Errorf("people it knows by now: %s", got)
		}
		if len(notes.notices) != 1 || notes.notices[0].ID != "q1" || notes.notices[0].Sender != ann {
			t.Errorf("told %+v", notes.notices)
		}
		bob := ann
		bob.Account = 2
		if got := send(bob, people(0, 20)); got != "" {
			t.Errorf("another account: %s", got)
		}
		for claim, who := range map[string]Sender{"exempt": {Account: 1, IP: netip.MustParseAddr("10.0.0.1")}, "local": {Account: 1}, "nobody": {IP: ann.IP}} {
			if got := send(who, people(1000, 1000)); got != "" {
				t.Errorf("%s: %s", claim, got)
			}
		}
		stop()
		running.Wait()
		o = New(cfg) // counts outlive the process
		if got := send(ann, people(30, 1)); got == "" || len(notes.notices) != 1 {
			t.Errorf("after a restart: %q, told %d times", got, len(notes.notices))
		}
		time.Sleep(25 * time.Hour)
		if got := send(ann, people(40, 20)); got != "" {
			t.Errorf("a day later: %s", got)
		}
		if send(ann, people(60, 1)); len(notes.notices) != 2 {
			t.Errorf("the next burst: told %d times", len(notes.notices))
		}
		o.Configure(Limits{})
		if got := send(ann, people(60, 1000)); got != "" {
			t.Errorf("without limits: %s", got)
		}
	})
}

func TestFailuresHoldMail(t *testing.T) {
	store := memkv.New()
	o := New(Config{Limits: Limits{Failures: 40}, Book: correspondents.New(store, nil), KV: store})
	now := time.Now()
	for i := range 30 {
		o.Outcome(t.Context(), 1, i%2 == 0, now)
		o.Outcome(t.Context(), 0, false, now)
	}
	if got := o.Check(t.Context(), ann, people(0, 1), now); !strings.Contains(got, "15 of 30 recipients") {
		t.Errorf("%q", got)
	}
}

// own has limits for bob, and none that can be read for carol.
type own struct{}

func (own) Limits(_ context.Context, a mail.Address, def Limits) (Limits, error) {
	if a.Local == "carol" {
		return def, errors.New("no answer")
	}
	return ParseLimits(map[string]string{"bob": "recipients_day=0"}[a.Local], def)
}

func TestLimitsOfSingleAccounts(t *testing.T) {
	store := memkv.New()
	o := New(Config{Limits: Limits{RecipientsDay: 5}, Overrides: own{}, Book: correspondents.New(store, nil), KV: store})
	for i, c := range []struct {
		name string
		held bool
	}{{"ann", true}, {"bob", false}, {"carol", true}} {
		who := Sender{Account: mail.AccountID(i + 1), Address: mail.Address{Local: c.name, Domain: "north.test"}, IP: ann.IP}
		if got := o.Check(t.Context(), who, people(0, 10), time.Now()); (got != "") != c.held {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func FuzzParseLimits(f *testing.F) {
	f.Add("recipients_day=5000 first_day=0")
	f.Add("failures=40,burst=-1")
	f.Add("=")
	f.Fuzz(func(t *testing.T, text string) {
		def := Limits{FirstDay: 7}
		if got, err := ParseLimits(text, def); err != nil && got != def {
			t.Errorf("%q: %+v beside %v", text, got, err)
		}
	})
}

func TestMemoryIsBoundedAndStrangeRecordsAreNot(t *testing.T) {
	store := memkv.New()
	store.Update(t.Context(), partitionOf(7), func(x kv.Txn) error {
		x.Put(keyOf(7), []byte(`{"slots":[[-5,1],[9223372036854775807,1]]}`))
		x.Put(keyOf(7+buckets), []byte(`{`))
		return nil
	})
	o := New(Config{Limits: Limits{RecipientsDay: 5}, Book: correspondents.New(store, nil), KV: store})
	for _, id := range []mail.AccountID{7, 7 + buckets} {
		if got := o.Check(t.Context(), Sender{Account: id, IP: ann.IP}, people(0, 1), time.Now()); got != "" {
			t.Errorf("%s", got)
		}
	}
	for i := range maxAccounts + 100 {
		o.Outcome(t.Context(), mail.AccountID(i+1), true, start.Add(time.Duration(i)))
	}
	if len(o.accounts) > maxAccounts {
		t.Errorf("%d accounts", len(o.accounts))
	}
}
