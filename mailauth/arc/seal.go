package arc

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthaste/mailauth/internal/sig"
	"posthaste/message"
)

// ErrSealed means that a message cannot be given a set: its chain is closed by a hop that found it broken,
// is so malformed that its sets cannot be counted, has MaxSets already, or could not be validated now.
var ErrSealed = errors.New("arc: the chain takes no further set")

// covered are the fields that our message signatures cover where they are present, the last of each.
var covered = []string{
	"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "In-Reply-To", "References", "Sender",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "DKIM-Signature",
	"List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post",
}

// A Sealer adds sets to messages that are forwarded. It is safe for concurrent use.
type Sealer struct {
	AuthServ string // whose Authentication-Results fields go into a set
	Domain   string
	Selector string
	Key      crypto.Signer
	// Headers are the fields that a message signature covers. Default: those that a reader sees, that say
	// how the body is to be read, and DKIM-Signature.
	Headers []string

	unfolded bool // signatures stand on one line, as in the vectors that tests compare with
}

// Seal returns the three fields of a new set, to be put before the header of content, as it is sent. What
// Authentication-Results of s.AuthServ say in it goes into the set; those of others there must be none of.
// before is what Verify made of the message as it came. Where no set can be added, the error is ErrSealed.
func (s *Sealer) Seal(content []byte, before Chain, now time.Time) ([]byte, error) {
	h := message.ParseHeader(content)
	sets, err := collect(h)
	instance := len(sets) + 1
	switch {
	case err != nil, instance > MaxSets, before.Result == TempError,
		(before.Result == None) != (len(sets) == 0), len(sets) > 0 && claimed(sets) == Fail:
		return nil, ErrSealed
	}
	results := message.AppendField(nil, fieldResults, "i="+itoa(instance)+"; "+s.results(h))
	signature, err := s.signature(h, content, instance, now)
	if err != nil {
		return nil, err
	}
	var hashed []byte
	if before.Result != Fail { // a seal that closes the chain covers its own set only
		for _, set := range sets {
			for _, p := range [...]part{set.results, set.signature, set.seal} {
				hashed = sig.Relaxed.AppendField(hashed, p.raw)
			}
		}
	}
	hashed = sig.Relaxed.AppendField(hashed, results)
	hashed = sig.Relaxed.AppendField(hashed, signature)
	seal, err := s.sign(hashed, s.list(fieldSeal, "cv="+string(before.Result), "d="+s.Domain,
		"i="+itoa(instance), "s="+s.Selector, "t="+strconv.FormatInt(now.Unix(), 10)))
	if err != nil {
		return nil, err
	}
	return append(append(seal, signature...), results...), nil
}

func claimed(sets []set) Result {
	cv, _ := sets[len(sets)-1].seal.tags.Get("cv")
	return Result(cv)
}

// results joins what the Authentication-Results fields of ours say (RFC 8617 section 4.1.1).
func (s *Sealer) results(h message.Header) string {
	var all []string
	for _, text := range h.Values("Authentication-Results") {
		who, rest, _ := strings.Cut(text, ";")
		who, _, _ = strings.Cut(strings.TrimSpace(who), " ")
		rest = strings.Trim(rest, " \t;")
		if strings.EqualFold(who, s.AuthServ) && rest != "" {
			all = append(all, rest)
		}
	}
	if len(all) == 0 {
		all = []string{"none"}
	}
	return s.AuthServ + "; " + strings.Join(all, "; ")
}

// signature returns the ARC-Message-Signature field.
func (s *Sealer) signature(h message.Header, content []byte, instance int, now time.Time) ([]byte, error) {
	extents := []sig.Extent{{Canon: sig.Relaxed, Length: sig.Whole}}
	sig.HashBodies(content[len(h.Raw()):], extents)
	names := s.Headers
	if names == nil {
		for _, name := range covered {
			if h.Has(name) {
				names = append(names, strings.ToLower(name))
			}
		}
	}
	hashed := sig.NewFields(h).AppendSigned(nil, sig.Relaxed, names)
	return s.sign(hashed, s.list(fieldSignature, "bh="+base64.StdEncoding.EncodeToString(extents[0].Sum[:]),
		"c=relaxed/relaxed", "d="+s.Domain, "h="+strings.Join(names, ":"), "i="+itoa(instance),
		"s="+s.Selector, "t="+strconv.FormatInt(now.Unix(), 10)))
}

// list returns a field with those tags after an empty b=, folded before each.
func (s *Sealer) list(name string, tags ...string) []byte {
	out := []byte(name + ": a=" + sig.Algorithm(s.Key.Public()) + ";\r\n b=")
	for _, tag := range tags {
		out = append(append(out, ";\r\n "...), foldList(tag)...)
	}
	return append(out, "\r\n"...)
}

// foldList breaks a long list of names after colons. It is only white space to who reads it.
func foldList(tag string) string {
	const longest = 72
	var out strings.Builder
	column := 0
	for _, word := range strings.SplitAfter(tag, ":") {
		if column > 0 && column+len(word) > longest {
			out.WriteString("\r\n  ")
			column = 1
		}
		out.WriteString(word)
		column += len(word)
	}
	return out.String()
}

// sign fills the empty b= of field with a signature over hashed and field.
func (s *Sealer) sign(hashed, field []byte) ([]byte, error) {
	sum := sha256.Sum256(sig.Relaxed.AppendSignature(bytes.Clone(hashed), field))
	signature, err := sig.Sign(s.Key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("arc: seal for %s: %w", s.Domain, err)
	}
	at := bytes.Index(field, []byte("\n b=")) + len("\n b=")
	out := append(make([]byte, 0, len(field)+512), field[:at]...)
	if text := base64.StdEncoding.EncodeToString(signature); s.unfolded {
		out = append(out, text...)
	} else {
		out = appendFolded(out, text)
	}
	return append(out, field[at:]...), nil
}

// appendFolded appends base64 in lines; the first follows " b=".
func appendFolded(dst []byte, text string) []byte {
	const first, rest = 70, 72
	for n := min(first, len(text)); ; n = min(rest, len(text)) {
		dst, text = append(dst, text[:n]...), text[n:]
		if text == "" {
			return dst
		}
		dst = append(dst, "\r\n "...)
	}
}
