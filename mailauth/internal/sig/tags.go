package sig

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tags is a tag list (RFC 6376 section 3.2) in its order.
type Tags []Tag

// A Tag is one tag with its value, without the white space around it.
type Tag struct{ Name, Value string }

// ParseTags reads a tag list, such as the value of a DKIM-Signature field or a key record. An empty
// one has no tags. No name occurs twice.
func ParseTags(s string) (Tags, error) {
	if len(s) > MaxValue {
		return nil, fmt.Errorf("a tag list of %d bytes (%d allowed)", len(s), MaxValue)
	}
	tags := make(Tags, 0, min(MaxTags, strings.Count(s, ";")+1))
	for rest, more := s, true; more; {
		var spec string
		spec, rest, more = strings.Cut(rest, ";")
		if spec = trim(spec); spec == "" && !more {
			break // the list ended in ";", or is empty
		}
		name, value, ok := strings.Cut(spec, "=")
		t := Tag{trim(name), trim(value)}
		switch {
		case !ok || !isTagName(t.Name):
			return nil, fmt.Errorf("%q is no tag with a value", short(spec))
		case tags.has(t.Name):
			return nil, fmt.Errorf("the tag %s= occurs twice", t.Name)
		case len(tags) == MaxTags:
			return nil, fmt.Errorf("more than %d tags", MaxTags)
		}
		tags = append(tags, t)
	}
	return tags, nil
}

// Get returns the value of a tag, and whether there is one.
func (t Tags) Get(name string) (string, bool) {
	for i := range t {
		if t[i].Name == name {
			return t[i].Value, true
		}
	}
	return "", false
}

func (t Tags) has(name string) bool {
	_, ok := t.Get(name)
	return ok
}

// Number returns the value of a tag as a number of at most 18 digits, or without where there is none.
func (t Tags) Number(name string, without int64) (int64, error) {
	value, ok := t.Get(name)
	if !ok {
		return without, nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || len(value) > 18 || value[0] == '+' {
		return 0, fmt.Errorf("%s=%q is no number", name, short(value))
	}
	return int64(n), nil
}

// Time returns the value of a tag as seconds since 1970; the zero time where there is none.
func (t Tags) Time(name string) (time.Time, error) {
	n, err := t.Number(name, -1)
	if err != nil || n < 0 {
		return time.Time{}, err
	}
	return time.Unix(min(n, 1<<40), 0), nil
}

// Bytes returns the value of a tag decoded from base64, in which white space counts for nothing.
func (t Tags) Bytes(name string) ([]byte, error) {
	value, ok := t.Get(name)
	if !ok {
		return nil, fmt.Errorf("the tag %s= is missing", name)
	}
	return decodeBase64(name, value)
}

func decodeBase64(name, value string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(StripSpace(value))
	if err != nil {
		return nil, fmt.Errorf("%s= is no base64", name)
	}
	return b, nil
}

// StripSpace returns s without any white space.
func StripSpace(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) }) < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if !isSpace(s[i]) {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// isTagName knows ALPHA followed by letters, digits and "_".
func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || s[i] != '_' && (s[i] < '0' || s[i] > '9')) {
			return false
		}
	}
	return s != ""
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trim(s string) string { return strings.Trim(s, " \t\r\n") }

// short keeps what a stranger wrote short enough to be told.
func short(s string) string { return s[:min(len(s), 40)] }
