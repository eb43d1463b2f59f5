package smtp

import (
	"strings"
	"unicode"

	"posthaste/mail"
)

// maxParameters bounds the parameters of one command.
const maxParameters = 32

// eachParameter calls set for every parameter of RFC 5321 section 4.1.1.11, keys in upper case. A
// parameter given twice is an error.
func eachParameter(s string, set func(key, value string) error) error {
	fields := strings.Fields(s)
	if len(fields) > maxParameters {
		return mail.NewStatus(501, "5.5.4", "too many parameters")
	}
	for i, field := range fields {
		key, value, hasValue := strings.Cut(field, "=")
		upper := strings.ToUpper(key)
		if !isKeyword(key) || hasValue && (value == "" || strings.Contains(value, "=")) {
			return mail.NewStatus(501, "5.5.4", "not a parameter")
		}
		for _, earlier := range fields[:i] {
			k, _, _ := strings.Cut(earlier, "=")
			if strings.EqualFold(k, key) {
				return mail.NewStatus(501, "5.5.4", "parameter "+upper+" given twice")
			}
		}
		if err := set(upper, value); err != nil {
			return err
		}
	}
	return nil
}

func writeParameter(b *strings.Builder, key, value string) {
	if value != "" {
		b.WriteString(" " + key + "=" + value)
	}
}

// isKeyword tells whether s is an esmtp-keyword.
func isKeyword(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isLetDig(s[i]) && (s[i] != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

// hasControl tells whether s has control characters, those of Unicode's second block included, which
// some terminals obey.
func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// isPrintable tells whether s is printable ASCII, as what xtext encodes has to be.
func isPrintable(s string) bool { return isASCII(s) && !hasControl(s) }

func wantNoValue(key, value string) error {
	if value != "" {
		return badParameter(key)
	}
	return nil
}

func badParameter(key string) error {
	return mail.NewStatus(501, "5.5.4", "parameter "+key+" has no valid value")
}

func unknownParameter(key string) error {
	return mail.NewStatus(555, "5.5.4", "parameter "+key+" is not supported")
}
