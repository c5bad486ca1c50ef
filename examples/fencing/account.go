package main

import (
	"context"
	"database/sql"
	"errors"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// A fence of 0 is what Lock.Fence returns without Options.Fencing. Rows begin with
// 1, so that a program which forgot the option is refused, and not let in always.
const schema = `CREATE TABLE accounts (
	id      TEXT    PRIMARY KEY,
	balance INTEGER NOT NULL,
	fence   INTEGER NOT NULL DEFAULT 1 -- the highest seen
)`

func openDatabase(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // a second one would open a database of its own, an empty one
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// account is the resource that the lock protects. A holder passes its lock's fence
// to all that it does there.
type account interface {
	name() string
	open(ctx context.Context, balance int64) error
	read(ctx context.Context, fence int64) (balance int64, err error)
	write(ctx context.Context, balance, fence int64) error
	balance(ctx context.Context) (int64, error) // for onlookers, who need no lock
}

// errStale is what holders are told whose lock has had another holder since. What
// they have read is out of date: they may start over with a new lock.
var errStale = errors.New("a later holder of the lock has been here")

// row is a row of the table, and what both kinds of accounts have in common.
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

// trusting is an account that leaves it to the lock to keep others out.
type trusting struct{ row }

func (t trusting) read(ctx context.Context, _ int64) (int64, error) { return t.balance(ctx) }

func (t trusting) write(ctx context.Context, balance, _ int64) error {
	_, err := t.db.ExecContext(ctx, `UPDATE accounts SET balance = :balance WHERE id = :id`,
		sql.Named("id", t.id), sql.Named("balance", balance))
	return err
}

// fenced is an account that knows the highest fence it has seen, and refuses lower
// ones. The fence is compared in the statement that writes: between a SELECT and
// an UPDATE there would be room for another pause.
type fenced struct{ row }

// read leaves the fence there. From now on earlier holders are refused, not only
// once this one writes: what they wrote in between, this one would overwrite
// without having seen it.
func (f fenced) read(ctx context.Context, fence int64) (balance int64, err error) {
	err = f.db.QueryRowContext(ctx,
		`UPDATE accounts SET fence = :fence WHERE id = :id AND fence <= :fence RETURNING balance`,
		sql.Named("id", f.id), sql.Named("fence", fence)).Scan(&balance)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errStale
	}
	return balance, err
}

// write has <=, not <, because a holder comes here more than once: its own fence
// stands there since it has read, and since it has written before. No two holders
// have the same fence, so that lets in nobody else. With < there is one write to a
// holder and row, and the fence must not be left there by reading; in return a
// write that a client or a proxy repeats is refused as well.
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
