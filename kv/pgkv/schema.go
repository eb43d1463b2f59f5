package pgkv

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// formatVersion is that of the tables (docs/formats/pgkv.md).
const formatVersion = 1

// schemaLock is the advisory lock under which the tables are made, so that nodes that start at the
// same time do not stumble over each other.
const schemaLock = 0x506f737468617374

// schema makes the tables. There is no index besides the primary keys, so that updates stay
// heap-only. Bodies are compressed already.
const schema = `
CREATE TABLE posthaste (format integer NOT NULL, opened bigint NOT NULL, nodes integer NOT NULL);
INSERT INTO posthaste VALUES (1, 0, 0);
CREATE TABLE partitions (
	p text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL,
	loading bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE keys (
	p text COLLATE "C",
	k bytea,
	v bytea NOT NULL,
	PRIMARY KEY (p, k)
) WITH (fillfactor = 90);
CREATE TABLE bodies (
	p text COLLATE "C",
	id bigint,
	packed bytea NOT NULL,
	PRIMARY KEY (p, id)
);
ALTER TABLE bodies ALTER packed SET STORAGE EXTERNAL;
`

const undefinedTable = "42P01"

// prepare makes the tables where they are missing and checks their format. It returns how many times
// the store has been opened, this time included.
func prepare(ctx context.Context, conn *pgx.Conn) (opened uint64, err error) {
	opened, err = register(ctx, conn)
	if code(err) != undefinedTable {
		return opened, err
	}
	if err := makeTables(ctx, conn); err != nil {
		return 0, fmt.Errorf("make the tables: %w", err)
	}
	return register(ctx, conn)
}

func register(ctx context.Context, conn *pgx.Conn) (opened uint64, err error) {
	var format int
	err = conn.QueryRow(ctx, `UPDATE posthaste SET opened = opened + 1 RETURNING format, opened`).Scan(&format, &opened)
	if err != nil {
		return 0, err
	}
	if format != formatVersion {
		return 0, fmt.Errorf("the tables have format %d, this program knows %d: use the version that made them", format, formatVersion)
	}
	return opened, nil
}

// NewNode returns a number that no other node of this store has got: 1, 2 and so on. A node keeps it.
func (s *Store) NewNode(ctx context.Context) (number int, err error) {
	if err := s.admit(ctx); err != nil {
		return 0, err
	}
	defer s.running.Done()
	err = s.pool.QueryRow(ctx, `UPDATE posthaste SET nodes = nodes + 1 RETURNING nodes`).Scan(&number)
	if err != nil {
		return 0, fmt.Errorf("pgkv: number a node: %w", err)
	}
	return number, nil
}

func makeTables(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(schemaLock)); err != nil {
			return err
		}
		var made bool
		err := tx.QueryRow(ctx, `SELECT to_regclass('posthaste') IS NOT NULL`).Scan(&made)
		if err != nil || made {
			return err // another node was faster
		}
		_, err = tx.Exec(ctx, schema, pgx.QueryExecModeSimpleProtocol)
		return err
	})
}

// code returns the SQLSTATE of err, or "" when it did not come from the server.
func code(err error) string {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}
