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

// stored is a row of the database.
type stored struct{ balance, fence int64 }

func storedIn(t *testing.T, db *sql.DB, id string) (s stored) {
	t.Helper()
	require.NoError(t, db.QueryRow(`SELECT balance, fence FROM accounts WHERE id = ?`, id).Scan(&s.balance, &s.fence))
	return s
}

func fencedAccount(t *testing.T) fenced {
	t.Helper()
	acc := fenced{row{database(t), "test"}}
	require.NoError(t, acc.open(t.Context(), opening))
	require.NoError(t, fenced{row{acc.db, "other"}}.open(t.Context(), opening))
	t.Cleanup(func() {
		require.Equal(t, stored{opening, 1}, storedIn(t, acc.db, "other"), "the other account must not change")
	})
	return acc
}

func TestHolderMayWriteSeveralTimes(t *testing.T) {
	acc := fencedAccount(t)
	for balance := int64(1); balance <= 3; balance++ {
		require.NoError(t, acc.write(t.Context(), balance, 10))
		require.Equal(t, stored{balance, 10}, storedIn(t, acc.db, "test"))
		read, err := acc.read(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, balance, read)
	}
}

func TestEarlierHolderIsRejectedAfterLaterWrite(t *testing.T) {
	acc := fencedAccount(t)
	require.NoError(t, acc.write(t.Context(), 1, 10))
	require.NoError(t, acc.write(t.Context(), 2, 11))
	require.ErrorIs(t, acc.write(t.Context(), 3, 10), errStale)
	_, err := acc.read(t.Context(), 10)
	require.ErrorIs(t, err, errStale)
	require.Equal(t, stored{2, 11}, storedIn(t, acc.db, "test"))
}

// Otherwise the later holder would overwrite what the earlier one wrote after the read.
func TestEarlierHolderIsRejectedAfterLaterRead(t *testing.T) {
	acc := fencedAccount(t)
	_, err := acc.read(t.Context(), 10)
	require.NoError(t, err)
	read, err := acc.read(t.Context(), 11)
	require.NoError(t, err)
	require.ErrorIs(t, acc.write(t.Context(), read+1, 10), errStale)
	require.Equal(t, stored{read, 11}, storedIn(t, acc.db, "test"))
	require.NoError(t, acc.write(t.Context(), read+2, 11))
}

func TestHolderWithoutFencingIsRejected(t *testing.T) {
	acc := fencedAccount(t)
	require.ErrorIs(t, acc.write(t.Context(), 1, 0), errStale)
	_, err := acc.read(t.Context(), 0)
	require.ErrorIs(t, err, errStale)
	require.Equal(t, stored{opening, 1}, storedIn(t, acc.db, "test"))
}
