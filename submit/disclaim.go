package submit

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding/ianaindex"

	"posthaste/mail"
	"posthaste/message"
	"posthaste/trace"
)

// disclaimedField marks a message that has its disclaimer, so that another of our hosts adds none.
const disclaimedField = "X-Posthaste-Disclaimer"

// maxDisclaimed bounds a text part that a disclaimer is added to: it is decoded and encoded in memory.
const maxDisclaimed = 8 << 20

// disclaim returns groomed content with the disclaimer of the sender's domain. It leaves alone, with a
// note in the trace, what a change would break: signed and encrypted messages, and those without a text
// part that can be read with certainty. Everything but the text parts stays as it is, byte by byte. It
// must come before the message is signed.
func (s *Submitter) disclaim(env mail.Envelope, content []byte) []byte {
	domain := strings.ToLower(env.From.Address.Domain)
	for i := range s.cfg.Disclaimers {
		d := &s.cfg.Disclaimers[i]
		if d.Domain != domain {
			continue
		}
		changed, why := d.add(content)
		if why != "" && s.cfg.Trace != nil {
			s.cfg.Trace.Record(trace.Event{ID: env.ID, Step: trace.Submit, OK: true, From: env.From.Path(),
				Text: "the disclaimer of " + domain + " was not added", Reason: why})
		}
		return changed
	}
	return content
}

// add returns content with d, or content itself and why not.
func (d *Disclaimer) add(content []byte) (changed []byte, why string) {
	m := message.Parse(content)
	switch {
	case m.Header.Has(disclaimedField):
		return content, "it has one"
	case m.Header.Has("DKIM-Signature"), m.Header.Has("ARC-Seal"):
		return content, "the message is signed already (DKIM)"
	case !bytes.HasSuffix(m.Header.Raw(), []byte("\r\n\r\n")):
		return content, "its header has no end"
	case m.Truncated:
		return content, "the structure of the message is too large"
	}
	parts, why := textParts(m.Root, 0)
	if len(parts) == 0 {
		if why == "" {
			why = "the message has no text part"
		}
		return content, why
	}
	out := make([]byte, 0, len(content)+len(parts)*(len(d.text)+len(d.html))+256)
	done := 0
	for _, p := range parts {
		header, body, why := d.addTo(p, p == m.Root)
		if why != "" {
			return content, why
		}
		out = append(out, content[done:p.HeaderStart]...)
		out = append(append(out, header...), body...)
		done = p.End
	}
	out = append(out, content[done:]...)
	return insertField(out, disclaimedField, "added"), ""
}

// insertField adds a field at the end of the header of a message.
func insertField(content []byte, name, value string) []byte {
	raw := message.ParseHeader(content).Raw()
	at := len(bytes.TrimSuffix(raw, []byte("\r\n")))
	line := message.AppendField(nil, name, value)
	return append(content[:at:at], append(line, content[at:]...)...)
}

// maxDisclaimDepth bounds the multiparts, one in the other, that are looked through.
const maxDisclaimDepth = 10

// textParts returns the parts that a reader sees first: both of an alternative, else the first text.
func textParts(p *message.Part, depth int) (parts []*message.Part, why string) {
	if depth > maxDisclaimDepth {
		return nil, "its text lies too deep"
	}
	switch p.Type() {
	case "multipart/signed", "application/pkcs7-mime", "application/x-pkcs7-mime":
		return nil, "the message is signed or encrypted (S/MIME, OpenPGP)"
	case "multipart/encrypted", "application/pgp-encrypted":
		return nil, "the message is encrypted"
	case "multipart/report":
		return nil, "the message is a report"
	case "multipart/alternative":
		for _, c := range p.Children {
			some, whyNot := textParts(c, depth+1)
			if whyNot != "" {
				return nil, whyNot
			}
			parts = append(parts, some...)
		}
		return parts, ""
	case "text/plain", "text/html":
		if p.IsAttachment() {
			return nil, ""
		}
		return []*message.Part{p}, ""
	}
	if !p.IsMultipart() {
		return nil, ""
	}
	for _, c := range p.Children {
		if some, whyNot := textParts(c, depth+1); len(some) > 0 || whyNot != "" {
			return some, whyNot
		}
	}
	return nil, ""
}

// addTo returns header and body of a part with d in it.
func (d *Disclaimer) addTo(p *message.Part, root bool) (header, body []byte, why string) {
	if p.MD5 != "" {
		return nil, nil, "a part has a checksum of its own (Content-MD5)"
	}
	if len(p.Body()) > maxDisclaimed {
		return nil, nil, "its text is too large"
	}
	encoding := p.Encoding
	text, err := p.Decode(nil)
	switch encoding {
	case "7bit", "8bit", "binary", "quoted-printable":
	case "base64":
		if _, strict := base64.StdEncoding.DecodeString(string(p.Body())); strict != nil {
			err = strict
		}
	default:
		return nil, nil, "its text has an unknown transfer encoding"
	}
	if declared := strings.ToLower(strings.TrimSpace(p.Header.Get("Content-Type"))); declared != "" && !strings.HasPrefix(declared, p.Type()) {
		return nil, nil, "its text says that it is something else"
	}
	if err != nil {
		return nil, nil, "its text is not encoded as it says"
	}
	if bytes.Contains(text, []byte("-----BEGIN PGP ")) {
		return nil, nil, "its text is signed or encrypted (OpenPGP)"
	}
	charset := strings.ToLower(p.Params.Get("charset"))
	added, fits := d.html, true
	if p.Subtype != "html" {
		if added, fits = d.inCharset(charset, p.Params.Get("format")); !fits {
			utf8, err := message.DecodeCharset(text, charset)
			if err != nil {
				return nil, nil, "its charset is unknown"
			}
			text, charset = []byte(utf8), "utf-8"
		}
	}
	if stateful(charset) {
		return nil, nil, "its charset is one that text cannot simply be added to"
	}
	text = join(text, added, p.Subtype == "html")
	if encoding == "7bit" && !ascii(text) || encoding == "8bit" && !fits {
		encoding = "quoted-printable"
	}
	if !root { // the line break before a delimiter is the delimiter's
		text = bytes.TrimSuffix(text, []byte("\r\n"))
	}
	header = p.Header.Raw()
	if !fits || encoding != p.Encoding {
		header = retyped(p, root, charset, encoding)
	}
	return header, encode(text, encoding), ""
}

// inCharset returns the text of d in a charset. Where that lacks a character it returns it in UTF-8, and
// false.
func (d *Disclaimer) inCharset(charset, format string) (text string, fits bool) {
	text = d.text
	if strings.EqualFold(format, "flowed") {
		text = d.flowed()
	}
	switch {
	case ascii([]byte(text)), charset == "utf-8", charset == "utf8":
		return text, true
	case charset == "", charset == "us-ascii":
		return text, false
	}
	known, err := ianaindex.MIME.Encoding(charset) // which has iso-8859-1 as it is, not as browsers take it
	if err != nil || known == nil {
		return text, false
	}
	encoded, err := known.NewEncoder().String(text)
	if err != nil {
		return text, false
	}
	return encoded, true
}

// stateful tells whether ASCII put into text of a charset may be other than ASCII there.
func stateful(charset string) bool {
	return strings.HasPrefix(charset, "utf-16") || strings.HasPrefix(charset, "utf-32") || strings.HasPrefix(charset, "iso-2022") ||
		strings.HasPrefix(charset, "iso-10646") || charset == "utf-7" || charset == "hz-gb-2312" || strings.HasPrefix(charset, "ucs-")
}

// join puts what is added behind plain text, and into HTML before its body ends.
func join(text []byte, added string, markup bool) []byte {
	at := len(text)
	if markup {
		lower := bytes.ToLower(text)
		if len(lower) == len(text) { // letters outside ASCII may change their length
			for _, end := range [...]string{"</body", "</html"} {
				if i := bytes.LastIndex(lower, []byte(end)); i >= 0 {
					at = i
					break
				}
			}
		}
	}
	out := make([]byte, 0, len(text)+len(added)+4)
	out = append(out, text[:at]...)
	if !markup {
		if len(out) > 0 && !bytes.HasSuffix(out, []byte("\n")) {
			out = append(out, "\r\n"...)
		}
		out = append(out, "\r\n"...)
	}
	out = append(out, added...)
	return append(out, text[at:]...)
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// encode returns text in a transfer encoding (RFC 2045 section 6).
func encode(text []byte, encoding string) []byte {
	switch encoding {
	case "quoted-printable":
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		w.Write(text) // to memory, which does not fail
		w.Close()
		return b.Bytes()
	case "base64":
		const line = 57 // bytes that make 76 characters
		var b []byte
		for len(text) > 0 {
			n := min(line, len(text))
			b = base64.StdEncoding.AppendEncode(b, text[:n])
			b = append(b, "\r\n"...)
			text = text[n:]
		}
		return bytes.TrimSuffix(b, []byte("\r\n"))
	}
	return text
}

// retyped returns the header of a part with another charset and transfer encoding.
func retyped(p *message.Part, root bool, charset, encoding string) []byte {
	var out []byte
	for _, f := range p.Header.Fields() {
		if !f.Is("Content-Type") && !f.Is("Content-Transfer-Encoding") && !(root && f.Is("MIME-Version")) {
			out = append(out, f.Raw()...)
		}
	}
	value := p.Type()
	if charset == "" {
		charset = "us-ascii"
	}
	value += "; charset=" + charset
	for _, param := range p.Params {
		switch strings.ToLower(param.Name) {
		case "format", "delsp":
			value += "; " + strings.ToLower(param.Name) + "=" + param.Value
		}
	}
	if root {
		out = message.AppendField(out, "MIME-Version", "1.0")
	}
	out = message.AppendField(out, "Content-Type", value)
	out = message.AppendField(out, "Content-Transfer-Encoding", encoding)
	return append(out, "\r\n"...)
}
