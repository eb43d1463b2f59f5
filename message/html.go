package message

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Bounds on turning HTML into text.
const (
	maxHTMLText = 16 << 20
	maxHTMLTag  = 1 << 20 // a longer tag ends the text
)

// PlainFromHTML returns the text of HTML as a person sees it, at most limit bytes: no markup, style
// or script, blocks on lines of their own, white space joined. It is for previews and searching; it
// does not make HTML safe to show.
func PlainFromHTML(source string, limit int) string {
	z := html.NewTokenizer(strings.NewReader(source))
	z.SetMaxBuf(maxHTMLTag)
	var out textLines
	hidden := atom.Atom(0) // the element whose content is skipped
	for out.b.Len() < limit {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		switch kind {
		case html.TextToken:
			if hidden == 0 {
				out.text(string(z.Text()))
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			tag := atom.Lookup(name)
			switch {
			case kind == html.StartTagToken && hidden == 0 && isHidden(tag):
				hidden = tag
			case kind == html.EndTagToken && tag == hidden:
				hidden = 0
			case hidden == 0 && isBlock(tag):
				out.line()
			case hidden == 0 && (tag == atom.Td || tag == atom.Th):
				out.space = true
			}
		}
	}
	return cutText(out.b.String(), limit)
}

// isHidden knows elements whose content nobody reads.
func isHidden(tag atom.Atom) bool {
	switch tag {
	case atom.Script, atom.Style, atom.Title, atom.Template, atom.Noframes, atom.Textarea:
		return true
	}
	return false
}

// isBlock knows elements that begin and end a line.
func isBlock(tag atom.Atom) bool {
	switch tag {
	case atom.P, atom.Br, atom.Div, atom.Tr, atom.Table, atom.Li, atom.Ul, atom.Ol, atom.Blockquote, atom.Pre, atom.Hr,
		atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Section, atom.Article, atom.Header, atom.Footer,
		atom.Dt, atom.Dd, atom.Dl, atom.Body, atom.Head, atom.Center, atom.Address:
		return true
	}
	return false
}

// textLines joins white space as browsers do.
type textLines struct {
	b     strings.Builder
	space bool // is due before the next word
	fresh bool // a line has begun
}

func (t *textLines) line() {
	if t.b.Len() > 0 && !t.fresh {
		t.b.WriteByte('\n')
	}
	t.fresh, t.space = true, false
}

func (t *textLines) text(s string) {
	for len(s) > 0 {
		word := strings.TrimLeft(s, " \t\r\n\f")
		if len(word) < len(s) {
			t.space = true
		}
		end := strings.IndexAny(word, " \t\r\n\f")
		if end < 0 {
			end = len(word)
		}
		if end > 0 {
			if t.space && !t.fresh && t.b.Len() > 0 {
				t.b.WriteByte(' ')
			}
			t.b.WriteString(word[:end])
			t.space, t.fresh = false, false
		}
		s = word[end:]
	}
}
