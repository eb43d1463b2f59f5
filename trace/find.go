package trace

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// A Query says which events to find: those that have any of Keys as ID, session, address or
// Message-ID, or all when there are none.
type Query struct {
	Keys  []string
	Since time.Time // zero: from the first
	Until time.Time // zero: to the last
	Limit int       // most events, the latest are kept; 0 means 10,000
}

const defaultLimit = 10_000

// Find returns the events of q, oldest first.
func (l *Log) Find(ctx context.Context, q Query) ([]Event, error) {
	if err := l.Flush(ctx); err != nil {
		return nil, err
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	hours, _, _, err := l.hours(ctx)
	if err != nil {
		return nil, err
	}
	var found []Event
	for _, hour := range slices.Backward(hours) {
		if !q.Since.IsZero() && hour < hourOf(q.Since) || !q.Until.IsZero() && hour > hourOf(q.Until) {
			continue
		}
		events, err := l.findHour(ctx, hour, q)
		if err != nil {
			return nil, err
		}
		found = append(events, found...)
		if len(found) >= q.Limit {
			break
		}
	}
	slices.SortStableFunc(found, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return found[max(0, len(found)-q.Limit):], nil
}

// Story returns the events of one message or correspondent: those of key, and all others of the
// messages these belong to.
func (l *Log) Story(ctx context.Context, key string, limit int) ([]Event, error) {
	q := Query{Keys: []string{strings.Trim(key, "<>")}, Limit: limit}
	if id, err := mail.ParseQueueID(key); err == nil {
		q.Since = id.Time().Add(-time.Minute) // an ID carries its time: nothing of it is older
	}
	events, err := l.Find(ctx, q)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	keys := []string{q.Keys[0]}
	for i := range events {
		if id := string(events[i].ID); id != "" && !slices.Contains(keys, id) {
			keys = append(keys, id)
		}
	}
	q.Keys, q.Since = keys, events[0].Time.Add(-time.Minute)
	return l.Find(ctx, q)
}

func (l *Log) findHour(ctx context.Context, hour int64, q Query) (found []Event, err error) {
	want := make([]uint32, len(q.Keys))
	for i, k := range q.Keys {
		want[i] = hashOf(k)
	}
	err = l.cfg.KV.View(ctx, l.partition(hour), func(r kv.Reader) error {
		headers, errf := r.Scan([]byte{'h'}, []byte{'h' + 1}, false)
		for key, hashes := range headers {
			if len(want) > 0 && !containsHash(hashes, want) {
				continue
			}
			block, err := r.Get(append([]byte{'b'}, bytes.Clone(key[1:])...))
			if err != nil {
				return err
			}
			err = decodeBlock(block, func(e Event) bool {
				if q.matches(&e) {
					found = append(found, e)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		return errf()
	})
	return found, err
}

func (q *Query) matches(e *Event) bool {
	if !q.Since.IsZero() && e.Time.Before(q.Since) || !q.Until.IsZero() && e.Time.After(q.Until) {
		return false
	}
	if len(q.Keys) == 0 {
		return true
	}
	for _, k := range q.Keys {
		if strings.EqualFold(k, string(e.ID)) || strings.EqualFold(k, e.Session) || strings.EqualFold(k, e.From) || k == strings.Trim(e.MessageID, "<>") {
			return true
		}
		for _, a := range e.To {
			if strings.EqualFold(k, a.String()) {
				return true
			}
		}
	}
	return false
}
