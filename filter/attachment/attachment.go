// Package attachment judges what is attached to messages, without signatures and without help of others:
// programs under any name, names that deceive, macros, what opens only with a password, archives within
// archives, and those made to burst.
//
// A [Policy] is a filter.Engine. It believes the first bytes of a file more than its name and its declared
// type, and looks into zip, gzip, tar, bzip2, zstd, Office (OLE2 and OOXML), PDF, RTF and HTML. Archives of
// other formats are recognised and told, not opened. What it sees are findings with weights; a class of
// findings may also have an action of its own ([Class]).
//
// All that one message may cost is bounded: depth, entries, bytes that are unpacked, and time. What lies
// beyond is itself a finding. Nothing is written to a disk and nothing is asked of others, except that
// SHA-256 sums are looked up in a table if there is one.
package attachment

import (
	"cmp"
	"context"
	"strings"
	"time"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/table"
)

// Defaults of a Config.
const (
	DefaultDepth   = 6        // archives within archives
	DefaultBytes   = 64 << 20 // unpacked from one message
	DefaultEntries = 2000     // whose content is looked at
	DefaultTime    = 2 * time.Second
)

// A Config says what to do about what is found. Zero bounds are the defaults.
type Config struct {
	Actions map[Class]mail.Action // what is not here is Accept: the weights alone count
	Allow   []string              // extensions, without dot, that are never a reason
	Deny    []string              // extensions that are refused beside those that are built in
	Hashes  table.Table           // from SHA-256 in lower-case hex to anything; nil: none

	Depth   int
	Bytes   int64
	Entries int
	Time    time.Duration
}

// A Policy is a filter.Engine. Make it with New.
type Policy struct {
	actions     map[Class]mail.Action
	allow, deny map[string]bool
	hashes      table.Table
	depth       int
	bytes       int64
	entries     int
	time        time.Duration
}

// New returns the Policy of c.
func New(c Config) *Policy {
	return &Policy{
		actions: c.Actions, allow: extensionSet(c.Allow), deny: extensionSet(c.Deny), hashes: c.Hashes,
		depth: cmp.Or(c.Depth, DefaultDepth), bytes: cmp.Or(c.Bytes, DefaultBytes),
		entries: cmp.Or(c.Entries, DefaultEntries), time: cmp.Or(c.Time, DefaultTime),
	}
}

func extensionSet(list []string) map[string]bool {
	set := map[string]bool{}
	for _, e := range list {
		set[strings.ToLower(strings.TrimPrefix(strings.TrimSpace(e), "."))] = true
	}
	return set
}

// Name returns "attachments".
func (p *Policy) Name() string { return "attachments" }

// Scan judges the parts of m. It returns an error only when ctx ends.
func (p *Policy) Scan(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	l := &look{Policy: p, ctx: ctx, left: p.bytes, reads: p.entries, until: time.Now().Add(p.time)}
	l.message(m.Message, "", 0)
	if err := ctx.Err(); err != nil {
		return filter.Result{}, err
	}
	return l.result(), nil
}

// maxName is how many bytes of a file name are read.
const maxName = 1024

// message looks at the parts of m, which is at path.
func (l *look) message(m *message.Message, path string, depth int) {
	if m.Truncated {
		l.add(mimeBomb, path, "its parts are too many or too deep to be read")
	}
	m.Walk(func(part *message.Part) bool {
		if !part.IsMultipart() && part.Message == nil {
			l.part(part, path, depth)
		}
		return l.ctx.Err() == nil
	})
}

// headEncoded is how much of an encoded part is decoded to see what it is: an ISO image tells at 32 KiB.
const headEncoded = 64 << 10

// part looks at one part without children.
func (l *look) part(p *message.Part, path string, depth int) {
	name := p.Filename()
	name = name[:min(len(name), maxName)]
	if name == "" && p.Disposition != "attachment" && p.IsText() {
		return // the text of the message, an invitation, a report: shown, not opened
	}
	it := item{name: name, declared: p.Type(), path: path, depth: depth}
	if strings.HasPrefix(strings.ToLower(p.Header.Get("Content-Type")), "message/rfc822") || extension(name) == "eml" {
		it.enclosed = true // encoded against RFC 2046, but programs open it
	}
	head := *p
	head.End = min(head.End, head.BodyStart+headEncoded)
	it.data, _ = head.Decode(nil)
	it.whole = head.End == p.End
	if !it.whole && (l.hashes != nil || it.enclosed || sniff(it.data, name).opens()) {
		it.data, _ = p.Decode(nil)
		it.whole = true
	}
	l.item(it)
}
