package message

import (
	"bytes"
	"errors"
)

// Why content cannot be made 7bit.
var (
	ErrSigned    = errors.New("message: cannot re-encode a part under a signature (multipart/signed)")
	ErrStructure = errors.New("message: cannot re-encode a part whose structure is broken")
)

// Downgrade8Bit returns content in a form that a hop without 8BITMIME (RFC 6152) and BINARYMIME
// (RFC 3030) takes: each part with 8-bit bytes, NULs, CR or LF alone or lines over MaxLine is
// re-encoded, text in quoted-printable and all else in base64, enclosed messages too (RFC 2049
// section 3). What fits already is returned as it is and not copied. Content- fields of parts are
// rewritten where they have 8-bit bytes; other fields stay as they are: internationalised ones need
// SMTPUTF8 at the next hop.
//
// A signature over a part would break: then it returns ErrSigned. A DKIM signature breaks too, but
// mail that arrives is worth more.
func Downgrade8Bit(content []byte) ([]byte, error) {
	m := Parse(content)
	if ShapeOf(m.Root.Body()).SevenBit() {
		return content, nil
	}
	if m.Truncated {
		return nil, ErrStructure
	}
	d := downgrader{content: content, out: make([]byte, 0, len(content)+len(content)/2)}
	if err := d.part(m.Root, false); err != nil {
		return nil, err
	}
	d.gap(len(content))
	return d.out, nil
}

// A downgrader copies content to out, part by part. What lies before pos is done.
type downgrader struct {
	content []byte
	pos     int
	out     []byte
}

// part copies p and what lies before it.
func (d *downgrader) part(p *Part, signed bool) error {
	if ShapeOf(p.Body()).SevenBit() && (p.HeaderStart == 0 || isASCII(p.Header.raw)) {
		d.gap(p.HeaderStart)
		d.copy(p.End)
		return nil
	}
	if signed {
		return ErrSigned
	}
	if p.broken {
		return ErrStructure
	}
	d.gap(p.HeaderStart)
	if p.Message != nil || p.IsMultipart() {
		return d.composite(p)
	}
	d.leaf(p)
	return nil
}

// composite copies a multipart or enclosed message, whose own encoding can only be 7bit now.
func (d *downgrader) composite(p *Part) error {
	d.header(p, "7bit")
	if p.Message != nil {
		return d.part(p.Message.Root, false)
	}
	for _, c := range p.Children {
		if err := d.part(c, p.Type() == "multipart/signed"); err != nil {
			return err
		}
	}
	d.gap(p.End)
	return nil
}

// leaf re-encodes p. A part that claims an encoding and breaks it is decoded first.
func (d *downgrader) leaf(p *Part) {
	body := p.Body()
	encoding := "base64"
	if p.Encoding == "quoted-printable" || p.IsText() && p.Encoding != "base64" && !bytes.Contains(body, []byte{0}) {
		encoding = "quoted-printable"
	}
	if p.Encoding == "base64" || p.Encoding == "quoted-printable" {
		body, _ = p.Decode(nil)
	}
	d.header(p, encoding)
	if encoding == "base64" {
		d.out = bytes.TrimSuffix(encodeBase64(d.out, body), []byte("\r\n"))
	} else {
		d.out = encodeQuotedPrintable(d.out, body)
	}
	if p.End == len(d.content) && encoding == "base64" {
		d.out = append(d.out, "\r\n"...)
	}
	d.pos = p.End
}

// header copies the header of p with that Content-Transfer-Encoding, and completes it as MIME.
func (d *downgrader) header(p *Part, encoding string) {
	for _, f := range p.Header.fields {
		switch {
		case f.Is("Content-Transfer-Encoding"):
		case p.HeaderStart > 0 && !isASCII(f.raw):
			d.field(p, f)
		default:
			d.out = append(append(d.out, bytes.TrimRight(f.raw, "\r\n")...), "\r\n"...)
		}
	}
	if p.HeaderStart == 0 && !p.Header.Has("MIME-Version") {
		d.out = append(d.out, "MIME-Version: 1.0\r\n"...)
	}
	if p.IsText() && !p.Header.Has("Content-Type") { // RFC 1428 section 3
		d.out = append(d.out, "Content-Type: text/plain; charset=unknown-8bit\r\n"...)
	}
	d.out = append(d.out, "Content-Transfer-Encoding: "...)
	d.out = append(d.out, encoding...)
	d.out = append(d.out, "\r\n\r\n"...)
	d.pos = p.BodyStart
}

// field writes an 8-bit field of p in ASCII, if it is one of MIME's.
func (d *downgrader) field(p *Part, f Field) {
	switch {
	case f.Is("Content-Type"):
		d.out = appendField(d.out, "Content-Type", p.Type()+formatParams(p.Params))
	case f.Is("Content-Disposition"):
		d.out = appendField(d.out, "Content-Disposition", p.Disposition+formatParams(p.DispositionParams))
	case f.Is("Content-Description"):
		d.out = appendField(d.out, "Content-Description", encodeWords(f.Text()))
	default:
		d.out = append(append(d.out, bytes.TrimRight(f.raw, "\r\n")...), "\r\n"...)
	}
}

// copy copies up to end as it is.
func (d *downgrader) copy(end int) {
	d.out = append(d.out, d.content[d.pos:end]...)
	d.pos = end
}

// gap copies delimiters, preambles and epilogues up to end. They have no encoding and no meaning:
// what does not fit becomes "?", and line breaks become CRLF.
func (d *downgrader) gap(end int) {
	gap := d.content[d.pos:end]
	if ShapeOf(gap).SevenBit() {
		d.copy(end)
		return
	}
	for len(gap) > 0 {
		line, rest, ending := cutLine(gap)
		for _, c := range line[:min(len(line), MaxLine)] {
			if c >= 0x80 || c == 0 || c == '\r' {
				c = '?'
			}
			d.out = append(d.out, c)
		}
		if ending != nil {
			d.out = append(d.out, "\r\n"...)
		}
		gap = rest
	}
	d.pos = end
}
