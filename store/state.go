package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"posthaste/kv"
	"posthaste/mail"
)

// A state is an account at one version, as far as it is loaded: all mailbox records, the rows of the
// mailboxes that were asked for, and the chunks of emails that those point into. It never changes.
type state struct {
	version  mail.ModSeq
	boxes    []boxRecord // by ID
	subs     []string    // in order
	keywords keywordNames
	emails   emailTable
	members  map[MailboxID]memberTable // a key for each mailbox that is loaded
	tail     int                       // log entries that were replayed to load it, 0 when it was advanced
}

// bytes estimates the memory that s holds alone.
func (s *state) bytes() int64 {
	const overhead = 256
	n := int64(overhead * (1 + len(s.boxes)))
	for _, c := range s.emails {
		n += overhead + int64(cap(c.rows))*int64(unsafe.Sizeof(emailRow{}))
	}
	for _, t := range s.members {
		for _, c := range t {
			n += overhead + int64(cap(c.rows))*int64(unsafe.Sizeof(memberRow{}))
		}
	}
	return n
}

// box returns the record of a mailbox.
func (s *state) box(id MailboxID) (*boxRecord, error) {
	if i, ok := findBox(s.boxes, id); ok {
		return &s.boxes[i], nil
	}
	return nil, fmt.Errorf("store: mailbox %d: %w", id, ErrNoMailbox)
}

// current reports whether s is the state at version with the rows of the mailboxes want.
func (s *state) current(version kv.Version, want []MailboxID) bool {
	return s.covers(version, want) && s.version == mail.ModSeq(version)
}

// covers reports whether s is the state at version or later with the rows of the mailboxes want.
func (s *state) covers(version kv.Version, want []MailboxID) bool {
	if s == nil || s.version < mail.ModSeq(version) {
		return false
	}
	for _, id := range want {
		if _, ok := s.members[id]; !ok {
			return false
		}
	}
	return true
}

// advance returns the state that r shows, with the rows of the mailboxes want, as far as those exist.
// from is the state to start from; nil to start afresh.
func advance(r kv.Reader, from *state, want ...MailboxID) (*state, error) {
	if from.current(r.Version(), want) {
		return from, nil
	}
	s, err := catchUp(r, from)
	if err != nil {
		return nil, err
	}
	if s == nil {
		if s, err = readState(r); err != nil {
			return nil, err
		}
	}
	for _, id := range want {
		if _, ok := s.members[id]; ok {
			continue
		}
		if s, err = s.load(r, id); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// catchUp brings from to the version of r through the log. It returns nil when the log does not reach.
func catchUp(r kv.Reader, from *state) (*state, error) {
	version := mail.ModSeq(r.Version())
	if from == nil || from.version > version {
		return nil, nil
	}
	log, complete, err := readLog(r, from.version+1, version)
	if err != nil || !complete {
		return nil, err
	}
	if len(log) == 0 {
		return from, nil
	}
	e := newEdit(from)
	for _, c := range log {
		e.apply(c)
	}
	if err := e.readTouched(r); err != nil {
		return nil, err
	}
	e.s.tail = 0 // was told when it was loaded
	return e.s.loadEmails(r, e.missing)
}

// readTouched reads the records of the mailboxes that changed.
func (e *edit) readTouched(r kv.Reader) error {
	e.s.boxes = slices.Clone(e.s.boxes)
	for id := range e.touched {
		i, have := findBox(e.s.boxes, id)
		value, err := r.Get(mailboxKey(id))
		switch {
		case errors.Is(err, kv.ErrNotFound) && have:
			e.s.boxes = slices.Delete(e.s.boxes, i, i+1)
			continue
		case errors.Is(err, kv.ErrNotFound):
			continue
		case err != nil:
			return err
		}
		box, err := decodeBox(id, value)
		if err != nil {
			return err
		}
		if have {
			e.s.boxes[i] = box
		} else {
			e.s.boxes = slices.Insert(e.s.boxes, i, box)
		}
	}
	return nil
}

// readState returns the state that r shows, without rows.
func readState(r kv.Reader) (*state, error) {
	if _, err := getHead(r); err != nil {
		return nil, err
	}
	s := &state{version: mail.ModSeq(r.Version()), members: make(map[MailboxID]memberTable)}
	var err error
	if s.boxes, err = readBoxes(r); err != nil {
		return nil, err
	}
	if s.subs, err = readSubscriptions(r); err != nil {
		return nil, err
	}
	s.keywords, err = readKeywords(r)
	return s, err
}

// load returns s, which is at the version of r, with the rows of one mailbox.
func (s *state) load(r kv.Reader, id MailboxID) (*state, error) {
	if _, err := s.box(id); err != nil {
		return s, nil
	}
	log, err := readTail(r)
	if err != nil {
		return nil, err
	}
	table, err := readMembers(r, id)
	if err != nil {
		return nil, err
	}
	e := newEdit(&state{members: map[MailboxID]memberTable{id: table}})
	for _, c := range log {
		e.apply(c)
	}
	next := *s
	next.members = make(map[MailboxID]memberTable, len(s.members)+1)
	for box, t := range s.members {
		next.members[box] = t
	}
	table = e.s.members[id]
	next.members[id] = table
	next.tail = len(log)
	return next.loadEmails(r, next.unloaded(table))
}

// unloaded returns the chunks of emails that table points into and s lacks.
func (s *state) unloaded(table memberTable) map[uint64]bool {
	missing := make(map[uint64]bool)
	last := ^uint64(0)
	for _, c := range table {
		for i := range c.rows {
			n := emailChunkOf(c.rows[i].email)
			if n == last {
				continue
			}
			if last = n; s.emails.chunk(n) == nil {
				missing[n] = true
			}
		}
	}
	return missing
}

// readTail returns the log since the snapshot.
func readTail(r kv.Reader) ([]*change, error) {
	p, err := getProgress(r)
	if err != nil {
		return nil, err
	}
	log, complete, err := readLog(r, p.snapshot+1, mail.ModSeq(r.Version()))
	if err == nil && !complete {
		err = fmt.Errorf("store: log since snapshot %d is not complete: %w", p.snapshot, kv.ErrCorrupt)
	}
	return log, err
}

// loadEmails returns s, which is at the version of r, with the chunks numbered in missing.
func (s *state) loadEmails(r kv.Reader, missing map[uint64]bool) (*state, error) {
	if len(missing) == 0 {
		return s, nil
	}
	log, err := readTail(r)
	if err != nil {
		return nil, err
	}
	fresh, err := readEmails(r, missing)
	if err != nil {
		return nil, err
	}
	e := newEdit(&state{emails: fresh})
	for _, c := range log {
		e.apply(c)
	}
	next := *s
	next.emails = slices.Grow(slices.Clone(s.emails), len(missing))
	for _, c := range e.s.emails {
		if missing[c.n] {
			next.emails = append(next.emails, c)
		}
	}
	slices.SortFunc(next.emails, func(a, b *emailChunk) int { return int(int64(a.n) - int64(b.n)) })
	return &next, nil
}

// A packedChunk is a chunk as read.
type packedChunk struct {
	n     uint64
	value []byte
}

// readMembers reads all chunks of a mailbox as of the snapshot.
func readMembers(r kv.Reader, id MailboxID) (memberTable, error) {
	prefix := membersPrefix(id)
	var packed []packedChunk
	seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
	for key, value := range seq {
		packed = append(packed, packedChunk{memberChunkNumber(key), slices.Clone(value)})
	}
	if err := errf(); err != nil {
		return nil, err
	}
	return unpack(packed, decodeMemberChunk)
}

// readEmails reads chunks of emails as of the snapshot; one that is not stored is empty.
func readEmails(r kv.Reader, wanted map[uint64]bool) (emailTable, error) {
	numbers := slices.Sorted(maps.Keys(wanted))
	packed, err := readChunks(r, numbers, emailsKey, emailChunkNumber)
	if err != nil {
		return nil, err
	}
	read, err := unpack(packed, decodeEmailChunk)
	if err != nil {
		return nil, err
	}
	return withEmpty(read, numbers), nil
}

// scanGap is how many chunks nobody asked for are read over rather than starting a new scan.
const scanGap = 4

// readChunks reads those of the chunks numbers, ascending, that are stored.
func readChunks(r kv.Reader, numbers []uint64, keyOf func(uint64) []byte, numberOf func([]byte) uint64) ([]packedChunk, error) {
	packed := make([]packedChunk, 0, len(numbers))
	for i := 0; i < len(numbers); {
		end := i + 1
		for end < len(numbers) && numbers[end]-numbers[end-1] <= scanGap {
			end++
		}
		seq, errf := r.Scan(keyOf(numbers[i]), keyOf(numbers[end-1]+1), false)
		for key, value := range seq {
			n := numberOf(key)
			if _, ok := slices.BinarySearch(numbers[i:end], n); ok {
				packed = append(packed, packedChunk{n, slices.Clone(value)})
			}
		}
		if err := errf(); err != nil {
			return nil, err
		}
		i = end
	}
	return packed, nil
}

// withEmpty adds an empty chunk for each number that t lacks.
func withEmpty(read []*emailChunk, numbers []uint64) emailTable {
	t := make(emailTable, 0, len(numbers))
	for _, n := range numbers {
		if len(read) > 0 && read[0].n == n {
			t = append(t, read[0])
			read = read[1:]
		} else {
			t = append(t, &emailChunk{n: n})
		}
	}
	return t
}

// unpackBatch is how many chunks are worth another goroutine.
const unpackBatch = 16

// unpack decodes chunks, many of them on several cores.
func unpack[T any](packed []packedChunk, decode func(uint64, []byte) (T, error)) ([]T, error) {
	list := make([]T, len(packed))
	workers := max(1, min(runtime.GOMAXPROCS(0), len(packed)/unpackBatch))
	share := (len(packed) + workers - 1) / workers
	var group errgroup.Group
	for w := range workers {
		group.Go(func() (err error) {
			for i := w * share; i < min((w+1)*share, len(packed)) && err == nil; i++ {
				list[i], err = decode(packed[i].n, packed[i].value)
			}
			return err
		})
	}
	return list, group.Wait()
}

// at returns the state at the newest durable version with the rows of the mailboxes want, as far as
// they exist, and keeps it for all.
func (a *Account) at(ctx context.Context, want ...MailboxID) (*state, error) {
	s := a.cached()
	var version kv.Version
	err := a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) error {
		version = r.Version()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.current(version, want) {
		return s, nil
	}
	a.loading.Lock()
	defer a.loading.Unlock()
	if s = a.cached(); s.covers(version, want) {
		return s, nil // who had the lock before read it for all that waited
	}
	err = a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
		s, err = advance(r, a.cached(), want...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: account %d: %w", a.id, err)
	}
	a.keep(s)
	return s, nil
}

// cached returns the state in memory, or nil.
func (a *Account) cached() *state {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = a.store.now()
	return a.state
}

// keep makes s, which is durable, the state that others start from.
func (a *Account) keep(s *state) {
	size := s.bytes()
	a.mu.Lock()
	grown := size - a.size
	a.state, a.size = s, size
	a.mu.Unlock()
	a.store.cached(a, grown)
	if s.tail >= snapshotEvery {
		a.store.wantSnapshot(a)
	}
}
