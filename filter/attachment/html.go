package attachment

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"

	"posthaste/message"
)

// Bounds on HTML.
const (
	maxHTML   = 2 << 20   // bytes that are read
	maxTag    = 1 << 20   // bytes of one tag
	maxScript = 512 << 10 // bytes of scripts together
)

// html judges an HTML or SVG file, which a browser opens outside of all that guards mail.
func (l *look) html(it item) {
	data := it.data[:min(len(it.data), maxHTML)]
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		text, _ := message.DecodeCharset(data, "utf-16")
		data = []byte(text)
	}
	z := html.NewTokenizer(bytes.NewReader(data))
	z.SetMaxBuf(maxTag)
	var scripts strings.Builder
	inScript := false
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken:
			l.scripts(it, scripts.String())
			return
		case html.TextToken:
			if text := z.Raw(); inScript && scripts.Len()+len(text) <= maxScript {
				scripts.Write(text)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			inScript = string(name) == "script"
			if inScript {
				l.add(htmlScript, it.at(), "has scripts")
			}
			if string(name) == "form" {
				l.add(htmlForm, it.at(), "has a form")
			}
			l.attributes(it, z, string(name), more, &scripts)
		case html.EndTagToken:
			inScript = false
		}
	}
}

// attributes judges those of one tag, and adds scripts among them to scripts.
func (l *look) attributes(it item, z *html.Tokenizer, tag string, more bool, scripts *strings.Builder) {
	refresh, download, data := false, false, false
	content := ""
	for more {
		var k, v []byte
		k, v, more = z.TagAttr()
		key, value := string(k), strings.ToLower(strings.TrimSpace(string(v[:min(len(v), maxScript)])))
		switch {
		case strings.HasPrefix(key, "on"):
			l.add(htmlScript, it.at(), "has scripts")
			if scripts.Len()+len(v) <= maxScript {
				scripts.Write(v)
			}
		case strings.HasPrefix(value, "javascript:"):
			l.add(htmlScript, it.at(), "has scripts")
		case key == "type" && tag == "input" && value == "password":
			l.add(htmlPassword, it.at(), "asks for a password")
		case key == "http-equiv" && value == "refresh":
			refresh = true
		case key == "content":
			content = value
		case key == "download":
			download = true
		case (key == "href" || key == "src" || key == "data" || key == "action" || strings.HasSuffix(key, ":href")) && holdsData(value):
			data = true
		}
	}
	if tag == "meta" && refresh && strings.Contains(content, "url") {
		l.add(htmlRedirect, it.at(), "leads elsewhere by itself")
	}
	if data && (download || tag != "img" && tag != "image" && tag != "link" && tag != "source") {
		l.add(htmlSmuggling, it.at(), "has a file in the address of a link or frame")
	}
}

// holdsData tells whether a URL is itself a file other than an image, a font or a sound.
func holdsData(url string) bool {
	rest, ok := strings.CutPrefix(url, "data:")
	return ok && !strings.HasPrefix(rest, "image/") && !strings.HasPrefix(rest, "font/") && !strings.HasPrefix(rest, "audio/") && rest != ","
}

// scripts judges the text of all scripts together.
func (l *look) scripts(it item, text string) {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	decodes := has("atob", "unescape(", "fromCharCode", "Uint8Array", "charCodeAt")
	switch {
	case decodes && has("Blob(", "createObjectURL", "msSaveOrOpenBlob", "msSaveBlob", ".download", "data:application"):
		l.add(htmlSmuggling, it.at(), "makes a file out of its own text")
	case decodes && has("document.write", "eval(", "innerHTML", "Function(", "srcdoc"):
		l.add(htmlSmuggling, it.at(), "makes a page out of encoded text")
	}
	if has("location.href", "location.replace", "location.assign", "window.location", "document.location", "top.location") {
		l.add(htmlRedirect, it.at(), "leads elsewhere by itself")
	}
	if has(`type="password"`, `type='password'`, "type=password", `"password"`) {
		l.add(htmlPassword, it.at(), "asks for a password")
	}
}
