package steadyfleet_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
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

// What somebody else wrote to the keys is thrown away, and keeps nobody from sharing.
func TestRedis_HostileDataIsThrownAway(t *testing.T) {
	t.Parallel()
	const key = "steadyhttp:1:{g:o}"
	fields := func(pairs ...any) func(*testing.T, *redis.Client) {
		return func(t *testing.T, client *redis.Client) {
			require.NoError(t, client.HSet(t.Context(), key, pairs...).Err())
		}
	}
	set := func(key string) func(*testing.T, *redis.Client) {
		return func(t *testing.T, client *redis.Client) {
			require.NoError(t, client.Set(t.Context(), key, strings.Repeat("x", 1<<20), 0).Err())
		}
	}
	huge := strings.Repeat("9", 400)
	for name, write := range map[string]func(*testing.T, *redis.Client){
		"a string":            set(key),
		"a string of failing": set(key + ":failing"),
		"a string of slow":    set(key + ":slow"),
		"a string of working": set(key + ":working"),
		"a list": func(t *testing.T, client *redis.Client) {
			require.NoError(t, client.LPush(t.Context(), key, "x").Err())
		},
		"not a number":   fields("gen", "nan", "phase", "nan", "since", "nan"),
		"infinite":       fields("gen", "inf", "since", "-inf", "next", "1e999"),
		"huge":           fields("gen", huge, "since", huge, "quiet", huge),
		"negative":       fields("gen", -5, "limit", -1, "failures", -1_000_000),
		"fractions":      fields("gen", "0.5", "limit", "0.1"),
		"no such phase":  fields("phase", 9),
		"quiet for ever": fields("quiet", 1<<50, "calm", 1<<50),
		"silenced":       fields("limit", 1<<40),
		"words":          fields("gen", "x", "phase", "y", "limit", ""),
		"unknown fields": fields("later", "version", "phases", "7"),
		"many members": func(t *testing.T, client *redis.Client) {
			for i := range 2000 {
				require.NoError(t, client.ZAdd(t.Context(), key+":working", redis.Z{Score: float64(i * 37 % 65536), Member: strconv.Itoa(i)}).Err())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := newRedis(t)
			store, err := steadyfleet.New(client)
			require.NoError(t, err)
			write(t, client)
			for range 2 { // after what is there may be an alert's
				for i := range 4 {
					w, err := store.Tell(t.Context(), "g", steadyfleet.Report{Origin: "o", Kind: steadyfleet.Failing, Process: strconv.Itoa(i), Rank: int64(i)})
					require.NoError(t, err)
					if w.Phase == steadyfleet.Alert {
						return
					}
				}
				server.SetTime(time.Now().Add(10 * time.Second))
			}
			assert.Fail(t, "they do not find together")
		})
	}
}

func TestRedis_AStateThatLetsNobodyProbeIsThrownAway(t *testing.T) {
	t.Parallel()
	_, client := newRedis(t)
	store, err := steadyfleet.New(client)
	require.NoError(t, err)
	now := time.Now().UnixMilli()
	require.NoError(t, client.HSet(t.Context(), "steadyhttp:1:{g:o}", "phase", 2, "gen", now, "since", now, "next", now+1<<40, "limit", 65536).Err())
	w, err := store.Tell(t.Context(), "g", steadyfleet.Report{Origin: "o", Kind: steadyfleet.AskProbe, Process: "p", Gen: now})
	require.NoError(t, err)
	assert.Equal(t, steadyfleet.Calm, w.Phase)
	assert.Greater(t, w.Gen, now, "so that it is heard")
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

// A stuckEngine does not care for the end of its subscription.
type stuckEngine struct {
	deafEngine
	ends chan struct{}
}

func (e stuckEngine) Subscribe(context.Context, string, func(string)) error {
	<-e.ends
	return nil
}

func TestRedis_AStuckSubscriptionDoesNotKeepCloseForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := stuckEngine{ends: make(chan struct{})}
		defer time.Sleep(2 * time.Second) // for a heartbeat that the engine has not replied to
		defer close(engine.ends)
		store, err := steadyfleet.NewWithEngine(engine)
		require.NoError(t, err)
		fleet, err := steadyfleet.Join(store, "g")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		begin := time.Now()
		fleet.Close()
		assert.Equal(t, 250*time.Millisecond, time.Since(begin))
	})
}

// An Observer may call anything, also where it is the fleet that tells it.
func TestFleet_AnObserverMayCloseIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(t, &server{}, &downStore{})
		closed := false
		var err error
		p.transport, err = steadyhttp.NewTransport(p.way, steadyhttp.WithFleet(p.fleet), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			if e.Kind == steadyhttp.EventBreaker && e.Reason == "fleet" {
				p.fleet.Close()
				closed = true
			}
		}))
		require.NoError(t, err)
		p.way.cut.Store(true)
		for range 3 {
			_ = once(t.Context(), p)
			time.Sleep(time.Second)
		}
		assert.True(t, closed)
	})
}

func TestNew_TellsWhatIsInvalid(t *testing.T) {
	t.Parallel()
	_, client := newRedis(t)
	_, err := steadyfleet.New(nil)
	require.EqualError(t, err, "steadyfleet: New: the client is nil")
	ring := redis.NewRing(&redis.RingOptions{})
	defer func() { _ = ring.Close() }()
	_, err = steadyfleet.New(ring)
	require.EqualError(t, err, "steadyfleet: New: a *redis.Ring is invalid, since its servers do not hear each other: want a client of one server, or of a Redis Cluster")
	_, err = steadyfleet.NewWithEngine(nil)
	require.EqualError(t, err, "steadyfleet: NewWithEngine: the engine is nil")
	_, err = steadyfleet.New(client, nil, steadyfleet.WithPrefix(""), steadyfleet.WithPrefix("{a}"))
	require.EqualError(t, err, "steadyfleet: option 1 is nil\n"+
		`steadyfleet: WithPrefix: "" is invalid: want a name without braces`+"\n"+
		`steadyfleet: WithPrefix: "{a}" is invalid: want a name without braces`)
}
