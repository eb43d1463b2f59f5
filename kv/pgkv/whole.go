package pgkv

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"posthaste/kv"
)

const (
	loadPiece      = 4 << 20 // bytes of keys and values that Load commits at once
	partitionsPage = 1000    // names that are read at once
)

// Load implements [kv.Store]. While it runs, the row of the partition has the number of this load in
// loading, which each piece checks, so that of two loads only the later goes on.
func (s *Store) Load(ctx context.Context, name kv.Partition, v kv.Version, keys iter.Seq2[[]byte, []byte]) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave(p)
	p.writing.Lock()
	defer p.writing.Unlock()
	l := &load{store: s, name: name, number: int64(s.NewBodyID())}
	if err := l.clear(ctx, v); err != nil {
		return err
	}
	for key, value := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.put(ctx, key, value); err != nil {
			return err
		}
	}
	if err := l.piece(ctx, 0); err != nil {
		return err
	}
	p.tell(v)
	s.news.add(name, v)
	return nil
}

// A load fills a partition in pieces.
type load struct {
	store        *Store
	name         kv.Partition
	number       int64
	keys, values [][]byte
	size         int
}

// locked runs fn in a transaction that holds the row of the partition.
func (s *Store) locked(ctx context.Context, name kv.Partition, fn func(*session, *pgx.Batch) error) error {
	t, err := s.begin(ctx, lockedMode, name)
	if err != nil {
		return err
	}
	defer t.end()
	var b pgx.Batch
	if err := fn(t, &b); err != nil {
		return err
	}
	return t.commit(&b)
}

// clear marks the partition as being loaded and removes what a load before left.
func (l *load) clear(ctx context.Context, v kv.Version) error {
	return l.store.locked(ctx, l.name, func(t *session, b *pgx.Batch) error {
		if !t.rec.loading {
			if filled, err := t.filled(); err != nil {
				return err
			} else if filled || t.rec.version > v {
				return fmt.Errorf("%w: %s", kv.ErrExists, l.name)
			}
		}
		b.Queue(`UPDATE partitions SET version = $2, loading = $3 WHERE p = $1`, string(l.name), int64(v), l.number)
		b.Queue(`DELETE FROM keys WHERE p = $1`, string(l.name))
		return nil
	})
}

// filled reports whether the partition has a key.
func (t *session) filled() (found bool, err error) {
	err = t.conn.QueryRow(t.ctx, `SELECT EXISTS (SELECT FROM keys WHERE p = $1)`, string(t.name)).Scan(&found)
	return found, reader{t}.explain(err)
}

func (l *load) put(ctx context.Context, key, value []byte) error {
	if len(key) > kv.MaxKey || len(value) > kv.MaxValue {
		return fmt.Errorf("%w: load %s: key of %d and value of %d bytes", kv.ErrTooLarge, l.name, len(key), len(value))
	}
	l.keys = append(l.keys, append([]byte{}, key...))
	l.values = append(l.values, append([]byte{}, value...))
	l.size += len(key) + len(value)
	if l.size < loadPiece {
		return nil
	}
	return l.piece(ctx, l.number)
}

// piece commits the keys gathered and leaves loading as given.
func (l *load) piece(ctx context.Context, loading int64) error {
	err := l.store.locked(ctx, l.name, func(t *session, b *pgx.Batch) error {
		var number int64
		err := t.conn.QueryRow(ctx, `SELECT loading FROM partitions WHERE p = $1`, string(l.name)).Scan(&number)
		if err != nil {
			return reader{t}.explain(err)
		}
		if number != l.number {
			return fmt.Errorf("%w: another load of %s began", kv.ErrLoading, l.name)
		}
		b.Queue(`UPDATE partitions SET loading = $2 WHERE p = $1`, string(l.name), loading)
		if len(l.keys) > 0 {
			b.Queue(putQuery, string(l.name), l.keys, l.values)
		}
		return nil
	})
	l.keys, l.values, l.size = nil, nil, 0
	return err
}

// Drop implements [kv.Store].
func (s *Store) Drop(ctx context.Context, name kv.Partition) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave(p)
	p.writing.Lock()
	defer p.writing.Unlock()
	err = s.locked(ctx, name, func(_ *session, b *pgx.Batch) error {
		for _, table := range []string{"partitions", "keys", "bodies"} {
			b.Queue(`DELETE FROM `+table+` WHERE p = $1`, string(name))
		}
		return nil
	})
	if err == nil {
		p.forget()
	}
	return err
}

// Partitions implements [kv.Store].
func (s *Store) Partitions(ctx context.Context, prefix string, fn func(kv.Partition) error) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	defer s.running.Done()
	if prefix != "" && kv.Partition(prefix).Check() != nil {
		return nil // no partition has such a name
	}
	from, end := prefix, string(kv.PrefixEnd([]byte(prefix)))
	if prefix == "" {
		end = "\x7f"
	}
	for {
		names, err := s.names(ctx, from, end)
		if err != nil {
			return fmt.Errorf("pgkv: list partitions: %w", err)
		}
		for _, name := range names {
			if err := fn(kv.Partition(name)); err != nil {
				return err
			}
		}
		if len(names) < partitionsPage {
			return nil
		}
		from = names[len(names)-1] + " " // the first name that can follow
	}
}

// names returns a page of the names from one (included) to end (excluded), in order.
func (s *Store) names(ctx context.Context, from, end string) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT p FROM partitions WHERE p >= $1 AND p < $2 ORDER BY p LIMIT $3`, from, end, partitionsPage)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
