package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestBreaker_OpensAtAFailureRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(200), status(200), status(200), status(200), status(200), status(503))
		transport := newTransport(t, server, singleAttemptOptions()...)
		sendGets(t, transport, breakerMinRequests-1)
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin, State: steadyhttp.BreakerClosed, Requests: 9, Failures: 4}, onlyBreaker(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

func TestBreaker_EveryPercentageTripsAtExactlyItsRate(t *testing.T) {
	t.Parallel()
	for percent := 1; percent <= 100; percent++ {
		synctest.Test(t, func(t *testing.T) {
			server := newScript(status(200))
			transport := newTransport(t, server, singleAttemptOptions(
				steadyhttp.WithBreakerFailureRate(float64(percent)/100, 100), steadyhttp.WithBreakerConsecutiveFailures(0, 0))...)
			sendGets(t, transport, 100-percent)
			server.Play(status(503))
			sendGets(t, transport, percent-1)
			assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport), "one less than %d of 100", percent)
			sendGets(t, transport, 1)
			assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport), "%d of 100", percent)
		})
	}
}

func TestBreaker_StaysClosedBelowTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(200), status(200), status(200), status(200), status(200), status(200), status(503), status(503), status(503), status(503), status(503), status(200))
		transport := newTransport(t, server, singleAttemptOptions()...)
		sendGets(t, transport, 20)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		server.AssertAttempts(t, 20)
	})
}

func TestBreaker_NeedsEnoughRequestsForARate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(503)), singleAttemptOptions(steadyhttp.WithBreakerFailureRate(0.01, 20))...)
		sendGets(t, transport, 19)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

func TestBreaker_RunOfFailuresOpensOnlyOnceItHasLasted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(503)), singleAttemptOptions()...)
		sendGets(t, transport, breakerRunFailures)
		time.Sleep(breakerRunDuration - time.Millisecond)
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport), "a blip is not sustained failure")
		time.Sleep(time.Millisecond)
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

func TestBreaker_RunOfFailuresIsLongEnoughBeforeItOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(503)), singleAttemptOptions()...)
		sendGets(t, transport, 1)
		time.Sleep(time.Minute) // a quiet client; the rule has no window
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

func TestBreaker_SuccessEndsARunOfFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(503), status(404), status(503), status(503), status(200), status(503))
		transport := newTransport(t, server, singleAttemptOptions(steadyhttp.WithBreakerFailureRate(0, 1), steadyhttp.WithBreakerConsecutiveFailures(3, 0))...)
		sendGets(t, transport, 8)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

func TestBreaker_FailuresLeaveTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(503)), singleAttemptOptions(steadyhttp.WithBreakerConsecutiveFailures(0, 0))...)
		sendGets(t, transport, breakerMinRequests-1)
		time.Sleep(5100 * time.Millisecond)
		sendGets(t, transport, breakerMinRequests-1)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		assert.Equal(t, uint32(breakerMinRequests-1), onlyBreaker(t, transport).Failures)
	})
}

// A window that is fixed instead of rolling misses failures on either side of its boundary.
func TestBreaker_FailuresAcrossAnyBoundaryTrip(t *testing.T) {
	t.Parallel()
	for offset := time.Duration(0); offset < 5*time.Second; offset += 500 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, newScript(status(503)), singleAttemptOptions(steadyhttp.WithBreakerConsecutiveFailures(0, 0))...)
			time.Sleep(offset)
			sendGets(t, transport, breakerMinRequests/2)
			time.Sleep(2 * time.Second)
			sendGets(t, transport, breakerMinRequests/2)
			assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport), "offset %v", offset)
		})
	}
}

func TestBreaker_NeutralOutcomesAreNotCounted(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	for name, c := range map[string]struct {
		ctx  context.Context
		step step
	}{
		"429":                          {t.Context(), status(429)},
		"cancelled with a cause":       {canceled, fail(errors.New("gone"))},
		"permanent without a response": {t.Context(), fail(io.ErrNoProgress)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := singleAttemptOptions(steadyhttp.WithClassifier(func(_ *http.Request, response *http.Response, err error) steadyhttp.Class {
				if errors.Is(err, io.ErrNoProgress) {
					return steadyhttp.Permanent
				}
				return steadyhttp.Unclassified
			}))
			transport := newTransport(t, newScript(c.step), options...)
			for range 100 {
				_, _ = transport.RoundTrip(newRequest(t, c.ctx, http.MethodGet, ""))
			}
			assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin}, onlyBreaker(t, transport))
		})
	}
}

// gobreaker's Requests include what it excludes, so that a naive ratio is diluted.
func TestBreaker_NeutralOutcomesDoNotDiluteTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		steps := make([]step, 0, 101)
		for range 90 {
			steps = append(steps, status(429))
		}
		transport := newTransport(t, newScript(append(steps, status(503))...), singleAttemptOptions()...)
		sendGets(t, transport, 100)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

func TestBreaker_Permanent5xxIsAHealthyServer(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(501)), singleAttemptOptions()...)
	sendGets(t, transport, 100)
	assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin, Requests: 100}, onlyBreaker(t, transport))
}

func TestBreaker_OpenSendsNothingAndClosesTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newOpenBreaker(t, status(200))
		source := newTrackedBody("payload")
		r := newGet(t)
		r.Method, r.Body = http.MethodPost, source
		ctx, report := steadyhttp.WithReport(t.Context())
		start := time.Now()
		response, err := transport.RoundTrip(r.WithContext(ctx))
		assert.Nil(t, response)
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		var open *steadyhttp.CircuitOpenError
		require.ErrorAs(t, err, &open)
		assert.Equal(t, targetOrigin, open.Origin)
		assert.Equal(t, onlyBreaker(t, transport).RetryAt, open.RetryAt)
		assert.Zero(t, time.Since(start))
		assert.Equal(t, 1, source.closes())
		server.AssertAttempts(t, breakerMinRequests)
		assert.Empty(t, report.Attempts)
		assert.Equal(t, steadyhttp.StopCircuitOpen, report.Stopped)
	})
}

func TestBreaker_OpenReportsTheCallersCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errShutdown := errors.New("shutting down")
		canceled, cancel := context.WithCancelCause(t.Context())
		cancel(errShutdown)
		expired, cancelExpired := context.WithTimeout(t.Context(), -1)
		defer cancelExpired()
		for ctx, want := range map[context.Context]struct {
			err     error
			stopped steadyhttp.StopReason
		}{
			canceled: {context.Canceled, steadyhttp.StopCanceled},
			expired:  {context.DeadlineExceeded, steadyhttp.StopDeadline},
		} {
			transport, server := newOpenBreaker(t, status(200))
			ctx, report := steadyhttp.WithReport(ctx)
			source := newTrackedBody("payload")
			r := newRequest(t, ctx, http.MethodPut, "")
			r.Body = source
			_, err := transport.RoundTrip(r)
			assert.ErrorIs(t, err, want.err)
			assert.ErrorIs(t, err, context.Cause(ctx))
			assert.NotErrorIs(t, err, steadyhttp.ErrCircuitOpen)
			assert.Equal(t, want.stopped, report.Stopped)
			server.AssertAttempts(t, breakerMinRequests)
			assert.Equal(t, 1, source.closes())
		}
	})
}

func TestBreaker_OpenTimeHasJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		for range 200 {
			transport, _ := newOpenBreaker(t, status(200))
			open := time.Until(onlyBreaker(t, transport).RetryAt)
			assert.GreaterOrEqual(t, open, breakerOpenFor*4/5)
			assert.LessOrEqual(t, open, breakerOpenFor*6/5)
			seen[open] = true
		}
		assert.Greater(t, len(seen), 190)
	})
}

func TestBreaker_ProbeGoesAtRetryAtAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newOpenBreaker(t, status(200))
		time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt) - 1)
		_, err := sendGet(t, transport)
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		time.Sleep(time.Nanosecond)
		code, err := sendGet(t, transport)
		require.NoError(t, err)
		assert.Equal(t, 200, code)
		server.AssertAttempts(t, 11)
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin}, onlyBreaker(t, transport), "closed, with a clean window")
	})
}

func TestBreaker_FailedProbeOpensAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newOpenBreaker(t, status(503))
		for range 5 {
			time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
			sendGets(t, transport, 20)
		}
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		assert.Len(t, server.Attempts(), 15, "one probe for each open time")
	})
}

func TestBreaker_OnlyOneProbeGoesAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newOpenBreaker(t, delay(time.Second, status(200)))
		time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
		var group sync.WaitGroup
		var mu sync.Mutex
		rejections := 0
		for range 64 {
			group.Go(func() {
				if _, err := sendGet(t, transport); err != nil {
					var open *steadyhttp.CircuitOpenError
					assert.ErrorAs(t, err, &open)
					assert.Zero(t, open.RetryAt, "it depends on the probe")
					mu.Lock()
					defer mu.Unlock()
					rejections++
				}
			})
		}
		group.Wait()
		assert.Equal(t, 63, rejections)
		server.AssertAttempts(t, 11)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
	})
}

func TestBreaker_NeutralProbeFreesItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newOpenBreaker(t, status(429))
		time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
		sendGets(t, transport, 5)
		server.AssertAttempts(t, 15)
		assert.Equal(t, steadyhttp.BreakerHalfOpen, breakerState(t, transport))
	})
}

// newHangingProbe returns a transport whose breaker is half-open, with a probe out at a base that does not look at the
// context. answer ends the probe, and waits until it has reported.
func newHangingProbe(t *testing.T, answers step, options ...steadyhttp.Option) (transport *steadyhttp.Transport, server *steadyhttptest.Transport, answer func()) {
	t.Helper()
	deaf := make(chan struct{})
	transport, server = newOpenBreaker(t, stepFunc(func(r *http.Request) (*http.Response, error) {
		<-deaf
		return answers.RoundTrip(r)
	}), options...)
	time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
	var group sync.WaitGroup
	group.Go(func() { sendGets(t, transport, 1) })
	synctest.Wait()
	return transport, server, func() {
		close(deaf)
		group.Wait()
	}
}

func TestBreaker_SlowProbeLetsAnotherGoAfterAnOpenTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after   time.Duration
		options []steadyhttp.Option
	}{
		"an open time": {breakerOpenFor, nil},
		"its lease":    {2100 * time.Millisecond, []steadyhttp.Option{steadyhttp.WithBreakerOpenFor(3 * time.Second), steadyhttp.WithAttemptTimeout(2 * time.Second)}},
	} {
		for late, answers := range map[string]int{"a late success": 200, "a late failure": 503} {
			t.Run(name+" and "+late, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					transport, server, answer := newHangingProbe(t, status(answers), c.options...)
					defer answer()
					time.Sleep(c.after - 1)
					_, err := sendGet(t, transport)
					require.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
					time.Sleep(time.Nanosecond)
					server.Play(status(200))
					sendGets(t, transport, 100)
					assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin, Requests: 99}, onlyBreaker(t, transport), "the second one closes it")
					server.AssertAttempts(t, breakerMinRequests+101)
				})
			})
		}
	}
}

func TestBreaker_EachOfSeveralProbesDecides(t *testing.T) {
	t.Parallel()
	for answers, want := range map[int]steadyhttp.BreakerState{200: steadyhttp.BreakerClosed, 503: steadyhttp.BreakerOpen} {
		synctest.Test(t, func(t *testing.T) {
			transport, server, answer := newHangingProbe(t, status(answers))
			time.Sleep(breakerOpenFor)
			server.Play(delay(time.Second, status(200)))
			var second sync.WaitGroup
			second.Go(func() { sendGets(t, transport, 1) })
			synctest.Wait()
			_, err := sendGet(t, transport)
			assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen, "two are under way, and the second has just begun")
			answer()
			assert.Equal(t, want, breakerState(t, transport))
			second.Wait()
			status := onlyBreaker(t, transport)
			assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin, State: want, RetryAt: status.RetryAt, Reason: status.Reason}, status,
				"what the second one brings is from an earlier state")
		})
	}
}

// The second of two probes began later, so the open time counts from it.
func TestBreaker_OpenTimeCountsFromTheLatestProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server, answer := newHangingProbe(t, status(503))
		time.Sleep(breakerOpenFor)
		server.Play(delay(time.Hour, status(200)))
		var second sync.WaitGroup
		second.Go(func() { sendGets(t, transport, 1) })
		time.Sleep(200 * time.Millisecond)
		answer()
		require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		assert.InDelta(t, 800*time.Millisecond, time.Until(onlyBreaker(t, transport).RetryAt), float64(200*time.Millisecond))
		second.Wait()
	})
}

// Probes that hang as the attempts before them did would be many, and each of them work for a server that is slow.
func TestBreaker_AfterTimeoutsAProbeMayTimeOutBeforeAnotherGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(hang)
		transport := newTransport(t, server, steadyhttp.WithMaxAttempts(1), steadyhttp.WithAttemptTimeout(time.Second), steadyhttp.WithBreakerConsecutiveTimeouts(1, 0))
		sendGets(t, transport, 1)
		require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			go func() { _, _ = sendGet(t, transport) }()
		}
		probes := len(server.Attempts()) - 1
		assert.InDelta(t, 8, probes, 1, "one in the time that one takes, and a quarter of an open time, for 10 s")
		time.Sleep(time.Minute)
	})
}

// A probe that never reports keeps gobreaker half-open for ever.
func TestBreaker_ProbeThatOutlivesItsLeaseDecidesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lease   time.Duration
		options []steadyhttp.Option
	}{
		"without an attempt timeout": {time.Minute, nil},
		"with one":                   {2100 * time.Millisecond, []steadyhttp.Option{steadyhttp.WithAttemptTimeout(2 * time.Second)}},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " late ", late), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					transport, _, answer := newHangingProbe(t, status(501), c.options...)
					took := c.lease - 1
					if late {
						took = c.lease
					}
					time.Sleep(took)
					answer()
					want := steadyhttp.BreakerHalfOpen
					if len(c.options) > 0 && !late {
						want = steadyhttp.BreakerOpen // the attempt's own time was over
					} else if !late {
						want = steadyhttp.BreakerClosed
					}
					assert.Equal(t, want, breakerState(t, transport))
				})
			})
		}
	}
}

func TestBreaker_LateProbeDecidesNothingEvenIfItIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, _ := newOpenBreaker(t, delay(61*time.Second, status(200)))
		time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerHalfOpen, breakerState(t, transport))
	})
}

func TestBreaker_TimedOutProbeOpensAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, _ := newOpenBreaker(t, hang, steadyhttp.WithAttemptTimeout(2*time.Second))
		time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
		_, err := sendGet(t, transport)
		assert.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

// A panic in a probe counts as a success in gobreaker, if IsSuccessful says so, and Goexit leaves it
// half-open for ever.
func TestBreaker_ProbeThatPanicsIsNeutralAndFreesItsSlot(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(){
		"panic":  func() { panic("boom") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, server := newOpenBreaker(t, stepFunc(func(*http.Request) (*http.Response, error) {
					leave()
					return nil, nil
				}))
				time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
				for range 3 {
					var group sync.WaitGroup
					group.Add(1)
					go func() {
						defer group.Done()
						defer func() { _ = recover() }()
						sendGets(t, transport, 1)
					}()
					group.Wait()
					assert.Equal(t, steadyhttp.BreakerHalfOpen, breakerState(t, transport))
				}
				server.AssertAttempts(t, 13)
				server.Play(status(503))
				sendGets(t, transport, 1)
				assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
			})
		})
	}
}

func TestBreaker_PanicIsNotCountedWhileClosed(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(stepFunc(func(*http.Request) (*http.Response, error) { panic("boom") })))
	for range 20 {
		assert.PanicsWithValue(t, "boom", func() { sendGets(t, transport, 1) })
	}
	assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin}, onlyBreaker(t, transport))
}

func TestBreaker_OutcomesOfAnEarlierStateDecideNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		steps := []step{delay(10*time.Second, status(200)), delay(10*time.Second, status(503))}
		for range 10 {
			steps = append(steps, status(503))
		}
		steps = append(steps, delay(20*time.Second, status(200)))
		transport := newTransport(t, newScript(steps...), singleAttemptOptions()...)
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() { sendGets(t, transport, 1) })
			synctest.Wait()
		}
		sendGets(t, transport, breakerMinRequests)
		time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
		group.Go(func() { sendGets(t, transport, 1) }) // the probe
		time.Sleep(15 * time.Second)
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin, State: steadyhttp.BreakerHalfOpen}, onlyBreaker(t, transport))
		group.Wait()
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin}, onlyBreaker(t, transport))
	})
}

func TestBreaker_OpeningEndsTheCallWithTheLastResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, steadyhttp.WithBreakerConsecutiveFailures(2, 0), steadyhttp.WithBreakerOpenFor(time.Minute))
		ctx, report := steadyhttp.WithReport(t.Context())
		response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
		server.AssertAttempts(t, 2)
		assert.Equal(t, steadyhttp.StopCircuitOpen, report.Stopped)
		assertClosedOnce(t, server, response)
	})
}

func TestBreaker_OpeningDuringAWaitEndsTheCallAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The second call opens the breaker while the first one waits, and again so that it stays open.
		server := newScript(fail(errReset), status(503))
		transport := newTransport(t, server, steadyhttp.WithBreakerConsecutiveFailures(2, 0), steadyhttp.WithBackoff(10*time.Second, 20*time.Second),
			steadyhttp.WithBreakerOpenFor(time.Minute))
		source := newTrackedBody("payload")
		r := newRequest(t, t.Context(), http.MethodPut, "payload")
		r.GetBody = func() (io.ReadCloser, error) { return source, nil }
		time.AfterFunc(time.Second, func() { _, _ = transport.RoundTrip(newGet(t)) })
		_, err := transport.RoundTrip(r)

		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		assert.ErrorIs(t, err, errReset, "the last attempt's error stays reachable")
		assert.Equal(t, steadyhttp.Transient, failed.Class, "the server may have acted on the first attempt")
		assert.Equal(t, 1, failed.Attempts)
		assert.Equal(t, steadyhttp.StopCircuitOpen, failed.Stopped)
		assert.Equal(t, 1, source.closes())
	})
}

func TestBreaker_EachOriginHasItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, singleAttemptOptions()...)
		sendGets(t, transport, breakerMinRequests)
		r := newGet(t)
		r.URL.Host = "other.example.com"
		_, err := transport.RoundTrip(r)
		require.NoError(t, err)
		r = newGet(t)
		r.URL.Scheme = "http"
		_, err = transport.RoundTrip(r)
		require.NoError(t, err)
		var names []string
		for _, b := range transport.Breakers() {
			names = append(names, b.Origin)
		}
		assert.Equal(t, []string{"http://api.example.com:80", targetOrigin, "https://other.example.com:443"}, names, "sorted")
	})
}

func TestBreaker_OffRejectsNothing(t *testing.T) {
	t.Parallel()
	server := newScript(status(503))
	transport := newTransport(t, server, append(singleAttemptOptions(steadyhttp.WithBreakerFailureRate(0.1, 1)), steadyhttp.WithoutBreaker())...)
	sendGets(t, transport, 100)
	server.AssertAttempts(t, 100)
	assert.Empty(t, transport.Breakers())
}

func TestBreaker_EventsComeInOrderOutsideTheLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var transport *steadyhttp.Transport
		var changes [][2]steadyhttp.BreakerState
		observe := func(ctx context.Context, event steadyhttp.Event) {
			if event.Kind != steadyhttp.EventBreaker {
				return
			}
			changes = append(changes, [2]steadyhttp.BreakerState{event.From, event.To})
			assert.Equal(t, targetOrigin, event.Origin)
			assert.NotNil(t, ctx)
			assert.Nil(t, event.Request)
			transport.Breakers()         // gobreaker's State in OnStateChange deadlocks
			_, _ = sendGet(t, transport) // so would a call
		}
		steps := slices.Repeat([]step{status(503)}, breakerMinRequests)
		transport = newTransport(t, newScript(append(steps, status(503), status(200))...), singleAttemptOptions(steadyhttp.WithObserver(observe))...)
		sendGets(t, transport, breakerMinRequests)
		time.Sleep(breakerProbeDue)
		sendGets(t, transport, 1)
		time.Sleep(breakerProbeDue)
		sendGets(t, transport, 1)
		closed, half, open := steadyhttp.BreakerClosed, steadyhttp.BreakerHalfOpen, steadyhttp.BreakerOpen
		assert.Equal(t, [][2]steadyhttp.BreakerState{{closed, open}, {open, half}, {half, open}, {open, half}, {half, closed}}, changes)
	})
}

func TestBreaker_SurvivesAnObserverThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		steps := slices.Repeat([]step{status(503)}, breakerMinRequests)
		server := newScript(append(steps, status(200))...)
		transport := newTransport(t, server, singleAttemptOptions(steadyhttp.WithObserver(func(_ context.Context, event steadyhttp.Event) {
			if event.Kind == steadyhttp.EventBreaker {
				panic("observer")
			}
		}))...)
		sendGets(t, transport, breakerMinRequests-1)
		assert.Panics(t, func() { sendGets(t, transport, 1) })
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		time.Sleep(breakerProbeDue)
		source := newTrackedBody("payload")
		assert.Panics(t, func() { // open to half-open, before anything is sent
			r := newGet(t)
			r.Body = source
			_, _ = transport.RoundTrip(r)
		})
		assert.Equal(t, 1, source.closes())
		server.AssertAttempts(t, breakerMinRequests)
		assert.Equal(t, steadyhttp.BreakerHalfOpen, breakerState(t, transport))
		assert.Panics(t, func() { sendGets(t, transport, 1) })
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		assertClosedOnce(t, server, nil)
	})
}

func TestBreaker_ObserverThatBlocksDelaysNoOtherCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		blocked := false
		steps := make([]step, 10)
		for i := range steps {
			steps[i] = status(503)
		}
		transport := newTransport(t, newScript(append(steps, status(200))...), singleAttemptOptions(
			steadyhttp.WithBreakerOpenFor(time.Millisecond),
			steadyhttp.WithObserver(func(_ context.Context, event steadyhttp.Event) {
				if event.Kind == steadyhttp.EventBreaker && !blocked {
					blocked = true
					time.Sleep(time.Second)
				}
			}))...)
		var group sync.WaitGroup
		group.Go(func() { sendGets(t, transport, 10) })
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		sendGets(t, transport, 1)
		assert.Zero(t, time.Since(start))
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		group.Wait()
	})
}

func TestBreaker_StatesHaveNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "closed", steadyhttp.BreakerClosed.String())
	assert.Equal(t, "half_open", steadyhttp.BreakerHalfOpen.String())
	assert.Equal(t, "open", steadyhttp.BreakerOpen.String())
	assert.Equal(t, "9", steadyhttp.BreakerState(9).String())
}

func TestBreaker_SlowCallbackDoesNotExpireAProbesLease(t *testing.T) {
	t.Parallel()
	slow := func(_ context.Context, event steadyhttp.Event) {
		if event.Kind == steadyhttp.EventBreaker {
			time.Sleep(200 * time.Millisecond)
		}
	}
	pondering := func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
		if response == nil {
			time.Sleep(3 * time.Second) // longer than the lease
		}
		return steadyhttp.Unclassified
	}
	for name, option := range map[string]steadyhttp.Option{
		"observer": steadyhttp.WithObserver(slow), "classifier": steadyhttp.WithClassifier(pondering),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, _ := newOpenBreaker(t, hang, steadyhttp.WithAttemptTimeout(2*time.Second), option)
				time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
				_, err := sendGet(t, transport)
				assert.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
				assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
			})
		})
	}
}

func TestBreaker_ObserverThatPanicsLosesNoLaterEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		steps := slices.Repeat([]step{status(503)}, breakerMinRequests)
		transport := newTransport(t, newScript(append(steps, status(200))...), singleAttemptOptions(steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			if e.Kind != steadyhttp.EventBreaker {
				return
			}
			mu.Lock()
			seen = append(seen, e.To.String())
			first := len(seen) == 1
			mu.Unlock()
			if first {
				time.Sleep(2 * time.Second)
				panic("observer")
			}
		}))...)
		var group sync.WaitGroup
		group.Go(func() {
			defer func() { _ = recover() }()
			sendGets(t, transport, breakerMinRequests)
		})
		time.Sleep(1500 * time.Millisecond)
		sendGets(t, transport, 1) // the probe, while the observer is still at the opening
		require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		group.Wait()
		assert.Equal(t, []string{"open", "half_open", "closed"}, seen)
	})
}

func TestBreaker_DefaultsOpenWhenNothingHasWorkedForFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		once := steadyhttp.WithMaxAttempts(1)
		server := newScript(status(503))
		transport := newTransport(t, server, once)
		sendGets(t, transport, 1000)
		time.Sleep(5*time.Second - 1)
		sendGets(t, transport, 1000)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		time.Sleep(1 * time.Nanosecond)
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		open := time.Until(onlyBreaker(t, transport).RetryAt)
		assert.InDelta(t, 700*time.Millisecond, open, float64(140*time.Millisecond))

		transport = newTransport(t, server, once)
		sendGets(t, transport, 1)
		time.Sleep(time.Minute) // a quiet client; what was longer ago is another trouble
		sendGets(t, transport, 4)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))

		transport = newTransport(t, newScript(delay(2*time.Second, fail(os.ErrDeadlineExceeded))), once)
		sendGets(t, transport, 5)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

// However much fails, and however long: what opens the breaker is that nothing works.
func TestBreaker_StaysClosedWhileAnythingWorks(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]step{"503": status(503), "silence": delay(time.Second, fail(os.ErrDeadlineExceeded))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var count atomic.Int64
				transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
					if count.Add(1)%10 == 0 {
						return status(200).RoundTrip(r)
					}
					return failure.RoundTrip(r)
				}))
				for range 1000 {
					go sendGets(t, transport, 1)
					time.Sleep(100 * time.Millisecond)
					require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// Two of three attempts fail at once, and the third succeeds after longer than the breaker looks back, and than a probe keeps
// others back. What fails at once must not decide alone.
func TestBreaker_SlowOriginThatFailsInPartServesNoFewerThanWithoutRetries(t *testing.T) {
	t.Parallel()
	for _, took := range []time.Duration{time.Second, 6 * time.Second, 10 * time.Second} {
		t.Run(took.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const calls = 1200
				var count, succeeded atomic.Int64
				transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
					if count.Add(1)%3 != 0 {
						return status(503).RoundTrip(r)
					}
					return delay(took, status(200)).RoundTrip(r)
				}))
				for range calls {
					go func() {
						if code, err := sendGet(t, transport); err == nil && code == http.StatusOK {
							succeeded.Add(1)
						}
					}()
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				assert.Greater(t, succeeded.Load(), int64(calls/3))
			})
		})
	}
}

func TestBreaker_OriginOfWhichSuccessesTakeLongHasThatTimeBeforeItOpens(t *testing.T) {
	t.Parallel()
	for took, opensAfter := range map[time.Duration]time.Duration{
		2500 * time.Millisecond: 5 * time.Second, 4 * time.Second: 8 * time.Second, time.Hour: time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newScript(delay(took, status(200)), status(503))
			transport := newTransport(t, server, steadyhttp.WithMaxAttempts(1))
			time.Sleep(time.Second) // the first moment is not measured
			sendGets(t, transport, 6)
			time.Sleep(opensAfter - 1)
			sendGets(t, transport, 1)
			assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport), took)
			time.Sleep(time.Nanosecond)
			sendGets(t, transport, 1)
			assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport), took)
		})
	}
}

// One success of ten takes a minute, and is no reason to wait for that long in an outage.
func TestBreaker_FewSlowSuccessesDoNotDelayItsOpening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		var down atomic.Bool
		transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
			switch slow := count.Add(1)%10 == 0; {
			case down.Load():
				return status(503).RoundTrip(r)
			case slow:
				return delay(time.Minute, status(200)).RoundTrip(r)
			default:
				return delay(10*time.Millisecond, status(200)).RoundTrip(r)
			}
		}))
		var calls sync.WaitGroup
		call := func() {
			calls.Go(func() { _, _ = sendGet(t, transport) })
			time.Sleep(100 * time.Millisecond)
		}
		for range 1800 {
			call()
		}
		time.Sleep(time.Minute) // until the last has come
		down.Store(true)
		for range 52 {
			call()
		}
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		calls.Wait()
	})
}

// newSlowOriginToProbe opens the breaker of an origin whose successes took so long, and returns when the first probe may go.
func newSlowOriginToProbe(t *testing.T, usual time.Duration) (*steadyhttp.Transport, *steadyhttptest.Transport) {
	t.Helper()
	server := newScript(delay(usual, status(200)))
	transport := newTransport(t, server, singleAttemptOptions()...)
	time.Sleep(time.Second) // the first moment is not measured
	sendGets(t, transport, 1)
	server.Play(status(503))
	sendGets(t, transport, breakerMinRequests)
	time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
	return transport, server
}

func TestBreaker_ProbeThatAnotherHasOvertakenClosesItWhereThatIsUsual(t *testing.T) {
	t.Parallel()
	hand := func(use func(*steadyhttp.Breaker)) func(*steadyhttp.Transport) {
		return func(transport *steadyhttp.Transport) { use(transport.Breaker(targetOrigin)) }
	}
	for name, c := range map[string]struct {
		usual     time.Duration // what successes took before
		brings    int
		took      time.Duration
		override  []steadyhttp.Option // of the probe
		meanwhile func(*steadyhttp.Transport)
		want      steadyhttp.BreakerState
	}{
		"a success":           {usual: 8 * time.Second, brings: 200, took: 8 * time.Second, want: steadyhttp.BreakerClosed},
		"a healthy refusal":   {usual: 8 * time.Second, brings: 404, took: 2 * time.Second, want: steadyhttp.BreakerClosed},
		"a failure":           {usual: 8 * time.Second, brings: 503, took: 8 * time.Second, want: steadyhttp.BreakerOpen},
		"one that is neutral": {usual: 8 * time.Second, brings: 429, took: 8 * time.Second, want: steadyhttp.BreakerOpen},
		"twice as slow":       {usual: 8 * time.Second, brings: 200, took: 16 * time.Second, want: steadyhttp.BreakerOpen},
		"beyond its lease":    {usual: 50 * time.Second, brings: 200, took: time.Minute, want: steadyhttp.BreakerOpen},
		"within its own lease": {usual: 50 * time.Second, brings: 200, took: time.Minute, want: steadyhttp.BreakerClosed,
			override: []steadyhttp.Option{steadyhttp.WithAttemptTimeout(2 * time.Minute)}},
		"where others are quick":    {usual: breakerOpenFor - 1, brings: 200, took: 1500 * time.Millisecond, want: steadyhttp.BreakerOpen},
		"where others take as long": {usual: breakerOpenFor, brings: 200, took: 1500 * time.Millisecond, want: steadyhttp.BreakerClosed},
		"after Trip": {usual: 8 * time.Second, brings: 200, took: 8 * time.Second, want: steadyhttp.BreakerOpen,
			meanwhile: hand(func(b *steadyhttp.Breaker) { b.Trip(time.Hour, "") })},
		"after Isolate": {usual: 8 * time.Second, brings: 200, took: 8 * time.Second, want: steadyhttp.BreakerOpen,
			meanwhile: hand(func(b *steadyhttp.Breaker) { b.Isolate("") })},
		"of the trouble before": {usual: 8 * time.Second, brings: 200, took: 8 * time.Second, want: steadyhttp.BreakerOpen,
			meanwhile: func(transport *steadyhttp.Transport) {
				transport.Breaker(targetOrigin).Reset()
				sendGets(t, transport, breakerMinRequests)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, server := newSlowOriginToProbe(t, c.usual)
				server.Play(delay(c.took, status(c.brings)))
				var probe sync.WaitGroup
				probe.Go(func() {
					get := newGet(t)
					if c.override != nil {
						get = get.WithContext(steadyhttp.Override(get.Context(), c.override...))
					}
					_, _ = transport.RoundTrip(get)
				})
				time.Sleep(breakerOpenFor)
				server.Play(status(503))
				sendGets(t, transport, 1)
				require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport), "the one that overtakes it fails")
				if c.meanwhile != nil {
					c.meanwhile(transport)
				}
				probe.Wait()
				assert.Equal(t, c.want, breakerState(t, transport))
				if c.want == steadyhttp.BreakerClosed {
					changes := transport.Origins()[0].Changes
					closes := steadyhttp.BreakerChange{At: time.Now(), From: steadyhttp.BreakerOpen, To: steadyhttp.BreakerClosed}
					assert.Equal(t, closes, changes[len(changes)-1], "by no hand")
				}
			})
		})
	}
}

func TestBreaker_OvertakenProbeOfAClosedBreakerForgetsNoFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newSlowOriginToProbe(t, 8*time.Second)
		server.Play(delay(8*time.Second, status(200)))
		var probes sync.WaitGroup
		for range 2 { // each of which closes it, the second one too late
			probes.Go(func() { sendGets(t, transport, 1) })
			time.Sleep(breakerOpenFor)
		}
		server.Play(status(503))
		sendGets(t, transport, 1)
		time.Sleep(6*time.Second + breakerOpenFor/2)
		require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		sendGets(t, transport, 1)
		probes.Wait()
		assert.Equal(t, uint32(1), onlyBreaker(t, transport).Failures)
	})
}

// One call makes up to four attempts, so it alone must not shut others out.
func TestBreaker_TwoCallsToABadPathShutNoOtherOut(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]step{
		"500": status(500), "slow 500": delay(3*time.Second, status(500)), "reset": fail(errReset),
		"silence of 0.1 s": delay(100*time.Millisecond, fail(timeoutError{})), "of 1 s": delay(time.Second, fail(timeoutError{})),
		"of 30 s": delay(30*time.Second, fail(timeoutError{})),
	} {
		for _, between := range []time.Duration{0, time.Second, 10 * time.Second, 59 * time.Second, 2 * time.Minute, time.Hour} {
			t.Run(fmt.Sprint(name, ", calls ", between, " apart"), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
						if r.URL.Path == "/report" {
							return bad.RoundTrip(r)
						}
						return status(200).RoundTrip(r)
					}))
					for range 2 {
						r := newGet(t)
						r.URL.Path = "/report"
						time.Sleep(between)
						callAndClose(transport, r)
					}
					code, err := sendGet(t, transport)
					require.NoError(t, err)
					assert.Equal(t, 200, code)
				})
			})
		}
	}
}

// A timeout tells that nothing came all the while.
func TestBreaker_ConsecutiveTimeoutsLastFromTheirStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for took, want := range map[time.Duration]steadyhttp.BreakerState{time.Second: steadyhttp.BreakerOpen, 999*time.Millisecond - 3: steadyhttp.BreakerClosed} {
			transport := newTransport(t, newScript(delay(took, fail(os.ErrDeadlineExceeded))), steadyhttp.WithMaxAttempts(1),
				steadyhttp.WithBreakerConsecutiveFailures(0, 0), steadyhttp.WithBreakerConsecutiveTimeouts(3, time.Second))
			var group sync.WaitGroup
			for range 2 {
				group.Go(func() { sendGets(t, transport, 1) })
				time.Sleep(1 * time.Nanosecond)
			}
			group.Wait()
			require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport), "two of three")
			group.Go(func() { sendGets(t, transport, 1) })
			time.Sleep(1 * time.Nanosecond)
			group.Wait()
			assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))

			transport = newTransport(t, newScript(delay(took, fail(os.ErrDeadlineExceeded))), steadyhttp.WithMaxAttempts(1),
				steadyhttp.WithBreakerConsecutiveFailures(0, 0), steadyhttp.WithBreakerConsecutiveTimeouts(3, time.Second))
			for range 3 {
				group.Go(func() { sendGets(t, transport, 1) })
				time.Sleep(1 * time.Nanosecond)
			}
			group.Wait()
			assert.Equal(t, want, breakerState(t, transport), "three of %v at the same time", took)
		}
	})
}

func TestBreaker_OtherFailuresDoNotEndARunOfTimeouts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timeout := delay(time.Second, fail(os.ErrDeadlineExceeded))
		hanging := newTransport(t, newScript(timeout, status(503), timeout, status(200), timeout, status(503), fail(errReset), timeout, timeout),
			steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(0, 0), steadyhttp.WithBreakerConsecutiveTimeouts(3, 0))
		sendGets(t, hanging, 8)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, hanging))
		sendGets(t, hanging, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, hanging))
	})
}

// An overloaded server becomes slow before it falls silent, a broken part of one does not.
func TestBreaker_OriginThatBecameSlowIsTakenForOverloaded(t *testing.T) {
	t.Parallel()
	timeout := delay(time.Second, fail(os.ErrDeadlineExceeded))
	answer := func(took time.Duration) step { return delay(took, status(200)) }
	for name, c := range map[string]struct {
		usual    time.Duration
		last     time.Duration
		timeouts int // that open it; 0: three do not
	}{
		"quick":                       {10 * time.Millisecond, 249 * time.Millisecond, 0},
		"slow":                        {10 * time.Millisecond, 250 * time.Millisecond, 2},
		"as slow as ever":             {500 * time.Millisecond, 500 * time.Millisecond, 0},
		"slower than it usually is":   {300 * time.Millisecond, 950 * time.Millisecond, 2},
		"a little slower than it was": {400 * time.Millisecond, 950 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Second) // the epoch's first moments are not measured
				transport := newTransport(t, newScript(answer(c.usual), answer(c.last), timeout), steadyhttp.WithMaxAttempts(1))
				time.Sleep(time.Second)
				sendGets(t, transport, 1)
				time.Sleep(time.Second)
				sendGets(t, transport, 1)
				opened := 0
				for i := range 3 {
					sendGets(t, transport, 1)
					if breakerState(t, transport) == steadyhttp.BreakerOpen {
						opened = i + 1
						break
					}
				}
				assert.Equal(t, c.timeouts, opened)
			})
		})
	}
}

// A path that hangs at an origin with slow paths must not shut others out by one call.
func TestBreaker_RetriesOfOneCallAreNoOverload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		quick, slow := delay(10*time.Millisecond, status(200)), delay(time.Second, status(200))
		server := newScript(quick, slow, delay(time.Second, fail(os.ErrDeadlineExceeded)))
		transport := newTransport(t, server, steadyhttp.WithMaxAttempts(3), steadyhttp.WithoutRetryBudget())
		for range 3 {
			time.Sleep(time.Second)
			sendGets(t, transport, 1)
		}
		server.AssertAttempts(t, 2+3)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport), "after one call that hung three times")
		sendGets(t, transport, 1)
		server.AssertAttempts(t, 2+3+1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport), "after another")
	})
}

func TestBreaker_BlipOfAnOverloadedOriginDoesNotOpenIt(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]steadyhttp.BreakerState{299 * time.Millisecond: steadyhttp.BreakerClosed, 300 * time.Millisecond: steadyhttp.BreakerOpen} {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, newScript(delay(time.Millisecond, status(200)), delay(500*time.Millisecond, status(200)), delay(took, fail(os.ErrDeadlineExceeded))), steadyhttp.WithMaxAttempts(1))
			for range 2 {
				time.Sleep(time.Second)
				sendGets(t, transport, 1)
			}
			sendGets(t, transport, 2)
			assert.Equal(t, want, breakerState(t, transport))
		})
	}
}

// An observer, and a timeout of each attempt, have the clock read more often. That must not change what the breaker does.
func TestBreaker_WhoeverMeasuresDoesNotChangeWhatIsUsual(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]steadyhttp.Option{
		"nobody": steadyhttp.WithMaxAttempts(1), "observer": steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {}),
		"attempt timeout": steadyhttp.WithAttemptTimeout(time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				quick, slow, timeout := delay(time.Millisecond, status(200)), delay(500*time.Millisecond, status(200)), delay(time.Second, fail(os.ErrDeadlineExceeded))
				transport := newTransport(t, newScript(quick, slow, timeout), steadyhttp.WithMaxAttempts(1), option)
				time.Sleep(time.Second)
				sendGets(t, transport, 4)
				assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport), "what begins a moment after another success is not sampled")
			})
		})
	}
}

func TestBreaker_RetriesAreSuspendedWhileNothingWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server)
		sendGets(t, transport, 1)
		server.AssertAttempts(t, 4)
		for range 10 {
			ctx, report := steadyhttp.WithReport(t.Context())
			response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			require.NoError(t, err, "the response is there")
			assert.Equal(t, 503, response.StatusCode)
			assert.Equal(t, steadyhttp.StopRetriesSuspended, report.Stopped)
			assert.Contains(t, steadyhttp.CheckResponse(response).Error(), "retries_suspended")
		}
		server.AssertAttempts(t, 14)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		assert.True(t, onlyOrigin(t, transport).RetriesSuspended)
		server.Play(status(404), status(503), status(200))
		sendGets(t, transport, 1)
		code, err := sendGet(t, transport)
		require.NoError(t, err)
		assert.Equal(t, 200, code, "a success ends it")
		assert.False(t, onlyOrigin(t, transport).RetriesSuspended)
		server.AssertAttempts(t, 17)
	})
}

func TestBreaker_RetriesAreNotSuspendedByABlipNorByOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, steadyhttp.WithMaxAttempts(2), withConstantBackoff(time.Millisecond), steadyhttp.WithRetryBudget(0, 1000))
		sendGets(t, transport, 100)
		time.Sleep(599*time.Millisecond - 100*time.Millisecond)
		server.AssertAttempts(t, 200)
		sendGets(t, transport, 1)
		server.AssertAttempts(t, 202)
		time.Sleep(time.Millisecond)
		sendGets(t, transport, 1)
		server.AssertAttempts(t, 203)

		server = newScript(status(503))
		transport = newTransport(t, server, steadyhttp.WithMaxAttempts(9), withConstantBackoff(500*time.Millisecond), steadyhttp.WithRetryBudget(0, 1000))
		sendGets(t, transport, 1)
		server.AssertAttempts(t, 9)
		sendGets(t, transport, 1)
		server.AssertAttempts(t, 10)
	})
}

func TestBreaker_RunEndsAMinuteAfterItsLastFailureToTheNanosecond(t *testing.T) {
	t.Parallel()
	for _, first := range []time.Duration{0, 1, 2, 3} {
		for _, after := range []time.Duration{0, 1} {
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503))
				transport := newTransport(t, server, steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(2, 0))
				time.Sleep(first)
				sendGets(t, transport, 1)
				time.Sleep(time.Minute + after)
				sendGets(t, transport, 1)
				want := steadyhttp.BreakerOpen
				if after > 0 {
					want = steadyhttp.BreakerClosed
				}
				assert.Equal(t, want, breakerState(t, transport), "%d ns after the beginning, and %d ns more than a minute", first, after)
			})
		}
	}
}

func TestBreaker_IsNotOpenedByOneCallOfManyAttempts(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]step{"failures": status(503), "timeouts": hang} {
		for _, attempts := range []int{4, 5, 6, 10, 16} {
			t.Run(fmt.Sprint(name, " of ", attempts, " attempts"), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					server := newScript(failure)
					transport := newTransport(t, server, steadyhttp.WithMaxAttempts(attempts), withConstantBackoff(2*time.Second),
						steadyhttp.WithAttemptTimeout(2*time.Second), steadyhttp.WithRetryBudget(0, 1000))
					sendGets(t, transport, 2)
					server.AssertAttempts(t, attempts+1)
					server.Play(status(200))
					code, err := sendGet(t, transport)
					require.NoError(t, err)
					assert.Equal(t, 200, code)

					server.Play(failure)
					for breakerState(t, transport) == steadyhttp.BreakerClosed {
						require.Less(t, len(server.Attempts()), 3*attempts+7)
						sendGets(t, transport, 1)
					}
				})
			})
		}
	}
}

func TestBreaker_SuspensionDuringAWaitEndsTheCallAfterIt(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]step{"an error": fail(errReset), "a response": status(503)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(first, status(503))
				transport := newTransport(t, server, steadyhttp.WithBackoff(4*time.Second, 8*time.Second), steadyhttp.WithRetryBudget(0, 1), // the trickle brings no token so soon
					steadyhttp.WithBreakerConsecutiveFailures(1000, 0))
				time.AfterFunc(time.Second, func() { sendGets(t, transport, 3) })
				source := newTrackedBody("payload")
				ctx, report := steadyhttp.WithReport(t.Context())
				r := newRequest(t, ctx, http.MethodPut, "payload")
				r.GetBody = func() (io.ReadCloser, error) { return source, nil }
				_, err := transport.RoundTrip(r)
				var failed *steadyhttp.Error
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, steadyhttp.StopRetriesSuspended, failed.Stopped)
				assert.Equal(t, steadyhttp.StopRetriesSuspended, report.Stopped)
				assert.Equal(t, 1, failed.Attempts)
				assert.Equal(t, steadyhttp.Transient, failed.Class)
				assert.ErrorContains(t, err, "retries are suspended")
				assert.NotErrorIs(t, err, steadyhttp.ErrCircuitOpen)
				if name == "an error" {
					assert.ErrorIs(t, err, errReset, "the last attempt's error stays reachable")
				} else {
					assert.Equal(t, 503, failed.StatusCode)
				}
				assert.Equal(t, 1, source.closes())
				server.AssertAttempts(t, 4)
				assertClosedOnce(t, server, nil)

				server.Play(status(200), status(503), status(200))
				sendGets(t, transport, 1)
				code, err := sendGet(t, transport)
				require.NoError(t, err)
				assert.Equal(t, 200, code, "its token went back to the budget")
			})
		})
	}
}

// Else the call of a failed probe would be the next probe.
func TestBreaker_RetriesStaySuspendedUntilAProbeSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, withConstantBackoff(2*time.Second))
		sendGets(t, transport, 1)
		for breakerState(t, transport) == steadyhttp.BreakerClosed {
			sendGets(t, transport, 1)
			time.Sleep(time.Second)
		}
		before := len(server.Attempts())
		for range 3 {
			time.Sleep(time.Second)
			ctx, report := steadyhttp.WithReport(t.Context())
			_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			require.NoError(t, err)
			assert.Equal(t, steadyhttp.StopRetriesSuspended, report.Stopped)
		}
		server.AssertAttempts(t, before+3)
		time.Sleep(time.Second)
		server.Play(status(200), status(503), status(200))
		sendGets(t, transport, 1)
		sendGets(t, transport, 1)
		server.AssertAttempts(t, before+6)
	})
}

func TestBreaker_WithoutARuleForRunsSuspendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, withConstantBackoff(time.Second), steadyhttp.WithoutRetryBudget(), steadyhttp.WithBreakerFailureRate(1, 1000),
			steadyhttp.WithBreakerConsecutiveFailures(0, 0), steadyhttp.WithBreakerConsecutiveTimeouts(0, 0))
		sendGets(t, transport, 10)
		server.AssertAttempts(t, 40)
	})
}

func TestBreaker_SlowResponseCountsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(delay(2*time.Second, status(503))), singleAttemptOptions(steadyhttp.WithBreakerConsecutiveFailures(5, time.Second))...)
		sendGets(t, transport, 4)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

// As a restart of the server breaks all the calls that it was working on.
func TestBreaker_LongCallsThatFailTogetherAreRetried(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]step{"reset": fail(errReset), "503": status(503)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
					if began := time.Since(start); began < 2*time.Second {
						return delay(2*time.Second-began, broken).RoundTrip(r)
					}
					return delay(2*time.Second, status(200)).RoundTrip(r)
				}))
				var group sync.WaitGroup
				for range 5 {
					group.Go(func() {
						code, err := sendGet(t, transport)
						assert.NoError(t, err)
						assert.Equal(t, 200, code)
					})
					time.Sleep(100 * time.Millisecond)
				}
				group.Wait()
				assert.Less(t, time.Since(start), 5*time.Second, "the waits are not lengthened")
			})
		})
	}
}

func TestBreaker_OneTimeoutDoesNotOpenItIfItAsksForTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(delay(time.Minute, fail(os.ErrDeadlineExceeded))),
			singleAttemptOptions(steadyhttp.WithBreakerFailureRate(0, 1), steadyhttp.WithBreakerConsecutiveFailures(2, time.Second))...)
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

// Of many timeouts some follow each other by chance, and all began long ago.
func TestBreaker_RunOfFailuresBeginsAfterTheLastSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := []struct {
			begins time.Duration
			step   step
		}{
			{0, delay(2400*time.Millisecond, fail(os.ErrDeadlineExceeded))},
			{100 * time.Millisecond, delay(2400*time.Millisecond, fail(os.ErrDeadlineExceeded))},
			{2000 * time.Millisecond, delay(300*time.Millisecond, status(200))},
			{2100 * time.Millisecond, delay(1000*time.Millisecond, fail(os.ErrDeadlineExceeded))},
		}
		steps := make([]step, 0, len(calls))
		for _, c := range calls {
			steps = append(steps, c.step)
		}
		for name, watched := range map[string]steadyhttp.Option{
			"unwatched": steadyhttp.WithMaxAttempts(1), "watched": steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {}),
		} {
			transport := newTransport(t, newScript(steps...), steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(3, time.Second), watched)
			for _, c := range calls {
				time.AfterFunc(c.begins, func() { sendGets(t, transport, 1) })
			}
			time.Sleep(3 * time.Second)
			assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport), "%s: it has lasted since the success began at 2.0 s", name)
			time.Sleep(110 * time.Millisecond)
			assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport), name)
		}
	})
}

func TestBreaker_SlowProbeThatSucceedsShortensNoLaterOpenTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newOpenBreaker(t, delay(10*time.Second, status(200)))
		time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
		sendGets(t, transport, 1)
		require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		server.Play(status(503))
		sendGets(t, transport, breakerMinRequests)
		assert.GreaterOrEqual(t, time.Until(onlyBreaker(t, transport).RetryAt), breakerOpenFor*4/5)
	})
}

func TestBreaker_SlowProbeThatFailsCountsAsOpenTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for took, want := range map[time.Duration]time.Duration{0: time.Second, 500 * time.Millisecond: 500 * time.Millisecond, time.Hour: 250 * time.Millisecond} {
			transport, _ := newOpenBreaker(t, delay(min(took, 50*time.Second), status(503)))
			time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
			sendGets(t, transport, 1)
			require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
			assert.InDelta(t, want, time.Until(onlyBreaker(t, transport).RetryAt), float64(200*time.Millisecond))
		}
	})
}

func TestBreaker_ProbeThatPanicsIgnoresTheAttemptBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), stepFunc(func(*http.Request) (*http.Response, error) { panic("boom") }))
		transport := newTransport(t, server, steadyhttp.WithBreakerConsecutiveFailures(1, 0), withConstantBackoff(2*time.Second))
		assert.PanicsWithValue(t, "boom", func() { sendGets(t, transport, 1) })
		server.AssertAttempts(t, 2)
		assert.Equal(t, steadyhttp.BreakerHalfOpen, breakerState(t, transport))
	})
}

func TestBreaker_OpenTimeHasJitterToBothSides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		longer := 0
		for range 200 {
			transport, _ := newOpenBreaker(t, status(200))
			if time.Until(onlyBreaker(t, transport).RetryAt) > breakerOpenFor {
				longer++
			}
		}
		assert.InDelta(t, 100, longer, 50)
	})
}

func TestBreaker_ClosingBeginsANewRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := newOpenBreaker(t, status(200))
		time.Sleep(2 * time.Second)
		sendGets(t, transport, 1) // the probe
		require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		server.Play(status(503))
		sendGets(t, transport, 2)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
	})
}

func TestBreaker_OutcomeFromBeforeAnOutageIsNotCountedAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		steps := []step{delay(time.Minute, status(503))}
		for range 10 {
			steps = append(steps, status(503))
		}
		transport := newTransport(t, newScript(append(steps, status(200))...), singleAttemptOptions()...)
		var group sync.WaitGroup
		group.Go(func() { sendGets(t, transport, 1) })
		synctest.Wait()
		sendGets(t, transport, breakerMinRequests)
		time.Sleep(2 * time.Second)
		sendGets(t, transport, 1) // the probe
		require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		group.Wait()
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin}, onlyBreaker(t, transport))
	})
}

func TestBreaker_EventsAreAllDeliveredOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, what)
		}
		transport, group := (*steadyhttp.Transport)(nil), sync.WaitGroup{}
		steps := slices.Repeat([]step{status(503)}, breakerMinRequests)
		transport = newTransport(t, newScript(append(steps, status(200))...), singleAttemptOptions(steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			if e.Kind != steadyhttp.EventBreaker {
				return
			}
			note(e.To.String())
			time.Sleep(2 * time.Second)
			note("told")
		}))...)
		group.Go(func() { sendGets(t, transport, breakerMinRequests) })
		time.Sleep(1500 * time.Millisecond)
		sendGets(t, transport, 1) // half-open and closed, while the first event is still being told
		group.Wait()
		assert.Equal(t, []string{"open", "told", "half_open", "told", "closed", "told"}, seen)
	})
}

func TestBreaker_WaitLongerThanTheOpenTimeIsAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var transport *steadyhttp.Transport
		asked := 0
		server := newScript(status(503), status(200))
		transport = newTransport(t, server, steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff {
			return backoffFunc(func() time.Duration {
				asked++
				return time.Until(onlyBreaker(t, transport).RetryAt) // not a nanosecond longer
			})
		}))
		code, err := sendGet(t, transport)
		require.NoError(t, err)
		assert.Equal(t, 200, code)
		assert.Equal(t, 1, asked)
	})
}

func TestBreaker_ProbesLeaseDoesNotOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, _ := newOpenBreaker(t, delay(time.Second, status(200)), steadyhttp.WithAttemptTimeout(1<<63-1))
		time.Sleep(2 * time.Second)
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
	})
}

func TestBreaker_LongestOpenTimeDoesNotOverflow(t *testing.T) {
	t.Parallel()
	for range 50 {
		transport := newTransport(t, newScript(status(503)), singleAttemptOptions(steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithBreakerOpenFor(math.MaxInt64))...)
		sendGets(t, transport, 1)
		assert.True(t, onlyBreaker(t, transport).RetryAt.After(time.Now()))
	}
}

func TestBreaker_EventsCarryTheContextOfTheCallThatCausedThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var seen []string
		transport := newTransport(t, newScript(status(503), status(200)), singleAttemptOptions(steadyhttp.WithBreakerConsecutiveFailures(1, 0),
			steadyhttp.WithObserver(func(ctx context.Context, e steadyhttp.Event) {
				if e.Kind == steadyhttp.EventBreaker {
					seen = append(seen, fmt.Sprint(e.To, " by ", ctx.Value(key{})))
				}
			}))...)
		for _, caller := range []string{"first", "second"} {
			_, err := transport.RoundTrip(newRequest(t, context.WithValue(t.Context(), key{}, caller), http.MethodGet, ""))
			require.NoError(t, err)
			time.Sleep(2 * time.Second)
		}
		assert.Equal(t, []string{"open by first", "half_open by second", "closed by second"}, seen)
	})
}

// A call that gives its attempts more time than the Transport does is no worse a probe.
func TestBreaker_ProbeHasTheLeaseOfItsOwnCall(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]steadyhttp.Option{
		"header": nil,
		"body":   {steadyhttp.WithBodyTimeout(time.Minute)},
	} {
		for _, timeout := range []time.Duration{0, 30 * time.Second} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					transport, _ := newOpenBreaker(t, delay(5*time.Second, status(200)), append(options, steadyhttp.WithAttemptTimeout(time.Second))...)
					time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
					ctx := steadyhttp.Override(t.Context(), steadyhttp.WithAttemptTimeout(timeout))
					response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
					require.NoError(t, err)
					_, _ = io.ReadAll(response.Body)
					assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
				})
			})
		}
	}
}

func TestBreaker_SuspensionIsOverOnceNothingWasTriedForLong(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]step{"failure": status(503), "limit": status(429, "Retry-After", "1")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503))
				transport := newTransport(t, server)
				sendGets(t, transport, 1)
				server.AssertAttempts(t, 4)
				assert.True(t, onlyOrigin(t, transport).RetriesSuspended)
				time.Sleep(time.Hour)
				assert.False(t, onlyOrigin(t, transport).RetriesSuspended)
				server.Play(first, status(200))
				code, err := sendGet(t, transport)
				require.NoError(t, err)
				assert.Equal(t, 200, code, name)
			})
		})
	}
}
