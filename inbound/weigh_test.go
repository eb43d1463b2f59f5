package inbound

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/store"
	"posthaste/trace"
)

var thresholds = spam.Thresholds{Tag: 3, Junk: 5, Reject: 15}

// engine is one that always says the same.
type engine struct {
	result filter.Result
	err    error
}

func (engine) Name() string                                                { return "test" }
func (e engine) Scan(context.Context, *filter.Mail) (filter.Result, error) { return e.result, e.err }

func points(n float64) engine {
	return engine{result: filter.Result{Findings: []mail.Finding{{Rule: "TEST", Weight: n, Evidence: "seen"}}}}
}

// keeper is a quarantine in memory.
type keeper struct {
	kept []mail.Envelope
	err  error
}

func (k *keeper) Keep(_ context.Context, env mail.Envelope, _ []byte, _ mail.Verdict) error {
	k.kept = append(k.kept, env)
	return k.err
}

// told keeps events.
type told struct{ events []trace.Event }

func (r *told) Record(e trace.Event) { r.events = append(r.events, e) }

// filtered returns a site that judges with engines.
func filtered(t *testing.T, f Filtering, engines ...filter.Engine) (*site, *told) {
	t.Helper()
	if f.Thresholds == (spam.Thresholds{}) {
		f.Thresholds = thresholds
	}
	var err error
	f.Rules, err = spam.New(spam.Config{Thresholds: f.Thresholds})
	must(t, err)
	f.Engines = engines
	record := &told{}
	return newSite(t, func(c *Config) { c.Filtering, c.Checks, c.Trace = f, nil, record }), record
}

func (s *site) junk(name string) (all []string) {
	s.t.Helper()
	a := s.store.Account(s.accounts[name])
	box, err := a.MailboxByRole(s.t.Context(), store.RoleJunk)
	must(s.t, err)
	v, err := a.View(s.t.Context(), box.ID)
	must(s.t, err)
	for i := range v.Len() {
		content, err := a.Content(s.t.Context(), v.At(i).Email)
		must(s.t, err)
		all = append(all, string(content))
	}
	return all
}

const clean = "From: ann@south.test\r\nTo: bob@north.test\r\nSubject: Hello\r\nMessage-ID: <1@south.test>\r\nX-Posthaste-Verdict: accept; forged\r\n\r\nHello.\r\n"

func (s *site) take(content string, to ...string) error {
	env := envelope(to...)
	_, _, err := s.policy.Accept(s.t.Context(), Taking{Session: "s1"}, env, mail.Bytes(content))
	return err
}

func TestPointsDecideWhereMailGoes(t *testing.T) {
	for _, c := range []struct {
		name              string
		points            float64
		inbox, junk, code int
	}{
		{"good mail goes to the INBOX", 0, 1, 0, 0},
		{"a tag leaves it there", 3, 1, 0, 0},
		{"junk is filed apart", 6, 0, 1, 0},
		{"spam is refused", 15, 0, 0, 550},
	} {
		s, record := filtered(t, Filtering{}, points(c.points))
		err := s.take(clean+"Date", "bob")
		if code := mail.StatusOf(err).Code; err != nil && code != c.code || err == nil && c.code != 0 {
			t.Errorf("%s: %v", c.name, err)
		}
		inbox, junk := s.inbox("bob"), s.junk("bob")
		if len(inbox) != c.inbox || len(junk) != c.junk {
			t.Errorf("%s: %d in INBOX, %d in Junk", c.name, len(inbox), len(junk))
		}
		var v *mail.Verdict
		for _, e := range record.events {
			if e.Verdict != nil && e.Session == "s1" {
				v = e.Verdict
			}
		}
		if v == nil || len(v.Otherwise) == 0 || v.Score < c.points {
			t.Errorf("%s: the trace has no verdict that says why: %+v", c.name, v)
		}
		for _, content := range append(inbox, junk...) {
			h := message.ParseHeader([]byte(content))
			if got := h.Values(spam.VerdictField); len(got) != 1 || strings.Contains(got[0], "forged") {
				t.Errorf("%s: verdicts %q, want one, of ours", c.name, got)
			}
			if flagged := h.Has(spam.FlagField); flagged != (c.points >= 3) {
				t.Errorf("%s: flag %v", c.name, flagged)
			}
		}
	}
}

func TestASilentEngineIsNoEvidence(t *testing.T) {
	s, record := filtered(t, Filtering{}, engine{err: errors.New("connection refused")}, points(0))
	must(t, s.take(clean, "bob"))
	found := false
	for _, e := range record.events {
		for i := 0; e.Verdict != nil && i < len(e.Verdict.Findings); i++ {
			f := e.Verdict.Findings[i]
			found = found || f.Rule == "ENGINE_SILENT" && f.Weight == 0
		}
	}
	if len(s.inbox("bob")) != 1 || !found {
		t.Errorf("%d in INBOX; silence recorded: %v", len(s.inbox("bob")), found)
	}
}

func TestDemandsOfEngines(t *testing.T) {
	virus := engine{result: filter.Result{Action: mail.Reject, Reason: "a virus", Reply: mail.NewStatus(554, "5.7.1", "found EICAR")}}
	s, _ := filtered(t, Filtering{}, virus)
	if err := s.take(clean, "bob"); mail.StatusOf(err).Error() != "554 5.7.1 found EICAR" {
		t.Errorf("got %v, want the reply of the engine", err)
	}
	closed := engine{result: filter.Result{Action: mail.Greylist, Reason: "closed", Reply: mail.NewStatus(451, "4.7.1", "later")}}
	s, _ = filtered(t, Filtering{}, closed)
	if err := s.take(clean, "bob"); mail.StatusOf(err).Error() != "451 4.7.1 later" {
		t.Errorf("got %v, want 451", err)
	}
	s, _ = filtered(t, Filtering{}, engine{result: filter.Result{Discard: true, Reason: "the milter says so"}})
	if err := s.take(clean, "bob"); err != nil || len(s.inbox("bob")) != 0 {
		t.Errorf("%v, %d in INBOX: want it taken and dropped", err, len(s.inbox("bob")))
	}
}

func TestQuarantineTakesResponsibility(t *testing.T) {
	kept := &keeper{}
	s, _ := filtered(t, Filtering{Quarantine: kept, Thresholds: spam.Thresholds{Quarantine: 5}}, points(6))
	must(t, s.take(clean, "bob", "cat"))
	if len(kept.kept) != 1 || len(kept.kept[0].Recipients) != 2 || len(s.inbox("bob"))+len(s.junk("bob")) != 0 {
		t.Errorf("kept %+v", kept.kept)
	}
	kept.err = errors.New("disk full")
	if err := s.take(clean, "bob"); mail.StatusOf(err).Code != 451 {
		t.Errorf("got %v: what cannot be kept is not taken", err)
	}
}

func TestEditsOfEngines(t *testing.T) {
	edits := filter.Edits{Add: []mail.Address{{Local: "cat", Domain: "north.test"}}, Remove: []mail.Address{{Local: "bob", Domain: "north.test"}},
		Fields: []filter.FieldEdit{{Op: filter.ChangeField, At: 1, Name: "Subject", Value: "[edited]"}}, Body: []byte("new\r\n")}
	s, _ := filtered(t, Filtering{}, engine{result: filter.Result{Edits: edits}})
	must(t, s.take(clean, "bob"))
	got := s.inbox("cat")
	if len(s.inbox("bob")) != 0 || len(got) != 1 || !strings.Contains(got[0], "Subject: [edited]\r\n") || !strings.HasSuffix(got[0], "\r\n\r\nnew\r\n") {
		t.Errorf("bob has %d, cat has %q", len(s.inbox("bob")), got)
	}
}

// taste is a judge for whom one account finds everything bad.
type taste struct{ bad mail.AccountID }

func (p taste) Personal(_ context.Context, _ *filter.Mail, _ mail.Address, accounts []mail.AccountID) [][]mail.Finding {
	each := make([][]mail.Finding, len(accounts))
	for i, a := range accounts {
		if a == p.bad {
			each[i] = []mail.Finding{{Rule: "TASTE", Weight: 20}}
		}
	}
	return each
}

func TestAccountsDifferInWhatIsJunk(t *testing.T) {
	s, _ := filtered(t, Filtering{})
	s.policy.filtering.Personal = []Personal{taste{s.accounts["bob"]}}
	must(t, s.take(clean, "bob", "cat"))
	if len(s.junk("bob")) != 1 || len(s.inbox("bob")) != 0 || len(s.inbox("cat")) != 1 {
		t.Errorf("bob: %d in Junk; cat: %d in INBOX: what one refuses is junk for him alone", len(s.junk("bob")), len(s.inbox("cat")))
	}
	if got := s.inbox("cat"); len(got) == 1 && strings.Contains(got[0], "TASTE") {
		t.Errorf("the taste of one is told to another: %.500q", got[0])
	}
	if err := s.take(clean, "bob"); mail.StatusOf(err).Code != 550 {
		t.Errorf("to him alone: %v, want it refused", err)
	}
}

// doorstep puts everybody off once.
type doorstep struct{ tried int }

func (g *doorstep) Try(_ context.Context, _ *Message, suspicious bool, _ time.Time) (time.Duration, string) {
	g.tried++
	if suspicious || g.tried > 1 {
		return 0, ""
	}
	return 5 * time.Minute, "we do not know this client"
}

func TestGreylistPutsStrangersOffOnce(t *testing.T) {
	g := &doorstep{}
	s, record := filtered(t, Filtering{Greylist: g}, points(1))
	if err := s.take(clean, "bob"); mail.StatusOf(err).Code != 451 {
		t.Errorf("got %v, want 451", err)
	}
	if v := record.events[0].Verdict; v == nil || v.Action != mail.Greylist || v.Reason == "" {
		t.Errorf("told %+v", record.events)
	}
	must(t, s.take(clean, "bob"))
}

func TestLMTPNeverRefusesForSpam(t *testing.T) {
	s, _ := filtered(t, Filtering{}, points(50))
	_, _, err := s.policy.Accept(t.Context(), Taking{Each: true}, envelope("bob"), mail.Bytes(clean))
	if err != nil || len(s.junk("bob")) != 1 {
		t.Errorf("%v, %d in Junk", err, len(s.junk("bob")))
	}
	s, _ = filtered(t, Filtering{SkipLMTP: true}, points(50))
	_, _, err = s.policy.Accept(t.Context(), Taking{Each: true}, envelope("bob"), mail.Bytes(clean))
	if err != nil || len(s.inbox("bob")) != 1 {
		t.Errorf("not judged: %v, %d in INBOX", err, len(s.inbox("bob")))
	}
}
