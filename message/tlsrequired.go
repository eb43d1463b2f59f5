package message

import "strings"

// TLSOptional tells whether the sender asks that the message be delivered even where TLS does not work:
// one field "TLS-Required: No" (RFC 8689 section 3). Two, or another word, mean nothing.
func TLSOptional(h Header) bool {
	values := h.Values("TLS-Required")
	return len(values) == 1 && strings.EqualFold(strings.TrimSpace(values[0]), "no")
}
