package inbound

import (
	"strings"
	"time"

	"posthaste/mail"
)

// maxName bounds names of the client in a header line.
const maxName = 255

// Received returns the trace field for a message that host took (RFC 5321 section 4.4), with the line
// end. A message of our own user does not tell where that user is.
func Received(host string, env mail.Envelope) []byte {
	o := &env.Origin
	b := make([]byte, 0, 256)
	b = append(b, "Received: "...)
	if o.Account == 0 && (o.Helo != "" || o.IP.IsValid()) {
		b = append(b, "from "...)
		b = append(b, helo(o)...)
		b = append(b, " ("...)
		if o.Name != "" {
			b = append(b, o.Name...)
			b = append(b, ' ')
		}
		b = append(b, literal(o)...)
		b = append(b, ")\r\n\t"...)
	}
	b = append(b, "by "...)
	b = append(b, host...)
	b = append(b, " (Posthaste)"...)
	if o.Protocol != "" {
		b = append(b, " with "...)
		b = append(b, o.Protocol...)
	}
	b = append(b, " id "...)
	b = append(b, env.ID...)
	if o.TLS != "" {
		b = append(b, "\r\n\t("...)
		b = append(b, o.TLS...)
		b = append(b, ')')
	}
	if len(env.Recipients) == 1 { // more would tell each of the others
		b = append(b, "\r\n\tfor <"...)
		b = append(b, env.Recipients[0].Address.String()...)
		b = append(b, '>')
	}
	b = append(b, ";\r\n\t"...)
	b = env.Received.AppendFormat(b, time.RFC1123Z)
	return append(b, "\r\n"...)
}

// helo returns what the client called itself, fit for a header: it may be anything.
func helo(o *mail.Origin) string {
	name := strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune("()<>\\\";,", c) {
			return -1
		}
		return c
	}, o.Helo[:min(len(o.Helo), maxName)])
	if name == "" {
		return "unknown"
	}
	return name
}

// literal returns the client's address in brackets (RFC 5321 section 4.1.3).
func literal(o *mail.Origin) string {
	switch {
	case !o.IP.IsValid():
		return "local"
	case o.IP.Is4() || o.IP.Is4In6():
		return "[" + o.IP.Unmap().String() + "]"
	default:
		return "[IPv6:" + o.IP.WithZone("").String() + "]"
	}
}
