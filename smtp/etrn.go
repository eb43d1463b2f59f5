package smtp

import (
	"strings"

	"posthaste/mail"
)

// ParseEtrn reads the argument of ETRN (RFC 1985 section 5): a domain, or "@domain" for it and all below
// it. A "#queue", whose names are a server's own, is refused with the code that the standard has for it.
func ParseEtrn(arg string) (domain string, below bool, err error) {
	if strings.HasPrefix(arg, "#") {
		return "", false, mail.NewStatus(458, "4.5.4", "there are no named queues here: give a domain")
	}
	arg, below = strings.CutPrefix(arg, "@")
	domain, err = ParseDomain(arg)
	if err != nil || strings.HasPrefix(domain, "[") {
		return "", false, mail.NewStatus(501, "5.5.4", "want a domain name")
	}
	return domain, below, nil
}

// ParseVrfy reads the argument of VRFY (RFC 5321 section 4.1.1.6): an address, with or without angle
// brackets, or a local-part alone, whose Domain is empty. SMTPUTF8 may follow (RFC 6531 section 3.7.4.2).
func ParseVrfy(arg string) (mail.Address, error) {
	if words := strings.Fields(arg); len(words) > 1 && strings.EqualFold(words[len(words)-1], "SMTPUTF8") {
		arg = strings.TrimSpace(arg[:len(arg)-len("SMTPUTF8")])
	}
	if inner, ok := strings.CutPrefix(arg, "<"); ok {
		arg = strings.TrimSuffix(inner, ">")
	}
	local, rest, err := cutLocal(arg)
	if err == nil && rest == "" {
		return mail.Address{Local: local}, nil
	}
	return ParseAddress(arg)
}
