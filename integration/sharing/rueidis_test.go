package sharing

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

// An engine is a steadyfleet.Engine over rueidis. With another import path it is one over valkey-go.
type engine struct{ client rueidis.Client }

func (e engine) Eval(ctx context.Context, script string, keys, args []string) (string, error) {
	return rueidis.NewLuaScript(script).Exec(ctx, e.client, keys, args).ToString()
}

func (e engine) Subscribe(ctx context.Context, channel string, receive func(message string)) error {
	subscribe := e.client.B().Subscribe().Channel(channel).Build()
	return e.client.Receive(ctx, subscribe, func(m rueidis.PubSubMessage) { receive(m.Message) })
}

func TestSharing_OverRueidis(t *testing.T) {
	t.Parallel()
	d := startRedis(t)
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{d.address}, DisableCache: true})
	require.NoError(t, err)
	defer client.Close()
	store, err := steadyfleet.NewWithEngine(engine{client})
	require.NoError(t, err)
	checkWordsAreHeard(t, store, d)
}

// checkWordsAreHeard raises an alert.
func checkWordsAreHeard(t *testing.T, store steadyfleet.Store, d *database) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan steadyfleet.Word, 10), make(chan error, 1)
	go func() { ended <- store.Listen(ctx, "g", func(w steadyfleet.Word) { heard <- w }) }()
	rdb := d.client()
	defer func() { _ = rdb.Close() }()
	require.Eventually(t, func() bool {
		n, err := rdb.PubSubNumSub(ctx, "steadyhttp:1:g").Result()
		return err == nil && n["steadyhttp:1:g"] == 1
	}, 10*time.Second, 10*time.Millisecond)
	for _, process := range []string{"a", "b", "c"} {
		_, err := store.Tell(ctx, "g", steadyfleet.Report{Origin: "o", Kind: steadyfleet.Failing, Process: process})
		require.NoError(t, err)
	}
	assert.Equal(t, steadyfleet.Alert, (<-heard).Phase)
	members, err := store.Beat(ctx, "g", "a")
	require.NoError(t, err)
	assert.EqualValues(t, 1, members)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// TestSharing_NeedsNoMoreThanTheACLInTheDocument runs all commands as a user who may do nothing else.
func TestSharing_NeedsNoMoreThanTheACLInTheDocument(t *testing.T) {
	t.Parallel()
	d := startRedis(t)
	admin := d.client()
	defer func() { _ = admin.Close() }()
	rules := append([]any{"ACL", "SETUSER", "steady", "on", ">secret"}, documentedACL(t)...)
	require.NoError(t, admin.Do(t.Context(), rules...).Err())

	client := d.client()
	client.Options().Username, client.Options().Password = "steady", "secret"
	defer func() { _ = client.Close() }()
	store, err := steadyfleet.New(client)
	require.NoError(t, err)
	for _, kind := range []steadyfleet.Kind{steadyfleet.Failing, steadyfleet.Working, steadyfleet.Slow, steadyfleet.AskProbe, steadyfleet.ProbeFailed, steadyfleet.ProbeSucceeded} {
		w := steadyfleet.Word{}
		for i := range 30 { // which raises an alert, too
			w, err = store.Tell(t.Context(), "g", steadyfleet.Report{Origin: "o", Kind: kind, Process: string(rune('A' + i)), Rank: int64(i), Gen: w.Gen, Failures: 1})
			require.NoError(t, err, kind)
		}
	}
	_, err = store.Beat(t.Context(), "g", "a")
	require.NoError(t, err)
	assert.Error(t, client.Set(t.Context(), "steadyhttp:x", "1", 0).Err(), "it is the user's")

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.Listen(ctx, "g", func(steadyfleet.Word) {}) }()
	require.Eventually(t, func() bool {
		n, err := admin.PubSubNumSub(ctx, "steadyhttp:1:g").Result()
		return err == nil && n["steadyhttp:1:g"] == 1
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	<-ended
}

// TestSharing_HostileDataIsThrownAway by a real Redis, whose Lua is not that of the module's own tests.
func TestSharing_HostileDataIsThrownAway(t *testing.T) {
	t.Parallel()
	d := startRedis(t)
	client := d.client()
	defer func() { _ = client.Close() }()
	store, err := steadyfleet.New(client)
	require.NoError(t, err)
	for origin, write := range map[string]func(key string) error{
		"string":  func(key string) error { return client.Set(t.Context(), key, "x", 0).Err() },
		"list":    func(key string) error { return client.LPush(t.Context(), key, "x").Err() },
		"failing": func(key string) error { return client.Set(t.Context(), key+":failing", "x", 0).Err() },
		"numbers": func(key string) error {
			return client.HSet(t.Context(), key, "gen", "nan", "since", "inf", "next", "1e999", "limit", "-1", "phase", "7").Err()
		},
		"huge":  func(key string) error { return client.HSet(t.Context(), key, "gen", strings.Repeat("9", 400)).Err() },
		"words": func(key string) error { return client.HSet(t.Context(), key, "gen", "x", "later", "version").Err() },
		"held": func(key string) error {
			now := time.Now().UnixMilli()
			return client.HSet(t.Context(), key, "phase", 2, "gen", now, "since", now, "next", now+1<<40, "limit", 65536).Err()
		},
	} {
		require.NoError(t, write("steadyhttp:1:{g:"+origin+"}"))
		var w steadyfleet.Word
		for _, process := range []string{"a", "b", "c"} {
			w, err = store.Tell(t.Context(), "g", steadyfleet.Report{Origin: origin, Kind: steadyfleet.Failing, Process: process})
			require.NoError(t, err, origin)
		}
		assert.Equal(t, steadyfleet.Alert, w.Phase, origin)
	}
}
