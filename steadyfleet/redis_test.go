package steadyfleet_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

func newRedis(t *testing.T) (*miniredis.Miniredis, *redis.Client) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	return server, client
}

func TestRedis_KeysHaveOneTagAVersionAndAnEnd(t *testing.T) {
	t.Parallel()
	server, client := newRedis(t)
	store, err := steadyfleet.New(client, steadyfleet.WithPrefix("shop"))
	require.NoError(t, err)
	for _, process := range []string{"a", "b"} {
		_, err = store.Tell(t.Context(), "a{b}", steadyfleet.Report{Origin: "o", Kind: steadyfleet.Failing, Process: process})
		require.NoError(t, err)
	}
	members, err := store.Beat(t.Context(), "a{b}", "a")
	require.NoError(t, err)
	assert.EqualValues(t, 1, members)
	keys := server.Keys()
	assert.Equal(t, []string{"shop:1:{a(b)", "shop:1:{a(b):o}", "shop:1:{a(b):o}:failing"}, append([]string{strings.TrimSuffix(keys[2], "}")}, keys[0], keys[1]))
	for _, key := range keys {
		assert.LessOrEqual(t, server.TTL(key), 30*time.Second, key)
		assert.Positive(t, server.TTL(key), key)
	}
}

func TestRedis_WordsReachAllButOtherGroups(t *testing.T) {
	t.Parallel()
	_, client := newRedis(t)
	store, err := steadyfleet.New(client)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	heard, other := make(chan steadyfleet.Word, 10), make(chan steadyfleet.Word, 10)
	var group sync.WaitGroup
	group.Go(func() { _ = store.Listen(ctx, "g", func(w steadyfleet.Word) { heard <- w }) })
	group.Go(func() { _ = store.Listen(ctx, "h", func(w steadyfleet.Word) { other <- w }) })
	require.Eventually(t, func() bool {
		n, err := client.PubSubNumSub(ctx, "steadyhttp:1:g", "steadyhttp:1:h").Result()
		return err == nil && n["steadyhttp:1:g"] == 1 && n["steadyhttp:1:h"] == 1
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, client.Publish(ctx, "steadyhttp:1:g", "junk").Err())
	for _, process := range []string{"a", "b", "c"} {
		_, err = store.Tell(ctx, "g", steadyfleet.Report{Origin: "o", Kind: steadyfleet.Failing, Process: process})
		require.NoError(t, err)
	}
	w := <-heard
	assert.Equal(t, steadyfleet.Alert, w.Phase)
	assert.Equal(t, "o", w.Origin)
	assert.Empty(t, heard)
	assert.Empty(t, other)
	cancel()
	group.Wait()
}

func TestRedis_AServerThatIsGoneIsAnErrorInTime(t *testing.T) {
	t.Parallel()
	server, client := newRedis(t)
	store, err := steadyfleet.New(client)
	require.NoError(t, err)
	server.Close()
	_, err = store.Tell(t.Context(), "g", steadyfleet.Report{})
	require.Error(t, err)
	_, err = store.Beat(t.Context(), "g", "p")
	require.Error(t, err)
}

// A deafEngine never replies.
type deafEngine struct{}

func (deafEngine) Eval(context.Context, string, []string, []string) (string, error) {
	time.Sleep(time.Second)
	return "", errors.New("late")
}

func (deafEngine) Subscribe(ctx context.Context, _ string, _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestRedis_AClientThatDoesNotCareForItsContextKeepsNobody(t *testing.T) {
	t.Parallel()
	store, err := steadyfleet.NewWithEngine(deafEngine{})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = store.Tell(ctx, "g", steadyfleet.Report{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestNew_TellsWhatIsInvalid(t *testing.T) {
	t.Parallel()
	_, client := newRedis(t)
	_, err := steadyfleet.New(nil)
	require.EqualError(t, err, "steadyfleet: New: the client is nil")
	_, err = steadyfleet.NewWithEngine(nil)
	require.EqualError(t, err, "steadyfleet: NewWithEngine: the engine is nil")
	_, err = steadyfleet.New(client, nil, steadyfleet.WithPrefix(""), steadyfleet.WithPrefix("{a}"))
	require.EqualError(t, err, "steadyfleet: option 1 is nil\n"+
		`steadyfleet: WithPrefix: "" is invalid: want a name without braces`+"\n"+
		`steadyfleet: WithPrefix: "{a}" is invalid: want a name without braces`)
}
