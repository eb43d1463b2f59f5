// Package sqltable asks PostgreSQL and MariaDB or MySQL for values of keys.
//
// What a key holds reaches the server only as bound parameters. The columns and rows of a result are
// joined by commas, as in Postfix; NULL and empty values do not count.
package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"posthaste/table/query"
)

// A Config says what to ask.
type Config struct {
	URL            string // postgres:, postgresql:, mysql: or mariadb:
	Query          string
	User, Password string // instead of those in URL, where set
	Parallel       int    // most connections
	MaxBytes       int    // most bytes of a value
}

// A Table asks one query. It connects when it is asked, and again after a failure.
type Table struct {
	statement statement
	maxBytes  int
	rows      func(ctx context.Context, text string, args []any, each func(values []sql.NullString) error) error
	close     func() error
}

// New returns a Table without contacting the server.
func New(c Config) (*Table, error) {
	scheme, _, _ := strings.Cut(c.URL, ":")
	q, err := query.Parse(c.Query)
	if err != nil {
		return nil, fmt.Errorf("query %w", err)
	}
	t := &Table{maxBytes: c.MaxBytes}
	switch scheme {
	case "postgres", "postgresql":
		if t.statement, err = compile(q, postgres); err == nil {
			err = t.openPostgres(c)
		}
	case "mysql", "mariadb":
		if t.statement, err = compile(q, mysqlDialect); err == nil {
			err = t.openMySQL(c)
		}
	default:
		err = errors.New("url must name postgres://, mysql:// or mariadb:// as its scheme")
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Close gives up the connections.
func (t *Table) Close() error { return t.close() }

var errTooLong = errors.New("the result is too long for a value, the query selects too many rows")

// Lookup implements the contract of package table.
func (t *Table) Lookup(ctx context.Context, key string) (string, bool, error) {
	args := make([]any, len(t.statement.params))
	for i, p := range t.statement.params {
		value, ok := query.Value(p, key)
		if !ok {
			return "", false, nil
		}
		args[i] = value
	}
	var found []string
	size := 0
	err := t.rows(ctx, t.statement.text, args, func(values []sql.NullString) error {
		for _, v := range values {
			if v.String == "" {
				continue
			}
			found = append(found, v.String)
			if size += len(v.String) + 1; size > t.maxBytes {
				return errTooLong
			}
		}
		return nil
	})
	if err != nil {
		return "", false, err
	}
	return strings.Join(found, ","), len(found) > 0, nil
}

func (t *Table) openPostgres(c Config) error {
	conf, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return errors.New("url is not one of PostgreSQL: postgres://user@host:5432/database") // err may hold the password
	}
	if c.User != "" {
		conf.ConnConfig.User = c.User
	}
	if c.Password != "" {
		conf.ConnConfig.Password = c.Password
	}
	conf.MaxConns, conf.MinConns = int32(c.Parallel), 0
	pool, err := pgxpool.NewWithConfig(context.Background(), conf)
	if err != nil {
		return err
	}
	t.rows = func(ctx context.Context, text string, args []any, each func([]sql.NullString) error) error {
		err := queryPostgres(ctx, pool, text, args, each)
		if lostConnection(err) && ctx.Err() == nil {
			err = queryPostgres(ctx, pool, text, args, each)
		}
		return err
	}
	t.close = func() error { pool.Close(); return nil }
	return nil
}

// lostConnection tells whether the server went away, so that another connection may do better.
func lostConnection(err error) bool {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return strings.HasPrefix(said.Code, "57P") || strings.HasPrefix(said.Code, "08")
	}
	return err != nil && !errors.Is(err, errTooLong)
}

func queryPostgres(ctx context.Context, pool *pgxpool.Pool, text string, args []any, each func([]sql.NullString) error) error {
	rows, err := pool.Query(ctx, text, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		values := make([]sql.NullString, len(raw))
		for i, v := range raw {
			values[i] = sql.NullString{String: string(v), Valid: v != nil}
		}
		if err := each(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t *Table) openMySQL(c Config) error {
	conf, err := mysqlConfig(c)
	if err != nil {
		return err
	}
	connector, err := mysql.NewConnector(conf)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(c.Parallel)
	db.SetMaxIdleConns(c.Parallel)
	t.rows = func(ctx context.Context, text string, args []any, each func([]sql.NullString) error) error {
		err := queryMySQL(ctx, db, text, args, each)
		if errors.Is(err, mysql.ErrInvalidConn) && ctx.Err() == nil {
			err = queryMySQL(ctx, db, text, args, each)
		}
		return err
	}
	t.close = db.Close
	return nil
}

// mysqlConfig reads mysql://user:password@host:port/database?socket=/path&tls=true.
func mysqlConfig(c Config) (*mysql.Config, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("url is not one of MariaDB or MySQL: mysql://user@host:3306/database") // err may hold the password
	}
	conf := mysql.NewConfig()
	conf.User, conf.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	conf.Passwd, _ = u.User.Password()
	if c.User != "" {
		conf.User = c.User
	}
	if c.Password != "" {
		conf.Passwd = c.Password
	}
	conf.Net, conf.Addr = "tcp", u.Host
	if conf.Addr == "" {
		conf.Addr = "127.0.0.1"
	}
	conf.Logger = &mysql.NopLogger{}
	for key, values := range u.Query() {
		switch key {
		case "socket":
			conf.Net, conf.Addr = "unix", values[0]
		case "tls":
			conf.TLSConfig = values[0]
		default:
			return nil, fmt.Errorf("url has the parameter %q: known are socket and tls", key)
		}
	}
	return conf, nil
}

func queryMySQL(ctx context.Context, db *sql.DB, text string, args []any, each func([]sql.NullString) error) error {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := each(values); err != nil {
			return err
		}
	}
	return rows.Err()
}
