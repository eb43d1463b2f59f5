package pgkv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"posthaste/kv"
)

// A record is the row of a partition.
type record struct {
	exists  bool
	loading bool
	version kv.Version
}

// A mode is a way to begin a transaction: what begins it, and what then reads the record.
type mode struct{ begin, record string }

var (
	snapshotMode = mode{
		`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`,
		`SELECT version, loading FROM partitions WHERE p = $1`,
	}
	optimisticMode = mode{
		`BEGIN ISOLATION LEVEL REPEATABLE READ`,
		`SELECT version, loading FROM partitions WHERE p = $1`,
	}
	// In lockedMode nobody else commits to the partition. Each statement sees the newest state, which
	// therefore is one state. The row is made when it is missing, and gone again after a rollback.
	lockedMode = mode{
		`BEGIN ISOLATION LEVEL READ COMMITTED`,
		`INSERT INTO partitions AS old (p, version, loading) VALUES ($1, 0, 0)
			ON CONFLICT (p) DO UPDATE SET version = old.version RETURNING version, loading`,
	}
)

const (
	beginAttempts   = 3 // a connection of the pool may have died with its server
	rollbackTimeout = 5 * time.Second
)

// A session is a transaction that reads and writes one partition.
type session struct {
	ctx  context.Context // of the call that the session serves
	conn *pgxpool.Conn
	name kv.Partition
	rec  record
}

// begin begins a transaction and reads the record of the partition, in one round trip. end ends it.
func (s *Store) begin(ctx context.Context, m mode, name kv.Partition) (*session, error) {
	for attempt := 1; ; attempt++ {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("pgkv: connect: %w", err)
		}
		t := &session{ctx: ctx, conn: conn, name: name}
		if err = t.open(m); err == nil {
			return t, nil
		}
		t.end()
		if ctx.Err() != nil || !lost(err) || attempt == beginAttempts {
			return nil, fmt.Errorf("pgkv: begin on %s: %w", name, err)
		}
	}
}

func (t *session) open(m mode) error {
	var b pgx.Batch
	b.Queue(m.begin)
	b.Queue(m.record, string(t.name)).QueryRow(func(row pgx.Row) error {
		var version, loading int64
		err := row.Scan(&version, &loading)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		t.rec = record{exists: true, loading: loading != 0, version: kv.Version(version)}
		return err
	})
	return t.conn.SendBatch(t.ctx, &b).Close()
}

// end rolls back what was not committed and gives the connection back.
func (t *session) end() {
	if conn := t.conn.Conn(); !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackTimeout)
		defer cancel()
		conn.Exec(ctx, `ROLLBACK`) // where it fails, the pool closes the connection
	}
	t.conn.Release()
}

// commit sends b and a COMMIT in one round trip. The end of the call's context does not matter.
func (t *session) commit(b *pgx.Batch) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), commitTimeout)
	defer cancel()
	var tag pgconn.CommandTag
	b.Queue(`COMMIT`).Exec(func(ct pgconn.CommandTag) error { tag = ct; return nil })
	err := t.conn.SendBatch(ctx, b).Close()
	switch {
	case err != nil:
		return commitError(t.name, err)
	case tag.String() != "COMMIT": // how a server says that it rolled back
		return fmt.Errorf("pgkv: commit to %s: the database answered %s", t.name, tag)
	}
	return nil
}

// errConflict means that another node changed the partition meanwhile: run again.
var errConflict = errors.New("pgkv: the partition was changed meanwhile")

// SQLSTATEs.
const (
	serializationFailure = "40001"
	completionUnknown    = "40003"
	deadlockDetected     = "40P01"
	uniqueViolation      = "23505" // two nodes made the same partition
	diskFull             = "53100"
)

// commitError says what an error of a commit means: that nothing was written, or that nobody knows.
func commitError(name kv.Partition, err error) error {
	switch state := code(err); {
	case conflicts(err):
		return errConflict
	case state == diskFull:
		return fmt.Errorf("%w: %w", kv.ErrFull, err)
	case pgconn.SafeToRetry(err):
		return fmt.Errorf("pgkv: commit to %s: %w", name, err)
	case lost(err) || state == completionUnknown:
		return fmt.Errorf("%w: %s: %w", kv.ErrUnknown, name, err)
	}
	return fmt.Errorf("pgkv: commit to %s: %w", name, err)
}

func conflicts(err error) bool {
	switch code(err) {
	case serializationFailure, deadlockDetected, uniqueViolation:
		return true
	}
	return errors.Is(err, errConflict)
}

// lost reports whether the connection is: no answer came, or the last one of a server that goes.
func lost(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return true
	}
	severity := answer.SeverityUnlocalized
	return severity == "FATAL" || severity == "PANIC"
}
