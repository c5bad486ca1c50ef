package redisconn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/redisconn"
)

func TestSurvey(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	s.do("SET", "redlock:aux:marker", "id 1 2 first")
	before := time.Now()
	survey, err := s.Survey(t.Context(), redisconn.SurveyScope{})
	require.NoError(t, err)
	assert.Equal(t, "master", survey.Info["role"])
	assert.Equal(t, "noeviction", survey.Info["maxmemory_policy"])
	assert.Len(t, survey.Info["run_id"], 40)
	assert.WithinRange(t, time.UnixMicro(survey.Time), before.Truncate(time.Microsecond), time.Now())
	assert.Less(t, survey.Sent, survey.Received)
	assert.Empty(t, survey.Marker, "it was not asked for")

	scope := redisconn.SurveyScope{Marker: true, Configuration: true}
	survey, err = s.Survey(t.Context(), scope)
	require.NoError(t, err)
	assert.Equal(t, "id 1 2 first", survey.Marker)
	assert.Empty(t, survey.Fsync, "there is no append-only file")
	s.do("CONFIG", "SET", "appendonly", "yes")
	survey, err = s.Survey(t.Context(), scope)
	require.NoError(t, err)
	assert.Equal(t, "everysec", survey.Fsync)
	assert.NoError(t, survey.FsyncErr)
}

// A server logs what it denies. So INFO that was denied is not asked for again and again.
func TestDeniedInfoIsNotAskedForAgain(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{Username: "user", Password: "secret"})
	s.do("ACL", "SETUSER", "user", "on", ">secret", "+@all", "allkeys", "-info")
	denials := func() string {
		entries, err := s.client.ACLLog(t.Context(), 100).Result()
		require.NoError(t, err)
		s.do("ACL", "LOG", "RESET")
		var texts []string
		for _, e := range entries {
			texts = append(texts, strings.Repeat(e.Object, int(e.Count)))
		}
		return strings.Join(texts, " ")
	}
	for i, want := range []string{"info", "", "", "info"} {
		survey, err := s.Survey(t.Context(), redisconn.SurveyScope{Deep: i == 3})
		require.NoError(t, err)
		require.ErrorContains(t, survey.InfoErr, "NOPERM", "it is still told")
		assert.NotZero(t, survey.Time)
		assert.Equal(t, want, denials())
	}
	s.do("ACL", "SETUSER", "user", "+info")
	for _, deep := range []bool{true, false} {
		survey, err := s.Survey(t.Context(), redisconn.SurveyScope{Deep: deep})
		require.NoError(t, err)
		assert.NoError(t, survey.InfoErr)
		assert.NotEmpty(t, survey.Info)
	}
}

func TestTryMessages(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{Username: "user", Password: "secret"})
	s.do("ACL", "SETUSER", "user", "on", ">secret", "+@all", "allkeys", "allchannels")
	require.NoError(t, s.TryMessages(t.Context(), "channel"))
	for _, right := range []string{"-subscribe", "-publish", "resetchannels"} {
		s.do("ACL", "SETUSER", "user", "+@all", "allchannels", right)
		require.ErrorContains(t, s.TryMessages(t.Context(), "channel"), "NOPERM", right)
	}
	down := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, MaintNotificationsConfig: quiet})
	m := redisconn.Masters([]redis.UniversalClient{down}, clock.Runtime(), patience)[0]
	require.ErrorContains(t, m.TryMessages(t.Context(), "channel"), "refused")
	require.NoError(t, down.Close())
}
