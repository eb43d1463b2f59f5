package pgkv

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"posthaste/kv"
)

const (
	pollEvery     = 10 * time.Second // while announcements come: a node may die before it sends its last
	pollUnheard   = time.Second      // while none come, and between attempts to listen again
	listenTimeout = 10 * time.Second // to connect
	closeTimeout  = time.Second
)

// Watch implements [kv.Store].
func (s *Store) Watch(name kv.Partition, f func(kv.Version)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.hold(name)
	stop := p.watch(f)
	s.ears.want(channel(name))
	return sync.OnceFunc(func() {
		stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(p)
	})
}

// ears are the channels that this node listens to: those of all partitions watched so far.
type ears struct {
	mu        sync.Mutex // guards what follows
	wanted    map[string]bool
	interrupt context.CancelFunc // of the wait for announcements, which cannot hear of a new channel
}

func (e *ears) want(channel string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wanted[channel] {
		return
	}
	if e.wanted == nil {
		e.wanted = make(map[string]bool)
	}
	e.wanted[channel] = true
	if e.interrupt != nil {
		e.interrupt()
	}
}

// missing returns the channels that are not in heard. From then on a new one calls interrupt.
func (e *ears) missing(heard map[string]bool, interrupt context.CancelFunc) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.interrupt = interrupt
	var all []string
	for c := range e.wanted {
		if !heard[c] {
			all = append(all, c)
		}
	}
	return all
}

// listen passes the announcements of other nodes to watchers until ctx ends.
func (s *Store) listen(ctx context.Context, cfg *pgx.ConnConfig) {
	for failures := 0; ; failures++ {
		err := s.hear(ctx, cfg, &failures)
		if ctx.Err() != nil {
			return
		}
		if failures == 0 {
			s.log.Warn("the database does not tell of commits; polling until it does", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollUnheard):
		}
		if err := s.poll(ctx, s.pool); err != nil {
			s.log.Debug("polling failed", "err", err)
		}
	}
}

// hear listens on one connection until that fails. failures becomes 0 once it works.
func (s *Store) hear(ctx context.Context, cfg *pgx.ConnConfig, failures *int) error {
	connecting, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, cfg)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	heard := make(map[string]bool)
	poll := time.Now() // when to poll next
	for {
		waiting, interrupt := context.WithDeadline(ctx, poll)
		fresh := s.ears.missing(heard, interrupt)
		for _, c := range fresh {
			if _, err := conn.Exec(ctx, `LISTEN `+c); err != nil {
				interrupt()
				return err
			}
			heard[c] = true
		}
		if len(fresh) > 0 || time.Now().After(poll) {
			// What was committed before LISTEN nobody announces again.
			if err := s.poll(ctx, conn); err != nil {
				interrupt()
				return err
			}
			poll = time.Now().Add(pollEvery)
			*failures = 0
			interrupt()
			continue
		}
		n, err := conn.WaitForNotification(waiting)
		interrupted := waiting.Err() != nil
		interrupt()
		if n != nil {
			parseAnnouncement(n.Payload, s.tell)
		}
		if err != nil && !interrupted {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	conn.Close(ctx)
}

// tell tells the watchers of a partition here of version v.
func (s *Store) tell(name kv.Partition, v kv.Version) {
	s.mu.Lock()
	p := s.partitions[name]
	s.mu.Unlock()
	if p != nil {
		p.tell(v)
	}
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// poll reads the versions of all that is watched and tells the watchers.
func (s *Store) poll(ctx context.Context, from querier) error {
	names := s.watched()
	if len(names) == 0 {
		return nil
	}
	rows, err := from.Query(ctx, `SELECT p, version FROM partitions WHERE p = ANY($1) AND loading = 0`, names)
	if err != nil {
		return err
	}
	var name string
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&name, &version}, func() error {
		s.tell(kv.Partition(name), kv.Version(version))
		return nil
	})
	return err
}

func (s *Store) watched() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, p := range s.partitions {
		if p.watched() {
			names = append(names, string(name))
		}
	}
	return names
}
