package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresReadWriteLibrary is PostgreSQL's shared advisory locks.
func postgresReadWriteLibrary() library {
	return offering(postgresLibrary(), "session-level advisory locks, `pg_advisory_lock_shared` for readers; a connection per lock that is held or waited for",
		"first come, first served, so neither starves; held until unlocked or the connection ends, which the server has to notice; no TTL, no fence")
}

const (
	lockSharedSQL   = "SELECT pg_advisory_lock_shared(hashtextextended($1, 0))"
	unlockSharedSQL = "SELECT pg_advisory_unlock_shared(hashtextextended($1, 0))"
	tryAllSQL       = "SELECT name FROM unnest($1::text[]) AS name WHERE pg_try_advisory_lock(hashtextextended(name, 0))"
	unlockAllSQL    = "SELECT name FROM unnest($1::text[]) AS name WHERE pg_advisory_unlock(hashtextextended(name, 0))"
)

func (c postgresClient) acquireShared(ctx context.Context, name string) (release, error) {
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, lockSharedSQL, name); err != nil {
		conn.Release()
		return nil, err
	}
	return func(ctx context.Context) error {
		defer conn.Release()
		return ask(ctx, conn, unlockSharedSQL, name, errPostgresNotHeld)
	}, nil
}

func (c postgresClient) tryAcquireAll(ctx context.Context, names []string) (release, error) {
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	locked, err := namesThat(ctx, conn, tryAllSQL, names)
	unlock := func(ctx context.Context) error {
		defer conn.Release()
		unlocked, err := namesThat(ctx, conn, unlockAllSQL, locked)
		if err == nil && len(unlocked) < len(locked) {
			err = errPostgresNotHeld
		}
		return err
	}
	if err == nil && len(locked) == len(names) {
		return unlock, nil
	}
	return nil, errors.Join(errPostgresTaken, err, unlock(context.WithoutCancel(ctx)))
}

// namesThat returns the names for which a statement succeeds.
func namesThat(ctx context.Context, conn *pgxpool.Conn, sql string, names []string) ([]string, error) {
	rows, err := conn.Query(ctx, sql, names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
