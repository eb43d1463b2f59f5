package pgkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"posthaste/kv"
)

// View implements [kv.Store]. Some connections are left to Updates, so that one inside fn does not
// wait for a connection that only its own View could free.
func (s *Store) View(ctx context.Context, name kv.Partition, fn func(kv.Reader) error) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave(p)
	select {
	case s.views <- struct{}{}:
		defer func() { <-s.views }()
	case <-ctx.Done():
		return ctx.Err()
	}
	t, err := s.begin(ctx, snapshotMode, name)
	if err != nil {
		return err
	}
	defer t.end()
	if t.rec.loading {
		return kv.ErrLoading
	}
	return fn(reader{t})
}

const (
	getQuery    = `SELECT v FROM keys WHERE p = $1 AND k = $2`
	bodyQuery   = `SELECT packed FROM bodies WHERE p = $1 AND id = $2`
	upQuery     = `SELECT k, v FROM keys WHERE p = $1 AND k >= $2 AND k < $3 ORDER BY k LIMIT $4`
	downQuery   = `SELECT k, v FROM keys WHERE p = $1 AND k >= $2 AND k < $3 ORDER BY k DESC LIMIT $4`
	firstPage   = 64      // keys that a scan asks for first
	maxPage     = 4096    // keys that it asks for at once
	pageBytes   = 1 << 20 // that it aims at
	pageGrowth  = 4       // at most, from one page to the next
	minPageKeys = 8
)

// A reader implements [kv.Reader] on a session.
type reader struct{ *session }

func (r reader) Version() kv.Version { return r.rec.version }

func (r reader) Get(key []byte) ([]byte, error) {
	if len(key) > kv.MaxKey {
		return nil, kv.ErrNotFound
	}
	return r.one(getQuery, present(key))
}

func (r reader) Body(id kv.BodyID) ([]byte, error) { return r.one(bodyQuery, int64(id)) }

func (r reader) one(query string, key any) (value []byte, err error) {
	err = r.conn.QueryRow(r.ctx, query, string(r.name), key).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, kv.ErrNotFound
	}
	return value, r.explain(err)
}

func (r reader) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pgkv: read %s: %w", r.name, err)
}

func (r reader) Scan(start, end []byte, reverse bool) (iter.Seq2[[]byte, []byte], func() error) {
	var failure error
	seq := func(yield func(key, value []byte) bool) {
		failure = r.scan(start, end, reverse, yield)
	}
	return seq, func() error { return failure }
}

type pair struct{ Key, Value []byte }

// scan reads page by page, because fn may read other things on the same connection in between.
func (r reader) scan(start, end []byte, reverse bool, yield func(key, value []byte) bool) error {
	query := upQuery
	if reverse {
		query = downQuery
	}
	lower, upper := bounds(start, end)
	for limit := firstPage; bytes.Compare(lower, upper) < 0; {
		rows, err := r.conn.Query(r.ctx, query, string(r.name), lower, upper, limit)
		if err != nil {
			return r.explain(err)
		}
		page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pair])
		if err != nil {
			return r.explain(err)
		}
		size := 0
		for _, row := range page {
			size += len(row.Key) + len(row.Value)
			if !yield(row.Key, row.Value) {
				return nil
			}
		}
		if len(page) < limit {
			return nil
		}
		if last := page[len(page)-1].Key; reverse {
			upper = last
		} else {
			lower = append(last, 0)
		}
		limit = nextPage(limit, size)
	}
	return nil
}

// nextPage returns how many keys to ask for after a page of limit keys that had size bytes.
func nextPage(limit, size int) int {
	fitting := limit * pageBytes / max(size, 1)
	return min(max(fitting, minPageKeys), pageGrowth*limit, maxPage)
}

// bounds returns those of a range for a query: never nil, which would be NULL, and with an end that
// is above all keys in place of none.
func bounds(start, end []byte) (lower, upper []byte) {
	if end == nil {
		end = bytes.Repeat([]byte{0xff}, kv.MaxKey+1)
	}
	return present(start), end
}

// present returns b, or empty bytes in place of nil, which would be NULL.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
