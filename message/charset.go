package message

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// ErrCharset tells that a charset is unknown. The text beside it is a guess.
var ErrCharset = errors.New("message: unknown charset")

// DecodeCharset returns b, which is in that charset, as valid UTF-8. Where charset is unknown it
// returns its best guess with ErrCharset; an empty charset is a guess without error.
func DecodeCharset(b []byte, charset string) (string, error) {
	charset = strings.ToLower(strings.Trim(charset, " \t\"'"))
	switch charset {
	case "utf-8", "utf8":
		return validUTF8(b), nil
	case "", "us-ascii", "ascii", "unknown-8bit", "x-unknown", "default":
		return guessUTF8(string(b)), nil // RFC 1428 has unknown-8bit
	case "utf-7", "unicode-1-1-utf-7":
		return DecodeUTF7(b), nil
	}
	if isASCII(b) && asciiSuperset(charset) {
		return string(b), nil
	}
	e := charsetEncoding(charset)
	if e == nil {
		return guessUTF8(string(b)), ErrCharset
	}
	text, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return guessUTF8(string(b)), nil
	}
	return validUTF8(text), nil
}

// asciiSuperset knows the commonest charsets in which ASCII means itself.
func asciiSuperset(charset string) bool {
	return strings.HasPrefix(charset, "iso-8859-") || strings.HasPrefix(charset, "windows-125") || charset == "koi8-r"
}

// charsetEncoding finds charset among the labels of browsers, which is how mail is meant: they take
// latin-1 as windows-1252; then among those of IANA.
func charsetEncoding(charset string) encoding.Encoding {
	switch charset {
	case "utf-16": // without a byte order mark it is big-endian (RFC 2781 section 4.3)
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312
	case "cp850":
		return charmap.CodePage850
	case "cp437":
		return charmap.CodePage437
	}
	if e, err := htmlindex.Get(charset); err == nil && e != encoding.Replacement {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(charset); err == nil && e != nil {
		return e
	}
	if n, ok := strings.CutPrefix(charset, "cp"); ok {
		if e, err := htmlindex.Get("windows-" + n); err == nil {
			return e
		}
	}
	return nil
}

func windows1252(s string) string {
	text, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return text
}

func validUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
