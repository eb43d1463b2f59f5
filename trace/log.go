package trace

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"posthaste/kv"
)

const (
	flushEvery = 100 * time.Millisecond
	retryEvery = 10 * time.Second // when the store does not take events
	sweepEvery = 10 * time.Minute
	maxPending = 100_000 // events in memory, between two flushes
	maxBlock   = 8_192   // events of one block
)

// A Config says where a Log writes and how much it keeps.
type Config struct {
	KV   kv.Store
	Node string        // host name, put into events that have none
	ID   uint16        // number of the node, as in mail.QueueID
	Keep time.Duration // age at which events go
	Max  int64         // most bytes kept; the oldest hours go first
	Log  *slog.Logger
}

// A Log is the Recorder that keeps events in the store. Run must be running for them to get there.
//
// Keys in partition "trace/<node>/<hour>" (values in docs/formats/trace.md):
//
//	b<ms><seq>  a block of events
//	h<ms><seq>  sorted hashes of what the block can be searched by
//	s           bytes of all blocks
type Log struct {
	cfg     Config
	dropped atomic.Int64

	mu       sync.Mutex // guards what follows
	pending  []Event
	waiting  int // bytes of pending
	told     int // of pending: watchers have seen them
	watchers map[int]func(Event)
	nextID   int

	recorded chan struct{} // wakes Run: something is pending

	flushing sync.Mutex // held while pending events go to the store; before mu
	seq      uint16
}

// New returns a Log. Call Run to have events written.
func New(cfg Config) *Log {
	return &Log{cfg: cfg, watchers: map[int]func(Event){}, recorded: make(chan struct{}, 1)}
}

// Record takes e. Past its bound it drops events and counts them.
func (l *Log) Record(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.Node == "" {
		e.Node = l.cfg.Node
	}
	if e.From != "<>" {
		e.From = strings.Trim(e.From, "<>")
	}
	e.clip()
	size := e.size()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) >= maxPending || l.waiting+size > maxWaiting {
		l.dropped.Add(1)
		return
	}
	l.pending = append(l.pending, e)
	l.waiting += size
	l.wake()
}

// wake tells Run that something is pending.
func (l *Log) wake() {
	select {
	case l.recorded <- struct{}{}:
	default:
	}
}

// Dropped returns how many events were lost since the start.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Watch calls f with every event recorded from now on, in order, within a moment, until cancel.
// f must be quick.
func (l *Log) Watch(f func(Event)) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.nextID
	l.nextID++
	l.watchers[id] = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, id)
	}
}

// Run writes events to the store, flushEvery after the first of them, and deletes old ones until ctx
// ends; then it writes the rest. While nothing happens it sleeps.
func (l *Log) Run(ctx context.Context) error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	var flush <-chan time.Time // nil while nothing is pending
	for {
		var err error
		select {
		case <-ctx.Done():
			return l.Flush(context.WithoutCancel(ctx))
		case <-l.recorded:
			if flush == nil {
				flush = time.After(flushEvery)
			}
		case <-flush:
			flush = nil
			if err = l.Flush(ctx); err != nil {
				flush = time.After(retryEvery)
			}
		case <-sweep.C:
			err = l.sweep(ctx, time.Now())
		}
		if err != nil && ctx.Err() == nil {
			l.cfg.Log.Warn("trace is not written", "err", err)
		}
	}
}

// Flush writes what was recorded so far. Events that the store did not take are kept for the next
// time, within the bound.
func (l *Log) Flush(ctx context.Context) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	events, news := l.pending, l.pending[l.told:]
	l.pending, l.waiting, l.told = nil, 0, 0
	watchers := make([]func(Event), 0, len(l.watchers))
	for _, f := range l.watchers {
		watchers = append(watchers, f)
	}
	l.mu.Unlock()
	for _, f := range watchers {
		for _, e := range news {
			f(e)
		}
	}
	for len(events) > 0 {
		n := blockLen(events)
		if err := l.write(ctx, events[:n]); err != nil {
			l.putBack(events)
			return fmt.Errorf("trace: write %d events: %w", n, err)
		}
		events = events[n:]
	}
	return nil
}

// blockLen returns how many of the first events make one block: all of one hour, within the bound.
func blockLen(events []Event) int {
	n, size := 1, events[0].size()
	for n < len(events) && n < maxBlock && size < maxBlockSize && hourOf(events[n].Time) == hourOf(events[0].Time) {
		size += events[n].size()
		n++
	}
	return n
}

func (l *Log) putBack(events []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := max(0, maxPending-len(l.pending))
	if len(events) > room {
		l.dropped.Add(int64(len(events) - room))
		events = events[len(events)-room:]
	}
	l.pending, l.told = append(slices.Clone(events), l.pending...), len(events)
	for i := range events {
		l.waiting += events[i].size()
	}
}

func (l *Log) write(ctx context.Context, events []Event) error {
	block, hashes := encodeBlock(events), encodeHashes(searchHashes(events))
	l.seq++
	suffix := binary.BigEndian.AppendUint64(nil, uint64(events[0].Time.UnixMilli()))
	suffix = binary.BigEndian.AppendUint16(suffix, l.seq)
	_, err := l.cfg.KV.Update(ctx, l.partition(hourOf(events[0].Time)), func(t kv.Txn) error {
		size, err := readSize(t)
		if err != nil {
			return err
		}
		t.Quiet()
		t.Put(append([]byte{'b'}, suffix...), block)
		t.Put(append([]byte{'h'}, suffix...), hashes)
		t.Put([]byte{'s'}, binary.AppendUvarint(nil, uint64(size+int64(len(block)+len(hashes)))))
		return nil
	})
	return err
}

// sweep deletes the hours past their age, and the oldest ones while there are too many bytes.
func (l *Log) sweep(ctx context.Context, now time.Time) error {
	hours, sizes, total, err := l.hours(ctx)
	if err != nil {
		return err
	}
	oldest := hourOf(now.Add(-l.cfg.Keep))
	for i, hour := range hours {
		if hour >= oldest && total <= l.cfg.Max {
			break
		}
		if err := l.drop(ctx, hour); err != nil {
			return err
		}
		total -= sizes[i]
	}
	return nil
}

func (l *Log) drop(ctx context.Context, hour int64) error {
	_, err := l.cfg.KV.Update(ctx, l.partition(hour), func(t kv.Txn) error {
		t.Quiet()
		t.DeleteRange([]byte{0}, []byte{0xff})
		return nil
	})
	return err
}

// hours returns the hours that hold events, oldest first, and their bytes.
func (l *Log) hours(ctx context.Context) (hours, sizes []int64, total int64, err error) {
	prefix := fmt.Sprintf("trace/%d/", l.cfg.ID)
	var partitions []kv.Partition
	err = l.cfg.KV.Partitions(ctx, prefix, func(p kv.Partition) error {
		partitions = append(partitions, p)
		return nil
	})
	for _, p := range partitions {
		var hour, size int64
		if _, scanErr := fmt.Sscanf(string(p)[len(prefix):], "%d", &hour); scanErr != nil {
			continue
		}
		viewErr := l.cfg.KV.View(ctx, p, func(r kv.Reader) (err error) {
			size, err = readSize(r)
			return err
		})
		if viewErr != nil {
			return nil, nil, 0, viewErr
		}
		if size > 0 {
			hours, sizes, total = append(hours, hour), append(sizes, size), total+size
		}
	}
	return hours, sizes, total, err
}

func readSize(r kv.Reader) (int64, error) {
	v, err := r.Get([]byte{'s'})
	if err == kv.ErrNotFound {
		return 0, nil
	}
	size, _ := binary.Uvarint(v)
	return int64(size), err
}

func (l *Log) partition(hour int64) kv.Partition {
	return kv.Partition(fmt.Sprintf("trace/%d/%08d", l.cfg.ID, hour))
}

// hourOf returns the hours since 1970.
func hourOf(t time.Time) int64 { return t.Unix() / 3600 }
