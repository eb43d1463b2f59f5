package quarantine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthaste/blob"
	"posthaste/directory"
	"posthaste/kv"
	"posthaste/mail"
	"posthaste/message"
)

// A State is where a message stands for one recipient.
type State string

// The states.
const (
	Kept     State = "kept"
	Released State = "released"
	Deleted  State = "deleted"
	Expired  State = "expired" // by age or by the bounds of bytes
)

// A Recipient is somebody a message is kept for.
type Recipient struct {
	mail.Recipient
	// Owner is whose decision it is: an account, as its number, or the address itself.
	Owner string `json:"owner"`
	State State  `json:"state"`
}

// An Entry is a message in the quarantine without its content.
type Entry struct {
	ID         ID            `json:"id"`
	Envelope   mail.Envelope `json:"envelope"` // its ID is that under which the message came
	Recipients []Recipient   `json:"recipients"`
	Verdict    mail.Verdict  `json:"verdict"`
	Outgoing   bool          `json:"outgoing,omitempty"`
	Reason     string        `json:"reason"`
	Time       time.Time     `json:"time"`               // when it was put
	Size       int64         `json:"size"`               // bytes of content
	Author     string        `json:"author,omitempty"`   // as people read it
	AuthorAt   string        `json:"authorat,omitempty"` // its address, in lower case
	Subject    string        `json:"subject,omitempty"`
	MessageID  string        `json:"messageid,omitempty"`
}

// A record is an Entry as it is stored.
type record struct {
	Entry
	Body   kv.BodyID `json:"body,omitempty"`
	Blob   blob.Name `json:"blob,omitempty"`
	Origin []byte    `json:"origin"` // tells a repeat
}

// hashSize is how much of a SHA-256 names a recipient, an owner or an origin in keys.
const hashSize = 16

func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:hashSize]
}

// newRecord makes the record of an item, but for the place of its content. The ID is made from the
// item alone, so that a repeat finds the first.
func (q *Quarantine) newRecord(ctx context.Context, item *Item) *record {
	h := message.ParseHeader(item.Content)
	r := &record{Entry: Entry{Envelope: item.Envelope, Verdict: item.Verdict, Outgoing: item.Outgoing,
		Reason: short(cmp.Or(item.Reason, item.Verdict.Reason, "its content or its sender is suspicious")),
		Time:   q.cfg.Clock().UTC(), Size: int64(len(item.Content)),
		Subject: short(h.Subject()), MessageID: short(h.MessageID())}}
	r.Author, r.AuthorAt = authorOf(h)
	r.Envelope.Recipients = nil // those of others who got the message do not belong here
	if len(r.Verdict.Findings) > maxFindings {
		r.Verdict.Findings = r.Verdict.Findings[:maxFindings]
	}
	names := make([]string, 0, len(item.Recipients))
	for _, to := range item.Recipients {
		name := fold(to.Address)
		if slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		r.Recipients = append(r.Recipients, Recipient{to, q.owner(ctx, item, to.Address), Kept})
	}
	slices.Sort(names)
	r.Origin = hashOf(string(item.Envelope.ID) + "\x00" + strings.Join(names, "\x00"))
	r.ID = r.nthID(0)
	return r
}

// owner returns whose decision a message is. Where that cannot be found out now, the address stands for
// itself.
func (q *Quarantine) owner(ctx context.Context, item *Item, a mail.Address) string {
	if item.Outgoing {
		if id := item.Envelope.Origin.Account; id != 0 {
			return ownerOf(id)
		}
		return fold(item.Envelope.From.Address)
	}
	const maxSteps = 5 // aliases in a row that are followed
	for step := 0; q.cfg.Directory != nil && step < maxSteps; step++ {
		target, err := q.cfg.Directory.Resolve(ctx, a)
		switch {
		case err != nil:
			q.cfg.Log.Warn("quarantine: cannot tell whose an address is", "to", a.String(), "err", err)
			return fold(a)
		case target.Kind == directory.KindAccount:
			return ownerOf(target.Account)
		case target.Kind == directory.KindAlias && target.Account != 0: // forwarded, but still its mail
			return ownerOf(target.Account)
		case target.Kind != directory.KindAlias || len(target.Addresses) != 1 || len(target.Branches) > 0:
			return fold(a)
		}
		a = target.Addresses[0]
	}
	return fold(a)
}

func ownerOf(id mail.AccountID) string { return strconv.FormatUint(uint64(id), 10) }

// account returns the account of an owner, or 0.
func (r *Recipient) account() mail.AccountID {
	id, err := strconv.ParseUint(r.Owner, 10, 64)
	if err != nil {
		return 0
	}
	return mail.AccountID(id)
}

// fold returns an address as keys have it.
func fold(a mail.Address) string { return strings.ToLower(a.String()) }

// authorOf returns who a message says it is from, and the address of that.
func authorOf(h message.Header) (name, address string) {
	for m := range message.Mailboxes(h.From()) {
		address = fold(m.Address())
		if len(address) > maxAddress {
			return "", ""
		}
		if m.Name == "" {
			return short(address), address
		}
		return short(m.Name + " <" + address + ">"), address
	}
	return "", ""
}

// short bounds a text for people, keeps it in one line and its letters in the order in which they stand:
// what turns the direction of writing makes a program's name look like a document's.
func short(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, s)
	runes := 0
	for i := range s {
		if runes++; runes > maxText {
			return s[:i] + "…"
		}
	}
	return s
}
