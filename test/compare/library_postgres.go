package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresConnections is the size of a client's pool. The server allows 100 connections by default,
// 3 of them to superusers only.
const postgresConnections = 90

// postgresLibrary is PostgreSQL's advisory locks, of sessions rather than transactions: locks are
// held longer than a transaction should last.
func postgresLibrary() library {
	return library{
		name:   "PostgreSQL",
		module: "github.com/jackc/pgx/v5",
		setup: fmt.Sprintf("session-level advisory locks of one server with default settings; a connection per lock that is held or waited for, "+
			"from a pgxpool of up to %d", postgresConnections),
		system: postgresSystem,
		promises: promises{
			survives: "none: replicas do not have the locks",
			expires:  "no TTL: when the server notices that the connection is gone, which can take hours if the machine vanished",
			fence:    "no",
			order:    "first come, first served",
			restart:  "in memory: locks end with their connections",
		},
		open: openPostgres,
	}
}

func openPostgres(addresses []string) (client, error) {
	config, err := pgxpool.ParseConfig(postgresURL(addresses[0]))
	if err != nil {
		return nil, err
	}
	config.MaxConns = postgresConnections
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	return postgresClient{pool}, err
}

type postgresClient struct{ pool *pgxpool.Pool }

// The locks' keys are numbers, so names are hashed to 64 bits.
const (
	lockSQL    = "SELECT pg_advisory_lock(hashtextextended($1, 0))"
	tryLockSQL = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
	unlockSQL  = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"
)

func (c postgresClient) tryAcquire(ctx context.Context, name string) (release, error) {
	return c.take(ctx, name, func(conn *pgxpool.Conn) error { return ask(ctx, conn, tryLockSQL, name, errPostgresTaken) })
}

func (c postgresClient) acquire(ctx context.Context, name string) (release, error) {
	return c.take(ctx, name, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, lockSQL, name)
		return err
	})
}

func (c postgresClient) close() error {
	c.pool.Close()
	return nil
}

var (
	errPostgresTaken   = errors.New("postgres: another session has the lock")
	errPostgresNotHeld = errors.New("postgres: the lock was not held")
)

// take takes a lock with a connection of its own, and keeps the connection until the release.
func (c postgresClient) take(ctx context.Context, name string, lock func(*pgxpool.Conn) error) (release, error) {
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if err := lock(conn); err != nil {
		conn.Release()
		return nil, err
	}
	return func(ctx context.Context) error {
		defer conn.Release()
		return ask(ctx, conn, unlockSQL, name, errPostgresNotHeld)
	}, nil
}

// ask runs a statement about a lock that answers yes or no.
func ask(ctx context.Context, conn *pgxpool.Conn, sql, name string, ifNot error) error {
	var yes bool
	if err := conn.QueryRow(ctx, sql, name).Scan(&yes); err != nil {
		return err
	}
	if !yes {
		return ifNot
	}
	return nil
}
