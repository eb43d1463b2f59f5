package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"posthaste/mailauth/internal/sig"
)

// An Algorithm is a kind of key that we make.
type Algorithm string

// The algorithms. All receivers know RSA; those that know Ed25519 too get the stronger and shorter proof.
const (
	RSA2048 Algorithm = "rsa2048"
	Ed25519 Algorithm = "ed25519"
)

const rsaBits = 2048

var allAlgorithms = []Algorithm{RSA2048, Ed25519}

// ParseAlgorithms reads "rsa", "ed25519" or "both".
func ParseAlgorithms(word string) ([]Algorithm, error) {
	switch word {
	case "rsa", string(RSA2048):
		return []Algorithm{RSA2048}, nil
	case string(Ed25519):
		return []Algorithm{Ed25519}, nil
	case "both", "":
		return allAlgorithms, nil
	}
	return nil, fmt.Errorf("%q is no algorithm: want rsa, ed25519 or both", word)
}

// short returns what stands in selectors.
func (a Algorithm) short() string { return strings.TrimSuffix(string(a), "2048") }

// A State is where a key is in its life.
type State string

// The states, in their order.
const (
	New      State = "new"      // to be published; it does not sign yet
	Active   State = "active"   // it signs
	Retiring State = "retiring" // it signs no more; its record stays until Key.Retires, for mail on its way
	Retired  State = "retired"  // its record may go
)

// KeepRetiring is how long the record of a key stays after its last signature: longer than mail waits in
// queues.
const KeepRetiring = 14 * 24 * time.Hour

// A Key is what may be told of a key of ours. The private half stays in the store.
type Key struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	Algorithm Algorithm `json:"algorithm"`
	State     State     `json:"state"`
	Created   time.Time `json:"created"`
	Activated time.Time `json:"activated,omitzero"`
	Retires   time.Time `json:"retires,omitzero"`
	Replaces  []string  `json:"replaces,omitempty"` // selectors that stop signing when it begins
	Record    string    `json:"record"`             // the text of its TXT record
}

// Name returns where the record of k stands: "selector._domainkey.example.org".
func (k Key) Name() string { return sig.KeyName(k.Selector, k.Domain) }

// maxString is the longest character-string of a TXT record (RFC 1035 section 3.3).
const maxString = 255

// Strings returns the record of k cut as a TXT record holds it.
func (k Key) Strings() []string {
	var parts []string
	for rest := k.Record; rest != ""; {
		n := min(len(rest), maxString)
		parts, rest = append(parts, rest[:n]), rest[n:]
	}
	return parts
}

// Zone returns the record of k as a master file has it (RFC 1035 section 5.1), without final line break.
func (k Key) Zone() string {
	parts := k.Strings()
	if len(parts) == 1 {
		return fmt.Sprintf("%s. IN TXT %q", k.Name(), parts[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s. IN TXT (", k.Name())
	for _, part := range parts {
		fmt.Fprintf(&b, "\n\t%q", part)
	}
	return b.String() + " )"
}

// makePrivate makes a private key.
func makePrivate(a Algorithm) (crypto.Signer, error) {
	if a == Ed25519 {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return rsa.GenerateKey(rand.Reader, rsaBits)
}

// record returns the text of the TXT record for a public key.
func record(public crypto.PublicKey) (string, error) {
	if key, ok := public.(ed25519.PublicKey); ok {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key), nil // RFC 8463 section 4.2
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), nil
}
