package dmarc

import (
	"slices"

	"posthaste/mail"
	"posthaste/message"
)

// maxFromAddresses bounds how many addresses of From are read.
const maxFromAddresses = 1000

// Authors returns the domains of all addresses of all From fields, each once, as A-labels in lower case.
// RFC 5322 wants one field, and DMARC one domain: more are there to deceive, and none may escape
// (RFC 9989 section 11.5). Groups count for their members (RFC 6854); what has no domain gives none.
func Authors(h message.Header) []string {
	var domains []string
	n := 0
	for _, f := range h.Fields() {
		if !f.Is("From") {
			continue
		}
		for a := range message.Mailboxes(message.ParseAddresses(string(f.Value()))) {
			if n++; n > maxFromAddresses {
				return domains
			}
			domain := canonical(a.Address().Domain)
			if domain != "" && !slices.Contains(domains, domain) {
				domains = append(domains, domain)
			}
		}
	}
	return domains
}

// Author returns the one address of From, zero where there are several, of which a reader sees any.
func Author(h message.Header) (author mail.Address) {
	n := 0
	for _, f := range h.Fields() {
		if !f.Is("From") {
			continue
		}
		for a := range message.Mailboxes(message.ParseAddresses(string(f.Value()))) {
			if n++; n > 1 {
				return mail.Address{}
			}
			author = a.Address()
		}
	}
	return author
}
