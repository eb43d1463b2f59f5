package queue

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"time"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
)

// The first byte of a stored entry; docs/formats/queue.md describes the rest. Entries are written in
// the last format.
const (
	formatFirst = 1 + iota
	formatEntry // says early, and under a checksum of its own, where the content is
)

// maxAnswers is how many bytes of the texts of all last answers are kept, so that an entry of many
// recipients, each with a long answer, still fits a value of kv.
const maxAnswers = 5 << 20

var errEntryFormat = errors.New("queue: the stored entry does not have the known format")

// Bits of the flags of an entry.
const (
	flagSMTPUTF8 = 1 << iota
	flagRequireTLS
	flagBlob
	flagTLSOptional
	flagByTrace
)

var stateCodes = []State{Incoming, Deferred, Held, Corrupt, Delivered, Failed}

// encode returns the stored form of e, without its ID.
func (e *Entry) encode() []byte {
	env := &e.Envelope
	w := writer(make([]byte, 0, 192+96*len(e.Recipients)))
	w.head(e)
	w.text(env.From.Local)
	w.text(env.From.Domain)
	w.text(string(env.Body))
	w.text(string(env.Ret))
	w.text(env.EnvID)
	w.time(env.Received)
	w.origin(&env.Origin)
	w.byte(byte(env.Priority))
	w.time(env.HoldUntil)
	w.time(env.DeliverBy)
	w.text(string(env.ByMode))
	w.number(uint64(e.Size))
	w.text(e.origin)
	w.number(uint64(len(e.Recipients)))
	text := maxAnswers / max(len(e.Recipients), 1)
	for i := range e.Recipients {
		w.recipient(&e.Recipients[i], text)
	}
	return w
}

// head writes what is needed to free the content of an entry whose rest is damaged.
func (w *writer) head(e *Entry) {
	w.byte(formatEntry)
	w.byte(e.flags())
	w.content(e.content)
	*w = binary.BigEndian.AppendUint32(*w, crc32.ChecksumIEEE(*w))
}

func (w *writer) content(c contentRef) {
	if c.blob != "" {
		w.text(string(c.blob))
	} else {
		w.number(uint64(c.body))
	}
}

func (e *Entry) flags() (f byte) {
	if e.Envelope.SMTPUTF8 {
		f |= flagSMTPUTF8
	}
	if e.Envelope.RequireTLS {
		f |= flagRequireTLS
	}
	if e.content.blob != "" {
		f |= flagBlob
	}
	if e.Envelope.TLSOptional {
		f |= flagTLSOptional
	}
	if e.Envelope.ByTrace {
		f |= flagByTrace
	}
	return f
}

// decodeEntry reads what encode wrote, now or in an earlier format. It copies what it keeps.
func decodeEntry(id mail.QueueID, stored []byte) (*Entry, error) {
	r := reader{rest: string(stored)} // one copy; every text is a part of it
	e := &Entry{ID: id}
	flags := r.head(e)
	env := &e.Envelope
	env.ID = id
	env.SMTPUTF8, env.RequireTLS = flags&flagSMTPUTF8 != 0, flags&flagRequireTLS != 0
	env.TLSOptional, env.ByTrace = flags&flagTLSOptional != 0, flags&flagByTrace != 0
	env.From.Address = mail.Address{Local: r.text(), Domain: r.text()}
	env.Body = mail.BodyType(r.text())
	env.Ret = mail.Ret(r.text())
	env.EnvID = r.text()
	env.Received = r.time()
	env.Origin = r.origin()
	if r.format > formatFirst {
		env.Priority = int8(r.byte())
		env.HoldUntil, env.DeliverBy = r.time(), r.time()
		env.ByMode = mail.ByMode(r.text())
	}
	e.Size = int64(r.number())
	if r.format == formatFirst {
		e.content = r.content(flags)
	}
	e.origin = r.text()
	n := r.number()
	if r.bad || n == 0 || n > MaxRecipients || n > uint64(len(r.rest)) || len(e.origin)%originSize != 0 {
		return nil, errEntryFormat
	}
	e.Recipients = make([]Recipient, 0, n)
	for range n {
		if r.bad {
			break
		}
		e.Recipients = append(e.Recipients, r.recipient())
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errEntryFormat
	}
	return e, nil
}

// head reads format and flags, and into e where the content is, as far as the format tells so early.
func (r *reader) head(e *Entry) (flags byte) {
	all := r.rest
	r.format = r.byte()
	flags = r.byte()
	switch r.format {
	case formatFirst:
	case formatEntry:
		content := r.content(flags)
		sum := crc32.ChecksumIEEE([]byte(all[:len(all)-len(r.rest)]))
		if r.fixed32() != sum || r.bad {
			r.bad = true
			return flags
		}
		e.content = content
	default:
		r.bad = true
	}
	return flags
}

func (r *reader) content(flags byte) (c contentRef) {
	if flags&flagBlob != 0 {
		c.blob = blob.Name(r.text())
	} else {
		c.body = kv.BodyID(r.number())
	}
	return c
}

func (r *reader) fixed32() uint32 {
	if len(r.rest) < 4 {
		r.bad = true
		return 0
	}
	n := binary.BigEndian.Uint32([]byte(r.rest[:4]))
	r.rest = r.rest[4:]
	return n
}

// A writer appends values.
type writer []byte

func (w *writer) byte(b byte)     { *w = append(*w, b) }
func (w *writer) number(n uint64) { *w = binary.AppendUvarint(*w, n) }
func (w *writer) text(s string)   { w.number(uint64(len(s))); *w = append(*w, s...) }

// time writes Unix milliseconds, 0 for no time.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.number(0)
		return
	}
	w.number(uint64(max(t.UnixMilli(), 1)))
}

func (w *writer) origin(o *mail.Origin) {
	w.number(uint64(o.Account))
	w.text(o.Login)
	ip, _ := o.IP.MarshalBinary() // never fails
	w.text(string(ip))
	w.text(o.Name)
	w.text(o.Helo)
	w.text(o.Protocol)
	w.text(o.TLS)
}

// recipient writes r, with at most so many bytes of the text of its last answer.
func (w *writer) recipient(r *Recipient, text int) {
	w.text(r.Address.Local)
	w.text(r.Address.Domain)
	w.byte(byte(r.Notify))
	w.text(r.ORcpt)
	w.byte(stateCode(r.State))
	w.number(uint64(r.Attempts))
	w.time(r.Next)
	w.byte(r.bits())
	w.text(r.Reroute)
	w.number(uint64(r.lifetime / time.Second))
	if r.Status == nil {
		w.number(0)
		return
	}
	w.number(uint64(r.Status.Code))
	w.text(r.Status.Enhanced)
	answer := r.Status.Text
	if len(answer) > text {
		answer = strings.ToValidUTF8(answer[:text], "")
	}
	w.text(answer)
	w.text(r.Status.Peer)
}

// Bits about a recipient: what its sender knows of, and that the filter took the message for junk.
const (
	toldDelay = 1 << iota
	toldDeadline
	bitJunk
)

func (r *Recipient) bits() (b byte) {
	if r.Junk {
		b |= bitJunk
	}
	if r.warned {
		b |= toldDelay
	}
	if r.overdue {
		b |= toldDeadline
	}
	return b
}

// maxLifetime is the longest lifetime of a recipient that is stored, in seconds: a hundred years.
const maxLifetime = 100 * 365 * 24 * 3600

// stateCode returns the stored form of s. Active is not stored: it means that no outcome is known.
func stateCode(s State) byte {
	for i, known := range stateCodes {
		if s == known {
			return byte(i)
		}
	}
	return 0
}

// A reader takes values off rest; bad is set once one was not there.
type reader struct {
	rest   string
	bad    bool
	format byte // of the entry that is read
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) number() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) time() time.Time {
	ms := r.number()
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

func (r *reader) origin() mail.Origin {
	o := mail.Origin{Account: mail.AccountID(r.number()), Login: r.text()}
	var ip netip.Addr
	if err := ip.UnmarshalBinary([]byte(r.text())); err != nil {
		r.bad = true
	}
	o.IP = ip
	o.Name, o.Helo, o.Protocol, o.TLS = r.text(), r.text(), r.text(), r.text()
	return o
}

func (r *reader) recipient() Recipient {
	var p Recipient
	p.Address = mail.Address{Local: r.text(), Domain: r.text()}
	p.Notify = mail.Notify(r.byte())
	p.ORcpt = r.text()
	state := int(r.byte())
	if state >= len(stateCodes) {
		r.bad = true
		return p
	}
	p.State = stateCodes[state]
	p.Attempts = int(r.number())
	p.Next = r.time()
	bits := r.byte()
	p.warned, p.overdue, p.Junk = bits&toldDelay != 0, bits&toldDeadline != 0, bits&bitJunk != 0
	if r.format > formatFirst {
		p.Reroute = r.text()
		p.lifetime = time.Duration(min(r.number(), maxLifetime)) * time.Second
	}
	if code := r.number(); code != 0 {
		p.Status = &mail.Status{Code: int(code), Enhanced: r.text(), Text: r.text(), Peer: r.text()}
	}
	return p
}
