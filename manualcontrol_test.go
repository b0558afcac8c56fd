package steadyhttp_test

import (
	"context"
	"fmt"
	"log/slog"
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

func TestBreaker_IsolatedRejectsUntilItIsReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(200))
		transport := newTransport(t, server)
		hand := transport.Breaker(targetOrigin)
		hand.Isolate("moving the data base")
		for range 3 {
			_, err := transport.RoundTrip(newGet(t))
			var open *steadyhttp.CircuitOpenError
			require.ErrorAs(t, err, &open)
			assert.Equal(t, "moving the data base", open.Reason)
			assert.True(t, open.RetryAt.IsZero())
			assert.False(t, open.Temporary())
			assert.EqualError(t, err, "steadyhttp: circuit open for https://api.example.com:443, isolated: moving the data base")
			time.Sleep(24 * time.Hour)
		}
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin, State: steadyhttp.BreakerOpen, Reason: "moving the data base"}, hand.Status())
		server.AssertAttempts(t, 0)

		hand.Reset()
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin}, hand.Status())
		_, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
	})
}

func TestBreaker_TrippedSendsProbesOnceTheTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(200))
		transport := newTransport(t, server)
		transport.Breaker(targetOrigin).Trip(time.Hour, "a release")
		time.Sleep(time.Hour - 1)
		_, err := transport.RoundTrip(newGet(t))
		var open *steadyhttp.CircuitOpenError
		require.ErrorAs(t, err, &open)
		assert.Equal(t, "a release", open.Reason)
		assert.True(t, open.Temporary())
		assert.ErrorContains(t, err, ": a release")
		time.Sleep(1 * time.Nanosecond)
		_, err = transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(targetOrigin).Status().State)
	})
}

func TestBreaker_TripNeverShortensWhatIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(200)))
		hand := transport.Breaker(targetOrigin)
		hand.Trip(time.Hour, "first")
		until := hand.Status().RetryAt
		for _, d := range []time.Duration{time.Second, 0, -time.Hour, math.MinInt64} {
			hand.Trip(d, "second")
			assert.Equal(t, until, hand.Status().RetryAt)
			assert.Equal(t, "second", hand.Status().Reason)
		}
		hand.Trip(math.MaxInt64, "for long")
		assert.True(t, hand.Status().RetryAt.After(until))
		hand.Isolate("isolated")
		hand.Trip(time.Second, "no")
		assert.Equal(t, "isolated", hand.Status().Reason)
		time.Sleep(time.Hour)
		_, err := transport.RoundTrip(newGet(t))
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
	})
}

func TestBreaker_TripIsAnOrdinaryOpenTimeAtLeast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(200)), steadyhttp.WithBreakerOpenFor(10*time.Second))
		hand := transport.Breaker(targetOrigin)
		hand.Trip(-1, "now")
		assert.GreaterOrEqual(t, time.Until(hand.Status().RetryAt), 8*time.Second)
	})
}

func TestBreaker_ResetForgetsFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newOpenBreaker(t, status(200))
		assert.Equal(t, "failures", onlyBreaker(t, transport).Reason)
		before := len(server.Attempts())
		transport.Breaker(targetOrigin).Reset()
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin}, onlyBreaker(t, transport))
		_, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Len(t, server.Attempts(), before+1)
	})
}

func TestBreaker_OutcomesOfBeforeManualControlDecideNothing(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(*steadyhttp.Breaker){
		"Isolate": func(b *steadyhttp.Breaker) { b.Isolate("by hand") },
		"Trip":    func(b *steadyhttp.Breaker) { b.Trip(time.Hour, "by hand") },
		"Reset":   func(b *steadyhttp.Breaker) { b.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport := newTransport(t, newScript(delay(time.Second, status(503))), singleAttemptOptions(steadyhttp.WithBreakerConsecutiveFailures(1, 0))...)
				go callAndClose(transport, newGet(t))
				synctest.Wait()
				hand := transport.Breaker(targetOrigin)
				act(hand)
				want := hand.Status()
				time.Sleep(2 * time.Second)
				assert.Equal(t, want, hand.Status())
			})
		})
	}
}

func TestBreaker_NameIsWhatErrorsSayOrAURL(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"https://api.example.com:443", "https://api.example.com", "HTTPS://API.example.com/things?a=b", "api.example.com", "api.example.com:443"} {
		transport := newTransport(t, newScript(status(200)))
		transport.Breaker(name).Isolate("a test")
		_, err := transport.RoundTrip(newGet(t))
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen, name)
		assert.Equal(t, targetOrigin, transport.Breaker(name).Status().Origin)
	}
}

// A name that nothing matches would isolate nothing, and say nothing.
func TestBreaker_NameMayBeAnyOneThatAnOriginHas(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{
		"http://[fe80::1%en0]:8080":            "http://[fe80::1%25en0]:8080/a",
		"http://[fe80::1%25en0]:8080/a":        "http://[fe80::1%25en0]:8080/b",
		"http://[FE80::1]:80":                  "http://[fe80::1]/a",
		"[::1]:8443":                           "https://[::1]:8443/",
		"localhost:8080":                       "https://localhost:8080",
		"//api.example.com":                    "https://api.example.com/",
		"api.example.com/things?to=https://b":  "https://api.example.com/",
		"user:secret@api.example.com":          "https://api.example.com/",
		"https://user:secret@api.example.com/": "https://api.example.com/",
		"https://api.example.com/%zz":          "https://api.example.com/",
		"https://api.example.com:":             "https://api.example.com/",
		"https://b%C3%BCcher.example":          "https://bücher.example/",
		"unix://":                              "unix:///run/a.sock",
	} {
		transport := newTransport(t, newScript(status(200)))
		transport.Breaker(name).Isolate("a test")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		require.NoError(t, err)
		_, err = transport.RoundTrip(r)
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen, name)
		told := onlyBreaker(t, transport).Origin
		assert.Equal(t, steadyhttp.BreakerOpen, transport.Breaker(told).Status().State, "what is told is a name: %s", told)
		assert.NotContains(t, told, "secret")
	}
	for _, name := range []string{"", "https://", "://", "%", "?", "a b", "http://[::1", "\x00"} {
		transport := newTransport(t, newScript(status(200)))
		hand := transport.Breaker(name)
		hand.Isolate("a test")
		assert.Equal(t, steadyhttp.BreakerOpen, hand.Status().State, "%q", name)
		sendGets(t, transport, 1)
	}
}

// Also before the first call, when nothing is known of what the function returns.
func TestBreaker_NameIsAKeyThatLooksLikeAURL(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"https://api.example.com/v1", "https://a.example.com", targetOrigin, "HTTP://A"} {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, newScript(status(200)), steadyhttp.WithOriginKey(func(r *http.Request) string { return r.Header.Get("Key") }))
			r := newGet(t)
			r.Header.Set("Key", name)
			hand := transport.Breaker(name)
			hand.Trip(time.Second, "a test")
			_, err := transport.RoundTrip(r)
			assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen, name)
			_, err = transport.RoundTrip(newGet(t))
			assert.Equal(t, name == targetOrigin, err != nil, "the key alone, unless it is the name of the origin: %s", name)
			time.Sleep(time.Second)
			_, err = transport.RoundTrip(r)
			require.NoError(t, err)
			assert.Equal(t, steadyhttp.BreakerClosed, hand.Status().State)
		})
	}
}

func TestBreaker_ManualControlNeedsNoReason(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)))
	hand := transport.Breaker(targetOrigin)
	hand.Trip(time.Hour, "")
	assert.Equal(t, "tripped", hand.Status().Reason)
	hand.Isolate("")
	assert.Equal(t, "isolated", hand.Status().Reason)
}

// A pause would let them go one by one, and each only to be rejected.
func TestBreaker_OpenByHandRejectsWhatAPauseHolds(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*steadyhttp.Breaker){
		"isolated": func(b *steadyhttp.Breaker) { b.Isolate("a test") },
		"tripped":  func(b *steadyhttp.Breaker) { b.Trip(time.Hour, "a test") },
		// with reasons that are ours
		"failures": func(b *steadyhttp.Breaker) { b.Isolate("failures") },
		"fleet":    func(b *steadyhttp.Breaker) { b.Trip(time.Hour, "fleet") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport := newTransport(t, newScript(status(429, "Retry-After", "30")), steadyhttp.WithOriginPause(100), steadyhttp.WithMaxAttempts(1))
				for range 3 {
					sendGets(t, transport, 1)
					time.Sleep(200 * time.Millisecond)
				}
				require.Equal(t, steadyhttp.PausePaused, onlyOrigin(t, transport).Pause)
				start := time.Now()
				var calls sync.WaitGroup
				for range 50 {
					calls.Go(func() {
						_, err := transport.RoundTrip(newGet(t))
						assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
					})
				}
				synctest.Wait()
				assert.Equal(t, 50, onlyOrigin(t, transport).Waiting)
				open(transport.Breaker(targetOrigin))
				calls.Wait()
				_, err := transport.RoundTrip(newGet(t))
				assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
				assert.Zero(t, time.Since(start))
			})
		})
	}
}

func TestBreaker_TrippedForLongerThanACallMayWaitRejectsItAtOnce(t *testing.T) {
	t.Parallel()
	withDeadline := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
	}
	for name, c := range map[string]struct {
		limit func(context.Context) (context.Context, context.CancelFunc)
		waits bool
	}{
		"a deadline before": {limit: withDeadline(20 * time.Second)},
		"a deadline after":  {limit: withDeadline(40 * time.Second), waits: true},
		"WithMaxRetryAfter": {limit: context.WithCancel, waits: true},
		"one of its own": {limit: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithCancel(steadyhttp.Override(ctx, steadyhttp.WithMaxRetryAfter(20*time.Second)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport := newTransport(t, newGatedServer(saysWait(5)), pauseOptions()...)
				pause(t, transport)
				ctx, cancel := c.limit(t.Context())
				defer cancel()
				call := getPath(t, ctx, transport, "/")
				synctest.Wait()
				transport.Breaker(targetOrigin).Trip(30*time.Second, "a test")
				synctest.Wait()
				assert.Equal(t, c.waits, len(call) == 0)
				assert.ErrorIs(t, <-call, steadyhttp.ErrCircuitOpen, "once the pause lets it go")
			})
		})
	}
}

// The key function stands for a moment at which a hand opens the breaker while a call is on its way to the pause.
func TestBreaker_OpenByHandRejectsWhatIsOnItsWayToAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		meanwhile := func() {}
		key := func(*http.Request) string { meanwhile(); return "" }
		transport := newTransport(t, newScript(status(429, "Retry-After", "30")), pauseOptions(steadyhttp.WithPauseKey(key))...)
		pause(t, transport)
		start := time.Now()
		meanwhile = func() { transport.Breaker(targetOrigin).Isolate("a test") }
		_, err := sendGet(t, transport)
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		assert.Zero(t, time.Since(start))
	})
}

// The origin still says "wait": those that it holds back must not all go because a hand came and went.
func TestBreaker_ResetAtOnceLeavesAPauseAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(waitsUntil(time.Second, 30))
		transport := newTransport(t, server, pauseOptions()...)
		pause(t, transport)
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				code, err := sendGet(t, transport)
				assert.NoError(t, err)
				assert.Equal(t, 200, code)
			})
		}
		synctest.Wait()
		hand := transport.Breaker(targetOrigin)
		hand.Isolate("a test")
		hand.Reset()
		synctest.Wait()
		assert.Equal(t, 50, onlyOrigin(t, transport).Waiting)
		assert.Len(t, server.sendings(), 3)
		calls.Wait()
		assert.GreaterOrEqual(t, server.sendings()[3].at, 30*time.Second)
	})
}

func TestBreaker_ManualControlByAnObserverThatPanicsHoldsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		observer := steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			if e.Kind == steadyhttp.EventBreaker {
				panic("an observer")
			}
		})
		transport := newTransport(t, newScript(status(429, "Retry-After", "30")), pauseOptions(observer)...)
		pause(t, transport)
		call := getPath(t, t.Context(), transport, "/")
		synctest.Wait()
		assert.Panics(t, func() { transport.Breaker(targetOrigin).Isolate("a test") })
		assert.ErrorIs(t, <-call, steadyhttp.ErrCircuitOpen)
		assert.Zero(t, onlyOrigin(t, transport).Calls)
	})
}

func TestBreaker_NameIsWhatTheOriginKeySays(t *testing.T) {
	t.Parallel()
	key := func(r *http.Request) string { return r.Header.Get("Tenant") }
	transport := newTransport(t, newScript(status(200)), steadyhttp.WithOriginKey(key))
	transport.Breaker("a tenant").Isolate("a test")
	transport.Breaker(targetOrigin).Isolate("a test")
	for _, tenant := range []string{"a tenant", "", "another"} {
		r := newGet(t)
		r.Header.Set("Tenant", tenant)
		_, err := transport.RoundTrip(r)
		assert.Equal(t, tenant == "another", err == nil, tenant)
	}
}

func TestBreaker_NameIsOfTheOneThatIsRemembered(t *testing.T) {
	t.Parallel()
	for _, key := range []string{targetOrigin, ""} { // a user's key that looks like an origin, and the origin itself
		transport := newTransport(t, newScript(status(200)), steadyhttp.WithOriginKey(func(*http.Request) string { return key }))
		sendGets(t, transport, 1)
		transport.Breaker(targetOrigin).Isolate("a test")
		assert.Len(t, transport.Origins(), 1, "key %q", key)
		_, err := transport.RoundTrip(newGet(t))
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen, "key %q", key)
	}
}

func TestBreaker_IsThereForEveryOriginButWithoutBreakers(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)))
	assert.Equal(t, steadyhttp.BreakerStatus{Origin: "https://never.example.com:443"}, transport.Breaker("https://never.example.com").Status())
	transport.Breaker("https://never.example.com").Reset()
	assert.Empty(t, transport.Origins(), "a look remembers nothing")

	none := newTransport(t, newScript(status(200)), steadyhttp.WithoutBreaker()).Breaker(targetOrigin)
	assert.Nil(t, none)
	none.Isolate("nothing panics")
	none.Trip(1, "nothing panics")
	none.Reset()
	assert.Zero(t, none.Status())
	assert.Nil(t, (&steadyhttp.Transport{}).Breaker(targetOrigin))
}

func TestBreaker_IsolationSurvivesEviction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(200)), steadyhttp.WithOriginLimit(2))
		transport.Breaker("https://isolated.example.com").Isolate("a test")
		for i := range 100 {
			sendToHost(t, transport, fmt.Sprintf("host%d.example.com", i))
			time.Sleep(time.Hour)
		}
		assert.Equal(t, steadyhttp.BreakerOpen, transport.Breaker("https://isolated.example.com").Status().State)
		assert.Len(t, transport.Origins(), 2)
	})
}

func TestBreaker_IsolationNeedsNoRoom(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)), steadyhttp.WithOriginLimit(1))
	for i := range 5 {
		transport.Breaker(fmt.Sprintf("https://host%d.example.com", i)).Isolate("a test")
	}
	for i := range 5 {
		r := newGet(t)
		r.URL.Host = fmt.Sprintf("host%d.example.com", i)
		_, err := transport.RoundTrip(r)
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
	}
	assert.Len(t, transport.Origins(), 5)
}

func TestBreaker_WhatIsolationNeededBeyondTheLimitIsGivenUpOnceItIsReset(t *testing.T) {
	t.Parallel()
	const limit, isolated = 3, 20
	fleet := newFakeFleet()
	transport := newTransport(t, newScript(status(200)), steadyhttp.WithOriginLimit(limit), steadyhttp.WithFleet(fleet))
	hand := func(i int) *steadyhttp.Breaker {
		return transport.Breaker(fmt.Sprintf("https://host%d.example.com", i))
	}
	for i := range isolated {
		hand(i).Isolate("a test")
	}
	for i := 1; i < isolated; i++ {
		hand(i).Reset()
	}
	for i := range 10 * isolated {
		sendToHost(t, transport, fmt.Sprintf("other%d.example.com", i))
	}
	assert.Len(t, transport.Origins(), limit)
	assert.Len(t, fleet.removed, len(fleet.breakers)-limit)
	assert.Equal(t, steadyhttp.BreakerOpen, hand(0).Status().State)
}

func TestBreaker_ManualControlIsSeenInEventsLogsAndHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written logBuffer
		var told []string
		transport := newTransport(t, newScript(status(200)),
			steadyhttp.WithObserver(steadyhttp.LogObserver(written.logger(slog.LevelWarn))),
			steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
				told = append(told, fmt.Sprint(e.From, " ", e.To, " ", e.Reason))
			}))
		hand := transport.Breaker(targetOrigin)
		hand.Isolate("one")
		hand.Isolate("two")
		hand.Reset()
		hand.Reset()
		assert.Equal(t, []string{"closed open one", "open open two", "open closed reset"}, told)
		assert.Equal(t, []string{
			`level=WARN msg="steadyhttp: breaker" origin=https://api.example.com:443 from=closed to=open reason=one`,
			`level=WARN msg="steadyhttp: breaker" origin=https://api.example.com:443 from=open to=open reason=two`,
		}, written.lines())
		for range 20 {
			hand.Isolate("more")
		}
		changes := transport.Origins()[0].Changes
		assert.Len(t, changes, 16)
		assert.Equal(t, steadyhttp.BreakerChange{At: changes[15].At, From: steadyhttp.BreakerOpen, To: steadyhttp.BreakerOpen, Reason: "more"}, changes[15])
		assert.True(t, changes[15].At.Equal(time.Now()))
	})
}

func TestBreaker_ObserverMayUseManualControl(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var transport *steadyhttp.Transport
		transport = newTransport(t, newScript(status(200)), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			if e.Kind == steadyhttp.EventBreaker && e.To == steadyhttp.BreakerOpen {
				transport.Breaker(e.Origin).Reset()
			}
		}))
		transport.Breaker(targetOrigin).Isolate("a test")
		assert.Equal(t, steadyhttp.BreakerClosed, transport.Breaker(targetOrigin).Status().State)
	})
}

func TestBreaker_ManualControlIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, status(200), steadyhttp.WithOriginLimit(1))
	var hands sync.WaitGroup
	for i := range 8 {
		hands.Go(func() {
			hand := transport.Breaker(fmt.Sprintf("https://host%d.example.com", i%3))
			for range 200 {
				hand.Isolate("one")
				hand.Trip(time.Millisecond, "two")
				_ = hand.Status()
				_ = transport.Origins()
				hand.Reset()
				callAndClose(transport, newGet(t))
			}
		})
	}
	hands.Wait()
}

func TestBreaker_AdviceSaysThatItWasByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(fail(errReset)))
		time.AfterFunc(time.Millisecond, func() { transport.Breaker(targetOrigin).Isolate("a test") })
		_, err := transport.RoundTrip(newGet(t))
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopCircuitOpen, failed.Stopped)
		assert.Contains(t, failed.Advice(), "opened by hand")
	})
}

// A response does not know why the breaker is open.
func TestBreaker_AdviceOfAResponseDoesNotSayWhoOpenedIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(delay(time.Second, status(503))))
		time.AfterFunc(time.Millisecond, func() { transport.Breaker(targetOrigin).Isolate("a test") })
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		failed := checkResponse(t, response)
		assert.Equal(t, steadyhttp.StopCircuitOpen, failed.Stopped)
		assert.Contains(t, failed.Advice(), "; the breaker of this origin is open.")
	})
}

func TestShadowBreaker_TellsAndRejectsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var opened, shadowed int
		observer := steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			switch {
			case e.Kind == steadyhttp.EventBreaker:
				assert.True(t, e.Shadow)
				if e.To == steadyhttp.BreakerOpen {
					opened++
				}
			case e.Kind == steadyhttp.EventAttempt && e.Shadow:
				shadowed++
			}
		})
		server := newScript(status(503))
		transport := newTransport(t, server, singleAttemptOptions(steadyhttp.WithBreakerConsecutiveFailures(3, 0), steadyhttp.WithShadowBreaker(), observer)...)
		for range 10 {
			response, err := transport.RoundTrip(newGet(t))
			require.NoError(t, err)
			assert.Equal(t, 503, response.StatusCode)
		}
		server.AssertAttempts(t, 10)
		assert.Equal(t, 1, opened)
		assert.Equal(t, 7, shadowed)
		assert.True(t, onlyBreaker(t, transport).Shadow)
		assert.Contains(t, transport.String(), " Breaker=shadow ")
		transport.Breaker(targetOrigin).Isolate("by hand")
		_, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
	})
}

// A call is retried as it is without a breaker, also while retries would be suspended.
func TestShadowBreaker_ChangesNoCall(t *testing.T) {
	t.Parallel()
	for _, steps := range [][]step{{status(503)}, {fail(errReset)}, {delay(3*time.Second, fail(timeoutError{}))}, {status(503), status(200)}} {
		var attempts [2]int
		for i, option := range []steadyhttp.Option{steadyhttp.WithoutBreaker(), steadyhttp.WithShadowBreaker()} {
			synctest.Test(t, func(t *testing.T) {
				server := newScript(steps...)
				transport := newTransport(t, server, option, steadyhttp.WithoutRetryBudget(), withConstantBackoff(time.Second))
				for range 10 {
					callAndClose(transport, newGet(t))
				}
				attempts[i] = len(server.Attempts())
			})
		}
		assert.Equal(t, attempts[0], attempts[1])
	}
}
