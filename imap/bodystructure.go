package imap

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"posthaste/message"
)

// AppendBodyStructure prints the BODYSTRUCTURE of m, or BODY when extended is false (RFC 9051
// section 7.5.2).
func AppendBodyStructure(dst []byte, m *message.Message, extended bool) []byte {
	return appendPart(dst, m.Root, extended)
}

func appendPart(dst []byte, p *message.Part, extended bool) []byte {
	dst = append(dst, '(')
	if p.IsMultipart() {
		for _, child := range p.Children {
			dst = appendPart(dst, child, extended)
		}
		dst = append(dst, ' ')
		dst = appendToken(dst, p.Subtype)
		if extended {
			dst = append(dst, ' ')
			dst = appendParams(dst, p.Params)
			dst = appendExtension(dst, p)
		}
		return append(dst, ')')
	}
	dst = appendToken(dst, p.MediaType)
	dst = append(dst, ' ')
	dst = appendToken(dst, p.Subtype)
	dst = append(dst, ' ')
	dst = appendFields(dst, p)
	dst = appendTypeSpecific(dst, p, extended)
	if extended {
		dst = append(dst, ' ')
		dst = AppendNString(dst, p.MD5)
		dst = appendExtension(dst, p)
	}
	return append(dst, ')')
}

// appendFields prints body-fields: parameters, id, description, encoding and size in octets.
func appendFields(dst []byte, p *message.Part) []byte {
	if p.MediaType == "text" && !p.Header.Has("Content-Type") {
		dst = append(dst, `("CHARSET" "US-ASCII")`...) // RFC 2045 section 5.2
	} else {
		dst = appendParams(dst, p.Params)
	}
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.ID)
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.Description)
	dst = append(dst, ' ')
	dst = appendToken(dst, p.Encoding)
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, int64(p.End-p.BodyStart), 10)
}

// appendTypeSpecific prints what text and enclosed messages have more than other parts.
func appendTypeSpecific(dst []byte, p *message.Part, extended bool) []byte {
	if p.Message != nil {
		dst = append(dst, ' ')
		dst = AppendEnvelope(dst, p.Message.Header)
		dst = append(dst, ' ')
		dst = appendPart(dst, p.Message.Root, extended)
	}
	if p.Message != nil || p.MediaType == "text" {
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(p.Lines), 10)
	}
	return dst
}

// appendExtension prints disposition, language and location.
func appendExtension(dst []byte, p *message.Part) []byte {
	if p.Disposition == "" {
		dst = append(dst, " NIL "...)
	} else {
		dst = append(dst, " ("...)
		dst = appendToken(dst, p.Disposition)
		dst = append(dst, ' ')
		dst = appendParams(dst, p.DispositionParams)
		dst = append(dst, ") "...)
	}
	switch len(p.Language) {
	case 0:
		dst = append(dst, "NIL"...)
	case 1:
		dst = AppendString(dst, p.Language[0])
	default:
		dst = append(dst, '(')
		for i, language := range p.Language {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = AppendString(dst, language)
		}
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	return AppendNString(dst, p.Location)
}

// appendParams prints body-fld-param. A value that is not ASCII goes in the form of RFC 2231,
// which clients of every age can read.
func appendParams(dst []byte, params message.Params) []byte {
	if len(params) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i, p := range params {
		if i > 0 {
			dst = append(dst, ' ')
		}
		if isASCII(p.Value) {
			dst = appendToken(dst, p.Name)
			dst = append(dst, ' ')
			dst = AppendString(dst, p.Value)
			continue
		}
		dst = appendToken(dst, p.Name+"*")
		dst = append(dst, ' ')
		dst = appendExtended(dst, p.Value)
	}
	return append(dst, ')')
}

// appendExtended prints value as extended-other-values of RFC 2231 section 7 in quotes.
func appendExtended(dst []byte, value string) []byte {
	const hex = "0123456789ABCDEF"
	dst = append(dst, `"utf-8''`...)
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, '"')
}

// appendToken prints a word that case does not matter for in upper case, as servers always did.
func appendToken(dst []byte, s string) []byte {
	if !isASCII(s) || strings.ContainsAny(s, "\"\\\r\n\x00") {
		return AppendString(dst, strings.ToUpper(s))
	}
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
