// Package query reads the templates by which tables ask servers: text with placeholders for the key
// that is looked up.
//
//	%s  the key
//	%u  its local-part; the whole key where it has no "@"
//	%d  its domain
//	%%  a percent sign
//
// A [Query] is parts, not text, so that each driver binds or escapes what strangers wrote in its own way.
package query

import (
	"errors"
	"fmt"
	"strings"
)

// A Part is fixed text, or a placeholder.
type Part struct {
	Text        string // where Placeholder is 0
	Placeholder byte   // 's', 'u' or 'd'
}

// A Query is a template that was read.
type Query []Part

// Parse reads a template.
func Parse(text string) (Query, error) {
	var q Query
	var fixed strings.Builder
	flush := func() {
		if fixed.Len() > 0 {
			q = append(q, Part{Text: fixed.String()})
			fixed.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			fixed.WriteByte(text[i])
			continue
		}
		i++
		switch {
		case i == len(text):
			return nil, errors.New(`ends with "%": write %% for a percent sign`)
		case text[i] == '%':
			fixed.WriteByte('%')
		case strings.IndexByte("sud", text[i]) >= 0:
			flush()
			q = append(q, Part{Placeholder: text[i]})
		default:
			return nil, fmt.Errorf("has the placeholder %q: known are %%s, %%u and %%d, and %%%% for a percent sign", text[i-1:i+1])
		}
	}
	flush()
	return q, nil
}

// Asks tells whether q has a placeholder.
func (q Query) Asks() bool {
	for _, p := range q {
		if p.Placeholder != 0 {
			return true
		}
	}
	return false
}

// Value returns what placeholder stands for in key. It is not ok where key has no such part: then the
// key cannot be found.
func Value(placeholder byte, key string) (value string, ok bool) {
	at := strings.LastIndexByte(key, '@')
	switch {
	case placeholder == 'u' && at >= 0:
		value = key[:at]
	case placeholder == 'd' && at < 0:
		return "", false
	case placeholder == 'd':
		value = key[at+1:]
	default:
		value = key
	}
	return value, value != ""
}

// Expand returns the text of q for key with escape applied to each value. It is not ok where key lacks
// a part that q asks for.
func (q Query) Expand(key string, escape func(string) string) (text string, ok bool) {
	var b strings.Builder
	for _, p := range q {
		if p.Placeholder == 0 {
			b.WriteString(p.Text)
			continue
		}
		value, ok := Value(p.Placeholder, key)
		if !ok {
			return "", false
		}
		b.WriteString(escape(value))
	}
	return b.String(), true
}
