package main

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
)

func database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := openDatabase(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// stored is what is in the database, looked at past all of the program's code.
type stored struct{ balance, fence int64 }

func look(t *testing.T, db *sql.DB, id string) (s stored) {
	t.Helper()
	require.NoError(t, db.QueryRow(`SELECT balance, fence FROM accounts WHERE id = ?`, id).Scan(&s.balance, &s.fence))
	return s
}

func fencedAccount(t *testing.T) fenced {
	t.Helper()
	acc := fenced{row{database(t), "test"}}
	require.NoError(t, acc.open(t.Context(), opening))
	require.NoError(t, fenced{row{acc.db, "other"}}.open(t.Context(), opening))
	t.Cleanup(func() { require.Equal(t, stored{opening, 1}, look(t, acc.db, "other"), "another account") })
	return acc
}

func TestHolderWritesSeveralTimes(t *testing.T) {
	acc := fencedAccount(t)
	for balance := int64(1); balance <= 3; balance++ {
		require.NoError(t, acc.write(t.Context(), balance, 10))
		require.Equal(t, stored{balance, 10}, look(t, acc.db, "test"))
		read, err := acc.read(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, balance, read)
	}
}

func TestEarlierHolderIsRefused(t *testing.T) {
	acc := fencedAccount(t)
	require.NoError(t, acc.write(t.Context(), 1, 10))
	require.NoError(t, acc.write(t.Context(), 2, 11))
	require.ErrorIs(t, acc.write(t.Context(), 3, 10), errStale)
	_, err := acc.read(t.Context(), 10)
	require.ErrorIs(t, err, errStale)
	require.Equal(t, stored{2, 11}, look(t, acc.db, "test"))
}

// Otherwise the later holder would overwrite what the earlier one wrote after the
// later one had read.
func TestEarlierHolderIsRefusedOnceALaterOneHasRead(t *testing.T) {
	acc := fencedAccount(t)
	_, err := acc.read(t.Context(), 10)
	require.NoError(t, err)
	read, err := acc.read(t.Context(), 11)
	require.NoError(t, err)
	require.ErrorIs(t, acc.write(t.Context(), read+1, 10), errStale)
	require.Equal(t, stored{read, 11}, look(t, acc.db, "test"))
	require.NoError(t, acc.write(t.Context(), read+2, 11))
}

func TestHolderWithoutFencingIsRefused(t *testing.T) {
	acc := fencedAccount(t)
	require.ErrorIs(t, acc.write(t.Context(), 1, 0), errStale)
	_, err := acc.read(t.Context(), 0)
	require.ErrorIs(t, err, errStale)
	require.Equal(t, stored{opening, 1}, look(t, acc.db, "test"))
}
