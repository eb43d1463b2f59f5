package directory

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"posthaste/kv"
	"posthaste/mail"
)

// buckets is the number of address partitions. It is fixed for ever: the bucket of an address is
// where its record lies.
const buckets = 256

// catchAll is the local-part that stands for every unknown one of its domain.
const catchAll = "*"

// A state says how far an account's address is on its way into or out of being.
type state string

const (
	claimed state = "claimed" // the account is being made
	active  state = "active"
	leaving state = "leaving" // the account is being erased
)

// A record is what an address is. Either Account or Targets is set. A node that knows nothing of moved
// addresses takes one for an alias, and a node that knows nothing of forwards keeps the mail.
type record struct {
	Address mail.Address   `json:"address"` // as it was given, for people
	Account mail.AccountID `json:"account,omitempty"`
	State   state          `json:"state,omitempty"` // of the account
	Targets []mail.Address `json:"targets,omitempty"`
	Moved   int            `json:"moved,omitempty"`   // of an alias: its owner is at Targets[0] now; 251 or 551
	Forward []mail.Address `json:"forward,omitempty"` // of an account: who gets its mail instead
	Keep    bool           `json:"keep,omitempty"`    // with Forward: it gets its mail too
}

// holder names who has the address, for errors.
func (r record) holder() string {
	switch {
	case r.Moved != 0:
		return fmt.Sprintf("a notice that its owner is at %s now", r.Targets[0])
	case len(r.Targets) > 0:
		return fmt.Sprintf("an alias for %s%s", r.Targets[0], more(len(r.Targets)-1))
	case r.State == leaving:
		return fmt.Sprintf("account %s, which is being deleted", r.Account)
	default:
		return fmt.Sprintf("account %s", r.Account)
	}
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// normal returns a as addresses are compared: the local-part in lower case and Unicode's composed
// form. RFC 5321 section 2.4 leaves that to the host that owns the address.
func normal(a mail.Address) mail.Address {
	return mail.Address{Local: lower(a.Local), Domain: lowerASCII(a.Domain)}
}

func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
		}
	}
	return lowerASCII(s)
}

// lowerASCII does not allocate for what is lower case already.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}

// DomainName returns the form that a domain is stored and compared in: lower case A-labels
// (RFC 5890), without a dot at the end. It returns ErrInvalid for what is no domain name.
func DomainName(name string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil || ascii == "" || len(ascii) > MaxDomain {
		return "", fmt.Errorf("directory: domain name %q: %w", name, ErrInvalid)
	}
	return ascii, nil
}

// checkAddress returns a in the form it is stored in, or ErrInvalid.
func checkAddress(a mail.Address) (mail.Address, error) {
	domain, err := DomainName(a.Domain)
	if err != nil {
		return a, err
	}
	if a.Local == "" || len(a.Local) > MaxLocal || strings.ContainsAny(a.Local, "\x00\r\n") {
		return a, fmt.Errorf("directory: local-part of %q: %w: want 1 to %d bytes", a, ErrInvalid, MaxLocal)
	}
	return mail.Address{Local: a.Local, Domain: domain}, nil
}

// splitDetail returns the local-part proper and the detail of a sub-address, if local is one.
func splitDetail(local string, separator byte) (user, detail string, ok bool) {
	if i := strings.IndexByte(local, separator); i > 0 {
		return local[:i], local[i+1:], true
	}
	return local, "", false
}

// bucketOf returns the number of the address partition of a normal address.
func bucketOf(a mail.Address) int {
	return int(xxhash.Sum64(addressKey(a)) % buckets)
}

func bucketPartition(bucket int) kv.Partition {
	return kv.Partition(fmt.Sprintf("address/%02x", bucket))
}

func addressKey(a mail.Address) []byte {
	key := make([]byte, 0, len(a.Domain)+1+len(a.Local))
	return append(append(append(key, a.Domain...), 0), a.Local...)
}

// getJSON reads key into v, which must be a pointer. It passes on kv.ErrNotFound.
func getJSON(r kv.Reader, key []byte, v any) error {
	value, err := r.Get(key)
	if err != nil {
		return err
	}
	return decodeJSON(key, value, v)
}

func decodeJSON(key, value []byte, v any) error {
	if err := json.Unmarshal(value, v); err != nil {
		return fmt.Errorf("directory: value of key %q: %w: %w", key, kv.ErrCorrupt, err)
	}
	return nil
}

// putJSON writes v, one of our own records, which always can be encoded.
func putJSON(txn kv.Txn, key []byte, v any) {
	value, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	txn.Put(key, value)
}
