package dlp

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"posthaste/message"
)

// Bounds of what is read of one message.
const (
	maxText    = 4 << 20  // bytes of text in all
	maxArchive = 32 << 20 // bytes of an attachment that is unpacked
	maxEntries = 2000     // files of one archive that are looked at
	maxParts   = 1000     // of one message
)

// A text is something to search, and where it stands, in words.
type text struct{ where, text string }

// A reader gathers texts within the bounds.
type reader struct {
	texts []text
	left  int // bytes
	parts int
}

// textsOf returns all that can be read of a message, normalised.
func textsOf(m *message.Message) []text {
	if m == nil {
		return nil
	}
	r := &reader{left: maxText}
	r.add("subject", m.Header.Subject())
	m.Walk(func(p *message.Part) bool {
		if r.parts++; r.parts > maxParts || r.left <= 0 {
			return false
		}
		r.part(p)
		return true
	})
	return r.texts
}

// add keeps a text as far as it fits.
func (r *reader) add(where, s string) {
	if s = normalise(s[:min(len(s), r.left)]); s != "" {
		r.texts = append(r.texts, text{where, s})
		r.left -= len(s)
	}
}

// part reads one part of a message.
func (r *reader) part(p *message.Part) {
	if p.IsMultipart() || strings.HasPrefix(p.Type(), "message/rfc822") || p.Type() == "message/global" {
		return // what is in them comes by itself
	}
	where, name := "in the text", p.Filename()
	if name != "" {
		where = fmt.Sprintf("in %q", name)
	} else if p.IsAttachment() {
		where = "in an attachment"
	}
	switch {
	case p.IsText():
		r.add(where, p.PlainText(r.left))
		return
	case p.Type() == "application/pdf", strings.HasPrefix(p.Type(), "image/"), strings.HasPrefix(p.Type(), "audio/"), strings.HasPrefix(p.Type(), "video/"):
		return
	case len(p.Raw()) > 2*maxArchive:
		return
	}
	content, err := p.Decode(nil)
	if err != nil && len(content) == 0 {
		return
	}
	r.file(where, name, content)
}

// file reads what came in a file, by what is in it rather than by what it is called.
func (r *reader) file(where, name string, content []byte) {
	switch {
	case bytes.HasPrefix(content, []byte("PK\x03\x04")):
		r.archive(where, content)
	case textual(content):
		s := string(content)
		if ext := strings.ToLower(path.Ext(name)); ext == ".html" || ext == ".htm" {
			s = message.PlainFromHTML(s, r.left)
		}
		r.add(where, s)
	}
}

// textual tells whether content reads as text: no NUL and no more than a few bytes that are not UTF-8
// at its beginning.
func textual(content []byte) bool {
	head := content[:min(len(content), 4096)]
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	bad := 0
	for len(head) > 0 {
		c, n := utf8.DecodeRune(head)
		if c == utf8.RuneError && n == 1 {
			bad++
		}
		head = head[n:]
	}
	return bad*10 <= min(len(content), 4096)
}

// archive reads the texts in a zip file: those of office documents, and files that are text.
func (r *reader) archive(where string, content []byte) {
	if len(content) > maxArchive {
		return
	}
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return
	}
	for _, f := range z.File[:min(len(z.File), maxEntries)] {
		if r.left <= 0 {
			return
		}
		office, wanted := wantedFile(f.Name)
		if !wanted || f.Flags&1 != 0 { // encrypted
			continue
		}
		rc, err := f.Open()
		if err != nil {
			continue
		}
		unpacked := io.LimitReader(rc, int64(4*r.left)) // markup is several times its text
		if office {
			r.add(where, officeText(unpacked, r.left))
		} else if b, _ := io.ReadAll(io.LimitReader(unpacked, int64(r.left))); textual(b) {
			r.add(where, string(b))
		}
		rc.Close()
	}
}

// wantedFile tells whether a file of an archive is read, and whether it is one of an office document.
func wantedFile(name string) (office, wanted bool) {
	name = strings.ToLower(name)
	for _, dir := range [...]string{"word/", "xl/worksheets/", "xl/sharedstrings", "xl/comments", "ppt/slides/", "ppt/notesslides/", "ppt/comments/", "docprops/"} {
		if strings.HasPrefix(name, dir) && strings.HasSuffix(name, ".xml") {
			return true, !strings.HasPrefix(name, "word/theme") && !strings.HasPrefix(name, "word/styles") && !strings.HasPrefix(name, "word/fonttable")
		}
	}
	if name == "content.xml" || name == "meta.xml" { // OpenDocument
		return true, true
	}
	switch path.Ext(name) {
	case ".txt", ".csv", ".tsv", ".md", ".log", ".json", ".xml", ".sql", ".html", ".htm", ".eml", ".ini", ".yaml", ".yml", ".tex":
		return false, true
	}
	return false, false
}

// officeText returns the words of a file of an office document. Paragraphs, cells and rows end with a
// line break; what lies within one is joined, as programs cut words into pieces at will.
func officeText(r io.Reader, limit int) string {
	var b strings.Builder
	d := xml.NewDecoder(r)
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for b.Len() < limit {
		token, err := d.RawToken()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.CharData:
			b.Write(t[:min(len(t), limit-b.Len())])
		case xml.EndElement:
			switch t.Name.Local {
			case "p", "c", "si", "tr", "row", "h", "table-cell", "title", "subject", "description", "keywords":
				b.WriteByte('\n')
			}
		case xml.StartElement:
			switch t.Name.Local {
			case "tab", "br", "s", "line-break":
				if t.Name.Space != "" {
					b.WriteByte(' ')
				}
			}
		}
	}
	return b.String()
}

// normalise returns s as the searches want it: digits, blanks and hyphens of other scripts and of word
// processors as ASCII has them, and nothing that has no width.
func normalise(s string) string {
	plain := true
	for i := range len(s) {
		if s[i] >= 0x80 {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x80:
			return r
		case r >= 0xff10 && r <= 0xff19: // full width
			return r - 0xff10 + '0'
		case r >= 0x660 && r <= 0x669: // Arabic
			return r - 0x660 + '0'
		case r >= 0x6f0 && r <= 0x6f9: // Persian
			return r - 0x6f0 + '0'
		case r == 0xa0 || r >= 0x2000 && r <= 0x200a || r == 0x202f || r == 0x3000:
			return ' '
		case r >= 0x2010 && r <= 0x2015 || r == 0x2212:
			return '-'
		case r == 0xad || r >= 0x200b && r <= 0x200f || r == 0x2060 || r == 0xfeff:
			return -1
		}
		return r
	}, s)
}
