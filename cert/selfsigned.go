package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The life of a self-signed certificate. People confirm it by hand in their mail programs, so it is long.
const (
	selfSignedLife = 3 * 365 * 24 * time.Hour
	renewBefore    = 30 * 24 * time.Hour
)

// The files that SelfSigned keeps.
const (
	selfSignedCert = "self-signed.cert.pem"
	selfSignedKey  = "self-signed.key.pem"
)

// SelfSigned returns the Source of a certificate of our own for names (host names or addresses, the
// first is its subject), kept in dir, which is made if missing. A new one is made when there is
// none, when it lacks a name, and 30 days before it expires; the key stays, so that whoever pinned
// it (DANE, RFC 7672 section 3.1.1) need not learn another. Log may be nil.
func SelfSigned(dir string, names []string, log *slog.Logger) (*Source, error) {
	if len(names) == 0 {
		return nil, errors.New("cert: a self-signed certificate needs a host name: set hostname in the config")
	}
	return newSource(log, func(now time.Time, old *loaded) (*loaded, error) {
		return loadSelfSigned(dir, names, now, old)
	})
}

func loadSelfSigned(dir string, names []string, now time.Time, old *loaded) (*loaded, error) {
	certFile, keyFile := filepath.Join(dir, selfSignedCert), filepath.Join(dir, selfSignedKey)
	have, err := loadFiles(certFile, keyFile, old)
	if err == nil && serves(have.cert.Leaf, names, now) {
		return have, nil
	}
	if err != nil && errors.Is(err, fs.ErrPermission) {
		return nil, err // somebody else's: not ours to replace
	}
	if err := makeSelfSigned(certFile, keyFile, names, now); err != nil {
		return nil, err
	}
	return loadFiles(certFile, keyFile, nil)
}

// serves tells whether c is good for names a while longer.
func serves(c *x509.Certificate, names []string, now time.Time) bool {
	missing := slices.ContainsFunc(names, func(name string) bool { return c.VerifyHostname(name) != nil })
	return !missing && now.After(c.NotBefore) && now.Before(c.NotAfter.Add(-renewBefore))
}

func makeSelfSigned(certFile, keyFile string, names []string, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(certFile), 0o700); err != nil {
		return fmt.Errorf("cert: %w", err)
	}
	key, err := loadOrMakeKey(keyFile)
	if err != nil {
		return err
	}
	template, err := newTemplate(names, now, selfSignedLife)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("cert: sign for %v: %w", names, err)
	}
	return writeFile(certFile, encodeCert(der), 0o644)
}

func loadOrMakeKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		if block, _ := pem.Decode(text); block != nil {
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if signer, ok := key.(crypto.Signer); err == nil && ok {
				return signer, nil
			}
		}
		return nil, fmt.Errorf("cert: key %s is damaged: remove it and a new one is made", file)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, unreadable("key", file, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cert: generate a key: %w", err)
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(file, encoded, 0o600)
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cert: encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// EncodePEM returns the chain and the key of c as files hold them.
func EncodePEM(c tls.Certificate) (chain, key []byte, err error) {
	for _, der := range c.Certificate {
		chain = append(chain, encodeCert(der)...)
	}
	key, err = encodeKey(c.PrivateKey)
	return chain, key, err
}

// writeFile replaces a file as a whole.
func writeFile(file string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return fmt.Errorf("cert: %w", err)
	}
	defer os.Remove(f.Name()) // once renamed there is nothing to remove
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("cert: write %s: %w", file, err)
	}
	return nil
}
