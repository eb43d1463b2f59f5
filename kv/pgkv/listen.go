package pgkv

import (
	"context"
	"maps"
	"slices"
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
	stop := p.watchers.Add(f)
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
	needed chan struct{} // closed when the first channel is wanted

	mu        sync.Mutex // guards what follows
	wanted    map[string]bool
	interrupt context.CancelFunc // of the wait for announcements, which cannot hear of a new channel
}

func newEars() *ears {
	return &ears{needed: make(chan struct{}), wanted: make(map[string]bool), interrupt: func() {}}
}

func (e *ears) want(channel string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wanted[channel] {
		return
	}
	if len(e.wanted) == 0 {
		close(e.needed)
	}
	e.wanted[channel] = true
	e.interrupt()
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

// listen passes the announcements of other nodes to watchers, from the first Watch until ctx ends.
func (s *Store) listen(ctx context.Context, cfg *pgx.ConnConfig) {
	select {
	case <-ctx.Done():
		return
	case <-s.ears.needed:
	}
	heard := true
	for {
		l := listener{store: s, heard: make(map[string]bool)}
		err := l.run(ctx, cfg)
		if ctx.Err() != nil {
			return
		}
		if heard || l.works {
			s.log.Warn("the database does not tell of the commits of other nodes; polling until it does", "err", err)
		}
		heard = false
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollUnheard):
		}
		if err := s.poll(ctx, s.pool); err != nil {
			s.log.Debug("polling the versions of partitions failed", "err", err)
		}
	}
}

// A listener hears announcements on a connection of its own.
type listener struct {
	store *Store
	conn  *pgx.Conn
	heard map[string]bool // channels
	poll  time.Time       // when to poll next
	works bool
}

// run listens until the connection fails.
func (l *listener) run(ctx context.Context, cfg *pgx.ConnConfig) (err error) {
	connecting, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	if l.conn, err = pgx.ConnectConfig(connecting, cfg); err != nil {
		return err
	}
	defer closeConn(l.conn)
	for {
		if err := l.step(ctx); err != nil {
			return err
		}
		l.works = true
	}
}

// step does one thing: it listens to new channels, polls, or waits for an announcement.
func (l *listener) step(ctx context.Context) error {
	waiting, interrupt := context.WithDeadline(ctx, l.poll)
	defer interrupt()
	fresh := l.store.ears.missing(l.heard, interrupt)
	if len(fresh) > 0 || !time.Now().Before(l.poll) {
		return l.catchUp(ctx, fresh)
	}
	n, err := l.conn.WaitForNotification(waiting)
	if n != nil {
		parseAnnouncement(n.Payload, l.store.bodies.opened, l.store.tell)
	}
	if waiting.Err() != nil {
		return ctx.Err()
	}
	return err
}

// catchUp listens to fresh channels and polls: what was committed before nobody announces again.
func (l *listener) catchUp(ctx context.Context, fresh []string) error {
	for _, c := range fresh {
		if _, err := l.conn.Exec(ctx, `LISTEN `+c); err != nil {
			return err
		}
		l.heard[c] = true
	}
	l.poll = time.Now().Add(pollEvery)
	return l.store.poll(ctx, l.conn)
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
	watched := s.watched()
	if len(watched) == 0 {
		return nil
	}
	names := slices.Collect(maps.Keys(watched))
	rows, err := from.Query(ctx, `SELECT p, version FROM partitions WHERE p = ANY($1) AND loading = 0`, names)
	if err != nil {
		return err
	}
	var name string
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&name, &version}, func() error {
		w := watched[name]
		w.partition.tellUnless(w.drops, kv.Version(version))
		return nil
	})
	return err
}

// A life is a partition as long as this node does not drop it.
type life struct {
	partition *partition
	drops     int
}

func (s *Store) watched() map[string]life {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]life)
	for name, p := range s.partitions {
		if drops, ok := p.watched(); ok {
			all[string(name)] = life{p, drops}
		}
	}
	return all
}
