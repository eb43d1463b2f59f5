// Package queue keeps every accepted message until each of its recipients has an outcome: delivered,
// handed to another host, or reported to the sender as failed.
//
// [Queue.Put] returns once envelope and content are durable; from then on we, not the client, are
// responsible for the message (RFC 5321 section 6.1). [Queue.Run] hands due recipients to delivery
// agents and records their answers. A crash or a lost reply may deliver a message twice, never zero
// times. The queue does not look into content, except to quote it in a report, and does not choose
// routes: see [Router].
//
// Entries lie in 64 shards, each a partition "queue/<n>"; the low six bits of a queue ID are its
// shard. Keys of a shard (values in docs/formats/queue.md):
//
//	e <queue ID>             the entry: envelope, where the content is, a state per recipient
//	d <due> <queue ID>       next attempt; due is big-endian Unix milliseconds
//	k <origin>               derived mail: the queue ID that (parent, action, recipient) became
//	f <finished> <origin>    derived mail that is finished, forgotten after seven days
//	l                        the lease: which node schedules this shard
//	R <blob name>            a blob that an entry refers to
//
// What is known of a message between its Put and its outcome is in the store alone; memory holds a
// bounded window of the entries that are due, so that a restart forgets nothing and a long queue
// costs disk, not memory.
//
// Lock order: dispatcher.mu, then committer.mu or cache.mu; none is held during I/O or a callback.
package queue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
	"posthaste/trace"
)

// Shards is the number of partitions of a queue. It is part of the stored format.
const Shards = 64

// MaxRecipients bounds the recipients of one entry.
const MaxRecipients = 100_000

var (
	// ErrNoEntry is the answer where there is no such entry: it never was, or it is finished.
	ErrNoEntry = errors.New("queue: no such entry")
	// errLeaseLost means that another node schedules the shard now.
	errLeaseLost = errors.New("queue: the lease of the shard was lost")
)

// A Config says how a queue works. Zero values mean the defaults.
type Config struct {
	KV       kv.Store
	Blobs    blob.Store     // for content too big for a body of KV
	Hostname string         // our name in reports
	Node     uint16         // number of this node in queue IDs
	Log      *slog.Logger   // default: none
	Trace    trace.Recorder // default: none
	Policy   Policy

	// Lease is how long another node waits before it takes over the shards of a dead one. 0 means
	// that no other node can reach KV: leases are then taken once and need no upkeep.
	Lease time.Duration
	// Sign, where set, returns a report of ours with signatures, or as it is where it cannot be signed: a
	// report is never lost to that.
	Sign func(ctx context.Context, report []byte) []byte
	// Clock tells the time of the wall, which may jump; default [time.Now].
	Clock func() time.Time
	Limits
	Shaping Shaping
}

// Limits bound what a queue holds in memory and does at the same time.
type Limits struct {
	Window      int   // entries in memory, default 20,000
	Jobs        int   // deliveries at the same time, default 1,000
	Destination int   // deliveries to one destination at the same time, default 20
	Batch       int   // recipients of one entry in one delivery, default 100 (RFC 5321 section 4.5.3.1.8)
	CacheBytes  int64 // content kept in memory between Put and delivery, default 64 MiB

	Small        int64 // up to so many bytes mail is small, default 64 KiB: a quarter of Jobs and of each destination is its own
	ContentBytes int64 // content that running deliveries may hold, default 256 MiB; larger messages go alone
}

// A Queue is one queue in a kv.Store. Its methods may be called at the same time.
type Queue struct {
	kv         kv.Store
	blobs      blob.Store
	host       string
	node       uint16
	log        *slog.Logger
	trace      trace.Recorder
	settings   atomic.Pointer[settings]
	clock      func() time.Time                     // of the wall; tests make it jump
	sign       func(context.Context, []byte) []byte // of Config.Sign; nil where there is none
	lease      time.Duration
	cache      *cache
	rulebook   rulebook
	counter    atomic.Uint64
	dispatcher atomic.Pointer[dispatcher] // nil while Run does not run
}

// New returns the queue in cfg.KV. Nothing is delivered before [Queue.Run].
func New(cfg Config) *Queue {
	q := &Queue{
		kv: cfg.KV, blobs: cfg.Blobs, host: cfg.Hostname, node: cfg.Node,
		log: cfg.Log, trace: cfg.Trace, lease: cfg.Lease, clock: cfg.Clock, sign: cfg.Sign,
	}
	q.settings.Store(newSettings(cfg.Policy, cfg.Limits, cfg.Shaping))
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	if q.trace == nil {
		q.trace = trace.Discard
	}
	if q.clock == nil {
		q.clock = time.Now
	}
	q.cache = newCache(q.limits().CacheBytes)
	q.counter.Store(rand.Uint64())
	return q
}

func (l Limits) withDefaults() Limits {
	or := func(v *int, fallback int) {
		if *v <= 0 {
			*v = fallback
		}
	}
	or(&l.Window, 20_000)
	or(&l.Jobs, 1_000)
	or(&l.Destination, 20)
	or(&l.Batch, 100)
	if l.CacheBytes <= 0 {
		l.CacheBytes = 64 << 20
	}
	if l.Small <= 0 {
		l.Small = 64 << 10
	}
	if l.ContentBytes <= 0 {
		l.ContentBytes = 256 << 20
	}
	return l
}

// sameShard is how many IDs in a row share a shard: neighbours in time are then finished by one
// commit, which costs a busy queue a fraction of the commits.
const sameShard = 32

// NewID returns a new queue ID. An Acceptor takes it early, so that the trace of a session and of the
// message it brings share it.
func (q *Queue) NewID() mail.QueueID {
	n := q.counter.Add(1)
	return q.newIDIn(int(n / sameShard % Shards))
}

func (q *Queue) newIDIn(shard int) mail.QueueID {
	n := q.counter.Add(1)
	return mail.NewQueueID(time.Now(), q.node, uint32(n)*Shards|uint32(shard))
}

var errFull = mail.NewStatus(452, "4.3.1", "no space left to store the message, try again later")

// Put stores env and content durably, in one commit, and returns the queue ID: env.ID, or a new one
// when that is empty. Putting an ID that is in the queue is a no-op. Content may be closed after it.
//
// On error nothing is promised to the sender: a *mail.Status says what to answer, all else is
// temporary.
func (q *Queue) Put(ctx context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	known := env.ID != ""
	if !known {
		env.ID = q.NewID()
	}
	e := newEntry(env, q.clock())
	return e.ID, q.put(ctx, e, content.Bytes(), known)
}

// PutDerived is Put for mail that the delivery of a message makes: a forward, a redirect, an answer.
// Its origin is (parent, action, recipient); putting one origin again, also within seven days after
// its mail was finished, is a no-op that returns the first ID. So nothing derived is lost or sent
// twice by a crash.
func (q *Queue) PutDerived(ctx context.Context, parent mail.QueueID, action string, recipient mail.Address,
	env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	origin := string(parent) + "\x00" + action + "\x00" + recipient.String()
	env.ID = q.NewIDFor(origin)
	return q.PutOnce(ctx, origin, env, content)
}

// PutOnce is Put for mail with a name of its own, its origin: putting one origin again, also within
// seven days after its mail was finished, is a no-op that returns the first ID. env.ID is one of
// NewIDFor(origin).
func (q *Queue) PutOnce(ctx context.Context, origin string, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	sum := sha256.Sum256([]byte(origin))
	e := newEntry(env, q.clock())
	e.origin = string(sum[:originSize])
	err := q.put(ctx, e, content.Bytes(), true)
	return e.ID, err
}

// NewIDFor returns a new queue ID for PutOnce.
func (q *Queue) NewIDFor(origin string) mail.QueueID {
	sum := sha256.Sum256([]byte(origin))
	return q.newIDIn(int(sum[originSize]) % Shards)
}

// put commits e, which is new, and offers it to the dispatcher. With check it first looks whether e
// is known; e.ID then becomes the ID under which it is.
func (q *Queue) put(ctx context.Context, e *Entry, content []byte, check bool) error {
	if len(e.Recipients) == 0 || len(e.Recipients) > MaxRecipients {
		return mail.NewStatus(554, "5.5.3", "a message needs 1 to %d recipients, this one has %d", MaxRecipients, len(e.Recipients))
	}
	if err := q.holdByRule(ctx, e); err != nil {
		return err
	}
	e.Size = int64(len(content))
	packed, err := q.pack(ctx, e, content)
	if errors.Is(err, blob.ErrFull) {
		return errFull
	}
	if err != nil {
		return fmt.Errorf("queue: put %s: %w", e.ID, err)
	}
	d := q.dispatcher.Load()
	d.expect(e.ID)
	var known mail.QueueID
	write := func(tx kv.Txn) error {
		if known = ""; check {
			if known, err = findKnown(tx, e); err != nil || known != "" {
				return err
			}
		}
		e.insert(tx, packed)
		return nil
	}
	_, err = q.kv.Update(ctx, shardPartition(shardOf(e.ID)), write)
	if errors.Is(err, kv.ErrUnknown) { // the same ID again: in the queue once, whatever happened
		check = true
		_, err = q.kv.Update(ctx, shardPartition(shardOf(e.ID)), write)
	}
	if err == nil && known == "" {
		q.arrived(d, e, content)
		return nil
	}
	d.unexpect(e.ID)
	switch {
	case errors.Is(err, kv.ErrFull):
		q.discardBlob(e)
		return errFull
	case errors.Is(err, kv.ErrTooLarge):
		q.discardBlob(e)
		return mail.NewStatus(554, "5.5.3", "the envelope is too large: send to %d recipients in several messages", len(e.Recipients))
	case err != nil:
		return fmt.Errorf("queue: put %s: %w", e.ID, err)
	}
	if known != e.ID { // else its blob may be that of the entry
		q.discardBlob(e)
	}
	e.ID = known
	return nil
}

// arrived tells of an entry that was just committed and that d expects, and starts its delivery.
func (q *Queue) arrived(d *dispatcher, e *Entry, content []byte) {
	q.trace.Record(trace.Event{
		ID: e.ID, Step: trace.Queue, OK: true, From: sender(e), To: e.addresses(),
		Text: fmt.Sprintf("queued for %s, %d bytes", people(len(e.Recipients)), e.Size),
	})
	if d == nil {
		if d = q.dispatcher.Load(); d != nil { // it started meanwhile, and may have read the shard before
			d.look(&d.shards[shardOf(e.ID)])
		}
		return
	}
	q.cache.add(e.ID, content)
	d.offer(e)
}

// findKnown returns the ID under which e is already in the shard, or finished there, or "".
func findKnown(tx kv.Txn, e *Entry) (mail.QueueID, error) {
	if e.origin != "" {
		v, err := tx.Get(originKey(e.origin))
		switch {
		case err == nil:
			return mail.QueueID(strings.Clone(string(v))), nil
		case !errors.Is(err, kv.ErrNotFound):
			return "", err
		}
	}
	_, err := tx.Get(entryKey(e.ID))
	switch {
	case err == nil:
		return e.ID, nil
	case errors.Is(err, kv.ErrNotFound):
		return "", nil
	default:
		return "", err
	}
}

// insert writes a new entry with its content and its due time.
func (e *Entry) insert(tx kv.Txn, packed []byte) {
	tx.Put(entryKey(e.ID), e.encode())
	if due := e.due(); due != 0 { // else it is on hold
		tx.Put(dueKey(due, e.ID), nil)
	}
	if e.content.body != 0 {
		tx.PutBody(e.content.body, packed)
	} else {
		tx.Put(blobKey(e.content.blob), nil)
	}
	if e.origin != "" {
		tx.Put(originKey(e.origin), []byte(e.ID))
	}
}

func sender(e *Entry) string {
	return "<" + e.Envelope.From.String() + ">"
}

func people(n int) string {
	if n == 1 {
		return "1 recipient"
	}
	return fmt.Sprintf("%d recipients", n)
}
