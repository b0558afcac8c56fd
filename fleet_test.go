package steadyhttp_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A fakeFleet remembers what it is told, and answers as a test wants.
type fakeFleet struct {
	mu       sync.Mutex
	breakers map[string]*steadyhttp.FleetBreaker
	removed  []string
	failed   int
	probed   []bool
	took     []time.Duration
	asked    int
	answer   func(context.Context) (bool, time.Duration) // nil: yes
}

func newFakeFleet() *fakeFleet {
	return &fakeFleet{breakers: make(map[string]*steadyhttp.FleetBreaker)}
}

func (f *fakeFleet) Add(origin string, breaker *steadyhttp.FleetBreaker) steadyhttp.FleetOrigin {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.breakers[origin] = breaker
	return fakeOrigin{f, origin}
}

func (f *fakeFleet) Status() steadyhttp.FleetStatus { return steadyhttp.FleetStatus{Members: 7} }

type fakeOrigin struct {
	*fakeFleet
	name string
}

func (o fakeOrigin) Failed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed++
}

func (o fakeOrigin) MayProbe(ctx context.Context) (bool, time.Duration) {
	o.mu.Lock()
	o.asked++
	o.mu.Unlock()
	if o.answer == nil {
		return true, 0
	}
	return o.answer(ctx)
}

func (o fakeOrigin) Probed(succeeded bool, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.took = append(o.took, took)
	o.probed = append(o.probed, succeeded)
}

func (o fakeOrigin) Remove() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.removed = append(o.removed, o.name)
}

// call makes one call that is not retried.
func call(t *testing.T, transport *steadyhttp.Transport) error {
	_, err := transport.RoundTrip(newGet(t).WithContext(steadyhttp.NoRetry(t.Context())))
	return err
}

func TestFleet_IsToldOfFailuresAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		transport := newTransport(t, newScript(status(200), status(503), status(404), status(429), fail(errReset), status(200)), steadyhttp.WithFleet(fleet))
		for range 6 {
			_ = call(t, transport)
		}
		assert.Equal(t, 2, fleet.failed)
		assert.Zero(t, fleet.asked)
		assert.Empty(t, fleet.probed)
	})
}

func TestFleet_EvidenceIsWhatWasHeardLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet, begin := newFakeFleet(), time.Now()
		transport := newTransport(t, newScript(status(503), delay(50*time.Millisecond, status(200)), hang, status(200)),
			steadyhttp.WithFleet(fleet), steadyhttp.WithAttemptTimeout(2*time.Second))
		_ = call(t, transport)
		breaker := fleet.breakers[targetOrigin]
		assert.Equal(t, steadyhttp.FleetEvidence{Failing: true}, breaker.Evidence())
		time.Sleep(time.Second)
		_ = call(t, transport)
		worked := steadyhttp.FleetEvidence{Succeeded: begin.Add(time.Second), Took: 50 * time.Millisecond, Usual: 50 * time.Millisecond}
		assert.Equal(t, worked, breaker.Evidence())
		_ = call(t, transport)
		worked.Failing, worked.Silence = true, 2*time.Second
		assert.Equal(t, worked, breaker.Evidence())
		breaker.Open(0)
		assert.True(t, breaker.Evidence().Failing, "which it is while the breaker is open")
	})
}

func TestFleet_OpensAndClosesABreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet, changes := newFakeFleet(), []string(nil)
		server := newScript(status(200))
		transport := newTransport(t, server, steadyhttp.WithFleet(fleet), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			if e.Kind == steadyhttp.EventBreaker {
				changes = append(changes, e.From.String()+" "+e.To.String()+" "+e.Reason)
			}
		}))
		require.NoError(t, call(t, transport))
		breaker := fleet.breakers[targetOrigin]
		breaker.Close() // which it is
		breaker.Open(0)
		breaker.Open(0)
		err := call(t, transport)
		var open *steadyhttp.CircuitOpenError
		require.ErrorAs(t, err, &open)
		assert.Equal(t, "fleet", open.Reason)
		assert.ErrorContains(t, err, ": fleet")
		assert.Equal(t, "fleet", transport.Breaker(targetOrigin).Status().Reason)
		breaker.Close()
		require.NoError(t, call(t, transport))
		assert.Equal(t, []string{"closed open fleet", "open closed fleet"}, changes)
		server.AssertAttempts(t, 2)
	})
}

func TestFleet_ClosesWhatFailuresOpenedAndAProbeKeepsHalfOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		transport := newTransport(t, newScript(status(503), hang, status(200)), steadyhttp.WithFleet(fleet),
			steadyhttp.WithBreakerConsecutiveFailures(1, 0))
		_ = call(t, transport)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = transport.RoundTrip(newGet(t).WithContext(ctx)) }()
		synctest.Wait()
		require.Equal(t, steadyhttp.BreakerHalfOpen, transport.Breaker(targetOrigin).Status().State)
		fleet.breakers[targetOrigin].Close()
		require.NoError(t, call(t, transport))
		cancel()
		synctest.Wait()
		assert.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(targetOrigin).Status().State)
	})
}

func TestFleet_LeavesAloneWhatWasOpenedByHand(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*steadyhttp.Breaker){
		"isolated":               func(b *steadyhttp.Breaker) { b.Isolate("") },
		"tripped":                func(b *steadyhttp.Breaker) { b.Trip(time.Hour, "") },
		"tripped, with our word": func(b *steadyhttp.Breaker) { b.Trip(time.Hour, "fleet") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fleet := newFakeFleet()
			transport := newTransport(t, newScript(status(200)), steadyhttp.WithFleet(fleet))
			open(transport.Breaker(targetOrigin))
			before := transport.Breaker(targetOrigin).Status()
			fleet.breakers[targetOrigin].Open(0)
			fleet.breakers[targetOrigin].Close()
			assert.Equal(t, before, transport.Breaker(targetOrigin).Status())
		})
	}
}

// A breaker that a hand opened is still its own while a probe is out.
func TestFleet_LeavesTheProbeAfterManualControlAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		transport := newTransport(t, newScript(status(200), hang), steadyhttp.WithFleet(fleet))
		require.NoError(t, call(t, transport))
		transport.Breaker(targetOrigin).Trip(time.Second, "deploy")
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = transport.RoundTrip(newGet(t).WithContext(ctx)) }()
		synctest.Wait()
		require.Equal(t, steadyhttp.BreakerHalfOpen, transport.Breaker(targetOrigin).Status().State)
		fleet.breakers[targetOrigin].Close()
		assert.Equal(t, steadyhttp.BreakerHalfOpen, transport.Breaker(targetOrigin).Status().State)
		cancel()
		synctest.Wait()
	})
}

func TestFleet_SaysWhoProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet, granted := newFakeFleet(), false
		fleet.answer = func(context.Context) (bool, time.Duration) {
			time.Sleep(10 * time.Millisecond)
			return granted, time.Minute
		}
		server := newScript(status(503), status(503), status(200))
		transport := newTransport(t, server, steadyhttp.WithFleet(fleet), steadyhttp.WithBreakerConsecutiveFailures(1, 0))
		_ = call(t, transport)
		time.Sleep(time.Second)

		var group sync.WaitGroup
		for range 5 { // one asks, and all are rejected
			group.Go(func() { assert.ErrorIs(t, call(t, transport), steadyhttp.ErrCircuitOpen) })
		}
		group.Wait()
		assert.Equal(t, 1, fleet.asked)
		assert.Equal(t, time.Now().Add(time.Minute), transport.Breaker(targetOrigin).Status().RetryAt)
		server.AssertAttempts(t, 1)

		time.Sleep(time.Minute)
		granted = true
		_ = call(t, transport) // is the probe, and fails
		time.Sleep(time.Second)
		require.NoError(t, call(t, transport))
		assert.Equal(t, 3, fleet.asked)
		assert.Equal(t, []bool{false, true}, fleet.probed)
		server.AssertAttempts(t, 3)
	})
}

func TestFleet_AGrantIsNotLostToACallThatComesMeanwhile(t *testing.T) {
	t.Parallel()
	fleet := newFakeFleet()
	grants := 0
	fleet.answer = func(context.Context) (bool, time.Duration) {
		grants++
		return grants == 1, time.Hour
	}
	for range 200 { // calls that all come when the open time is over
		grants = 0
		server := newScript(status(503), status(200))
		transport := newTransport(t, server, steadyhttp.WithFleet(fleet), steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithBreakerOpenFor(time.Millisecond))
		_ = call(t, transport)
		time.Sleep(2 * time.Millisecond)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { _ = call(t, transport) })
		}
		group.Wait()
		require.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(targetOrigin).Status().State)
	}
}

func TestFleet_SaysWhenTheFirstProbeMayGo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ probeAfter, least, most time.Duration }{
		{0, 700 * time.Millisecond * 4 / 5, 700 * time.Millisecond * 6 / 5},
		{-1, 700 * time.Millisecond * 4 / 5, 700 * time.Millisecond * 6 / 5},
		{200 * time.Millisecond, 200 * time.Millisecond, 200 * time.Millisecond},
		{math.MaxInt64, 700 * time.Millisecond * 4 / 5, 700 * time.Millisecond * 6 / 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			fleet := newFakeFleet()
			transport := newTransport(t, newScript(status(200)), steadyhttp.WithFleet(fleet))
			require.NoError(t, call(t, transport))
			fleet.breakers[targetOrigin].Open(c.probeAfter)
			after := time.Until(transport.Breaker(targetOrigin).Status().RetryAt)
			assert.GreaterOrEqual(t, after, c.least, c.probeAfter)
			assert.LessOrEqual(t, after, c.most, c.probeAfter)
		})
	}
}

func TestFleet_StatusIsItsOwn(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 7, newTransport(t, newScript(status(200)), steadyhttp.WithFleet(newFakeFleet())).Fleet().Members)
	assert.Nil(t, newTransport(t, newScript(status(200))).Fleet())
	assert.Nil(t, new(steadyhttp.Transport).Fleet())
}

// What a hand does counts for more than what a fleet says, also while the fleet is asked.
func TestFleet_ManualControlIsFasterThanItsReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		fleet.answer = func(context.Context) (bool, time.Duration) {
			time.Sleep(50 * time.Millisecond)
			return true, 0
		}
		server := newScript(status(503), status(200))
		transport := newTransport(t, server, steadyhttp.WithFleet(fleet), steadyhttp.WithBreakerConsecutiveFailures(1, 0))
		_ = call(t, transport)
		time.Sleep(time.Second)
		go func() {
			time.Sleep(10 * time.Millisecond)
			transport.Breaker(targetOrigin).Isolate("maintenance")
		}()
		require.ErrorContains(t, call(t, transport), "maintenance")
		fleet.breakers[targetOrigin].Close()
		assert.Equal(t, "maintenance", transport.Breaker(targetOrigin).Status().Reason)
		server.AssertAttempts(t, 1)
	})
}

func TestFleet_AShadowBreakerRejectsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		fleet.answer = func(context.Context) (bool, time.Duration) { return false, time.Minute }
		server := newScript(status(503), status(200), status(200))
		transport := newTransport(t, server, steadyhttp.WithFleet(fleet), steadyhttp.WithShadowBreaker())
		_ = call(t, transport)
		fleet.breakers[targetOrigin].Open(0)
		require.NoError(t, call(t, transport))
		time.Sleep(time.Second)
		require.NoError(t, call(t, transport))
		assert.Equal(t, steadyhttp.BreakerOpen, transport.Breaker(targetOrigin).Status().State)
		server.AssertAttempts(t, 3)
	})
}

func TestFleet_IsForNoSingleCall(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)))
	_, err := transport.RoundTrip(newGet(t).WithContext(steadyhttp.Override(t.Context(), steadyhttp.WithFleet(newFakeFleet()))))
	require.ErrorContains(t, err, "steadyhttp: Override: option 1 is WithFleet, which is for a whole Transport and not for one call")
}

func TestFleet_WhatItSaysTooLateOpensNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		fleet.answer = func(context.Context) (bool, time.Duration) {
			fleet.breakers[targetOrigin].Close()
			return false, time.Hour
		}
		transport := newTransport(t, newScript(status(503), status(200)), steadyhttp.WithFleet(fleet), steadyhttp.WithBreakerConsecutiveFailures(1, 0))
		_ = call(t, transport)
		time.Sleep(time.Second)
		require.NoError(t, call(t, transport))
		assert.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(targetOrigin).Status().State)
	})
}

func TestFleet_LosesOriginsThatAreForgotten(t *testing.T) {
	t.Parallel()
	fleet := newFakeFleet()
	transport := newTransport(t, newConstantBase(200), steadyhttp.WithFleet(fleet), steadyhttp.WithOriginLimit(1))
	for _, url := range []string{"https://a.example.com", "https://b.example.com"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		_, err = transport.RoundTrip(request)
		require.NoError(t, err)
	}
	assert.Len(t, fleet.breakers, 2)
	assert.Equal(t, []string{"https://a.example.com:443"}, fleet.removed)
}

func TestFleet_NeedsBreakers(t *testing.T) {
	t.Parallel()
	_, err := steadyhttp.NewTransport(nil, steadyhttp.WithFleet(newFakeFleet()), steadyhttp.WithoutBreaker())
	require.EqualError(t, err, "steadyhttp: WithFleet has no effect with WithoutBreaker: a fleet shares what breakers see")
	for _, none := range []steadyhttp.Fleet{nil, (*fakeFleet)(nil)} {
		_, err = steadyhttp.NewTransport(nil, steadyhttp.WithFleet(none))
		require.EqualError(t, err, "steadyhttp: WithFleet: nil is invalid: want a fleet")
	}
}

func TestFleet_IsToldOfAProbeThatAnotherHasOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		slow := delay(8*time.Second, status(200))
		transport := newTransport(t, newScript(slow, status(503), slow, status(503)), steadyhttp.WithFleet(fleet),
			steadyhttp.WithBreakerConsecutiveFailures(1, 0))
		time.Sleep(time.Second) // the first moment is not measured
		_ = call(t, transport)
		_ = call(t, transport)
		time.Sleep(time.Second)
		var probe sync.WaitGroup
		sent := time.Now()
		probe.Go(func() { _ = call(t, transport) })
		time.Sleep(time.Second)
		_ = call(t, transport)
		probe.Wait()
		assert.Equal(t, []bool{false, true}, fleet.probed)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		evidence := fleet.breakers[targetOrigin].Evidence()
		assert.Equal(t, sent, evidence.Succeeded)
		assert.False(t, evidence.Failing)
	})
}

func TestFleet_CostsASuccessNothing(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	transport := newTransport(t, newConstantBase(200), steadyhttp.WithFleet(newFakeFleet()))
	r := newGet(t)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }))
}

func BenchmarkFleet_Success(b *testing.B) {
	for name, options := range map[string][]steadyhttp.Option{"without": nil, "with": {steadyhttp.WithFleet(newFakeFleet())}} {
		b.Run(name, func(b *testing.B) {
			transport, err := steadyhttp.NewTransport(newConstantBase(200), options...)
			require.NoError(b, err)
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, targetOrigin, nil)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = transport.RoundTrip(r)
			}
		})
	}
}

// A half-open breaker is one of many that want to probe, too.
func TestFleet_IsAskedForEachProbe(t *testing.T) {
	t.Parallel()
	for name, probe := range map[string]struct {
		ends, asks time.Duration // 0: it does not end
	}{
		"one that its caller ends": {ends: 100 * time.Millisecond, asks: 200 * time.Millisecond},
		"one that hangs":           {asks: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fleet, granted := newFakeFleet(), true
				fleet.answer = func(context.Context) (bool, time.Duration) { return granted, 100 * time.Millisecond }
				server := newScript(status(503), hang, status(200))
				transport := newTransport(t, server, steadyhttp.WithFleet(fleet), steadyhttp.WithBreakerConsecutiveFailures(1, 0))
				_ = call(t, transport)
				time.Sleep(time.Second)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { _, _ = transport.RoundTrip(newGet(t).WithContext(ctx)) }()
				if probe.ends > 0 {
					time.AfterFunc(probe.ends, cancel)
				}
				time.Sleep(probe.asks)
				synctest.Wait()
				require.Equal(t, 1, fleet.asked)

				granted = false
				for range 3 {
					require.ErrorIs(t, call(t, transport), steadyhttp.ErrCircuitOpen)
				}
				assert.Equal(t, 2, fleet.asked, "and not again before it is time")
				server.AssertAttempts(t, 2)

				time.Sleep(100 * time.Millisecond)
				granted = true
				require.NoError(t, call(t, transport))
				assert.Equal(t, 3, fleet.asked)
				assert.Equal(t, []bool{true}, fleet.probed)
				server.AssertAttempts(t, 3)
			})
		})
	}
}

// A brokenFleet panics where a test wants, once.
type brokenFleet struct {
	*fakeFleet
	add, remove bool
	none        bool // whether it shares nothing of any origin
}

func (f *brokenFleet) Add(origin string, breaker *steadyhttp.FleetBreaker) steadyhttp.FleetOrigin {
	if f.add {
		f.add = false
		panic("add")
	}
	if f.none {
		return nil
	}
	return brokenOrigin{f.fakeFleet.Add(origin, breaker), f}
}

type brokenOrigin struct {
	steadyhttp.FleetOrigin
	fleet *brokenFleet
}

func (o brokenOrigin) Remove() {
	if o.fleet.remove {
		o.fleet.remove = false
		panic("remove")
	}
}

func callTo(t *testing.T, transport *steadyhttp.Transport, url string) error {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	_, err = transport.RoundTrip(request)
	return err
}

func TestFleet_ThatPanicsBreaksNothingElse(t *testing.T) {
	t.Parallel()
	const other = "https://other.example.com"
	for name, fail := range map[string]func(*testing.T, *brokenFleet, *steadyhttp.Transport){
		"at a call": func(t *testing.T, fleet *brokenFleet, transport *steadyhttp.Transport) {
			fleet.add = true
			assert.Panics(t, func() { _ = callTo(t, transport, targetOrigin) })
		},
		"at a hand": func(t *testing.T, fleet *brokenFleet, transport *steadyhttp.Transport) {
			fleet.add = true
			assert.Panics(t, func() { transport.Breaker(targetOrigin).Isolate("") })
		},
		"as an origin is forgotten": func(t *testing.T, fleet *brokenFleet, transport *steadyhttp.Transport) {
			require.NoError(t, callTo(t, transport, targetOrigin))
			fleet.remove = true
			assert.Panics(t, func() { _ = callTo(t, transport, other) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fleet := &brokenFleet{fakeFleet: newFakeFleet()}
				transport := newTransport(t, newConstantBase(200), steadyhttp.WithFleet(fleet), steadyhttp.WithOriginLimit(1))
				fail(t, fleet, transport)
				for range 3 {
					require.NoError(t, callTo(t, transport, targetOrigin))
					require.NoError(t, callTo(t, transport, other))
				}
				assert.Len(t, transport.Breakers(), 1)
			})
		})
	}
}

func TestFleet_NeedNotShareAnOrigin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(503), status(503), status(200)), steadyhttp.WithFleet(&brokenFleet{none: true}),
			steadyhttp.WithBreakerConsecutiveFailures(1, 0))
		_ = call(t, transport)
		time.Sleep(time.Second)
		_ = call(t, transport)
		time.Sleep(time.Second)
		require.NoError(t, call(t, transport))
	})
}

// A download that takes long is not one from an origin that is slow.
func TestFleet_AProbeTakesUntilItsHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := newFakeFleet()
		slowly := readFunc(func([]byte) (int, error) {
			time.Sleep(500 * time.Millisecond)
			return 1, nil
		})
		code := http.StatusServiceUnavailable
		download := func(*http.Request) (*http.Response, error) {
			time.Sleep(50 * time.Millisecond)
			response := newResponse(code, slowly)
			response.ContentLength = -1
			return response, nil
		}
		transport := newTransport(t, baseFunc{roundTrip: download}, steadyhttp.WithFleet(fleet),
			steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithBodyTimeout(10*time.Second))
		_ = call(t, transport)
		time.Sleep(time.Second)
		code = http.StatusOK
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		_, _ = io.CopyN(io.Discard, response.Body, 8)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, []bool{true}, fleet.probed)
		assert.Equal(t, []time.Duration{50 * time.Millisecond}, fleet.took)
	})
}
