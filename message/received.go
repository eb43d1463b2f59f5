package message

import (
	"net/netip"
	"strings"
	"time"

	"posthaste/mail"
)

// DateLayout is how we write a date-time (RFC 5322 section 3.3).
const DateLayout = "Mon, 2 Jan 2006 15:04:05 -0700"

// A Received is the trace line that a host puts before content it takes (RFC 5321 section 4.4).
type Received struct {
	Origin     mail.Origin // who gave it to us and how
	HideClient bool        // leave out who that was, for those who submit mail
	By         string      // our host name
	ID         mail.QueueID
	For        mail.Address // the recipient when there is one alone, else zero, which hides them
	Time       time.Time
}

// Append appends the field, folded, with its line break. What the client said of itself gets in
// only where it cannot be mistaken for anything else.
func (r Received) Append(dst []byte) []byte {
	dst = append(dst, "Received: "...)
	if !r.HideClient {
		dst = append(dst, "from "...)
		dst = append(dst, heloName(r.Origin.Helo)...)
		dst = appendTCPInfo(dst, r.Origin)
		dst = append(dst, "\r\n\t"...)
	}
	dst = append(dst, "by "...)
	dst = append(dst, r.By...)
	if r.Origin.Protocol != "" {
		dst = append(dst, " with "...)
		dst = append(dst, r.Origin.Protocol...)
	}
	if r.Origin.TLS != "" {
		dst = append(dst, "\r\n\t("...)
		dst = append(dst, commentText(r.Origin.TLS)...)
		dst = append(dst, ')')
	}
	if r.ID != "" {
		dst = append(dst, "\r\n\tid "...)
		dst = append(dst, r.ID...)
	}
	if !r.For.IsZero() {
		dst = append(dst, "\r\n\tfor <"...)
		dst = append(dst, r.For.String()...)
		dst = append(dst, '>')
	}
	dst = append(dst, ";\r\n\t"...)
	dst = r.Time.AppendFormat(dst, DateLayout)
	return append(dst, "\r\n"...)
}

// appendTCPInfo appends " (name [ip])", or nothing for what did not come by TCP.
func appendTCPInfo(dst []byte, o mail.Origin) []byte {
	if !o.IP.IsValid() {
		return dst
	}
	dst = append(dst, " ("...)
	if o.Name != "" {
		dst = append(dst, commentText(o.Name)...)
		dst = append(dst, ' ')
	}
	dst = appendLiteral(dst, o.IP)
	return append(dst, ')')
}

// appendLiteral appends an address literal (RFC 5321 section 4.1.3).
func appendLiteral(dst []byte, ip netip.Addr) []byte {
	ip = ip.Unmap().WithZone("")
	dst = append(dst, '[')
	if ip.Is6() {
		dst = append(dst, "IPv6:"...)
	}
	dst = ip.AppendTo(dst)
	return append(dst, ']')
}

// heloName returns what the client called itself when it has the letters of a domain or literal.
func heloName(helo string) string {
	if helo == "" || len(helo) > 255 {
		return "unknown"
	}
	for i := range len(helo) {
		c := helo[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80 || strings.IndexByte("-._:[]", c) >= 0) {
			return "unknown"
		}
	}
	return helo
}

// commentText makes s safe inside a comment.
func commentText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '(' || r == ')' || r == '\\' || r == 0x7f {
			return '_'
		}
		return r
	}, s)
}

// Hops counts the Received fields of h: too many mean a loop (RFC 5321 section 6.3).
func Hops(h Header) int {
	n := 0
	for _, f := range h.fields {
		if f.Is("Received") {
			n++
		}
	}
	return n
}
