package spam

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
)

var defaults = Thresholds{Tag: DefaultTag, Junk: DefaultJunk, Reject: DefaultReject}

func rules(t testing.TB, cfg Config) *Rules {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPointsLeadToActions(t *testing.T) {
	all := Thresholds{Tag: 1, Junk: 2, Quarantine: 3, Greylist: 4, Reject: 5}
	for _, c := range []struct {
		name       string
		thresholds Thresholds
		points     float64
		want       mail.Action
	}{
		{"good mail", defaults, -3, mail.Accept},
		{"just below", defaults, 2.99, mail.Accept},
		{"just at", defaults, 3, mail.Tag},
		{"junk", defaults, 5, mail.Junk},
		{"what is off does not happen", defaults, 14.9, mail.Junk},
		{"refused", defaults, 15, mail.Reject},
		{"quarantine", all, 3.5, mail.Quarantine},
		{"greylist", all, 4, mail.Greylist},
		{"nothing is on", Thresholds{}, 999, mail.Accept},
	} {
		v := rules(t, Config{Thresholds: c.thresholds}).Judge([]mail.Finding{{Rule: "X", Weight: c.points}})
		if v.Action != c.want || v.Score != c.points {
			t.Errorf("%s: %s at %v, want %s", c.name, v.Action, v.Score, c.want)
		}
	}
}

func TestVerdictsSayWhatWouldHaveChangedThem(t *testing.T) {
	r := rules(t, Config{Thresholds: defaults, Weights: []string{"OWN 1.5"}})
	v := r.Judge([]mail.Finding{{Rule: "SMALL", Weight: 0.5}, {Rule: "BIG", Weight: 4.5}, {Rule: "OWN", Weight: 99}, {Rule: "TOLD"}})
	if v.Score != 6.5 || v.Action != mail.Junk || v.Findings[0].Rule != "BIG" || v.Findings[1].Weight != 1.5 || v.Findings[3].Rule != "TOLD" {
		t.Fatalf("got %+v", v)
	}
	want := []string{"without BIG (+4.5) it would be delivered", "with 1.51 points less it would be delivered with a tag", "with 8.5 points more it would be refused"}
	if got := strings.Join(v.Otherwise, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestHarmlessMailIsToldTheNextThreshold(t *testing.T) {
	for _, c := range []struct {
		name       string
		thresholds Thresholds
		points     float64
		reason     string
		otherwise  string
	}{
		{"below all", defaults, 1, "1 points, and only from 3 on mail is delivered with a tag", "with 2 points more it would be delivered with a tag"},
		{"thresholds of 0 are none, also below 0", defaults, -0.5, "-0.5 points, and only from 3 on mail is delivered with a tag", "with 3.5 points more it would be delivered with a tag"},
		{"the next may be far away", Thresholds{Reject: 15}, 6, "6 points, and only from 15 on mail is refused", "with 9 points more it would be refused"},
		{"none is set", Thresholds{}, 6, "6 points, and points have no effect here", ""},
	} {
		v := rules(t, Config{Thresholds: c.thresholds}).Judge([]mail.Finding{{Rule: "X", Weight: c.points}})
		if got := strings.Join(v.Otherwise, "\n"); v.Reason != c.reason || got != c.otherwise {
			t.Errorf("%s: %q, %q; want %q, %q", c.name, v.Reason, got, c.reason, c.otherwise)
		}
	}
}

func TestDemandsStandAboveThePoints(t *testing.T) {
	r := rules(t, Config{Thresholds: defaults})
	reject := Demand{Action: mail.Reject, Reason: "the domain asks to refuse what is not proven"}
	v := r.Judge([]mail.Finding{{Rule: "X", Weight: 1}}, Demand{Action: mail.Junk, Reason: "no"}, reject)
	if v.Action != mail.Reject || v.Reason != reject.Reason || v.Otherwise[0] != "by its 1 points alone it would be delivered" {
		t.Errorf("got %+v", v)
	}
	if v := r.Judge([]mail.Finding{{Rule: "X", Weight: 20}}, Demand{Action: mail.Junk, Reason: "no"}); v.Action != mail.Reject {
		t.Errorf("a gentle demand made %s of a refusal", v.Action)
	}
	reject.Reply = mail.NewStatus(554, "5.7.1", "a virus")
	if v := r.Judge([]mail.Finding{{Rule: "X", Weight: 20}}, reject); v.Reason != reject.Reason {
		t.Errorf("points, which have nothing to say, came before words for the sender: %+v", v)
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Weights: []string{"SPF_FAIL"}}, `weight "SPF_FAIL"`},
		{Config{Weights: []string{"SPF_FAIL much"}}, `weight "SPF_FAIL much"`},
		{Config{Weights: []string{"SPF_FAIL 1e9"}}, `weight "SPF_FAIL 1e9"`},
		{Config{Custom: []CustomRule{{Name: "OURS", Pattern: "("}}}, "rule OURS"},
		{Config{Custom: []CustomRule{{Name: "OURS", Pattern: strings.Repeat("a", maxPattern+1)}}}, "longer than"},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.cfg, err, c.want)
		}
	}
}

// see returns the names of the rules that content shows.
func see(r *Rules, content string) string {
	content = strings.ReplaceAll(content, "\n", "\r\n")
	env := &mail.Envelope{Origin: mail.Origin{IP: netip.MustParseAddr("192.0.2.1"), Helo: "mx.south.test"}, Recipients: []mail.Recipient{{Address: mail.Address{Local: "ann", Domain: "north.test"}}}}
	m := &filter.Mail{Envelope: env, Content: []byte(content), Message: message.Parse([]byte(content))}
	var names []string
	for _, f := range r.Content(m, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)) {
		names = append(names, f.Rule)
	}
	return strings.Join(names, " ")
}

const fine = "From: Ben <ben@south.test>\nTo: ann@north.test\nSubject: Lunch\nDate: Sun, 22 Nov 2026 11:00:00 +0000\nMessage-ID: <1@south.test>\n"

func TestContentRules(t *testing.T) {
	r := rules(t, Config{Custom: []CustomRule{
		{Name: "C_SUBJECT", Field: "Subject", Pattern: "(?i)lottery"}, {Name: "C_BODY", Field: "body", Pattern: "win money"},
		{Name: "C_CLIENT", Field: "client", Pattern: `^198\.`}, {Name: "C_RCPT", Field: "recipient", Pattern: "^bob@"},
	}})
	for _, c := range []struct{ name, content, want string }{
		{"ordinary mail shows nothing", fine + "\nAt noon?\n", ""},
		{"the test text", fine + "\n" + gtube + "\n", "GTUBE"},
		{"the test text in base64", fine + "Content-Transfer-Encoding: base64\n\nWEpTKkM0SkRCUUFETjEuTlNCTjMqMklETkVOKkdUVUJFLVNUQU5EQVJELUFOVEktVUJFLVRFU1Qt\nRU1BSUwqQy4zNFgK\n", "GTUBE"},
		{"no header at all", "\nHello\n", "FROM_MISSING DATE_MISSING MESSAGE_ID_MISSING SUBJECT_MISSING TO_MISSING"},
		{"an author without domain", strings.Replace(fine, "Ben <ben@south.test>", "Ben", 1) + "\nx\n", "FROM_INVALID"},
		{"two subjects", fine + "Subject: other\n\nx\n", "FIELD_REPEATED"},
		{"a subject in capitals", strings.Replace(fine, "Lunch", "BUY THIS AT ONCE", 1) + "\nx\n", "SUBJECT_SHOUTS"},
		{"a short one in capitals is none", strings.Replace(fine, "Lunch", "RE: FYI", 1) + "\nx\n", ""},
		{"tomorrow is no future", strings.Replace(fine, "22 Nov", "23 Nov", 1) + "\nx\n", ""},
		{"next week is", strings.Replace(fine, "22 Nov", "29 Nov", 1) + "\nx\n", "DATE_FUTURE"},
		{"last year", strings.Replace(fine, "2026", "2025", 1) + "\nx\n", "DATE_OLD"},
		{"HTML alone", fine + "Content-Type: text/html\n\n<p>x\n", "HTML_ONLY"},
		{"a list", fine + "List-Id: <x.south.test>\n\nx\n", "BULK"},
		{"bulk without a way out", fine + "Precedence: bulk\n\nx\n", "BULK BULK_NO_UNSUBSCRIBE"},
		{"a long line", fine + "X-Long: " + strings.Repeat("a", longLine) + "\n\nx\n", "HEADER_LONG_LINE"},
		{"NUL", fine + "\nx\x00y\n", "NUL_BYTES"},
		{"the operator's rules", strings.Replace(fine, "Lunch", "Lottery", 1) + "\nwin money\n", "C_SUBJECT C_BODY"},
		{"they see encoded words", strings.Replace(fine, "Lunch", "=?utf-8?q?Lott=65ry?=", 1) + "\nx\n", "C_SUBJECT"},
	} {
		if got := see(r, c.content); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	nested := fine
	for i := range deepNesting + 1 {
		nested += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	if got := see(r, nested+"\nx\n"); got != "MIME_DEEP" {
		t.Errorf("nested: got %q", got)
	}
}

func TestTheFieldHoldsWhatStrangersWrite(t *testing.T) {
	v := mail.Verdict{Action: mail.Junk, Score: 7, Reason: "x", Otherwise: []string{"y"}}
	for i := range maxShown + 5 {
		v.Findings = append(v.Findings, mail.Finding{Rule: fmt.Sprintf("R%d\r\nBcc: a", i), Weight: 1, Evidence: "a\"\\\r\n\r\nbody ü " + strings.Repeat("z", 500)})
	}
	got := string(Fields(&v, defaults))
	h := message.ParseHeader([]byte(got + "\r\n"))
	if len(h.Fields()) != 2 || h.Get(FlagField) != "YES" || !strings.HasPrefix(h.Get(VerdictField), "junk; score=7 (tag from 3, junk from 5, reject from 15);") {
		t.Errorf("got %.300q", got)
	}
	for line := range strings.SplitSeq(got, "\r\n") {
		if len(line) > 998 || regexp.MustCompile(`[^\t -~]`).MatchString(line) {
			t.Errorf("line of %d bytes: %q", len(line), line)
		}
	}
	if !strings.Contains(got, "and 5 more") {
		t.Errorf("what is left out is not told: %q", got)
	}
}

func FuzzContent(f *testing.F) {
	f.Add(fine + "\nx\n")
	f.Add("Content-Type: multipart/mixed; boundary=a\n\n--a\n\n" + gtube)
	r, _ := New(Config{Custom: []CustomRule{{Name: "A", Field: "body", Pattern: "a+b"}}})
	f.Fuzz(func(t *testing.T, content string) {
		see(r, content)
	})
}
