package access_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posthaste/access"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
)

// broken is a table whose server is down.
type broken struct{}

func (broken) Lookup(context.Context, string) (string, bool, error) {
	return "", false, errors.New("down")
}

func openIn(t *testing.T) func(string) (table.Table, error) {
	set, err := table.New(table.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return func(spec string) (table.Table, error) {
		if spec == "broken" {
			return broken{}, nil
		}
		return set.Open(spec)
	}
}

func rules(t *testing.T, all ...access.Rule) *access.Rules {
	t.Helper()
	r, err := access.New(access.Config{Rules: all, Open: openIn(t), Separator: '+'})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func file(t *testing.T, kind, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kind + ":" + path
}

func address(s string) (a mail.Address) {
	a.UnmarshalText([]byte(s))
	return a
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		value  string
		action access.Action
		status string // "" for none
	}{
		{"OK", access.Permit, ""}, {"permit", access.Permit, ""}, {"1234", access.Permit, ""},
		{"DUNNO", access.Dunno, ""}, {"Hold", access.Hold, ""}, {"DISCARD quietly", access.Discard, ""}, {"WARN look", access.Dunno, ""},
		{"REJECT", access.Reject, "554 5.7.1 access denied"}, {"reject go away", access.Reject, "554 5.7.1 go away"},
		{"REJECT 5.1.1 unknown", access.Reject, "554 5.1.1 unknown"}, {"reject 550 5.1.2 no", access.Reject, "550 5.1.2 no"},
		{"550 5.7.1 text", access.Reject, "550 5.7.1 text"}, {"521 no", access.Reject, "521 5.7.1 no"},
		{"450 later", access.Defer, "450 4.7.1 later"}, {"421 4.3.2 closing", access.Defer, "421 4.3.2 closing"},
		{"DEFER", access.Defer, "450 4.7.1 access denied for now, try again later"}, {"DEFER_IF_PERMIT x", access.Defer, "450 4.7.1 x"},
		{"reject 450 4.7.1 x", access.Reject, "554 5.7.1 450 4.7.1 x"},
		{"550 grüße %s", access.Reject, "550 5.7.1 gr??e %s"},
	} {
		d, err := rules(t, access.Rule{Stage: access.Helo, Table: "inline:{{h = " + tt.value + "}}"}).Helo(t.Context(), "h")
		status := ""
		if d.Status != nil {
			status = d.Status.Error()
		}
		if err != nil || d.Action != tt.action || status != tt.status {
			t.Errorf("%q: %v %q, %v; want %v %q", tt.value, d.Action, status, err, tt.action, tt.status)
		}
	}
}

func TestKeys(t *testing.T) {
	// Each table holds one key: the stage must find it.
	for _, tt := range []struct {
		key  string
		find func(*access.Rules) (access.Decision, error)
		want bool
	}{
		{"host.a.example", client("192.0.2.1", "host.a.example"), true},
		{".a.example", client("192.0.2.1", "host.a.example"), true},
		{"a.example", client("192.0.2.1", "host.a.example"), true},
		{".host.a.example", client("192.0.2.1", "host.a.example"), false},
		{"unknown", client("192.0.2.1", ""), true},
		{"192.0.2.1", client("::ffff:192.0.2.1", ""), true},
		{"192.0", client("192.0.2.1", ""), true},
		{"2001:db8", client("2001:db8::1", ""), true},
		{"2001:db", client("2001:db8::1", ""), false},
		{"[192.0.2.1]", helo("[192.0.2.1]"), true},
		{"192.0.2.1", helo("[192.0.2.1]"), true},
		{"<>", sender(""), true},
		{"ann+tag@a.example", sender("ann+tag@a.example"), true},
		{"ann@a.example", sender("ann+tag@a.example"), true},
		{"ann@", sender("ann+tag@a.example"), true},
		{"ann", sender("ann@a.example"), false},
		{"example", sender("ann@a.example"), true},
		{"a.example", recipient("bob@sub.a.example"), true},
		{"postmaster", recipient("postmaster"), true},
	} {
		all := []access.Rule{}
		for _, stage := range []access.Stage{access.Client, access.Helo, access.Sender, access.Recipient} {
			all = append(all, access.Rule{Stage: stage, Table: "inline:{" + tt.key + "=REJECT}"})
		}
		d, err := tt.find(rules(t, all...))
		if err != nil || (d.Action == access.Reject) != tt.want {
			t.Errorf("%s: %v %v, want a match: %v", tt.key, d, err, tt.want)
		}
	}
}

type ask = func(*access.Rules) (access.Decision, error)

func client(ip, name string) ask {
	return func(r *access.Rules) (access.Decision, error) {
		return r.Client(context.Background(), netip.MustParseAddr(ip), name)
	}
}

func helo(name string) ask {
	return func(r *access.Rules) (access.Decision, error) { return r.Helo(context.Background(), name) }
}

func sender(from string) ask {
	return func(r *access.Rules) (access.Decision, error) {
		return r.Sender(context.Background(), mail.ReversePath{Address: address(from)})
	}
}

func recipient(to string) ask {
	return func(r *access.Rules) (access.Decision, error) {
		return r.Recipient(context.Background(), address(to))
	}
}

func TestRulesOfAStageInOrder(t *testing.T) {
	rule := func(value, fallback string) access.Rule {
		return access.Rule{Stage: access.Sender, Table: "inline:{{a@b.example = " + value + "}}", Default: fallback}
	}
	miss := func(fallback string) access.Rule {
		return access.Rule{Stage: access.Sender, Table: "inline:{other=OK}", Default: fallback}
	}
	for _, tt := range []struct {
		claim string
		rules []access.Rule
		want  access.Action
	}{
		{"nothing decides", nil, access.Dunno},
		{"the first that decides wins", []access.Rule{rule("REJECT", ""), rule("OK", "")}, access.Reject},
		{"permit ends the stage", []access.Rule{rule("OK", ""), rule("REJECT", "")}, access.Permit},
		{"dunno goes on", []access.Rule{rule("DUNNO", "REJECT"), rule("DEFER", "")}, access.Defer},
		{"a rule without a value goes on", []access.Rule{miss(""), rule("DISCARD", "")}, access.Discard},
		{"a default decides", []access.Rule{miss("reject"), rule("OK", "")}, access.Reject},
		{"what is held can still be refused", []access.Rule{rule("HOLD", ""), rule("REJECT", "")}, access.Reject},
		{"what is held stays held", []access.Rule{rule("HOLD", ""), rule("OK", "")}, access.Hold},
		{"rules of other stages do not count", []access.Rule{{Stage: access.Recipient, Table: "inline:{a@b.example=REJECT}"}}, access.Dunno},
	} {
		if d, err := sender("a@b.example")(rules(t, tt.rules...)); err != nil || d.Action != tt.want {
			t.Errorf("%s: %v %v, want %v", tt.claim, d, err, tt.want)
		}
	}
}

func TestFailureIsTemporaryAndTellsStrangersNothing(t *testing.T) {
	for _, spec := range []string{"broken", "inline:{a@b.example=FILTER x:y}"} {
		_, err := sender("a@b.example")(rules(t, access.Rule{Stage: access.Sender, Table: spec, Default: "OK"}))
		if err == nil || !strings.Contains(err.Error(), spec[:6]) {
			t.Fatalf("%s: %v, want an error with its name", spec, err)
		}
		if s := mail.StatusOf(err); !s.Temporary() || strings.Contains(s.Text, "broken") {
			t.Errorf("strangers hear %v", s)
		}
	}
}

func TestPatternsAndNetworks(t *testing.T) {
	r := rules(t,
		access.Rule{Stage: access.Client, Table: file(t, "cidr", "192.0.2.0/24 REJECT\n")},
		access.Rule{Stage: access.Client, Table: file(t, "regexp", "/^dyn-.*\\.example$/ DEFER\n")},
		access.Rule{Stage: access.Sender, Table: file(t, "regexp", "/^(.*)@spam\\.example$/ 550 5.7.1 no $1 here\n/^spam\\.example$/ OK\n")},
	)
	if d, err := client("192.0.2.9", "")(r); err != nil || d.Action != access.Reject {
		t.Errorf("by network: %v %v", d, err)
	}
	if d, err := sender("ann@spam.example")(r); err != nil || d.Action != access.Reject || d.Status.Text != "no ann here" {
		t.Errorf("by pattern: %v %v", d, err)
	}
}

func TestWrongRulesAreAllTold(t *testing.T) {
	_, err := access.New(access.Config{Open: openIn(t), Rules: []access.Rule{
		{Stage: "rcpt", Table: "inline:{a=b}"}, {Stage: access.Helo, Table: "list"}, {Stage: access.Helo, Table: "inline:{a=b}", Default: "maybe"},
	}})
	for _, want := range []string{`"rcpt"`, "type:name", `"maybe"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that says %s", err, want)
		}
	}
}

func TestNoRulesHaveNoOpinion(t *testing.T) {
	for _, find := range []ask{client("192.0.2.1", ""), helo("h"), sender(""), recipient("a@b.example")} {
		if d, err := find(nil); err != nil || d.Action != access.Dunno {
			t.Errorf("%v %v", d, err)
		}
	}
}

func TestRelay(t *testing.T) {
	open := openIn(t)
	domains, err := open("inline:{example.org=yes, .example.net=yes, *=yes}")
	if err != nil {
		t.Fatal(err)
	}
	r := access.Relay{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Domains: []table.Table{domains}}
	for _, tt := range []struct {
		claim, ip, to string
		want          bool
	}{
		{"a listed network may send anywhere", "10.1.2.3", "a@far.example", true},
		{"in either form", "::ffff:10.1.2.3", "a@far.example", true},
		{"others may not, not even by a star", "192.0.2.1", "a@far.example", false},
		{"anybody may send to a listed destination", "192.0.2.1", "a@example.org", true},
		{"but not below it", "192.0.2.1", "a@sub.example.org", false},
		{"unless a dot says so", "192.0.2.1", "a@sub.example.net", true},
		{"which leaves out the name itself", "192.0.2.1", "a@example.net", false},
	} {
		ctx, reasons := explain.With(t.Context())
		may, reason, err := r.MayRelay(ctx, netip.MustParseAddr(tt.ip), address(tt.to))
		if err != nil || may != tt.want || reason == "" {
			t.Errorf("%s: %v %q %v", tt.claim, may, reason, err)
		}
		if !slices.ContainsFunc(reasons.List(), func(r explain.Reason) bool { return r.Subject == "relay" }) {
			t.Errorf("%s: not explained", tt.claim)
		}
	}
	if may, _, err := (access.Relay{Domains: []table.Table{broken{}}}).MayRelay(t.Context(), netip.Addr{}, address("a@b.example")); may || err == nil {
		t.Error("a table that fails is taken for an answer")
	}
}
