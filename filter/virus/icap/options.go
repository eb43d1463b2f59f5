package icap

import (
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthaste/filter/virus"
)

// Bounds on what a server says about itself.
const (
	maxPreview = 64 << 10 // bytes; a server that wants more gets this much
	defaultTTL = time.Hour
	maxTTL     = 24 * time.Hour
	minTTL     = 10 * time.Second
)

// options is what a server can (RFC 3507 section 4.10.2).
type options struct {
	methods []string
	preview int // bytes; negative: it wants none
	ttl     time.Duration
}

func (o options) offers(method string) bool { return slices.Contains(o.methods, method) }

func parseOptions(h textproto.MIMEHeader) options {
	o := options{preview: -1, ttl: defaultTTL}
	for _, m := range strings.FieldsFunc(h.Get("Methods"), func(r rune) bool { return r == ',' || r == ' ' }) {
		o.methods = append(o.methods, strings.ToUpper(virus.CleanName(m)))
	}
	if n, err := strconv.Atoi(h.Get("Preview")); err == nil && n >= 0 {
		o.preview = min(n, maxPreview)
	}
	if n, err := strconv.ParseInt(h.Get("Options-Ttl"), 10, 32); err == nil && n >= 0 {
		o.ttl = min(max(time.Duration(n)*time.Second, minTTL), maxTTL)
	}
	return o
}
