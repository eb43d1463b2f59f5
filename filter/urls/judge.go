package urls

import (
	"slices"
	"strings"

	"posthaste/filter/lookalike"
)

// A rule is what can be found about a link.
type rule struct {
	name    string
	weight  float64
	meaning string
}

// The rules. They never change.
var (
	mismatch  = &rule{"URL_MISMATCH", 1.5, "A link shows another host than it leads to."}
	address   = &rule{"URL_IP", 1.5, "A link leads to an address instead of a name."}
	oddIP     = &rule{"URL_ODD_IP", 4, "A link leads to an address that is written so that nobody recognises it."}
	userinfo  = &rule{"URL_USERINFO", 3, "A link has the name of a host before an @, where it means nothing."}
	homograph = &rule{"URL_HOMOGRAPH", 4, "The host of a link is written with letters that look like others."}
	escaped   = &rule{"URL_ESCAPED_HOST", 2, "The host of a link is written in escapes."}
	shortener = &rule{"URL_SHORTENER", 0.5, "A link goes through a service that hides where it leads."}
	dataURL   = &rule{"URL_DATA", 3, "A link has a page within itself."}
	scriptURL = &rule{"URL_SCRIPT", 3, "A link is a script."}
	fileURL   = &rule{"URL_FILE", 3, "A link leads to a file share, which sends the password of Windows along."}
)

// shorteners hide where links lead.
const shorteners = " bit.ly tinyurl.com t.co goo.gl is.gd ow.ly buff.ly cutt.ly rb.gy t.ly rebrand.ly shorturl.at tiny.cc bl.ink v.gd soo.gd s.id" +
	" lnkd.in adf.ly qr.ae tr.im x.co short.io tiny.one urlz.fr u.to clck.ru vk.cc surl.li n9.cl shorturl.asia t2m.io bitly.com dlvr.it trib.al wa.link "

// seen is a rule that was found and where.
type seen struct {
	*rule
	evidence []string
}

func (c *collector) note(r *rule, evidence string) {
	i := slices.IndexFunc(c.seen, func(s seen) bool { return s.rule == r })
	if i < 0 {
		i = len(c.seen)
		c.seen = append(c.seen, seen{rule: r})
	}
	if s := &c.seen[i]; len(s.evidence) < maxSeen && !slices.Contains(s.evidence, evidence) {
		s.evidence = append(s.evidence, evidence)
	}
}

// judge looks at one link and what is shown in its place.
func (c *collector) judge(u parsed, shown string) {
	switch u.scheme {
	case "data":
		c.note(dataURL, "data:")
	case "javascript", "vbscript":
		c.note(scriptURL, u.scheme+":")
	case "file":
		c.note(fileURL, "file://"+visible(u.host))
	}
	if u.host == "" {
		return
	}
	host := visible(u.host)
	switch {
	case u.odd:
		c.note(oddIP, visible(u.shown)+" is "+host)
	case u.address:
		c.note(address, host)
	}
	if u.escaped {
		c.note(escaped, host)
	}
	if strings.Contains(u.user, ".") || strings.Contains(u.user, "%2e") {
		c.note(userinfo, visible(u.user)+"@"+host)
	}
	if strings.Contains(shorteners, " "+strings.TrimPrefix(u.host, "www.")+" ") {
		c.note(shortener, host)
	}
	if looksLike(u.host) {
		c.note(homograph, visible(lookalike.Unicode(u.host))+" is "+host)
	}
	c.compare(u, shown)
}

// looksLike tells whether a label of a host mixes alphabets, or is of another alphabet and looks like ASCII
// under a suffix in ASCII.
func looksLike(host string) bool {
	if !strings.Contains(host, "xn--") {
		return false
	}
	labels := strings.Split(lookalike.Unicode(host), ".")
	for i, label := range labels {
		if lookalike.Mixed(label) {
			return true
		}
		if i < len(labels)-1 && isASCII(labels[len(labels)-1]) && lookalike.Disguised(label) {
			return true
		}
	}
	return false
}

// compare tells of a link whose text is the URL or host of somebody else.
func (c *collector) compare(u parsed, shown string) {
	if shown == "" || strings.ContainsAny(shown, " @") {
		return
	}
	text := shown
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	s := parse(text)
	dot := strings.LastIndexByte(s.host, '.')
	if s.host == "" || s.address || dot < 0 || !isDomain(s.host) {
		return
	}
	if lookalike.Organization(s.host) != lookalike.Organization(u.host) {
		c.note(mismatch, visible(s.host)+" leads to "+visible(u.host))
	}
}

// isDomain tells whether a word is the name of a host rather than that of a file or an abbreviation: its
// last label is a suffix that people know, or it begins with www.
func isDomain(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.HasPrefix(host, "www.") || strings.HasPrefix(last, "xn--") || len(last) == 2 ||
		strings.Contains(" com org net edu gov mil int info biz name pro mobi app dev online shop site store xyz club top bank test example ", " "+last+" ")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// visible returns s without control characters, at most maxVisible characters.
func visible(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > maxVisible {
			return -1
		}
		if r < ' ' || r == 0x7f || r == '\ufffd' || r >= 0x200b && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}
