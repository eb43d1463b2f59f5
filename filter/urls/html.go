package urls

import (
	"strings"

	"golang.org/x/net/html"
)

// html finds links in HTML, and URLs in its text.
func (c *collector) html(source string) {
	z := html.NewTokenizer(strings.NewReader(source))
	z.SetMaxBuf(maxText)
	var link string // the one that is open
	var shown strings.Builder
	hidden := false
	end := func() {
		if link != "" {
			c.add(link, strings.Join(strings.Fields(shown.String()), " "))
			link = ""
			shown.Reset()
		}
	}
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			end()
			return
		case html.TextToken:
			text := string(z.Text())
			switch {
			case hidden:
			case link == "":
				c.text(text, "")
			case shown.Len() < maxShown:
				shown.WriteString(text[:min(len(text), maxShown-shown.Len())])
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag := string(name)
			hidden = kind == html.StartTagToken && (tag == "style" || tag == "script" || tag == "title")
			if url := target(z, tag, more); tag == "a" {
				end()
				link = url
			} else if url != "" {
				c.add(url, "")
			}
		case html.EndTagToken:
			hidden = false
			if name, _ := z.TagName(); string(name) == "a" {
				end()
			}
		}
	}
}

// target returns the URL that a tag leads to, or "". Pictures within the message lead nowhere.
func target(z *html.Tokenizer, tag string, more bool) string {
	var url string
	for more {
		var k, v []byte
		k, v, more = z.TagAttr()
		value := strings.TrimSpace(string(v[:min(len(v), maxURL)]))
		switch key := string(k); {
		case key == "href" && (tag == "a" || tag == "area" || tag == "base"),
			key == "action" && tag == "form", key == "formaction",
			key == "src" && !strings.HasPrefix(strings.ToLower(value), "data:") && !strings.HasPrefix(strings.ToLower(value), "cid:"):
			url = value
		case key == "content" && tag == "meta":
			if _, to, ok := strings.Cut(strings.ToLower(value), "url="); ok {
				url = strings.Trim(to, `"' `)
			}
		}
	}
	if strings.HasPrefix(url, "#") {
		return ""
	}
	return url
}
