package dkim

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"posthaste/mailauth/internal/sig"
	"posthaste/message"
)

// A SigningKey is a private key and where its public half stands.
type SigningKey struct {
	Selector string
	Private  crypto.Signer // *rsa.PrivateKey or ed25519.PrivateKey
}

// A Signer signs for one domain. It is safe for concurrent use.
type Signer struct {
	Domain string
	Keys   []SigningKey  // each makes a signature
	Expire time.Duration // how long signatures are good (x=); 0: for ever
}

// Sign returns the DKIM-Signature fields for a message, one for each key, to be put before its header. They
// cover the whole body and the fields of the package's list, in relaxed form.
//
// A CR or LF alone is signed as the CRLF that it becomes on its way (RFC 6376 section 5.3).
func (s *Signer) Sign(content []byte, now time.Time) ([]byte, error) {
	h := message.ParseHeader(content)
	extents := []sig.Extent{{Canon: sig.Relaxed, Length: sig.Whole}}
	sig.HashBodies(lines(content[len(h.Raw()):]), extents)
	names := signedNames(h)
	header := sig.NewFields(h).AppendSigned(nil, sig.Relaxed, names)
	var out []byte
	for _, key := range s.Keys {
		field := s.field(key, names, extents[0].Sum[:], now)
		sum := sha256.Sum256(sig.Relaxed.AppendSignature(header, field))
		signature, err := sig.Sign(key.Private, sum[:])
		if err != nil {
			return nil, fmt.Errorf("dkim: sign for %s with %s: %w", s.Domain, key.Selector, err)
		}
		out = append(out, field...)
		out = appendFolded(out, base64.StdEncoding.EncodeToString(signature))
		out = append(out, "\r\n"...)
	}
	return out, nil
}

// field returns the field up to the value of b=.
func (s *Signer) field(key SigningKey, names []string, bodyHash []byte, now time.Time) []byte {
	f := folder{out: append(make([]byte, 0, 1024), fieldName+":"...)}
	f.column = len(f.out)
	f.add(" v=1;")
	f.add(" a=" + sig.Algorithm(key.Private.Public()) + ";")
	f.add(" c=relaxed/relaxed;")
	f.add(" d=" + s.Domain + ";")
	f.add(" s=" + key.Selector + ";")
	f.add(" t=" + strconv.FormatInt(now.Unix(), 10) + ";")
	if s.Expire > 0 {
		f.add(" x=" + strconv.FormatInt(now.Add(s.Expire).Unix(), 10) + ";")
	}
	f.add(" bh=" + base64.StdEncoding.EncodeToString(bodyHash) + ";")
	for i, name := range names {
		word := name + ":"
		if i == 0 {
			word = " h=" + word
		}
		if i == len(names)-1 {
			word = word[:len(word)-1] + ";"
		}
		f.add(word)
	}
	return append(f.out, "\r\n b="...)
}

// maxFold is the length that lines of a signature have at most, where a word is not longer.
const maxFold = 76

// A folder writes words and breaks lines between them.
type folder struct {
	out    []byte
	column int
}

// add appends a word; where the line would get too long it begins another.
func (f *folder) add(word string) {
	if f.column+len(word) > maxFold {
		f.out = append(f.out, "\r\n"...)
		if f.column = 0; word[0] != ' ' {
			word = "  " + word
		}
	}
	f.out = append(f.out, word...)
	f.column += len(word)
}

// appendFolded appends base64 in lines; the first follows " b=".
func appendFolded(dst []byte, text string) []byte {
	const first, rest = maxFold - 3, maxFold - 2
	n := min(len(text), first)
	dst, text = append(dst, text[:n]...), text[n:]
	for len(text) > 0 {
		n = min(len(text), rest)
		dst = append(append(dst, "\r\n  "...), text[:n]...)
		text = text[n:]
	}
	return dst
}

// lines returns body with CRLF in the place of each CR alone. That of an LF alone is the hash's business.
func lines(body []byte) []byte {
	if bytes.Count(body, []byte("\r")) == bytes.Count(body, []byte("\r\n")) {
		return body
	}
	out := make([]byte, 0, len(body)+len(body)/8)
	for i, c := range body {
		if out = append(out, c); c == '\r' && (i+1 == len(body) || body[i+1] != '\n') {
			out = append(out, '\n')
		}
	}
	return out
}
