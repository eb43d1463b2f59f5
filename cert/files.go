package cert

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"
)

// A stamp changes when one of a pair of files does.
type stamp struct {
	cert, key time.Time
	sizes     [2]int64
}

// Files returns the Source of a certificate chain and its key, both in PEM. Its errors name cause
// and remedy. Log may be nil.
func Files(certFile, keyFile string, log *slog.Logger) (*Source, error) {
	return newSource(log, func(_ time.Time, old *loaded) (*loaded, error) {
		return loadFiles(certFile, keyFile, old)
	})
}

// loadFiles reads the files when they are newer than old.
func loadFiles(certFile, keyFile string, old *loaded) (*loaded, error) {
	now, err := stampOf(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	if old != nil && old.stamp == now {
		return old, nil
	}
	chain, err := os.ReadFile(certFile)
	if err != nil {
		return nil, unreadable("certificate", certFile, err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, unreadable("key", keyFile, err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, unusable(certFile, keyFile, err)
	}
	return &loaded{cert: pair, stamp: now}, nil
}

func stampOf(certFile, keyFile string) (stamp, error) {
	c, err := os.Stat(certFile)
	if err != nil {
		return stamp{}, unreadable("certificate", certFile, err)
	}
	k, err := os.Stat(keyFile)
	if err != nil {
		return stamp{}, unreadable("key", keyFile, err)
	}
	return stamp{c.ModTime(), k.ModTime(), [2]int64{c.Size(), k.Size()}}, nil
}

// unreadable says what to do about a file that cannot be read.
func unreadable(what, file string, err error) error {
	remedy := "check the file and the disk"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		remedy = `correct the path in [tls] certificate, or set certificate = "self-signed"`
	case errors.Is(err, fs.ErrPermission):
		remedy = fmt.Sprintf("let user %d read it and enter its directories, for example: setfacl -m u:%d:r %s", os.Getuid(), os.Getuid(), file)
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("cert: %s %s: %w: %s", what, file, err, remedy)
}

// unusable says what is wrong with files that were read.
func unusable(certFile, keyFile string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "does not match"):
		return fmt.Errorf("cert: the key %s does not belong to the certificate %s: give the pair that was issued together", keyFile, certFile)
	case strings.Contains(text, "certificate input"), strings.Contains(text, "CERTIFICATE"):
		return fmt.Errorf("cert: certificate %s: %w: it must be a PEM file that begins with -----BEGIN CERTIFICATE-----, the host's own certificate first, then the intermediate ones", certFile, err)
	case strings.Contains(text, "key"):
		return fmt.Errorf("cert: key %s: %w: it must be a PEM file with one private key that no passphrase protects", keyFile, err)
	}
	return fmt.Errorf("cert: certificate %s with key %s: %w", certFile, keyFile, err)
}
