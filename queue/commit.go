package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"posthaste/kv"
	"posthaste/mail"
	"posthaste/trace"
)

// A committer records outcomes in one shard. What comes while a commit runs goes with the next one,
// so that the busier the queue is, the fewer commits a message costs.
type committer struct {
	d     *dispatcher
	shard *shard
	rand  *rand.Rand // of the goroutine that commits

	mu      sync.Mutex // guards the rest
	pending []closing
	running bool
}

// A closing is the end of a task.
type closing struct {
	task       *task
	answers    []*mail.Status
	unreadable error // why the content cannot be read; then there are no answers
	at         time.Time
	unasked    bool      // nobody was asked: the destination is suspended or a limit is used up
	until      time.Time // when unasked: how long that lasts
	unrouted   bool      // no way was found
	hold       string    // why an operator is to release it first; then there are no answers
}

func (c *committer) init(d *dispatcher, s *shard) {
	c.d, c.shard = d, s
	c.rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
}

func (c *committer) add(cl closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, cl)
	if !c.running {
		c.running = true
		c.d.work.Go(c.run)
	}
}

func (c *committer) take() []closing {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.pending
	c.pending = nil
	c.running = len(batch) > 0
	return batch
}

func (c *committer) run() {
	for batch := c.take(); batch != nil; batch = c.take() {
		changes := make([]*change, 0, len(batch))
		for _, cl := range batch {
			changes = append(changes, c.settle(cl))
		}
		c.commit(changes)
	}
}

// A change is what a closing does to its entry.
type change struct {
	task     *task
	at       time.Time
	verdicts map[int]verdict // by index of the recipient
	report   *Entry          // to put in the same commit, or nil
	packed   []byte          // its content
	content  []byte

	// Set by the commit.
	reported reportState
	finished *Entry // the entry as it was when its last recipient closed, or nil
}

// A reportState says what a commit did with the report of a change.
type reportState int

const (
	notPut    reportState = iota // the change came too late: nothing is to be reported
	putNow                       // it is in the queue
	putUnseen                    // it was there: an earlier commit, whose outcome was unknown, did happen
)

// settle decides what the answers mean, and writes the report that they call for.
func (c *committer) settle(cl closing) *change {
	ch := &change{task: cl.task, at: cl.at, verdicts: map[int]verdict{}}
	e := cl.task.record.entry
	stopped := c.d.jobs.Err() != nil
	policy := c.d.q.policy()
	m := moment{
		env: &e.Envelope, now: cl.at, patient: c.d.isPatient(),
		chance: c.rand.Float64(), // one for all, so that what is deferred together goes out together again
	}
	for n, i := range cl.task.recipients {
		r := e.Recipients[i]
		switch {
		case cl.unreadable != nil:
			r.State, r.Next = Corrupt, time.Time{}
			r.Status = &mail.Status{Code: 451, Enhanced: "4.3.0", Text: cl.unreadable.Error()}
			ch.verdicts[i] = verdict{recipient: r}
		case cl.hold != "":
			r.hold(cl.hold)
			ch.verdicts[i] = verdict{recipient: r}
		case stopped && cl.answers[n].Temporary():
			// Our own end cut the attempt off: it is due as before.
		default:
			ch.verdicts[i] = cl.settle(policy, r, cl.answers[n], m)
		}
	}
	if err := c.d.q.writeReport(c.d.jobs, ch); err != nil {
		c.d.q.log.Error("queue: cannot write a report, so the message stays", "qid", e.ID, "err", err)
		c.postpone(ch)
	}
	return ch
}

// settle decides what an answer means for one recipient.
func (cl *closing) settle(p Policy, r Recipient, answer *mail.Status, m moment) verdict {
	if cl.unasked {
		return p.unasked(r, answer, m, cl.until)
	}
	v := p.settle(r, answer, m)
	if soon := m.now.Add(maxRoutePause); cl.unrouted && v.recipient.State == Deferred && v.recipient.Next.After(soon) {
		v.recipient.Next = soon // asking for the way is cheap, and heals often
	}
	return v
}

// postpone keeps the recipients that a report is due for: who is not told must not be closed.
func (c *committer) postpone(ch *change) {
	for i, v := range ch.verdicts {
		if v.report != noReport {
			v.recipient.State, v.report = Deferred, noReport
			v.recipient.warned = ch.task.record.entry.Recipients[i].warned
			v.recipient.Next = ch.at.Add(c.d.q.policy().First)
			ch.verdicts[i] = v
		}
	}
}

// The pauses between attempts to commit.
const (
	firstCommitPause = 100 * time.Millisecond
	maxCommitPause   = 30 * time.Second
)

// commit records changes, however long that takes. It gives up only when the queue ends or the shard
// is another node's; what was not recorded is then delivered again.
func (c *committer) commit(changes []*change) {
	for _, ch := range changes {
		if ch.report != nil {
			c.d.expect(ch.report.ID)
		}
	}
	c.record(changes)
}

// record is commit for changes whose reports are expected.
func (c *committer) record(changes []*change) {
	for pause := firstCommitPause; ; pause = min(2*pause, maxCommitPause) {
		_, err := c.d.q.kv.Update(context.WithoutCancel(c.d.jobs), shardPartition(c.shard.number), func(tx kv.Txn) error {
			return c.write(tx, changes)
		})
		switch {
		case err == nil:
			c.committed(changes)
			return
		case errors.Is(err, kv.ErrTooLarge) && len(changes) > 1:
			c.record(changes[:len(changes)/2])
			c.record(changes[len(changes)/2:])
			return
		case errors.Is(err, errLeaseLost):
			c.d.drop(c.shard, otherTook)
			c.abandon(changes)
			return
		}
		c.d.q.log.Error("queue: cannot record outcomes, trying again", "shard", c.shard.number, "err", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-c.d.jobs.Done():
			c.abandon(changes)
			return
		}
	}
}

// write applies changes to the entries as they are stored now.
func (c *committer) write(tx kv.Txn, changes []*change) error {
	if err := checkLease(tx, c.shard.epoch); err != nil {
		return err
	}
	tx.Quiet() // outcomes wake nobody
	entries := make([]*touched, 0, len(changes))
	known := make(map[mail.QueueID]*touched, len(changes))
	for _, ch := range changes {
		id := ch.task.record.entry.ID
		if known[id] == nil {
			t, err := touch(tx, id)
			if err != nil {
				return err
			}
			known[id], entries = t, append(entries, t)
		}
		if err := ch.write(tx, known[id]); err != nil {
			return err
		}
	}
	for _, t := range entries {
		t.write(tx)
	}
	return nil
}

// A touched is an entry that a commit changes: once, however many changes there are to it.
type touched struct {
	entry  *Entry // nil when there is none that can be changed
	before int64  // when it was due
	last   *change
}

// touch reads an entry. One that an operator deleted, or that an earlier commit finished, is gone, and
// what cannot be read is left for the operator.
func touch(tx kv.Txn, id mail.QueueID) (*touched, error) {
	stored, err := tx.Get(entryKey(id))
	if isMissing(err) {
		return &touched{}, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := decodeEntry(id, stored)
	if err != nil {
		return &touched{}, nil
	}
	return &touched{entry: e, before: e.due()}, nil
}

// write applies ch to its entry, and puts its report.
func (ch *change) write(tx kv.Txn, t *touched) error {
	ch.reported, ch.finished = notPut, nil
	if ch.report != nil {
		if _, err := tx.Get(entryKey(ch.report.ID)); err == nil {
			ch.reported = putUnseen
		} else if !isMissing(err) {
			return err
		}
	}
	if t.entry == nil {
		return nil
	}
	t.last = ch
	if closed := ch.apply(t.entry); closed && ch.report != nil {
		ch.report.insert(tx, ch.packed)
		ch.reported = putNow
	}
	return nil
}

// write stores the entry as the changes have left it.
func (t *touched) write(tx kv.Txn) {
	switch {
	case t.entry == nil:
	case t.entry.finished():
		t.last.finished = t.entry
		t.entry.remove(tx, t.before, t.last.at)
	default:
		t.entry.store(tx, t.before)
	}
}

// apply brings the verdicts into e, whose recipients an operator may have touched meanwhile, and
// tells whether any had an open recipient.
func (ch *change) apply(e *Entry) (applied bool) {
	for i, v := range ch.verdicts {
		r := &e.Recipients[i]
		if !r.State.Open() {
			continue
		}
		applied = true
		held, reroute := r.State == Held, r.Reroute
		*r = v.recipient
		r.Reroute = reroute
		if held && r.State == Deferred {
			r.State, r.Next = Held, time.Time{}
		}
	}
	return applied
}

// store writes e back, which was due at before.
func (e *Entry) store(tx kv.Txn, before int64) {
	tx.Put(entryKey(e.ID), e.encode())
	if due := e.due(); due != before {
		if before != 0 {
			tx.Delete(dueKey(before, e.ID))
		}
		if due != 0 {
			tx.Put(dueKey(due, e.ID), nil)
		}
	}
}

// remove deletes e, which was due at before, and its content. Derived mail leaves its origin.
func (e *Entry) remove(tx kv.Txn, before int64, now time.Time) {
	tx.Delete(entryKey(e.ID))
	if before != 0 {
		tx.Delete(dueKey(before, e.ID))
	}
	switch c := e.content; { // neither, when the entry is too damaged to name it
	case c.body != 0:
		tx.DeleteBody(c.body)
	case c.blob != "":
		tx.Delete(blobKey(c.blob))
	}
	if e.origin != "" {
		tx.Put(finishedKey(now.UnixMilli(), e.origin), nil)
	}
}

// committed follows up on changes that are durable.
func (c *committer) committed(changes []*change) {
	c.d.mu.Lock()
	for _, ch := range changes {
		r := ch.task.record
		for i, v := range ch.verdicts {
			r.entry.Recipients[i] = v.recipient
		}
		if r.open--; r.open <= 0 && !r.dropped {
			c.d.forget(r)
		}
		c.d.ended(r)
		if ch.finished == nil && c.shard.dueAt(r.entry.Next()) {
			c.d.poke()
		}
	}
	c.d.mu.Unlock()
	for _, ch := range changes {
		c.tell(ch)
		if ch.finished != nil {
			c.d.q.cache.remove(ch.finished.ID)
			c.d.q.discardBlob(ch.finished)
		}
		switch {
		case ch.report == nil:
		case ch.reported == putNow:
			c.d.q.arrived(c.d, ch.report, ch.content)
		case ch.reported == putUnseen:
			c.d.unexpect(ch.report.ID)
		default:
			c.d.unexpect(ch.report.ID)
			c.d.q.discardBlob(ch.report)
		}
	}
}

// abandon forgets changes that will not be recorded.
func (c *committer) abandon(changes []*change) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for _, ch := range changes {
		if ch.report != nil {
			delete(c.d.arriving, ch.report.ID)
		}
		if r := ch.task.record; r.open > 0 {
			if r.open--; r.open == 0 && !r.dropped {
				c.d.forget(r)
			}
			c.d.ended(r)
		}
	}
}

// tell logs the outcome of each recipient, and traces what the queue does next.
func (c *committer) tell(ch *change) {
	e := ch.task.record.entry
	var later time.Time
	for _, v := range ch.verdicts {
		r := &v.recipient
		c.d.q.log.LogAttrs(context.Background(), slog.LevelInfo, "queue: outcome", slog.String("qid", string(e.ID)),
			slog.String("from", e.Envelope.From.String()), slog.String("to", r.Address.String()),
			slog.String("state", string(r.State)), slog.String("status", r.Status.Error()),
			slog.String("peer", r.Status.Peer), slog.Duration("age", ch.at.Sub(e.Created())))
		if r.State == Deferred && (later.IsZero() || r.Next.Before(later)) {
			later = r.Next
		}
	}
	if !later.IsZero() {
		first := ch.verdicts[ch.task.recipients[0]].recipient
		c.d.q.trace.Record(trace.Event{
			ID: e.ID, Step: trace.Queue, Peer: first.Status.Peer, Answered: first.Status.Error(),
			Text: fmt.Sprintf("deferred, next attempt in %s", duration(later.Sub(ch.at))),
		})
	}
	if ch.finished != nil {
		c.d.q.trace.Record(trace.Event{ID: e.ID, Step: trace.Queue, OK: true, Text: outcomes(ch.finished)})
	}
}

// outcomes sums a finished entry up in words.
func outcomes(e *Entry) string {
	failures := 0
	for i := range e.Recipients {
		if e.Recipients[i].State == Failed {
			failures++
		}
	}
	switch n := len(e.Recipients); failures {
	case 0:
		return "left the queue: every recipient was served"
	case n:
		return "left the queue: no recipient could be served"
	default:
		return fmt.Sprintf("left the queue: %d of %d recipients could not be served", failures, n)
	}
}

func isMissing(err error) bool { return errors.Is(err, kv.ErrNotFound) }
