package steadyfleet_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

type pointerEngine struct{ deafEngine }

func TestNew_ANilPointerIsNil(t *testing.T) {
	t.Parallel()
	_, err := steadyfleet.New((*redis.Client)(nil))
	require.EqualError(t, err, "steadyfleet: New: the client is nil")
	_, err = steadyfleet.NewWithEngine((*pointerEngine)(nil))
	require.EqualError(t, err, "steadyfleet: NewWithEngine: the engine is nil")
	_, err = steadyfleet.Join((*brokenStore)(nil), "g")
	require.EqualError(t, err, "steadyfleet: Join: the store is nil: want one of New or InMemory")
}

func TestRedis_MembersOfAnotherTypeAreThrownAway(t *testing.T) {
	t.Parallel()
	_, client := newRedis(t)
	store, err := steadyfleet.New(client)
	require.NoError(t, err)
	require.NoError(t, client.Set(t.Context(), "steadyhttp:1:{g}", "x", 0).Err())
	members, err := store.Beat(t.Context(), "g", "p")
	require.NoError(t, err)
	assert.EqualValues(t, 1, members)
}

// A downStore says that nothing works, and takes its time to let somebody probe.
type downStore struct {
	takes time.Duration
	asked atomic.Int64
}

func (s *downStore) Tell(ctx context.Context, _ string, r steadyfleet.Report) (steadyfleet.Word, error) {
	w := steadyfleet.Word{Origin: r.Origin, Gen: 1, Phase: steadyfleet.Down, Limit: 1 << 16, Voices: 1}
	if r.Kind != steadyfleet.AskProbe {
		return w, nil
	}
	first := s.asked.Add(1) == 1
	w.Granted = first
	w.Wait = 1000
	select {
	case <-ctx.Done():
		return steadyfleet.Word{}, ctx.Err()
	case <-time.After(s.takes):
		return w, nil
	}
}

func (s *downStore) Beat(context.Context, string, string) (int64, error) { return 1, nil }

func (s *downStore) Listen(ctx context.Context, _ string, _ func(steadyfleet.Word)) error {
	<-ctx.Done()
	return ctx.Err()
}

func once(ctx context.Context, p *process) error {
	request, err := http.NewRequestWithContext(steadyhttp.NoRetry(ctx), http.MethodGet, origin, nil)
	if err != nil {
		return err
	}
	_, err = p.transport.RoundTrip(request)
	return err
}

// shut makes a process whose breaker the fleet has opened, and waits until it may ask for a probe.
func shut(t *testing.T, store steadyfleet.Store) *process {
	p := newProcess(t, &server{}, store)
	p.way.cut.Store(true)
	_ = once(t.Context(), p)
	time.Sleep(30 * time.Millisecond) // until the store has said that nothing works
	_ = once(t.Context(), p)
	require.ErrorIs(t, once(t.Context(), p), steadyhttp.ErrCircuitOpen)
	time.Sleep(250 * time.Millisecond)
	return p
}

// Callers who have no time must neither probe unasked, nor lose the store's leave.
func TestFleet_ACallerThatDoesNotWaitForTheStoreLeavesItsLeaveToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &downStore{takes: 100 * time.Millisecond}
		p := shut(t, store)
		defer p.fleet.Close()
		p.way.cut.Store(false)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		require.Error(t, once(ctx, p))
		assert.Equal(t, 50*time.Millisecond, time.Since(begin))
		require.EqualValues(t, 1, store.asked.Load())
		require.ErrorIs(t, once(t.Context(), p), steadyhttp.ErrCircuitOpen, "the store has not replied")
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, once(t.Context(), p), "it has let this process probe")
		assert.EqualValues(t, 1, store.asked.Load())
	})
}

func TestFleet_CloseLetsACallGoThatAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := shut(t, &downStore{takes: 200 * time.Millisecond})
		p.way.cut.Store(false)
		time.AfterFunc(20*time.Millisecond, p.fleet.Close)
		begin := time.Now()
		require.NoError(t, once(t.Context(), p))
		assert.Equal(t, 20*time.Millisecond, time.Since(begin))
		assert.True(t, p.fleet.Status().Alone)
		time.Sleep(time.Second)
		assert.True(t, p.fleet.Status().Alone)
	})
}
