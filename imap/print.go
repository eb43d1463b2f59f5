package imap

import (
	"strconv"
	"strings"
)

// A text is what the Append functions print.
type text interface{ ~string | ~[]byte }

// AppendString prints s as a quoted string, or as a literal where a quoted string cannot hold it:
// 8-bit, CR and LF. NUL, which no string may hold, is left out.
func AppendString[T text](dst []byte, s T) []byte {
	special, literal := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			special = true
		case c == 0 || c == '\r' || c == '\n' || c >= 0x80:
			literal = true
		}
	}
	switch {
	case literal:
		return appendLiteral(dst, s)
	case special:
		return appendEscaped(dst, s)
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendEscaped[T text](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func appendLiteral[T text](dst []byte, s T) []byte {
	nuls := 0
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			nuls++
		}
	}
	dst = AppendLiteralSize(dst, len(s)-nuls)
	for i := 0; i < len(s); i++ {
		if s[i] != 0 {
			dst = append(dst, s[i])
		}
	}
	return dst
}

// AppendLiteralSize prints "{n}" and CRLF: n bytes must follow.
func AppendLiteralSize(dst []byte, n int) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, "}\r\n"...)
}

// AppendNString prints s, or NIL for an empty s.
func AppendNString(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s)
}

// AppendAstring prints s bare where it is an atom, else as a string.
func AppendAstring(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&classAtom == 0 && s[i] != ']' {
			return AppendString(dst, s)
		}
	}
	if s == "" || strings.EqualFold(s, "NIL") {
		return AppendString(dst, s)
	}
	return append(dst, s...)
}

// AppendMailbox prints a mailbox name, given in UTF-8: in quoted UTF-8 for clients that enabled
// IMAP4rev2 or UTF8=ACCEPT, else in modified UTF-7.
func AppendMailbox(dst []byte, name string, utf8 bool) []byte {
	if !utf8 {
		return AppendAstring(dst, EncodeUTF7(name))
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c == '\r' || c == '\n' || c == 0 {
			return AppendString(dst, name)
		} else if c >= 0x80 {
			return appendEscaped(dst, name)
		}
	}
	return AppendAstring(dst, name)
}

// AppendFlags prints flags as a parenthesized list.
func AppendFlags(dst []byte, flags []string) []byte {
	dst = append(dst, '(')
	for i, flag := range flags {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, flag...)
	}
	return append(dst, ')')
}
