// Package pgkv is the [kv.Store] on a database of the PostgreSQL protocol, which many nodes share.
//
// A partition is a row in the table partitions, which every commit to it writes. So snapshot
// isolation (REPEATABLE READ) makes a partition serializable: of two Updates on the same snapshot
// the second finds the row changed and runs again; after two such conflicts it takes the row's lock
// first. Updates of one partition in one process wait for each other and never conflict. The writes
// of an Update are kept in memory until fn returns and then travel with the commit in one round trip.
//
// PostgreSQL shows a commit only after it is durable, because each session sets synchronous_commit.
// When the connection is lost while a commit is under way, the answer is kv.ErrUnknown.
//
// No transaction with data sends a NOTIFY, since PostgreSQL would then let commits pass one at a
// time. A node tells its own watchers itself and announces versions to other nodes, many at once, in
// a transaction that nobody waits for. Announcements may be lost; what is watched is also polled.
//
// The tables are described in docs/formats/pgkv.md.
//
// Lock order: partition.writing, Store.mu, partition.mu. No I/O happens under the last two.
package pgkv

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"posthaste/kv"
)

// A Config says where the database is.
type Config struct {
	// URL names the database: postgres://user:password@host:port/name?sslmode=…
	URL string
	// Connections is how many connections are used at most, besides one for listening; 0 is 16.
	Connections int
	// Log gets what an operator should know; nil is nowhere.
	Log *slog.Logger
}

const (
	defaultConnections = 16
	minConnections     = 2
	openTimeout        = 30 * time.Second
	commitTimeout      = time.Minute // after which a commit counts as unknown
	idleInTransaction  = 5 * time.Minute
)

// A Store is a database. See [kv.Store] for its methods.
type Store struct {
	pool   *pgxpool.Pool
	log    *slog.Logger
	bodies bodyIDs
	views  chan struct{} // a slot for each View that runs; fewer than connections, see View
	news   *news
	ears   *ears
	ends   context.CancelFunc // of what runs in the background
	behind sync.WaitGroup     // what runs in the background

	mu         sync.Mutex // guards what follows
	partitions map[kv.Partition]*partition
	closed     bool
	running    sync.WaitGroup // calls that Close waits for
}

var _ kv.Store = (*Store)(nil)

// Open connects to the database and makes the tables if they are missing.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	pc, err := poolConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("pgkv: the URL of the database: %w", err)
	}
	s := &Store{
		log: cfg.Log, views: make(chan struct{}, pc.MaxConns-pc.MaxConns/4-1), // 3/4 of the connections
		partitions: make(map[kv.Partition]*partition), news: newNews(), ears: newEars(),
	}
	if err := s.open(ctx, pc); err != nil {
		return nil, fmt.Errorf("pgkv: open database %s on %s: %w", pc.ConnConfig.Database, pc.ConnConfig.Host, err)
	}
	background, cancel := context.WithCancel(context.Background())
	s.ends = cancel
	s.behind.Go(func() { s.announce(background) })
	s.behind.Go(func() { s.listen(background, pc.ConnConfig.Copy()) })
	return s, nil
}

// poolConfig adds to the URL what each session must have. All queries go along a primary key; the
// planner is not to find anything better while it has no statistics.
func poolConfig(cfg Config) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Connections == 0 {
		cfg.Connections = defaultConnections
	}
	pc.MaxConns = int32(max(cfg.Connections, minConnections))
	for name, value := range map[string]string{
		"application_name":                    "posthaste",
		"synchronous_commit":                  "on",
		"enable_seqscan":                      "off",
		"enable_bitmapscan":                   "off",
		"idle_in_transaction_session_timeout": fmt.Sprint(idleInTransaction.Milliseconds()),
	} {
		pc.ConnConfig.RuntimeParams[name] = value
	}
	return pc, nil
}

func (s *Store) open(ctx context.Context, pc *pgxpool.Config) error {
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), pc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	err = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) (err error) {
		s.bodies.opened, err = prepare(ctx, conn.Conn())
		return err
	})
	if err != nil {
		pool.Close()
		return err
	}
	s.pool = pool
	return nil
}

// Close implements [kv.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	s.ends()
	s.behind.Wait()
	s.pool.Close()
	return nil
}

// admit admits one call to the open store; s.running.Done ends it.
func (s *Store) admit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitLocked()
}

func (s *Store) admitLocked() error {
	if s.closed {
		return kv.ErrClosed
	}
	s.running.Add(1)
	return nil
}

// enter admits a call on partition name; leave ends it.
func (s *Store) enter(ctx context.Context, name kv.Partition) (*partition, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := name.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(); err != nil {
		return nil, err
	}
	return s.hold(name), nil
}

func (s *Store) leave(p *partition) {
	s.mu.Lock()
	s.drop(p)
	s.mu.Unlock()
	s.running.Done()
}

// hold returns the one partition in memory of that name. The caller has s.mu.
func (s *Store) hold(name kv.Partition) *partition {
	p := s.partitions[name]
	if p == nil {
		p = &partition{name: name}
		s.partitions[name] = p
	}
	p.users++
	return p
}

// drop ends what hold began. The caller has s.mu.
func (s *Store) drop(p *partition) {
	p.users--
	if p.users == 0 {
		delete(s.partitions, p.name)
	}
}

// NewBodyID implements [kv.Store].
func (s *Store) NewBodyID() kv.BodyID { return s.bodies.next(time.Now()) }
