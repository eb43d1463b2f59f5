package message

import "strings"

// maxLanguages bounds what Content-Language may list.
const maxLanguages = 20

// describe fills part from its MIME fields. The first field of a name counts.
func (part *Part) describe(inDigest bool) {
	part.MediaType, part.Subtype, part.Encoding = "text", "plain", "7bit"
	if inDigest { // RFC 2046 section 5.1.5
		part.MediaType, part.Subtype = "message", "rfc822"
	}
	fields := part.Header.fields
	for i := range fields {
		name := fields[i].Name()
		if len(name) < len("Content-ID") || name[0]|0x20 != 'c' || name[7] != '-' {
			continue
		}
		part.describeBy(&fields[i], fields[:i])
	}
}

// describeBy takes over one Content- field, unless its like is among earlier.
func (part *Part) describeBy(f *Field, earlier []Field) {
	switch {
	case f.Is("Content-Type") && !hasField(earlier, "Content-Type"):
		part.contentType(f.Value())
	case f.Is("Content-Transfer-Encoding") && !hasField(earlier, "Content-Transfer-Encoding"):
		s := scanner{in: f.Value()}
		if t := s.token(); len(t) > 0 {
			part.Encoding = lower(t)
		}
	case f.Is("Content-Disposition") && !hasField(earlier, "Content-Disposition"):
		s := scanner{in: f.Value()}
		part.Disposition = lower(s.token())
		part.DispositionParams = s.params()
	case f.Is("Content-ID") && part.ID == "":
		part.ID = f.Unfolded()
	case f.Is("Content-Description") && part.Description == "":
		part.Description = f.Unfolded()
	case f.Is("Content-MD5") && part.MD5 == "":
		part.MD5 = f.Unfolded()
	case f.Is("Content-Location") && part.Location == "":
		part.Location = f.Unfolded()
	case f.Is("Content-Language") && part.Language == nil:
		part.Language = languages(f.Value())
	}
}

func hasField(fields []Field, name string) bool {
	return Header{fields: fields}.Has(name)
}

// contentType reads a Content-Type value (RFC 2045 section 5.1). What has no slash but names a
// known type, as "text" does, gets its usual subtype; other nonsense counts as undeclared
// (RFC 2045 section 5.2) but for its parameters.
func (part *Part) contentType(value []byte) {
	s := scanner{in: value}
	main := lower(s.token())
	sub := ""
	if s.take('/') {
		sub = lower(s.token())
	}
	switch {
	case main != "" && sub != "":
		part.MediaType, part.Subtype = main, sub
	case main == "text":
		part.MediaType, part.Subtype = "text", "plain"
	case main == "multipart":
		part.MediaType, part.Subtype = "multipart", "mixed"
	case main == "message":
		part.MediaType, part.Subtype = "message", "rfc822"
	case main != "" && main != "plain":
		part.MediaType, part.Subtype = "application", "octet-stream"
	}
	part.Params = s.params()
}

func languages(value []byte) []string {
	s := scanner{in: value}
	var tags []string
	for !s.end() && len(tags) < maxLanguages {
		if t := s.token(); len(t) > 0 {
			tags = append(tags, string(t))
		} else if !s.take(',') {
			s.pos++
		}
	}
	return tags
}

// lower returns b in lower case, without an allocation for the words that mail is full of.
func lower(b []byte) string {
	if s, ok := knownWord(b); ok {
		return s
	}
	return strings.ToLower(string(b))
}

func knownWord(b []byte) (string, bool) {
	for _, w := range [...]string{
		"text", "plain", "html", "multipart", "mixed", "alternative", "related", "report", "signed", "application",
		"octet-stream", "pdf", "image", "png", "jpeg", "gif", "message", "rfc822", "delivery-status", "7bit", "8bit",
		"quoted-printable", "base64", "binary", "inline", "attachment", "charset", "boundary", "name", "filename",
		"format", "type", "delsp",
	} {
		if len(w) == len(b) && equalFold(b, w) {
			return w, true
		}
	}
	return "", false
}
