package smtp

import (
	"net/netip"
	"strconv"
	"strings"

	"posthaste/mail"
)

// maxAttribute bounds a value of XCLIENT, decoded.
const maxAttribute = 255

// An XClient is the command XCLIENT of Postfix: a proxy or test says whom it speaks for. An attribute
// that was not given is nil; one that the proxy does not know, or only for now, is empty.
type XClient struct {
	Name, Helo, Login *string
	Proto             string // "SMTP", "ESMTP" or empty
	Addr, DestAddr    netip.Addr
	NoAddr            bool // ADDR was given and the proxy does not know it: a stranger
	Port              uint16
}

// Words of XCLIENT that stand for no value.
const (
	xUnavailable = "[UNAVAILABLE]"
	xTempUnavail = "[TEMPUNAVAIL]"
)

// ParseXClient reads the argument of XCLIENT: NAME=VALUE pairs whose values are xtext.
func ParseXClient(arg string) (XClient, error) {
	var x XClient
	if strings.TrimSpace(arg) == "" {
		return x, mail.NewStatus(501, "5.5.4", "want attributes")
	}
	err := eachParameter(arg, func(key, value string) error {
		text, ok := DecodeXtext(value)
		if strings.EqualFold(text, xUnavailable) || strings.EqualFold(text, xTempUnavail) {
			text = ""
		}
		if value == "" || !ok || len(text) > maxAttribute || !isPrintable(text) || !x.set(key, text) {
			return badParameter(key)
		}
		return nil
	})
	return x, err
}

// set takes an attribute, and is false when it has no such value. DESTPORT is checked and not used.
func (x *XClient) set(key, text string) (ok bool) {
	switch ok = true; key {
	case "NAME":
		x.Name = &text
	case "LOGIN":
		x.Login = &text
	case "HELO":
		name, err := ParseHelo(text)
		x.Helo, ok = &name, err == nil || text == ""
	case "PROTO":
		x.Proto = strings.ToUpper(text)
		ok = x.Proto == "SMTP" || x.Proto == "ESMTP" || text == ""
	case "ADDR":
		x.Addr, ok = parseXAddr(text)
		x.NoAddr = text == ""
	case "DESTADDR":
		x.DestAddr, ok = parseXAddr(text)
	case "PORT", "DESTPORT":
		port, err := strconv.ParseUint(text, 10, 16)
		if ok = err == nil || text == ""; key == "PORT" {
			x.Port = uint16(port)
		}
	default:
		return false
	}
	return ok
}

// parseXAddr reads an address as Postfix prints it, IPv6 with its tag. Empty is unknown.
func parseXAddr(text string) (netip.Addr, bool) {
	if text == "" {
		return netip.Addr{}, true
	}
	const tag = "IPV6:"
	bare := text
	if len(text) > len(tag) && strings.EqualFold(text[:len(tag)], tag) {
		bare = text[len(tag):]
	}
	ip, err := netip.ParseAddr(bare)
	return ip.Unmap(), err == nil && ip.Zone() == ""
}
