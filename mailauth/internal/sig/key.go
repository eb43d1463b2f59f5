package sig

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Why a key record is of no use.
var (
	ErrRevoked = errors.New("the key was revoked: its record holds none")
	ErrNoKey   = errors.New("there is no key: the name has no record of one")
)

// A Key is a key record (RFC 6376 section 3.6.1).
type Key struct {
	Public  crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey
	Bits    int
	Testing bool // t=y: the domain tests only
	Strict  bool // t=s: i= must name the domain itself
	sha256  bool // may be used with SHA-256
	email   bool // may be used for mail
}

// ParseKey reads a key record. The error is ErrRevoked, or tells what is malformed.
func ParseKey(record string) (*Key, error) {
	tags, err := ParseTags(record)
	if err != nil {
		return nil, fmt.Errorf("the key record has %w", err)
	}
	if v, ok := tags.Get("v"); ok && (v != "DKIM1" || tags[0].Name != "v") {
		return nil, errors.New("the key record is of another version than DKIM1")
	}
	k := &Key{
		sha256: allows(tags, "h", "sha256", "sha256"),
		email:  allows(tags, "s", "email", "*"),
	}
	if flags, ok := tags.Get("t"); ok {
		for flag := range strings.SplitSeq(flags, ":") {
			k.Testing = k.Testing || trim(flag) == "y"
			k.Strict = k.Strict || trim(flag) == "s"
		}
	}
	return k, k.setPublic(tags)
}

// allows tells whether a list is missing or holds one of two words.
func allows(tags Tags, name, word, or string) bool {
	list, ok := tags.Get(name)
	if !ok {
		return true
	}
	for w := range strings.SplitSeq(list, ":") {
		if w = trim(w); w == word || w == or {
			return true
		}
	}
	return false
}

func (k *Key) setPublic(tags Tags) error {
	p, ok := tags.Get("p")
	switch {
	case !ok:
		return errors.New("the key record has no p=")
	case p == "":
		return ErrRevoked
	}
	der, err := decodeBase64("p", p)
	if err != nil {
		return fmt.Errorf("the key record: %w", err)
	}
	switch kind, ok := tags.Get("k"); {
	case !ok || kind == "rsa":
		return k.setRSA(der)
	case kind == "ed25519":
		return k.setEd25519(der)
	default:
		return fmt.Errorf("the key record is of the unknown type %q", short(kind))
	}
}

// setRSA takes a SubjectPublicKeyInfo, as all publish it, or the RSAPublicKey that RFC 6376 speaks of.
func (k *Key) setRSA(der []byte) error {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		if public, err = x509.ParsePKCS1PublicKey(der); err != nil {
			return errors.New("the key record holds no RSA key")
		}
	}
	key, ok := public.(*rsa.PublicKey)
	if !ok {
		return errors.New("the key record says RSA and holds another key")
	}
	k.Public, k.Bits = key, key.N.BitLen()
	return nil
}

func (k *Key) setEd25519(raw []byte) error {
	if len(raw) != ed25519.PublicKeySize {
		return fmt.Errorf("the key record holds %d bytes, no Ed25519 key", len(raw))
	}
	k.Public, k.Bits = ed25519.PublicKey(raw), 8*ed25519.PublicKeySize
	return nil
}

// Usable tells why k may not be used with an algorithm, or nothing. It does not judge how long k is.
func (k *Key) Usable(algorithm string) error {
	switch {
	case !k.email:
		return errors.New("the key is for other services than mail (s=)")
	case !k.sha256:
		return errors.New("the key is for other hashes than SHA-256 (h=)")
	case Algorithm(k.Public) != algorithm:
		return fmt.Errorf("the signature says %s, the key is of type %s", algorithm, keyType(k.Public))
	}
	return nil
}

// Weak tells whether k has a length that nothing may be believed from.
func (k *Key) Weak() bool {
	_, isRSA := k.Public.(*rsa.PublicKey)
	return isRSA && (k.Bits < MinRSABits || k.Bits > MaxRSABits)
}

// Verify returns nil when signature is one of k over the SHA-256 hash sum, else ErrMismatch.
func (k *Key) Verify(sum, signature []byte) error {
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(public, crypto.SHA256, sum, signature) == nil {
			return nil
		}
	case ed25519.PublicKey:
		if ed25519.Verify(public, sum, signature) { // of the hash, RFC 8463 section 3
			return nil
		}
	}
	return ErrMismatch
}

func keyType(key crypto.PublicKey) string {
	switch key.(type) {
	case *rsa.PublicKey:
		return "rsa"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return "unknown"
}

// Sign returns the signature of key over the SHA-256 hash sum.
func Sign(key crypto.Signer, sum []byte) ([]byte, error) {
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		return key.Sign(nil, sum, crypto.Hash(0))
	}
	return key.Sign(nil, sum, crypto.SHA256)
}
