package submit

import (
	"errors"
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// A Disclaimer is a text that is added to what senders of a domain send. Make it with NewDisclaimer.
type Disclaimer struct {
	Domain string // in lower case
	text   string // lines end in CRLF
	html   string // ASCII alone: other characters are references, so that it is right in any charset
}

// maxDisclaimerLine bounds a line, in bytes, so that none needs folding (RFC 5322 section 2.1.1).
const maxDisclaimerLine = 900

// NewDisclaimer returns the disclaimer of a domain. Without HTML it is made from the text.
func NewDisclaimer(domain, text, markup string) (Disclaimer, error) {
	d := Disclaimer{Domain: strings.ToLower(domain)}
	if domain == "" {
		return d, errors.New("a disclaimer has no domain")
	}
	if strings.TrimSpace(text) == "" {
		return d, fmt.Errorf("the disclaimer of %s has no text", domain)
	}
	if markup == "" {
		markup = "<p>" + strings.ReplaceAll(html.EscapeString(strings.TrimSpace(text)), "\n", "<br>\n") + "</p>"
	}
	for _, s := range []*string{&text, &markup} {
		if !utf8.ValidString(*s) || strings.ContainsRune(*s, 0) {
			return d, fmt.Errorf("the disclaimer of %s is not text in UTF-8", domain)
		}
		lines := strings.Split(strings.TrimSpace(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(*s)), "\n")
		for i := range lines {
			if lines[i] = strings.TrimRight(lines[i], " \t"); len(lines[i]) > maxDisclaimerLine {
				return d, fmt.Errorf("line %d of the disclaimer of %s has %d bytes, of at most %d", i+1, domain, len(lines[i]), maxDisclaimerLine)
			}
		}
		*s = strings.Join(lines, "\r\n") + "\r\n"
	}
	d.text = text
	d.html = references("<div>\r\n" + markup + "</div>\r\n")
	return d, nil
}

// references returns markup with all but ASCII as numeric character references.
func references(markup string) string {
	var b strings.Builder
	for _, r := range markup {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}

// flowed returns the text as a part with format=flowed has it: what would mean something there is
// stuffed (RFC 3676 section 4.4).
func (d *Disclaimer) flowed() string {
	lines := strings.SplitAfter(d.text, "\r\n")
	for i, l := range lines {
		if strings.HasPrefix(l, " ") || strings.HasPrefix(l, ">") || strings.HasPrefix(l, "From ") {
			lines[i] = " " + l
		}
	}
	return strings.Join(lines, "")
}
