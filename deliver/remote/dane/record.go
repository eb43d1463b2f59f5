package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"slices"

	"posthaste/dns"
)

// Fields of TLSA records (RFC 7218).
const (
	usageTA = 2 // DANE-TA: the trust anchor of the chain
	usageEE = 3 // DANE-EE: the server's own certificate

	wholeCertificate = 0
	publicKey        = 1

	exact      = 0
	hashSHA256 = 1
	hashSHA512 = 2
)

// usable returns the records that mean something for SMTP: usage 0 and 1 do not (RFC 7672 section 3.1.3).
// Of digests of one usage and selector only the strongest counts (RFC 7671 section 9).
func usable(records []dns.TLSA) []dns.TLSA {
	records = slices.DeleteFunc(slices.Clone(records[:min(len(records), maxRecords)]), func(t dns.TLSA) bool { return !understood(t) })
	type kind struct{ usage, selector uint8 }
	strongest := make(map[kind]uint8)
	for _, t := range records {
		k := kind{t.Usage, t.Selector}
		strongest[k] = max(strongest[k], t.Matching)
	}
	return slices.DeleteFunc(records, func(t dns.TLSA) bool {
		return t.Matching != exact && t.Matching < strongest[kind{t.Usage, t.Selector}]
	})
}

func understood(t dns.TLSA) bool {
	if t.Usage != usageTA && t.Usage != usageEE {
		return false
	}
	switch {
	case t.Selector > publicKey:
		return false
	case t.Matching == hashSHA256:
		return len(t.Data) == sha256.Size
	case t.Matching == hashSHA512:
		return len(t.Data) == sha512.Size
	case t.Matching != exact:
		return false
	}
	var err error
	if t.Selector == wholeCertificate {
		_, err = x509.ParseCertificate(t.Data)
	} else {
		_, err = x509.ParsePKIXPublicKey(t.Data)
	}
	return err == nil
}

// matches tells whether a record is about a certificate (RFC 6698 section 2.1).
func matches(t dns.TLSA, cert *x509.Certificate) bool {
	data := cert.Raw
	if t.Selector == publicKey {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch t.Matching {
	case exact:
		return bytes.Equal(t.Data, data)
	case hashSHA256:
		sum := sha256.Sum256(data)
		return bytes.Equal(t.Data, sum[:])
	case hashSHA512:
		sum := sha512.Sum512(data)
		return bytes.Equal(t.Data, sum[:])
	}
	return false
}
