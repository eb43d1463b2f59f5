package imap

import "posthaste/message"

// AppendEnvelope prints the ENVELOPE of a message with header h (RFC 9051 section 7.5.2). Encoded
// words stay encoded. An absent Sender or Reply-To is that of From.
func AppendEnvelope(dst []byte, h message.Header) []byte {
	from := h.From()
	dst = append(dst, '(')
	dst = appendField(dst, h, "Date")
	dst = append(dst, ' ')
	dst = appendField(dst, h, "Subject")
	dst = append(dst, ' ')
	dst = appendAddresses(dst, from)
	dst = append(dst, ' ')
	dst = appendAddresses(dst, orElse(h.Sender(), from))
	dst = append(dst, ' ')
	dst = appendAddresses(dst, orElse(h.ReplyTo(), from))
	dst = append(dst, ' ')
	dst = appendAddresses(dst, h.To())
	dst = append(dst, ' ')
	dst = appendAddresses(dst, h.Cc())
	dst = append(dst, ' ')
	dst = appendAddresses(dst, h.Bcc())
	dst = append(dst, ' ')
	dst = appendField(dst, h, "In-Reply-To")
	dst = append(dst, ' ')
	dst = appendField(dst, h, "Message-ID")
	return append(dst, ')')
}

// appendField prints the raw value of a field: NIL when the field is absent, "" when it is empty.
func appendField(dst []byte, h message.Header, name string) []byte {
	f, ok := h.Field(name)
	if !ok {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, f.Unfolded())
}

func orElse(list, other []message.MailAddress) []message.MailAddress {
	if len(list) == 0 {
		return other
	}
	return list
}

func appendAddresses(dst []byte, list []message.MailAddress) []byte {
	if len(list) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for _, a := range list {
		if !a.Group {
			dst = appendAddress(dst, a)
			continue
		}
		dst = append(dst, "(NIL NIL "...)
		dst = AppendString(dst, a.Phrase)
		dst = append(dst, " NIL)"...)
		for _, member := range a.Members {
			dst = appendAddress(dst, member)
		}
		dst = append(dst, "(NIL NIL NIL NIL)"...)
	}
	return append(dst, ')')
}

// appendAddress prints one address structure. A host of NIL would mark a group, so that of an
// address without a domain is "".
func appendAddress(dst []byte, a message.MailAddress) []byte {
	dst = append(dst, '(')
	dst = AppendNString(dst, a.Phrase)
	dst = append(dst, ' ')
	dst = AppendNString(dst, a.Route)
	dst = append(dst, ' ')
	dst = AppendString(dst, a.Local)
	dst = append(dst, ' ')
	dst = AppendString(dst, a.Domain)
	return append(dst, ')')
}
