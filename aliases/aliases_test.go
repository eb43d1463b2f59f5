package aliases

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/mail"
)

func to(local, domain string) Target {
	return Target{Address: mail.Address{Local: local, Domain: domain}}
}

func TestParseTargets(t *testing.T) {
	for _, c := range []struct {
		claim, text string
		want        []Target
	}{
		{"nothing", "", nil},
		{"a bare name", "ann", []Target{to("ann", "")}},
		{"an address", "ann@North.test", []Target{to("ann", "north.test")}},
		{"names keep their case", "Ann", []Target{to("Ann", "")}},
		{"several, with commas that lead nowhere", "ann,, bob , ", []Target{to("ann", ""), to("bob", "")}},
		{"a line each", "ann\nbob\r\n\n", []Target{to("ann", ""), to("bob", "")}},
		{"comments", "# all of them\nann\n  # bob\n", []Target{to("ann", "")}},
		{"with a name for people", `"Ann, or so" <ann@north.test>, Bob <bob>`, []Target{to("ann", "north.test"), to("bob", "")}},
		{"a local-part in quotes", `"a b"@north.test, "c, d"`, []Target{to("a b", "north.test"), to("c, d", "")}},
		{"an own mailbox", `\ann`, []Target{{Kind: Mailbox, Address: mail.Address{Local: "ann"}}}},
		{"an own mailbox in quotes", `"\ann"`, []Target{{Kind: Mailbox, Address: mail.Address{Local: "ann"}}}},
		{"a program in quotes", `"|/usr/bin/vacation ann"`, []Target{{Kind: Program, Text: "/usr/bin/vacation ann"}}},
		{"a program with quotes after the bar", `|"/usr/bin/vacation ann"`, []Target{{Kind: Program, Text: "/usr/bin/vacation ann"}}},
		{"a program without quotes", `|/usr/bin/procmail -Y, ann`, []Target{{Kind: Program, Text: "/usr/bin/procmail -Y"}, to("ann", "")}},
		{"quotes within a program", `"|/bin/x \"a, b\" c\d"`, []Target{{Kind: Program, Text: `/bin/x "a, b" c\d`}}},
		{"procmail as its manual has it", `"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #ann"`,
			[]Target{{Kind: Program, Text: "IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #ann"}}},
		{"a file", "/var/mail/archive", []Target{{Kind: File, Text: "/var/mail/archive"}}},
		{"a file in quotes", `"/var/mail/a b"`, []Target{{Kind: File, Text: "/var/mail/a b"}}},
		{"/dev/null", "/dev/null", []Target{{Kind: Discard}}},
		{"the same in Exim's words", ":blackhole:", []Target{{Kind: Discard}}},
		{"a list", ":include:/etc/lists/all", []Target{{Kind: Include, Text: "/etc/lists/all"}}},
		{"a list, its path in quotes", `:include:"/etc/lists/a b"`, []Target{{Kind: Include, Text: "/etc/lists/a b"}}},
		{"a list, all of it in quotes", `":include:/etc/lists/a b"`, []Target{{Kind: Include, Text: "/etc/lists/a b"}}},
		{"a refusal takes the rest of the line", `:fail: gone, and "never back`, []Target{{Kind: Fail, Text: `gone, and "never back`}}},
		{"so does a delay", `:Defer: moving`, []Target{{Kind: Defer, Text: `moving`}}},
	} {
		got, err := ParseTargets([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.claim, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", c.claim, c.text, diff)
		}
	}
}

func TestWrongTargets(t *testing.T) {
	for claim, text := range map[string]string{
		"white space":             "ann bob",
		"a comment after a name":  "ann # the boss",
		"a quote that stays open": `"|/bin/x ann`,
		"no command":              "|",
		"an empty command":        `"| "`,
		"a list without a path":   ":include: lists/all",
		"an unknown word":         ":unknown:",
		"the root":                "/",
		"no name":                 "<>",
		"a bad address":           "ann@@north.test",
		"a bad domain":            "ann@-north.test",
		"a control character":     "ann\x01",
		"a target without end":    strings.Repeat("a", maxTarget+1),
		"a name without end":      strings.Repeat("a", MaxName+1),
		"too many":                strings.Repeat("a,", MaxTargets+1),
	} {
		got, err := ParseTargets([]byte(text))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || got != nil {
			t.Errorf("%s: %v, %v; want one problem and no targets", claim, got, err)
		}
	}
}

const file = `# aliases of a Debian machine
mailer-daemon: postmaster
postmaster: root
Root: ann,
	bob@south.test
# comments may stand in between
    , \root

"odd name": /dev/null
list@north.test: :include:/etc/lists/all
owner-list:ann
`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{mail.Address{Local: "mailer-daemon"}, []Target{to("postmaster", "")}, 2},
		{mail.Address{Local: "postmaster"}, []Target{to("root", "")}, 3},
		{mail.Address{Local: "root"}, []Target{to("ann", ""), to("bob", "south.test"), {Kind: Mailbox, Address: mail.Address{Local: "root"}}}, 4},
		{mail.Address{Local: "odd name"}, []Target{{Kind: Discard}}, 9},
		{mail.Address{Local: "list", Domain: "north.test"}, []Target{{Kind: Include, Text: "/etc/lists/all"}}, 10},
		{mail.Address{Local: "owner-list"}, []Target{to("ann", "")}, 11},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Every problem is told at once, with its line, and hides no other alias. What stands wrong makes mail
// for its name wait, so its entry is there without targets.
func TestParseTellsEveryProblem(t *testing.T) {
	entries, err := Parse([]byte("ann: bob\nno colon here\nbob: one two, cat\ncat:\nANN: eve\neve: ann\n"))
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v", err)
	}
	var lines []int
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	if diff := cmp.Diff([]int{2, 3, 4, 5}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%v", diff, err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name.Local)
		if e.Name.Local == "bob" && len(e.Targets) > 0 {
			t.Errorf("bob has the targets %v: the line was wrong, so its mail should wait", e.Targets)
		}
	}
	if diff := cmp.Diff([]string{"ann", "bob", "cat", "eve"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file)
	f.Add("a: \"|x \\\"y\\\"\", :fail: z\nb: \"q\"@d.test, <|x>, \\\"a b\"")
	f.Fuzz(func(t *testing.T, text string) {
		entries, _ := Parse([]byte(text))
		for _, e := range entries {
			for _, target := range e.Targets {
				written := target.String()
				back, err := ParseTargets([]byte(written))
				if err != nil || len(back) != 1 || back[0] != target {
					t.Errorf("%#v is written %s, which reads as %#v, %v", target, written, back, err)
				}
			}
		}
	})
}
