package blob

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"time"
)

// A name is "<time>-<random>-<hash>": Unix seconds in 10 hex digits, so that names sort in order of
// making until the year 36812; 80 random bits in base 32; the first 128 bits of the content's
// SHA-256 in hex.
const (
	timeDigits   = 10
	randomBytes  = 10
	randomDigits = 16
	hashBytes    = 16
	nameLength   = timeDigits + 1 + randomDigits + 1 + 2*hashBytes
)

// HashSize is the size of the SHA-256 sum that [NewName] takes.
const HashSize = 32

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewName makes a name for content whose SHA-256 is sum. The name is new whatever the content: the
// hash in it is for verifying, not for finding equals.
func NewName(now time.Time, sum [HashSize]byte) Name {
	var random [randomBytes]byte
	rand.Read(random[:]) // never fails
	b := make([]byte, 0, nameLength)
	seconds := uint64(max(now.Unix(), 0))
	for shift := 4 * (timeDigits - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[seconds>>shift&15])
	}
	b = append(b, '-')
	b = base32Lower.AppendEncode(b, random[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, sum[:hashBytes])
	return Name(b)
}

// Valid reports whether n has the shape that [NewName] gives; only such names reach a file system.
func (n Name) Valid() bool {
	if len(n) != nameLength || n[timeDigits] != '-' || n[timeDigits+1+randomDigits] != '-' {
		return false
	}
	return only(n[:timeDigits], isHex) && only(n[timeDigits+1:][:randomDigits], isBase32) &&
		only(n[nameLength-2*hashBytes:], isHex)
}

// Matches reports whether sum is that of the content which n was made for.
func (n Name) Matches(sum [HashSize]byte) bool {
	return n.Valid() && string(n[nameLength-2*hashBytes:]) == hex.EncodeToString(sum[:hashBytes])
}

func parseTime(n Name) time.Time {
	if !n.Valid() {
		return time.Time{}
	}
	var seconds int64
	for _, c := range []byte(n[:timeDigits]) {
		digit := c - '0'
		if c >= 'a' {
			digit = c - 'a' + 10
		}
		seconds = seconds<<4 | int64(digit)
	}
	return time.Unix(seconds, 0)
}

func only(s Name, ok func(c byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool    { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }
func isBase32(c byte) bool { return c >= 'a' && c <= 'z' || c >= '2' && c <= '7' }
