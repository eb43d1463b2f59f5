package mail

import "strings"

// An Address is local-part@domain of RFC 5321 section 4.1.2, unquoted.
//
// Local is kept as it was given, without quotes and escapes; it may hold UTF-8 (RFC 6531).
// Domain is lower case, an A-label form for international names, or an address literal in brackets.
// The zero Address is no address.
type Address struct {
	Local  string
	Domain string
}

// IsZero tells whether a is no address.
func (a Address) IsZero() bool { return a.Local == "" && a.Domain == "" }

// ASCII tells whether a can be sent without SMTPUTF8.
func (a Address) ASCII() bool {
	for i := 0; i < len(a.Local); i++ {
		if a.Local[i] >= 0x80 {
			return false
		}
	}
	return true
}

// String returns a as it stands in an SMTP path, quoted where needed, without angle brackets.
// An address without domain (postmaster, RFC 5321 section 4.5.1) is its local-part; no address is empty.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	local := quoteLocal(a.Local)
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// MarshalText prints a as [Address.String] does, so that JSON shows addresses as people write them.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what [Address.MarshalText] printed. It is for our own records, not for the
// outside: package smtp parses those.
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	at := strings.LastIndexByte(s, '@')
	local, domain := s, ""
	if at >= 0 {
		local, domain = s[:at], s[at+1:]
	}
	*a = Address{Local: unquoteLocal(local), Domain: domain}
	return nil
}

// A ReversePath is the address that reports about a message go to. Its zero value is the null
// reverse-path "<>" of a report, which must never cause another report (RFC 5321 section 4.5.5).
type ReversePath struct{ Address }

// Null tells whether p is "<>".
func (p ReversePath) Null() bool { return p.Address.IsZero() }

// Path returns p for people and records: the address without brackets, or "<>".
func (p ReversePath) Path() string {
	if p.Null() {
		return "<>"
	}
	return p.String()
}

func quoteLocal(local string) string {
	if isDotString(local) {
		return local
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(local); i++ {
		if c := local[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

func unquoteLocal(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	for i := 1; i < len(local)-1; i++ {
		if local[i] == '\\' && i+1 < len(local)-1 {
			i++
		}
		b.WriteByte(local[i])
	}
	return b.String()
}

// isDotString tells whether local needs no quotes: atoms joined by single dots.
func isDotString(local string) bool {
	dot := true // a dot may not stand here
	for i := 0; i < len(local); i++ {
		switch c := local[i]; {
		case c == '.':
			if dot {
				return false
			}
			dot = true
			continue
		case !isAtext(c):
			return false
		}
		dot = false
	}
	return !dot
}

// isAtext reports an atext of RFC 5322 section 3.2.3, or a byte of UTF-8 (RFC 6531).
func isAtext(c byte) bool {
	return c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}
