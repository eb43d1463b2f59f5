package message

import "posthaste/mail"

// A MailAddress is an address of a header field (RFC 5322 section 3.4): a mailbox or a group.
type MailAddress struct {
	// Name is the display name as people read it, decoded to UTF-8: the phrase, or where there is
	// none the comment after an old-style address.
	Name string
	// Phrase is Name unquoted but with its encoded words as they came, for IMAP's ENVELOPE.
	Phrase string

	Route  string // obsolete source route "@a,@b" (RFC 5322 section 4.4), or empty
	Local  string // unquoted; what cannot be read as an address is here alone
	Domain string // as written, in any case and alphabet

	// Group tells that this is the group called Name, made of Members, which may be none.
	Group   bool
	Members []MailAddress
}

// Address returns a as a noun with its domain in lower case, or the zero Address for a group.
func (a MailAddress) Address() mail.Address { return mail.Address{Local: a.Local, Domain: a.Domain} }

// ParseAddresses reads an address-list with everything that is obsolete or merely common. What
// cannot be read does not hide what follows it.
func ParseAddresses(s string) []MailAddress { return nil }
