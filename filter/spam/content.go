package spam

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
)

// A contentRule looks at header and body. now is when the message came.
type contentRule struct {
	rule
	see func(m *filter.Mail, now time.Time) (evidence string, seen bool)
}

// gtube is the test text of the SpamAssassin project, "Generic Test for Unsolicited Bulk Email".
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// Bounds of what rules look at and find odd.
const (
	maxSearched  = 256 << 10 // bytes of content searched for the test text
	longLine     = 10_000    // bytes of a header line
	deepNesting  = 20        // levels of MIME
	tooOld       = 30 * 24 * time.Hour
	tooNew       = 26 * time.Hour // a wrong time zone is no reason
	minCapitals  = 10             // letters of a subject that can be in capitals
	maxNumericTo = 100            // recipients in To and Cc that are still ordinary
)

// contents are the rules about header and body.
var contents = []contentRule{
	{rule{"GTUBE", 1000, "The message holds the text by which filters are tested: it always counts as spam."}, seesGTUBE},
	{rule{"FROM_MISSING", 1.0, "The message does not say who it is from."}, missing("From")},
	{rule{"DATE_MISSING", 0.3, "The message has no date."}, missing("Date")},
	{rule{"MESSAGE_ID_MISSING", 0.3, "The message has no Message-ID, which programs for mail give it."}, missing("Message-ID")},
	{rule{"SUBJECT_MISSING", 0.2, "The message has no subject."}, missing("Subject")},
	{rule{"TO_MISSING", 0.2, "The message does not say whom it is for."}, seesNoRecipients},
	{rule{"FROM_INVALID", 1.5, "The author's address is none."}, seesBadFrom},
	{rule{"FIELD_REPEATED", 1.0, "A field stands several times that may stand once: readers may see another than filters."}, seesRepeated},
	{rule{"DATE_FUTURE", 1.2, "The message is dated in the future."}, seesFuture},
	{rule{"DATE_OLD", 0.4, "The message is dated long ago."}, seesOld},
	{rule{"SUBJECT_SHOUTS", 0.8, "The subject is in capitals."}, seesCapitals},
	{rule{"RECIPIENTS_MANY", 1.0, "The message names very many recipients."}, seesMany},
	{rule{"HEADER_LONG_LINE", 0.8, "The header has a line of extraordinary length."}, seesLongLine},
	{rule{"MIME_DEEP", 1.5, "The message is nested very deeply."}, seesDeep},
	{rule{"NUL_BYTES", 1.0, "The message holds NUL bytes, which mail does not have."}, seesNUL},
	{rule{"HTML_ONLY", 0.2, "The message is HTML without a text that says the same."}, seesHTMLOnly},
	{rule{"BULK", 0, "The message says of itself that it goes to many."}, seesBulk},
	{rule{"BULK_NO_UNSUBSCRIBE", 0.5, "The message goes to many and says not how to end that."}, seesNoUnsubscribe},
}

// Content returns what header and body show.
func (r *Rules) Content(m *filter.Mail, now time.Time) (found []mail.Finding) {
	for i := range contents {
		c := &contents[i]
		if evidence, seen := c.see(m, now); seen {
			found = append(found, c.found(evidence))
		}
	}
	for i := range r.custom {
		if evidence, seen := r.custom[i].see(m); seen {
			c := &r.custom[i]
			found = append(found, mail.Finding{Rule: c.Name, Weight: c.Weight, Evidence: evidence, Meaning: c.Meaning})
		}
	}
	return found
}

func header(m *filter.Mail) message.Header { return m.Message.Header }

func seesGTUBE(m *filter.Mail, _ time.Time) (string, bool) {
	if bytes.Contains(m.Content[:min(len(m.Content), maxSearched)], []byte(gtube)) {
		return "GTUBE", true
	}
	found := false // it may be encoded
	for _, p := range texts(m.Message) {
		found = found || strings.Contains(p.Text(maxSearched), gtube)
	}
	return "GTUBE", found
}

// texts returns the parts with an encoding under which a text cannot be read as it stands.
func texts(m *message.Message) (parts []*message.Part) {
	m.Walk(func(p *message.Part) bool {
		if p.IsText() && p.Encoding != "" && p.Encoding != "7bit" && p.Encoding != "8bit" && len(parts) < 10 {
			parts = append(parts, p)
		}
		return true
	})
	return parts
}

func missing(name string) func(*filter.Mail, time.Time) (string, bool) {
	return func(m *filter.Mail, _ time.Time) (string, bool) {
		return "no " + name + " field", strings.TrimSpace(header(m).Get(name)) == ""
	}
}

func seesNoRecipients(m *filter.Mail, _ time.Time) (string, bool) {
	h := header(m)
	return "no To, Cc or Bcc field", !h.Has("To") && !h.Has("Cc") && !h.Has("Bcc")
}

func seesBadFrom(m *filter.Mail, _ time.Time) (string, bool) {
	from := header(m).Get("From")
	if strings.TrimSpace(from) == "" {
		return "", false
	}
	for a := range message.Mailboxes(header(m).From()) {
		if a.Local != "" && strings.Contains(a.Domain, ".") {
			return "", false
		}
	}
	return from, true
}

func seesRepeated(m *filter.Mail, _ time.Time) (string, bool) {
	for _, name := range [...]string{"From", "Subject", "Date", "To", "Message-ID", "Reply-To", "Sender", "Content-Type", "MIME-Version"} {
		if n := len(header(m).Values(name)); n > 1 {
			return fmt.Sprintf("%s stands %d times", name, n), true
		}
	}
	return "", false
}

func seesFuture(m *filter.Mail, now time.Time) (string, bool) {
	date, ok := header(m).Date()
	return date.UTC().Format(time.RFC1123), ok && date.After(now.Add(tooNew))
}

func seesOld(m *filter.Mail, now time.Time) (string, bool) {
	date, ok := header(m).Date()
	return date.UTC().Format(time.RFC1123), ok && date.Before(now.Add(-tooOld))
}

func seesCapitals(m *filter.Mail, _ time.Time) (string, bool) {
	subject := header(m).Subject()
	upper, lower := 0, 0
	for _, c := range subject {
		switch {
		case unicode.IsUpper(c):
			upper++
		case unicode.IsLower(c):
			lower++
		}
	}
	return subject, upper >= minCapitals && upper > 4*lower
}

func seesMany(m *filter.Mail, _ time.Time) (string, bool) {
	n := strings.Count(header(m).Get("To"), "@") + strings.Count(header(m).Get("Cc"), "@")
	return fmt.Sprintf("%d addresses in To and Cc", n), n > maxNumericTo
}

func seesLongLine(m *filter.Mail, _ time.Time) (string, bool) {
	for _, f := range header(m).Fields() {
		if len(f.Raw()) < longLine {
			continue
		}
		for line := range bytes.SplitSeq(f.Raw(), []byte("\n")) {
			if len(line) >= longLine {
				return fmt.Sprintf("%d bytes in %.40q", len(line), f.Name()), true
			}
		}
	}
	return "", false
}

func seesDeep(m *filter.Mail, _ time.Time) (string, bool) {
	deepest := depth(m.Message.Root, 0)
	return fmt.Sprintf("%d levels", deepest), deepest >= deepNesting
}

func depth(p *message.Part, above int) int {
	deepest := above
	for _, child := range p.Children {
		deepest = max(deepest, depth(child, above+1))
	}
	if p.Message != nil {
		deepest = max(deepest, depth(p.Message.Root, above+1))
	}
	return deepest
}

func seesNUL(m *filter.Mail, _ time.Time) (string, bool) {
	return "", m.Envelope.Body != mail.BodyBinary && bytes.IndexByte(m.Content, 0) >= 0
}

func seesHTMLOnly(m *filter.Mail, _ time.Time) (string, bool) {
	html, plain := false, false
	m.Message.Walk(func(p *message.Part) bool {
		if p.IsText() && !p.IsAttachment() {
			html = html || p.Subtype == "html"
			plain = plain || p.Subtype == "plain"
		}
		return true
	})
	return "", html && !plain
}

func seesBulk(m *filter.Mail, _ time.Time) (string, bool) {
	h := header(m)
	for _, name := range [...]string{"List-Id", "List-Unsubscribe", "Feedback-ID"} {
		if v := h.Get(name); v != "" {
			return name + ": " + v, true
		}
	}
	v := strings.ToLower(h.Get("Precedence"))
	return "Precedence: " + v, v == "bulk" || v == "list"
}

func seesNoUnsubscribe(m *filter.Mail, now time.Time) (string, bool) {
	evidence, bulk := seesBulk(m, now)
	return evidence, bulk && !header(m).Has("List-Unsubscribe") && !header(m).Has("List-Id")
}

// see matches a rule of the operator.
func (c *customRule) see(m *filter.Mail) (string, bool) {
	for text := range c.texts(m) {
		if at := c.pattern.FindString(text); at != "" || c.pattern.MatchString(text) {
			return at, true
		}
	}
	return "", false
}

// texts yields what a rule of the operator looks at.
func (c *customRule) texts(m *filter.Mail) func(func(string) bool) {
	o := &m.Envelope.Origin
	return func(yield func(string) bool) {
		switch strings.ToLower(c.Field) {
		case "body":
			m.Message.Walk(func(p *message.Part) bool { return !p.IsText() || yield(p.PlainText(maxSearched)) })
		case "sender":
			yield(m.Envelope.From.Path())
		case "recipient":
			for _, r := range m.Envelope.Recipients {
				if !yield(r.Address.String()) {
					return
				}
			}
		case "client":
			yield(o.IP.String())
		case "name":
			yield(o.Name)
		case "helo":
			yield(o.Helo)
		default:
			for _, v := range header(m).Values(c.Field) {
				if !yield(message.DecodeWords(v)) {
					return
				}
			}
		}
	}
}
