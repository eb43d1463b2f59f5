package dane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxChain bounds the certificates of a server that are looked at.
const maxChain = 10

// TLSConfig returns base changed so that a handshake succeeds only if it meets p, whose Mode must be Encrypt
// or Authenticate. The error of a handshake that does not is a *Failure.
func (p Policy) TLSConfig(base *tls.Config) *tls.Config {
	cfg := new(tls.Config)
	if base != nil {
		cfg = base.Clone()
	}
	cfg.ServerName = p.Base       // RFC 7672 section 8.1
	cfg.InsecureSkipVerify = true // the TLSA records say what to trust, not our list of authorities
	cfg.VerifyPeerCertificate = nil
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		now := time.Now
		if cfg.Time != nil {
			now = cfg.Time
		}
		return p.Verify(state.PeerCertificates, now())
	}
	return cfg
}

// Verify checks the certificates that a server presented, its own first, against p. Its error is a *Failure.
func (p Policy) Verify(chain []*x509.Certificate, now time.Time) error {
	switch {
	case p.Mode == Encrypt:
		return nil
	case p.Mode != Authenticate:
		return fail(ValidationFailure, nil, "there is nothing to check %s against", p.Base)
	case len(chain) == 0:
		return fail(ValidationFailure, nil, "%s presents no certificate", p.Base)
	}
	chain = chain[:min(len(chain), maxChain)]
	for _, t := range p.Records {
		// Neither the names nor the dates of the certificate matter: RFC 7672 section 3.1.1.
		if t.Usage == usageEE && matches(t, chain[0]) {
			return nil
		}
	}
	return p.verifyAnchors(chain, now)
}

// verifyAnchors checks a chain by the trust anchors of p (DANE-TA, RFC 7672 section 3.1.2).
func (p Policy) verifyAnchors(chain []*x509.Certificate, now time.Time) error {
	roots, direct := p.anchors(chain)
	leaf := chain[0]
	switch {
	case direct && (now.Before(leaf.NotBefore) || now.After(leaf.NotAfter)):
		return expired(p.Base, leaf)
	case direct:
		return p.verifyName(leaf)
	case len(roots) == 0:
		return fail(NotTrusted, nil, "the certificate of %s matches none of its TLSA records: it was renewed without them, or this is not %s", p.Base, p.Base)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range roots {
		options.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(options)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return expired(p.Base, invalid.Cert)
	}
	if err != nil {
		return fail(NotTrusted, err, "the certificate of %s does not come from the authority in its TLSA records: %v", p.Base, err)
	}
	return p.verifyName(leaf)
}

// anchors returns the certificates that a DANE-TA record makes an authority: those of the chain that match,
// the one in a record itself, and those that the bare key in a record has signed. Direct says that such a
// key has signed the server's certificate.
func (p Policy) anchors(chain []*x509.Certificate) (roots []*x509.Certificate, direct bool) {
	for _, t := range p.Records {
		if t.Usage != usageTA {
			continue
		}
		for _, c := range chain[1:] {
			if matches(t, c) {
				roots = append(roots, c)
			}
		}
		if t.Matching != exact {
			continue
		}
		if t.Selector == wholeCertificate {
			if c, err := x509.ParseCertificate(t.Data); err == nil {
				roots = append(roots, c)
			}
			continue
		}
		key, err := x509.ParsePKIXPublicKey(t.Data)
		if err != nil {
			continue
		}
		for i, c := range chain {
			if (&x509.Certificate{PublicKey: key}).CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
				continue
			}
			if direct = direct || i == 0; i > 0 {
				roots = append(roots, c)
			}
		}
	}
	isLeaf := func(c *x509.Certificate) bool { return c.Equal(chain[0]) } // an authority stands above it
	return slices.DeleteFunc(roots, isLeaf), direct
}

func (p Policy) verifyName(leaf *x509.Certificate) error {
	if slices.ContainsFunc(p.Names, func(name string) bool { return leaf.VerifyHostname(name) == nil }) {
		return nil
	}
	return fail(HostMismatch, nil, "the certificate of %s is for %s, not for %s", p.Base, strings.Join(leaf.DNSNames, ", "), strings.Join(p.Names, " or "))
}

func expired(host string, c *x509.Certificate) error {
	return fail(CertificateExpired, nil, "a certificate of %s is valid only from %s to %s", host,
		c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
}

func fail(result string, err error, format string, args ...any) *Failure {
	return &Failure{Result: result, Reason: fmt.Sprintf(format, args...), Err: err}
}
