// Package urls finds the links of a message, in plain text and HTML, and tells those that deceive: hosts
// written as numbers, text that shows another host than the link has, names before an @, look-alike
// letters, content within the link itself.
//
// [Extract] is a function of the message alone. The hosts it returns are what lists of bad hosts are asked
// about. What one message may cost is bounded: bytes that are read, links that are kept.
package urls

import (
	"slices"
	"strings"

	"posthaste/mail"
	"posthaste/message"
)

// Bounds on one message.
const (
	MaxLinks   = 500     // kept; hosts of more are not returned
	MaxHosts   = 200     // kept
	maxText    = 1 << 20 // bytes of text that are read of one part
	maxAll     = 4 << 20 // of all parts
	maxURL     = 2048    // bytes of one URL; the rest of a longer one is not read
	maxShown   = 300     // bytes of the text of a link
	maxSeen    = 3       // of which one finding tells
	maxVisible = 100     // characters of a URL in a finding
)

// A Link is one URL.
type Link struct {
	URL  string // as it is written, at most maxURL bytes
	Host string // in lower case and A-labels, an address as numbers; empty where the URL has none
	Text string // what HTML shows in its place, or empty
}

// Found is what a message has.
type Found struct {
	Links     []Link   // in order
	Hosts     []string // each once, in order of appearance, of links that lead to a host
	Findings  []mail.Finding
	Truncated bool // bounds were reached
}

// Extract finds the links of m.
func Extract(m *message.Message) Found {
	c := &collector{left: maxAll}
	m.Walk(func(p *message.Part) bool {
		if p.IsText() && !p.IsAttachment() && c.left > 0 {
			c.part(p)
		}
		return c.left > 0
	})
	c.found.Truncated = c.found.Truncated || c.left <= 0
	for _, s := range c.seen {
		c.found.Findings = append(c.found.Findings, mail.Finding{Rule: s.name, Weight: s.weight, Evidence: strings.Join(s.evidence, "; "), Meaning: s.meaning})
	}
	return c.found
}

// A collector gathers links within bounds.
type collector struct {
	found Found
	left  int // bytes that may still be read
	seen  []seen
}

func (c *collector) part(p *message.Part) {
	text := p.Text(min(maxText, c.left))
	c.left -= len(text) + 1
	if p.Subtype == "html" {
		c.html(text)
		return
	}
	c.text(text, "")
}

// add judges a URL and keeps it. shown is what HTML shows in its place.
func (c *collector) add(url, shown string) {
	url = url[:min(len(url), maxURL)]
	if len(c.found.Links) >= MaxLinks {
		c.found.Truncated = true
		return
	}
	u := parse(url)
	c.judge(u, shown)
	c.found.Links = append(c.found.Links, Link{URL: url, Host: u.host, Text: shown})
	if u.host == "" || slices.Contains(c.found.Hosts, u.host) {
		return
	}
	if len(c.found.Hosts) >= MaxHosts {
		c.found.Truncated = true
		return
	}
	c.found.Hosts = append(c.found.Hosts, u.host)
}

// text finds URLs in plain text: those with a scheme, and names that begin with www.
func (c *collector) text(s, shown string) {
	const never = maxAll * 2
	scheme, www := -1, -1 // where the next of each is: looked for again only once it is behind
	for pos := 0; pos < len(s); {
		if scheme < pos {
			if scheme = strings.Index(s[pos:], "://") + pos; scheme < pos {
				scheme = never
			}
		}
		if www < pos {
			if www = indexFold(s[pos:], "www.") + pos; www < pos {
				www = never
			}
		}
		switch {
		case scheme == never && www == never:
			return
		case www < scheme-len("https"):
			if www > 0 && isWord(s[www-1]) {
				pos = www + 1
				continue
			}
			end := www + urlLength(s[www:])
			c.add("http://"+s[www:end], shown)
			pos = end
		default:
			start := scheme
			for start > pos && isLetter(s[start-1]) && scheme-start < len("https") {
				start--
			}
			for start < scheme && !webScheme(s[start:scheme]) {
				start++
			}
			if start == scheme {
				pos = scheme + len("://")
				continue
			}
			end := start + urlLength(s[start:])
			c.add(s[start:end], shown)
			pos = max(end, scheme+1)
		}
	}
}

func webScheme(s string) bool {
	return strings.EqualFold(s, "http") || strings.EqualFold(s, "https") || strings.EqualFold(s, "ftp")
}

// urlLength returns how far a URL in text goes: to white space or what quotes it, without the punctuation
// of the sentence around.
func urlLength(s string) int {
	s = s[:min(len(s), maxURL)]
	end := strings.IndexAny(s, " \t\r\n<>\"`{}|^\u00a0\u201c\u201d")
	if end < 0 {
		end = len(s)
	}
	for end > 1 && strings.IndexByte(".,;:!?'*_", s[end-1]) >= 0 {
		end--
	}
	if end > 1 && s[end-1] == ')' && !strings.Contains(s[:end], "(") || end > 1 && s[end-1] == ']' && !strings.Contains(s[:end], "[") {
		end--
	}
	return end
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isWord(c byte) bool {
	return isLetter(c) || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '@' || c == '/'
}

// indexFold finds an ASCII word in lower case whatever its case in s.
func indexFold(s, word string) int {
	for from := 0; ; {
		i := strings.IndexAny(s[from:], "wW")
		if i < 0 || from+i+len(word) > len(s) {
			return -1
		}
		if strings.EqualFold(s[from+i:from+i+len(word)], word) {
			return from + i
		}
		from += i + 1
	}
}
