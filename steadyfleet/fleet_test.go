package steadyfleet_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

const origin = "https://api.example.com:443"

// A server answers every process alike, but those that are cut off.
type server struct {
	down     atomic.Bool
	attempts atomic.Int64
	late     atomic.Int64 // ns that a response takes
}

type way struct {
	server *server
	cut    atomic.Bool
}

func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	w.server.attempts.Add(1)
	time.Sleep(time.Duration(w.server.late.Load()))
	code := http.StatusOK
	if w.server.down.Load() || w.cut.Load() {
		code = http.StatusServiceUnavailable
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// A process is a member of a fleet, and its transport.
type process struct {
	way       *way
	fleet     *steadyfleet.Fleet
	transport *steadyhttp.Transport
}

func newProcess(t *testing.T, s *server, store steadyfleet.Store) *process {
	fleet, err := steadyfleet.Join(store, "test")
	require.NoError(t, err)
	p := &process{way: &way{server: s}, fleet: fleet}
	p.transport, err = steadyhttp.NewTransport(p.way, steadyhttp.WithFleet(fleet))
	require.NoError(t, err)
	return p
}

func (p *process) call() error {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, origin, nil)
	if err != nil {
		return err
	}
	response, err := p.transport.RoundTrip(request)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return err
}

func (p *process) state() steadyhttp.BreakerState { return p.transport.Breaker(origin).Status().State }

// play lets n processes call ten times a second each while a test does what it does to them.
func play(t *testing.T, n int, store func() steadyfleet.Store, during func(*server, []*process)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, shared := &server{}, store()
		var processes []*process
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		for i := range n {
			p := newProcess(t, s, shared)
			processes = append(processes, p)
			group.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond / time.Duration(n))
				for ctx.Err() == nil {
					go func() { _ = p.call() }()
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		defer func() { // also when the test ends at once
			cancel()
			group.Wait()
			s.down.Store(false)
			for _, p := range processes {
				p.fleet.Close()
			}
			time.Sleep(time.Minute) // for calls that wait for a retry
		}()
		time.Sleep(2 * time.Second)
		during(s, processes)
	})
}

func near() steadyfleet.Store { return steadyfleet.InMemory(time.Millisecond) }

func in(processes []*process, state steadyhttp.BreakerState) (n int) {
	for _, p := range processes {
		if p.state() == state {
			n++
		}
	}
	return n
}

func TestFleet_OpensTogetherProbesOnceAndClosesTogether(t *testing.T) {
	t.Parallel()
	play(t, 40, near, func(s *server, processes []*process) {
		s.down.Store(true)
		time.Sleep(time.Second)
		assert.GreaterOrEqual(t, in(processes, steadyhttp.BreakerOpen), 38)
		before := s.attempts.Load()
		time.Sleep(10 * time.Second)
		probes := s.attempts.Load() - before
		assert.Greater(t, probes, int64(20), "one probe in about 250 ms")
		assert.Less(t, probes, int64(45))
		down := processes[0].fleet.Status().Advice
		require.Len(t, down, 1)
		assert.Equal(t, origin, down[0].Origin)
		assert.Equal(t, "down", down[0].Phase)
		assert.Equal(t, down, processes[0].transport.Fleet().Advice)

		s.down.Store(false)
		time.Sleep(600 * time.Millisecond)
		assert.Equal(t, 40, in(processes, steadyhttp.BreakerClosed))
		time.Sleep(5 * time.Second)
		assert.Empty(t, processes[0].fleet.Status().Advice)
	})
}

func TestFleet_ABlipOpensNothing(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{time.Millisecond, 50 * time.Millisecond} {
		store := func() steadyfleet.Store { return steadyfleet.InMemory(delay) }
		play(t, 40, store, func(s *server, processes []*process) {
			s.down.Store(true)
			time.Sleep(500 * time.Millisecond)
			s.down.Store(false)
			for range 20 {
				time.Sleep(100 * time.Millisecond)
				assert.Equal(t, 40, in(processes, steadyhttp.BreakerClosed))
			}
		})
	}
}

// Whoever is cut off, and however many of them there are: others' words shut out nobody for whom the origin works.
func TestFleet_OthersWordsAloneShutOutNobody(t *testing.T) {
	t.Parallel()
	for _, cut := range []int{1, 3, 20, 36, 39} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			t.Parallel()
			play(t, 40, near, func(_ *server, processes []*process) {
				for _, p := range processes[:cut] {
					p.way.cut.Store(true)
				}
				for range 100 {
					time.Sleep(100 * time.Millisecond)
					assert.Zero(t, len(processes)-cut-in(processes[cut:], steadyhttp.BreakerClosed))
				}
			})
		})
	}
}

// A brokenStore is one that can go away, be slow, and say what nobody told it.
type brokenStore struct {
	steadyfleet.Store
	away, slow atomic.Bool
	lie        chan steadyfleet.Word
}

func (s *brokenStore) Tell(ctx context.Context, group string, r steadyfleet.Report) (steadyfleet.Word, error) {
	if s.away.Load() {
		return steadyfleet.Word{}, errors.New("away")
	}
	if s.slow.Load() {
		time.Sleep(500 * time.Millisecond) // whatever ctx says
	}
	return s.Store.Tell(ctx, group, r)
}

func TestFleet_AStoreThatGoesAwayLeavesEachBreakerToItself(t *testing.T) {
	t.Parallel()
	for name, breakStore := range map[string]func(*brokenStore){
		"away": func(s *brokenStore) { s.away.Store(true) },
		"slow": func(s *brokenStore) { s.slow.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var store *brokenStore
			make := func() steadyfleet.Store { store = &brokenStore{Store: near()}; return store }
			play(t, 40, make, func(s *server, processes []*process) {
				s.down.Store(true)
				time.Sleep(3 * time.Second)
				assert.GreaterOrEqual(t, in(processes, steadyhttp.BreakerOpen), 39)
				breakStore(store)
				time.Sleep(3 * time.Second)
				assert.True(t, processes[0].fleet.Status().Alone)
				s.down.Store(false)
				time.Sleep(1500 * time.Millisecond) // an open time, and what a slow store may cost the call that asks
				assert.Equal(t, 40, in(processes, steadyhttp.BreakerClosed))
			})
		})
	}
}

func TestFleet_AStoreThatComesBackIsFoundByTrouble(t *testing.T) {
	t.Parallel()
	var store *brokenStore
	make := func() steadyfleet.Store { store = &brokenStore{Store: near()}; return store }
	play(t, 40, make, func(s *server, processes []*process) {
		store.away.Store(true)
		s.down.Store(true)
		time.Sleep(15 * time.Second)
		store.away.Store(false)
		time.Sleep(5 * time.Second)
		assert.False(t, processes[0].fleet.Status().Alone)
	})
}

// A store that lies, or that somebody else writes to, can do no more than let a failure count for much.
func TestFleet_ALieShutsOutNobodyForWhomTheOriginWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Store: near(), lie: make(chan steadyfleet.Word)}
		p := newProcess(t, &server{}, store)
		defer p.fleet.Close()
		require.NoError(t, p.call())
		watch := p.fleet.Status()
		assert.Empty(t, watch.Advice)
		key := digestOf(t, p)
		for gen := range int64(50) {
			store.lie <- steadyfleet.Word{Origin: key, Gen: 1000 + gen, Phase: steadyfleet.Down, Limit: 1 << 16, Voices: 1000, Silence: 1000}
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
			require.NoError(t, p.call())
		}
		require.Len(t, p.fleet.Status().Advice, 1, "it was believed, for as much as it can do")
	})
}

func (s *brokenStore) Listen(ctx context.Context, group string, hear func(steadyfleet.Word)) error {
	if s.lie == nil {
		return s.Store.Listen(ctx, group, hear)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w := <-s.lie:
			hear(w)
		}
	}
}

// digestOf lets a process fail once, and looks at what it says.
func digestOf(t *testing.T, p *process) string {
	t.Helper()
	spy := &spyStore{}
	fleet, err := steadyfleet.Join(spy, "spy")
	require.NoError(t, err)
	defer fleet.Close()
	transport, err := steadyhttp.NewTransport(p.way, steadyhttp.WithFleet(fleet), steadyhttp.WithMaxAttempts(1))
	require.NoError(t, err)
	p.way.cut.Store(true)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin, nil)
	require.NoError(t, err)
	_, err = transport.RoundTrip(request)
	require.NoError(t, err)
	time.Sleep(20 * time.Millisecond) // more than from one look to the next
	p.way.cut.Store(false)
	return spy.told.Load().(steadyfleet.Report).Origin
}

type spyStore struct {
	told  atomic.Value
	tells atomic.Int64
	beats atomic.Int64

	beatAt time.Time     // the last
	gap    time.Duration // the shortest between two
}

func (s *spyStore) Tell(_ context.Context, _ string, r steadyfleet.Report) (steadyfleet.Word, error) {
	s.told.Store(r)
	s.tells.Add(1)
	return steadyfleet.Word{Origin: r.Origin, Limit: 1 << 16}, nil
}

// Beat is called by the goroutine of one fleet.
func (s *spyStore) Beat(context.Context, string, string) (int64, error) {
	if gap := time.Since(s.beatAt); s.gap == 0 || gap < s.gap {
		s.gap = gap
	}
	s.beatAt = time.Now()
	return s.beats.Add(1), nil
}

func (s *spyStore) Listen(ctx context.Context, _ string, _ func(steadyfleet.Word)) error {
	<-ctx.Done()
	return ctx.Err()
}

// A store that is wrong, and never lets anybody probe, keeps nobody for good.
func TestFleet_AStoreThatLetsNobodyProbeKeepsNobodyForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &stubbornStore{}
		p := newProcess(t, &server{}, store)
		defer p.fleet.Close()
		p.way.server.down.Store(true)
		_ = p.call()
		time.Sleep(100 * time.Millisecond)
		require.ErrorIs(t, p.call(), steadyhttp.ErrCircuitOpen)
		p.way.server.down.Store(false)
		begin := time.Now()
		for p.call() != nil {
			time.Sleep(100 * time.Millisecond)
		}
		assert.Greater(t, time.Since(begin), 25*time.Second, "it is believed for a while")
		assert.Less(t, time.Since(begin), 50*time.Second)
		for range 100 {
			require.NoError(t, p.call())
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// A stubbornStore says that nothing works, whatever it is told.
type stubbornStore struct{ spyStore }

func (s *stubbornStore) Tell(_ context.Context, _ string, r steadyfleet.Report) (steadyfleet.Word, error) {
	return steadyfleet.Word{Origin: r.Origin, Gen: 7, Phase: steadyfleet.Down, Limit: 1 << 16, Voices: 1, Wait: 3_600_000}, nil
}

func (s *stubbornStore) Listen(ctx context.Context, _ string, hear func(steadyfleet.Word)) error {
	for ctx.Err() == nil {
		hear(steadyfleet.Word{Origin: digest(origin), Gen: 7, Phase: steadyfleet.Down, Limit: 1 << 16, Voices: 1})
		time.Sleep(100 * time.Millisecond)
	}
	return ctx.Err()
}

func digest(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:12])
}

// Whoever has been served since nothing is said to work does not follow at the first failure of its own.
func TestFleet_WhoIsServedDoesNotFollowAtItsFirstFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(t, &server{}, &stubbornStore{})
		defer p.fleet.Close()
		time.Sleep(time.Second)
		require.NoError(t, p.call())
		time.Sleep(150 * time.Millisecond) // until it has heard of that origin
		require.NoError(t, p.call())
		for range 20 {
			p.way.cut.Store(true)
			_ = p.call()
			p.way.cut.Store(false)
			require.NoError(t, p.call())
			time.Sleep(time.Second)
		}
	})
}

func TestFleet_WordsOutOfReasonAreNone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*steadyfleet.Word){
		"phase":      func(w *steadyfleet.Word) { w.Phase = 99 },
		"generation": func(w *steadyfleet.Word) { w.Gen = math.MaxInt64 },
		"limit":      func(w *steadyfleet.Word) { w.Limit = -1 },
		"voices":     func(w *steadyfleet.Word) { w.Voices = math.MaxInt64 },
		"silence":    func(w *steadyfleet.Word) { w.Silence = math.MaxInt64 },
		"wait":       func(w *steadyfleet.Word) { w.Wait = math.MinInt64 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &wrongStore{change: change}
				p := newProcess(t, &server{}, store)
				defer p.fleet.Close()
				time.Sleep(time.Second) // the first heartbeat is over, to which the store replies, and the next is 10 s away
				require.NoError(t, p.call())
				p.way.cut.Store(true)
				_ = p.call()
				time.Sleep(10 * time.Millisecond)
				assert.True(t, p.fleet.Status().Alone)
				assert.Empty(t, p.fleet.Status().Advice)
			})
		})
	}
}

type wrongStore struct {
	spyStore
	change func(*steadyfleet.Word)
}

func (s *wrongStore) Tell(_ context.Context, _ string, r steadyfleet.Report) (steadyfleet.Word, error) {
	w := steadyfleet.Word{Origin: r.Origin, Gen: 7, Phase: steadyfleet.Down, Limit: 1 << 16}
	s.change(&w)
	return w, nil
}

// Of a thousand origins that fail at once, a process tells no more than the store can bear.
func TestFleet_ManyOriginsMakeNoProcessLoud(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spy := &spyStore{}
		p := newProcess(t, &server{}, spy)
		defer p.fleet.Close()
		p.way.cut.Store(true)
		for range 10 {
			for i := range 200 {
				go func() {
					request, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, fmt.Sprint("https://", i, ".example.com"), nil)
					_, _ = p.transport.RoundTrip(request)
				}()
			}
			time.Sleep(time.Second)
		}
		assert.Greater(t, spy.tells.Load(), int64(100))
		assert.LessOrEqual(t, spy.tells.Load(), int64(220), "20 a second")
		time.Sleep(time.Minute)
	})
}

// A store that has asked for silence may have forgotten it.
func TestFleet_SilenceIsNotForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &quietStore{}
		p := newProcess(t, &server{}, store)
		defer p.fleet.Close()
		p.way.cut.Store(true)
		for range 65 {
			_ = p.call()
			time.Sleep(time.Second)
		}
		assert.GreaterOrEqual(t, store.tells.Load(), int64(2))
		assert.LessOrEqual(t, store.tells.Load(), int64(4))
		time.Sleep(time.Minute)
	})
}

type quietStore struct{ spyStore }

func (s *quietStore) Tell(_ context.Context, _ string, r steadyfleet.Report) (steadyfleet.Word, error) {
	s.tells.Add(1)
	return steadyfleet.Word{Origin: r.Origin, Gen: 1, Limit: 1}, nil // which hardly any process is below
}

func TestFleet_InHealthThereIsOneBeatInTenSeconds(t *testing.T) {
	t.Parallel()
	spy := &spyStore{}
	play(t, 1, func() steadyfleet.Store { return spy }, func(_ *server, processes []*process) {
		time.Sleep(98 * time.Second)
		assert.Zero(t, spy.tells.Load())
		assert.InDelta(t, 10, spy.beats.Load(), 1)
		assert.GreaterOrEqual(t, spy.gap, 10*time.Second)
		assert.Equal(t, int(spy.beats.Load()), processes[0].fleet.Status().Members)
	})
}

// Of a partial failure there is little to say for long.
func TestFleet_APartialFailureDoesNotKeepAProcessTalking(t *testing.T) {
	t.Parallel()
	spy := &spyStore{}
	play(t, 1, func() steadyfleet.Store { return spy }, func(_ *server, processes []*process) {
		for range 100 {
			processes[0].way.cut.Store(!processes[0].way.cut.Load())
			time.Sleep(100 * time.Millisecond)
		}
		assert.Greater(t, spy.tells.Load(), int64(2))
		assert.LessOrEqual(t, spy.tells.Load(), int64(11), "one a second")
	})
}

func TestFleet_MembersAreCounted(t *testing.T) {
	t.Parallel()
	play(t, 7, near, func(_ *server, processes []*process) {
		time.Sleep(20 * time.Second)
		assert.Equal(t, 7, processes[0].fleet.Status().Members)
		assert.Equal(t, 2*time.Millisecond, processes[0].fleet.Status().Lag)
		for _, p := range processes[1:] {
			p.fleet.Close()
		}
		time.Sleep(45 * time.Second)
		assert.Equal(t, 1, processes[0].fleet.Status().Members)
	})
}

func TestFleet_CloseEndsAllThatJoinBegan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		p := newProcess(t, &server{}, near())
		require.NoError(t, p.call())
		p.fleet.Close()
		p.fleet.Close()
		p.way.cut.Store(true)
		require.Error(t, p.call())
	})
}

func TestFleet_ZeroSharesNothing(t *testing.T) {
	t.Parallel()
	fleet := &steadyfleet.Fleet{}
	defer fleet.Close()
	transport, err := steadyhttp.NewTransport(&way{server: &server{}}, steadyhttp.WithFleet(fleet))
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin, nil)
	require.NoError(t, err)
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Empty(t, transport.Fleet().Advice)
}

// A store that replies while the fleet is closed changes nothing any more.
func TestFleet_HearsNothingOnceItIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Store: &stubbornStore{}}
		p := newProcess(t, &server{}, store)
		p.way.cut.Store(true)
		_ = p.call()
		time.Sleep(500 * time.Millisecond)
		require.Len(t, p.fleet.Status().Advice, 1)
		store.slow.Store(true)
		group := sync.WaitGroup{}
		for range 3 { // calls that ask for a probe, or would
			group.Go(func() { _ = p.call() })
		}
		group.Go(p.fleet.Close)
		group.Go(p.fleet.Close)
		group.Wait()
		assert.Empty(t, p.fleet.Status().Advice)
		p.way.cut.Store(false)
		time.Sleep(2 * time.Second)
		require.NoError(t, p.call(), "its breaker is on its own")
		late, err := steadyhttp.NewTransport(p.way, steadyhttp.WithFleet(p.fleet))
		require.NoError(t, err)
		p.transport = late
		require.NoError(t, p.call())
		p.way.cut.Store(true)
		_ = p.call()
		assert.Empty(t, p.fleet.Status().Advice)
		time.Sleep(time.Minute)
	})
}

func TestJoin_TwiceIsTwoMembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := near()
		a, b := newProcess(t, &server{}, store), newProcess(t, &server{}, store)
		time.Sleep(15 * time.Second)
		assert.Equal(t, 2, a.fleet.Status().Members)
		a.fleet.Close()
		time.Sleep(time.Minute)
		assert.Equal(t, 1, b.fleet.Status().Members)
		b.fleet.Close()
	})
}

func TestJoin_NeedsAStoreAndAGroup(t *testing.T) {
	t.Parallel()
	_, err := steadyfleet.Join(nil, "g")
	require.EqualError(t, err, "steadyfleet: Join: the store is nil: want one of New or InMemory")
	_, err = steadyfleet.Join(near(), "")
	require.EqualError(t, err, `steadyfleet: Join: the group "" is invalid: want a name, such as that of the service`)
}

func TestFleet_TransportsOfAProcessHearTheSame(t *testing.T) {
	t.Parallel()
	play(t, 10, near, func(s *server, processes []*process) {
		second, err := steadyhttp.NewTransport(processes[0].way, steadyhttp.WithFleet(processes[0].fleet), steadyhttp.WithMaxAttempts(1))
		require.NoError(t, err)
		s.down.Store(true)
		time.Sleep(1500 * time.Millisecond)
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, origin, nil)
		require.NoError(t, err)
		_, err = second.RoundTrip(request)
		require.NoError(t, err) // the 503
		time.Sleep(30 * time.Millisecond)
		_, err = second.RoundTrip(request)
		require.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
	})
}
