package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"posthaste/deliver/remote/mtasts"
	"posthaste/explain"
	"posthaste/mail"
)

// Policies is the table of what to ask of TLS by recipient domain. node fills it from a lookup table.
type Policies interface {
	// Policy returns the text of the policy for domain, as [CheckPolicy] describes it. An error is
	// temporary: mail waits, because the policy may forbid to send it in plaintext.
	Policy(ctx context.Context, domain string) (text string, found bool, err error)
}

// MTASTS finds policies of RFC 8461: *mtasts.Cache.
type MTASTS interface {
	Lookup(ctx context.Context, domain string) mtasts.Result
}

// A rule is the word that begins a policy.
type rule int

const (
	ruleAuto        rule = iota // no entry: DANE, MTA-STS, else opportunistic
	ruleNone                    // plaintext
	ruleMay                     // opportunistic, whatever the domain publishes
	ruleEncrypt                 // TLS, any certificate
	ruleVerify                  // TLS with a certificate for a name
	ruleDANE                    // DANE where the host has it, else TLS with any certificate
	ruleDANEOnly                // DANE, or wait
	ruleFingerprint             // TLS with one of the certificates or keys listed
)

var rules = map[string]rule{
	"none": ruleNone, "may": ruleMay, "encrypt": ruleEncrypt, "verify": ruleVerify,
	"dane": ruleDANE, "dane-only": ruleDANEOnly, "fingerprint": ruleFingerprint,
}

// maxPolicyNames bounds the names and fingerprints of one policy.
const maxPolicyNames = 50

// A policy is what is asked of TLS for one domain, whichever its host.
type policy struct {
	rule         rule
	text         string   // of the table
	match        []string // names of ruleVerify; a leading dot stands for any name below
	fingerprints [][]byte // SHA-256 or SHA-512 of a certificate or its public key
	sts          *mtasts.Policy
}

// CheckPolicy returns what is wrong with the text of a TLS policy. It is one of
//
//	none                          plaintext
//	may                           TLS where it works; DANE and MTA-STS are not looked at
//	encrypt                       TLS, any certificate
//	verify [match=NAME]…          TLS, a certificate from a known root for one of the names, by default the
//	                              host's; ".example.net" stands for every name below it
//	dane                          DANE where the host has it, else as encrypt
//	dane-only                     DANE, or wait
//	fingerprint=HEX…              TLS, a certificate with this SHA-256 or SHA-512 of itself or its public key
func CheckPolicy(text string) error {
	_, err := parsePolicy(text)
	return err
}

func parsePolicy(text string) (policy, error) {
	words := strings.Fields(strings.ToLower(text))
	if len(words) == 0 || len(words) > maxPolicyNames {
		return policy{}, fmt.Errorf("remote: the TLS policy %.60q has %d words: want 1 to %d", text, len(words), maxPolicyNames)
	}
	first, _, _ := strings.Cut(words[0], "=")
	r, known := rules[first]
	if !known {
		return policy{}, fmt.Errorf("remote: the TLS policy %.60q is none of none, may, encrypt, verify, dane, dane-only and fingerprint=…", text)
	}
	p := policy{rule: r, text: strings.Join(words, " ")}
	if r != ruleFingerprint {
		words = words[1:]
	}
	for _, word := range words {
		if err := p.add(word); err != nil {
			return policy{}, fmt.Errorf("remote: the TLS policy %.60q: %w", text, err)
		}
	}
	return p, nil
}

func (p *policy) add(word string) error {
	name, value, _ := strings.Cut(word, "=")
	switch {
	case p.rule == ruleVerify && name == "match" && value != "":
		p.match = append(p.match, value)
	case p.rule == ruleFingerprint && name == "fingerprint":
		b, err := hex.DecodeString(strings.ReplaceAll(value, ":", ""))
		if err != nil || len(b) != sha256.Size && len(b) != sha512.Size {
			return fmt.Errorf("%q is no SHA-256 or SHA-512 in hexadecimal", value)
		}
		p.fingerprints = append(p.fingerprints, b)
	default:
		return fmt.Errorf("%q does not belong there", word)
	}
	return nil
}

// tag tells policies apart in names of destinations.
func (p policy) tag() string {
	switch {
	case p.rule != ruleAuto:
		return " policy " + p.text
	case p.sts != nil:
		return " mta-sts " + string(p.sts.Mode) + " " + strings.Join(p.sts.MX, ",")
	}
	return ""
}

// policyOf asks the table, then MTA-STS, about a domain. What DANE says is known of each host only.
func (a *Agent) policyOf(ctx context.Context, domain string) (policy, *mail.Status) {
	if a.cfg.Policies != nil {
		text, found, err := a.cfg.Policies.Policy(ctx, domain)
		if err == nil && found {
			p, err := parsePolicy(text)
			if err != nil {
				return policy{}, mail.NewStatus(451, "4.3.5", "the TLS policy table cannot be used for %s: %v", domain, err)
			}
			explain.Note(ctx, "tls", "mail to %s: the TLS policy table says %s", domain, p.text)
			return p, nil
		}
		if err != nil {
			a.cfg.Log.Warn("TLS policy table failed", "domain", domain, "reason", err)
			return policy{}, mail.NewStatus(451, "4.3.0", "the TLS policy table does not answer for %s", domain)
		}
	}
	if a.cfg.MTASTS == nil || strings.HasPrefix(domain, "[") {
		return policy{}, nil
	}
	found := a.cfg.MTASTS.Lookup(ctx, domain)
	if found.Failure != nil {
		a.reportPolicyFailure(domain, found)
	}
	if found.Policy == nil {
		return policy{}, nil
	}
	explain.Note(ctx, "tls", "mail to %s: MTA-STS mode %s for hosts %s", domain, found.Policy.Mode, strings.Join(found.Policy.MX, ", "))
	return policy{sts: found.Policy}, nil
}

// matchesName tells whether cert is for name, or for one below it where name begins with a dot.
func matchesName(cert *x509.Certificate, name string) bool {
	below, ok := strings.CutPrefix(name, ".")
	if !ok {
		return cert.VerifyHostname(name) == nil
	}
	return slices.ContainsFunc(cert.DNSNames, func(san string) bool {
		san = strings.TrimPrefix(strings.ToLower(san), "*.")
		return san == below || strings.HasSuffix(san, name)
	})
}

// verifyNames checks the chain of what a host showed, and that it is for one of names.
func verifyNames(state tls.ConnectionState, cfg *tls.Config, names []string) error {
	if err := verifyChain(state, cfg); err != nil {
		return err
	}
	leaf := state.PeerCertificates[0]
	if slices.ContainsFunc(names, func(name string) bool { return matchesName(leaf, name) }) {
		return nil
	}
	return x509.HostnameError{Certificate: leaf, Host: names[0]}
}

// verifyFingerprint checks that a host showed one of the certificates or keys listed.
func verifyFingerprint(state tls.ConnectionState, prints [][]byte) error {
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	leaf := state.PeerCertificates[0]
	for _, b := range [][]byte{leaf.Raw, leaf.RawSubjectPublicKeyInfo} {
		short, long := sha256.Sum256(b), sha512.Sum512(b)
		if slices.ContainsFunc(prints, func(p []byte) bool { return bytes.Equal(p, short[:]) || bytes.Equal(p, long[:]) }) {
			return nil
		}
	}
	return fmt.Errorf("its certificate has the SHA-256 fingerprint %x, which the TLS policy does not list", sha256.Sum256(leaf.Raw))
}

var errNoCertificate = errors.New("the host showed no certificate")
