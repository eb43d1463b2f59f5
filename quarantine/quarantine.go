// Package quarantine keeps messages apart until somebody releases or deletes them, or they expire.
//
// [Quarantine.Put] returns once message and envelope are durable; from then on the quarantine, not the
// client, is responsible for the message. What was put leaves in one of these ways, each with an event
// in the trace for each recipient: [Quarantine.Release] gives it to the queue, which delivers it as it
// delivers any mail, without judging it again; [Quarantine.Delete] drops it; [Quarantine.Run] drops what
// is older than [Policy].Keep or, oldest first, what is beyond its bounds of bytes. Age and bounds are the
// discard rule of the owner of the host: Put itself never makes room by dropping.
//
// Everything is safe to repeat: a message put twice for the same recipients is kept once, and one that
// is released twice is delivered once. A crash may send a digest again, never lose one.
//
// [Quarantine.Handler] serves the links of digest mail: opening one shows a page, and only its button
// does something, since scanners open links by themselves.
//
// The package does not judge mail and does not decide what is put here. Keys and values are in
// docs/formats/quarantine.md.
package quarantine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"posthaste/blob"
	"posthaste/directory"
	"posthaste/kv"
	"posthaste/mail"
	"posthaste/trace"
)

// Bounds of one message.
const (
	MaxRecipients = 1000 // that one message is kept for
	maxFindings   = 200  // of a verdict
	maxAddress    = 320  // bytes of an author's address
	maxText       = 300  // characters of a subject, an author, a reason
)

var (
	// ErrNotFound means that there is no such message, or that it left so long ago that nothing is
	// known of it any more.
	ErrNotFound = errors.New("quarantine: no such message")
	// ErrGone means that the message left in another way than the one asked for.
	ErrGone = errors.New("quarantine: the message has left")
)

// An ID names a message in the quarantine. It has the form of a queue ID.
type ID = mail.QueueID

// A Queue delivers, as *queue.Queue does. To put one origin again is a no-op.
type Queue interface {
	NewIDFor(origin string) mail.QueueID
	PutOnce(ctx context.Context, origin string, env mail.Envelope, content mail.Content) (mail.QueueID, error)
	PutDerived(ctx context.Context, parent mail.QueueID, action string, recipient mail.Address,
		env mail.Envelope, content mail.Content) (mail.QueueID, error)
}

// A Directory tells whose an address is, as *directory.Layers does.
type Directory interface {
	Resolve(ctx context.Context, address mail.Address) (directory.Target, error)
}

// A Teacher learns what people say about messages. Account 0 is none in particular.
type Teacher interface {
	Learn(ctx context.Context, account mail.AccountID, content []byte, spam bool) error
}

// A Policy bounds what is kept and says when people hear of it.
type Policy struct {
	Keep     time.Duration // age at which a message expires
	PerOwner int64         // bytes kept for one account, or one address that is of no account; 0: no bound
	Max      int64         // bytes kept in all; 0: no bound
	Digest   string        // "off", "hourly", "daily" or "weekly" (on Mondays)
	Hour     int           // of the day, local time, for daily and weekly digests
	URL      string        // where Handler can be reached, without slash at the end; empty: digests have no links
}

// Config is what a Quarantine works with.
type Config struct {
	KV        kv.Store
	Blobs     blob.Store // nil: large messages cannot be put
	Queue     Queue
	Directory Directory // nil: every address is its own owner
	Teacher   Teacher   // nil: nobody learns
	// Secret returns the key of links, the same on all nodes. Nil: digests have no links.
	Secret   func(context.Context) ([]byte, error)
	Policy   func() Policy // in force now
	Hostname string        // our name in Message-ID
	From     mail.Address  // of digest mail

	Clock func() time.Time // default: time.Now
	Trace trace.Recorder   // default: none
	Log   *slog.Logger     // default: none
}

// A Quarantine is the quarantine of a store. It may be used at the same time, and by several nodes.
type Quarantine struct {
	cfg  Config
	full chan struct{} // has one when a Put saw that there is too much
}

// New returns the Quarantine in cfg.KV.
func New(cfg Config) *Quarantine {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Trace == nil {
		cfg.Trace = trace.Discard
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Quarantine{cfg: cfg, full: make(chan struct{}, 1)}
}

// An Item is a message to be put apart.
type Item struct {
	Envelope   mail.Envelope    // with its queue ID
	Recipients []mail.Recipient // those it is kept for: 1 to MaxRecipients
	Content    []byte           // with the header lines that we added
	Verdict    mail.Verdict
	Outgoing   bool   // from a user of ours: the sender, not the recipient, is its owner
	Reason     string // one sentence for people; default: that of the verdict
}

// Put keeps an item and returns its ID. On success it is durable. The same queue ID and recipients
// again are a no-op that returns the first ID, also when the message has left within the last week. A
// *mail.Status says what is wrong with an item; kv.ErrFull and blob.ErrFull that there is no space.
func (q *Quarantine) Put(ctx context.Context, item Item) (ID, error) {
	if n := len(item.Recipients); n == 0 || n > MaxRecipients {
		return "", mail.NewStatus(452, "4.5.3", "%d recipients: a message is kept for 1 to %d", n, MaxRecipients)
	}
	if _, err := mail.ParseQueueID(string(item.Envelope.ID)); err != nil {
		return "", fmt.Errorf("quarantine: put: %w", err)
	}
	r := q.newRecord(ctx, &item)
	packed, err := q.pack(ctx, r, item.Content)
	if err != nil {
		return "", fmt.Errorf("quarantine: put %s: %w", item.Envelope.ID, err)
	}
	fresh, held, err := false, int64(0), error(nil)
	_, err = q.cfg.KV.Update(ctx, bucketOf(r.ID), func(txn kv.Txn) (err error) {
		if fresh, err = r.claim(txn); err != nil || !fresh {
			return err
		}
		held, err = r.put(txn, packed)
		return err
	})
	if errors.Is(err, kv.ErrUnknown) {
		return "", fmt.Errorf("quarantine: put %s: %w", item.Envelope.ID, err) // the sweep finds its blob, should nothing name it
	}
	if err != nil || !fresh {
		q.discardBlob(r.Blob)
	}
	if err != nil {
		return "", fmt.Errorf("quarantine: put %s: %w", item.Envelope.ID, err)
	}
	if fresh {
		for i := range r.Recipients {
			q.tell(r, &r.Recipients[i], "kept apart: "+r.Reason, "")
		}
		q.mindBounds(held)
	}
	return r.ID, nil
}

// mindBounds wakes Run when one bucket holds more than its part of all that may be kept.
func (q *Quarantine) mindBounds(held int64) {
	if limit := q.cfg.Policy().Max; limit > 0 && held > limit/buckets {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
}

// tell leaves one event about one recipient.
func (q *Quarantine) tell(r *record, to *Recipient, text, by string) {
	e := trace.Event{ID: r.Envelope.ID, Step: trace.Quarantine, OK: true, Asked: string(r.ID), Text: text,
		From: r.Envelope.From.Path(), To: []mail.Address{to.Address}, MessageID: r.MessageID}
	if by != "" {
		e.Reason = "by " + by
	}
	q.cfg.Trace.Record(e)
}
