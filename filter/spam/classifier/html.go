package classifier

import (
	"html"
	"strings"
)

// Bounds on HTML.
const (
	maxTags     = 3_000
	maxTag      = 4 << 10 // bytes of one tag
	maxTagWords = 24      // attributes of one tag that are read
	maxStyle    = 200     // bytes of a style or an alternative text
)

// html adds the words of an HTML text: those that a reader sees, those that are hidden, and where its
// links lead. Its tags are no features: where the wanted mail that was learned is mostly plain text, they
// would say no more than that this is HTML, and in cross-validation the others judge better without them.
func (t *tokenizer) html(s string) {
	t.visible, t.hidden = t.visible[:0], t.hidden[:0]
	w := htmlWalk{t: t}
	for tags := 0; s != "" && tags < maxTags; tags++ {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			w.text(s)
			break
		}
		w.text(s[:i])
		s = w.tag(s[i:])
	}
	t.text(originBody, string(t.visible))
	if len(t.hidden) > 0 {
		t.add(originForm, kindOdd, "hidden text")
		t.text(originHidden, string(t.hidden))
	}
}

// An htmlWalk goes through HTML.
type htmlWalk struct {
	t      *tokenizer
	hiding string // the element whose content is not shown
	depth  int    // how often it is open
	silent bool   // its content is no text at all
}

func (w *htmlWalk) text(s string) {
	if s == "" || w.silent {
		return
	}
	if strings.IndexByte(s, '&') >= 0 {
		s = html.UnescapeString(s)
	}
	if w.hiding != "" {
		w.t.hidden = append(append(w.t.hidden, s...), ' ')
		return
	}
	w.t.visible = append(w.t.visible, s...)
}

// tag reads what begins with "<" and returns what follows it.
func (w *htmlWalk) tag(s string) (rest string) {
	if strings.HasPrefix(s, "<!--") {
		end := strings.Index(s[4:], "-->")
		if end < 0 {
			return ""
		}
		return s[4+end+3:]
	}
	if len(s) < 2 || class[s[1]] != letter && s[1] != '/' && s[1] != '!' && s[1] != '?' {
		w.text("<")
		return s[1:]
	}
	end := strings.IndexByte(s, '>')
	if end < 0 {
		return ""
	}
	inside := s[1:min(end, maxTag)]
	closing := strings.HasPrefix(inside, "/")
	inside = strings.TrimPrefix(inside, "/")
	n := 0
	for n < len(inside) && n < 16 && (class[inside[n]] == letter || class[inside[n]] == digit) {
		n++
	}
	name := strings.ToLower(inside[:n])
	if breaksLine(name) {
		w.t.visible = append(w.t.visible, '\n')
	}
	if closing {
		w.close(name)
	} else {
		w.open(name, inside[n:])
	}
	return s[end+1:]
}

func breaksLine(name string) bool {
	switch name {
	case "b", "i", "u", "em", "strong", "font", "span", "a", "big", "small", "tt", "sup", "sub":
		return false
	}
	return true
}

func (w *htmlWalk) close(name string) {
	if w.hiding == name && w.hiding != "" {
		if w.depth--; w.depth <= 0 {
			w.hiding, w.silent = "", false
		}
	}
}

func (w *htmlWalk) open(name, attributes string) {
	if w.hiding != "" {
		if name == w.hiding {
			w.depth++
		}
		return
	}
	hides := w.attributes(attributes)
	switch {
	case name == "script" || name == "style":
		w.hiding, w.depth, w.silent = name, 1, true
	case name == "title" || name == "noframes" || hides && !isVoid(name):
		w.hiding, w.depth = name, 1
	}
}

func isVoid(name string) bool {
	switch name {
	case "br", "img", "hr", "input", "meta", "link", "area", "base", "col", "p", "td", "tr", "li":
		return true
	}
	return false
}

// attributes adds where the attributes of a tag lead, and tells whether they hide its content.
func (w *htmlWalk) attributes(s string) (hides bool) {
	for n := 0; n < maxTagWords; n++ {
		s = strings.TrimLeft(s, " \t\r\n/\"'")
		end := strings.IndexAny(s, "= \t\r\n")
		if end <= 0 {
			return hides
		}
		name := strings.ToLower(clip(s[:end], 24))
		s = strings.TrimLeft(s[end:], " \t\r\n")
		if !strings.HasPrefix(s, "=") {
			continue
		}
		var value string
		value, s = attributeValue(strings.TrimLeft(s[1:], " \t\r\n"))
		hides = w.attribute(name, value) || hides
	}
	return hides
}

func attributeValue(s string) (value, rest string) {
	if s == "" {
		return "", ""
	}
	if q := s[0]; q == '"' || q == '\'' {
		end := strings.IndexByte(s[1:], q)
		if end < 0 {
			return s[1:], ""
		}
		return s[1 : 1+end], s[2+end:]
	}
	end := strings.IndexAny(s, " \t\r\n")
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func (w *htmlWalk) attribute(name, value string) (hides bool) {
	t := w.t
	switch name {
	case "href", "src", "action", "background":
		if strings.IndexByte(value, '&') >= 0 {
			value = html.UnescapeString(value)
		}
		scheme, rest, _ := strings.Cut(value, ":")
		if n := urlAt(value); n > 0 {
			t.url(value[:n])
		} else if strings.EqualFold(scheme, "mailto") {
			if i := strings.IndexByte(rest, '@'); i >= 0 {
				t.host(rest, i)
			}
		}
	case "style":
		v := strings.ReplaceAll(strings.ToLower(clip(value, maxStyle)), " ", "")
		return strings.Contains(v, "display:none") || strings.Contains(v, "visibility:hidden") || strings.Contains(v, "font-size:0")
	case "alt", "title":
		t.text(originHidden, clip(value, maxStyle))
	}
	return false
}
