package main

import (
	"context"
	"database/sql"
	"errors"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// Without Options.Fencing, Lock.Fence returns 0. Rows start at fence 1, so that clients without
// fencing are rejected.
const schema = `CREATE TABLE accounts (
	id      TEXT    PRIMARY KEY,
	balance INTEGER NOT NULL,
	fence   INTEGER NOT NULL DEFAULT 1 -- highest fence seen
)`

func openDatabase(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // a second connection would open another, empty database
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// account is the resource that the lock protects. Holders pass the fence of their lock to every
// operation.
type account interface {
	name() string
	open(ctx context.Context, balance int64) error
	read(ctx context.Context, fence int64) (balance int64, err error)
	write(ctx context.Context, balance, fence int64) error
	balance(ctx context.Context) (int64, error) // needs no lock
}

// errStale tells a holder that the lock has had a later holder. What it has read is out of date. It
// may start over with a new lock.
var errStale = errors.New("stale fence: a later holder has used the account")

// row is a row of the table. Both kinds of accounts embed it.
type row struct {
	db *sql.DB
	id string
}

func (r row) name() string { return r.id }

func (r row) open(ctx context.Context, balance int64) error {
	_, err := r.db.ExecContext(ctx, `INSERT INTO accounts (id, balance) VALUES (:id, :balance)`,
		sql.Named("id", r.id), sql.Named("balance", balance))
	return err
}

func (r row) balance(ctx context.Context) (balance int64, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT balance FROM accounts WHERE id = :id`, sql.Named("id", r.id)).Scan(&balance)
	return balance, err
}

// unfenced is an account that relies on the lock alone.
type unfenced struct{ row }

func (t unfenced) read(ctx context.Context, _ int64) (int64, error) { return t.balance(ctx) }

func (t unfenced) write(ctx context.Context, balance, _ int64) error {
	_, err := t.db.ExecContext(ctx, `UPDATE accounts SET balance = :balance WHERE id = :id`,
		sql.Named("id", t.id), sql.Named("balance", balance))
	return err
}

// fenced is an account that stores the highest fence it has seen, and rejects lower ones. The
// statement that writes also compares the fence. Between a SELECT and an UPDATE there would be room
// for another pause.
type fenced struct{ row }

// read stores the fence, so earlier holders are rejected from now on, not only after the first
// write. Otherwise they could still write, and this holder would overwrite their changes without
// having seen them.
func (f fenced) read(ctx context.Context, fence int64) (balance int64, err error) {
	err = f.db.QueryRowContext(ctx,
		`UPDATE accounts SET fence = :fence WHERE id = :id AND fence <= :fence RETURNING balance`,
		sql.Named("id", f.id), sql.Named("fence", fence)).Scan(&balance)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errStale
	}
	return balance, err
}

// write compares with <=, not <, because a holder uses the account more than once: its own fence is
// already stored by its read and its earlier writes. No two holders have the same fence, so this
// lets no other holder in.
//
// With <, each holder could write a row only once, and read must not store the fence. In return, a
// write that a client or proxy repeats would be rejected too.
func (f fenced) write(ctx context.Context, balance, fence int64) error {
	done, err := f.db.ExecContext(ctx,
		`UPDATE accounts SET balance = :balance, fence = :fence WHERE id = :id AND fence <= :fence`,
		sql.Named("id", f.id), sql.Named("balance", balance), sql.Named("fence", fence))
	if err != nil {
		return err
	}
	rows, err := done.RowsAffected()
	if err == nil && rows == 0 {
		return errStale
	}
	return err
}
