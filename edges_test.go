package steadyhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func constantly(d time.Duration) steadyhttp.Option {
	return steadyhttp.WithBackoffPolicy(func() backoff.BackOff { return backoff.NewConstantBackOff(d) })
}

func TestProbeThatPanicsIsNotJudgedByTheAttemptBeforeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503), function(func(*http.Request) (*http.Response, error) { panic("boom") }))
		transport := newTransport(t, server, steadyhttp.WithBreakerConsecutive(1, 0), constantly(2*time.Second))
		assert.PanicsWithValue(t, "boom", func() { sendMany(t, transport, 1) })
		server.AssertAttempts(t, 2)
		assert.Equal(t, steadyhttp.BreakerHalfOpen, state(t, transport))
	})
}

func TestFirstOfSeveralReasonsToStopIsTold(t *testing.T) {
	t.Parallel()
	runPlays(t, []play{
		{name: "NoRetry before the attempts", request: marked(http.MethodGet, steadyhttp.NoRetry), options: single(), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNoRetry},
		{name: "the method before the body", request: stream(http.MethodPost), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopUnsafeMethod},
	})
}

func TestCancelIsToldBeforeNoRetry(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(steadyhttp.NoRetry(t.Context()))
	ctx, report := steadyhttp.WithReport(ctx)
	_, err := newTransport(t, scripted(function(func(r *http.Request) (*http.Response, error) {
		cancel()
		return status(503).RoundTrip(r)
	}))).RoundTrip(request(t, ctx, http.MethodGet, ""))
	require.NoError(t, err)
	assert.Equal(t, steadyhttp.StopCanceled, report.Stopped)
}

func TestWaitThatEndsAtTheDeadlineIsNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		response, err := newTransport(t, scripted(status(503)), constantly(time.Second)).RoundTrip(request(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
	})
}

func TestBudgetPaysForNoRetryThatTheDeadlineForbids(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503))
		transport := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithRetryBudget(0, 1), steadyhttp.WithMaxAttempts(2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 1, retries(t, transport, server))
	})
}

func TestBudgetPaysForNoRetryThatTheBreakerForbids(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503), status(429, "Retry-After", "0"), status(200))
		transport := newTransport(t, server, steadyhttp.WithBreakerConsecutive(1, 0), steadyhttp.WithRetryBudget(0, 1))
		sendMany(t, transport, 1)
		require.Equal(t, steadyhttp.BreakerOpen, state(t, transport))
		time.Sleep(2 * time.Second)
		code, err := send(t, transport)
		require.NoError(t, err)
		assert.Equal(t, 200, code)
	})
}

func TestResponseOfAResendKeepsWhatTheCallerSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503), status(200), status(503), status(200))
		transport := newTransport(t, server)
		first, err := transport.RoundTrip(request(t, steadyhttp.Idempotent(t.Context()), http.MethodPost, "payload"))
		require.NoError(t, err)
		second, err := transport.RoundTrip(request(t, first.Request.Context(), http.MethodPost, "payload"))
		require.NoError(t, err)
		assert.Equal(t, 200, second.StatusCode)
	})
}

func TestDeadlineThatTheDialNoticesFirstEndsTheCallAsADeadline(t *testing.T) {
	t.Parallel()
	ctx, report := steadyhttp.WithReport(lagging{t.Context()})
	late := dial(syscall.ETIMEDOUT)
	_, err := newTransport(t, scripted(fail(late))).RoundTrip(request(t, ctx, http.MethodGet, ""))
	assert.Equal(t, late, err, "the caller's own doing is not wrapped")
	assert.Equal(t, steadyhttp.StopDeadline, report.Stopped)
}

func TestBodyWhoseCloseBlocksHoldsUpNoRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := &stuckBody{make(chan struct{})}
		server := scripted(function(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: stuck}, nil
		}), status(200))
		time.AfterFunc(time.Hour, func() { close(stuck.released) })
		_, err := newTransport(t, server).RoundTrip(get(t))
		require.NoError(t, err)
		assert.LessOrEqual(t, server.Waits()[0], 500*time.Millisecond)
		<-stuck.released
	})
}

// A stuckBody can be neither read nor closed.
type stuckBody struct{ released chan struct{} }

func (b *stuckBody) Read([]byte) (int, error) { <-b.released; return 0, io.EOF }
func (b *stuckBody) Close() error             { <-b.released; return nil }

func TestBodyThatWasReadToItsEndIsNotToBlame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := get(t)
		r.Method, r.Body, r.ContentLength = http.MethodPut, text("payload"), 7
		r.GetBody = func() (io.ReadCloser, error) { return text("payload"), nil }
		server := scripted(fail(errReset), status(200))
		transport := newTransport(t, server)
		response, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, 2, steadyhttp.Attempts(response))
		assert.Equal(t, uint32(1), breaker(t, transport).Failures)
	})
}

func TestBodyThatIsClosedUnderItsReaderIsNotToBlame(t *testing.T) {
	t.Parallel()
	for _, said := range []error{io.ErrClosedPipe, io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			r := get(t)
			r.Method, r.Body, r.ContentLength = http.MethodPut, shutBody{newStalledBody(), said}, 10
			ctx, report := steadyhttp.WithReport(t.Context())
			transport := newTransport(t, quiet{func(r *http.Request) (*http.Response, error) {
				read := make(chan struct{})
				go func() {
					defer close(read)
					_, _ = r.Body.Read(make([]byte, 1))
				}()
				synctest.Wait()
				_ = r.Body.Close() // the connection was reset
				<-read
				return nil, errReset
			}})
			_, err := transport.RoundTrip(r.WithContext(ctx))
			require.ErrorIs(t, err, errReset)
			assert.Equal(t, steadyhttp.Transient, report.Attempts[0].Class, said)
			assert.Equal(t, uint32(1), breaker(t, transport).Failures)
		})
	}
}

// A shutBody says nothing until it is closed, and then this.
type shutBody struct {
	*stalledBody
	said error
}

func (b shutBody) Read([]byte) (int, error) {
	<-b.closed
	return 0, b.said
}

func TestBodyThatTheBaseClosesTwiceIsClosedOnce(t *testing.T) {
	t.Parallel()
	source := text("payload")
	r := get(t)
	r.Method, r.Body, r.ContentLength = http.MethodPut, source, -1
	_, err := newTransport(t, quiet{func(r *http.Request) (*http.Response, error) {
		_ = r.Body.Close()
		_ = r.Body.Close()
		return status(200).RoundTrip(r)
	}}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, 1, source.closes())
}

func TestSuccessWithABufferAllocatesNothing(t *testing.T) {
	transport := newTransport(t, always(200))
	for _, source := range []io.Reader{bytes.NewBufferString("payload"), bytes.NewReader([]byte("payload"))} {
		r, err := http.NewRequest(http.MethodPut, target, source)
		require.NoError(t, err)
		assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }), "%T", source)
	}
}

func TestPatchGetsAnIdempotencyKeyToo(t *testing.T) {
	t.Parallel()
	server := scripted(status(200))
	_, err := newTransport(t, server, steadyhttp.WithIdempotencyKeys()).RoundTrip(request(t, t.Context(), http.MethodPatch, "payload"))
	require.NoError(t, err)
	assert.NotEmpty(t, server.Attempts()[0].Request.Header.Get("Idempotency-Key"))
}

func TestClosingTheBodyReleasesTheAttemptFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base := function(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: waitingBody{r.Context()}}, nil
		})
		response, err := newTransport(t, base, steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(get(t))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	})
}

// A waitingBody's Close waits for the end of the request, as HTTP/2's can.
type waitingBody struct{ ctx context.Context }

func (waitingBody) Read([]byte) (int, error) { return 0, io.EOF }
func (b waitingBody) Close() error           { <-b.ctx.Done(); return nil }

func TestPolicyIsResetBeforeUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503))
		_, err := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithMaxAttempts(2), steadyhttp.WithBackoffPolicy(func() backoff.BackOff {
			used := backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 1)
			used.NextBackOff()
			return used
		})).RoundTrip(get(t))
		require.NoError(t, err)
		server.AssertAttempts(t, 2)
	})
}

func TestPolicyThatSaysLessThanNothingStopsTheCall(t *testing.T) {
	t.Parallel()
	play{options: []steadyhttp.Option{constantly(-time.Second)}, steps: []step{status(503)},
		attempts: 1, status: 503, stopped: steadyhttp.StopMaxAttempts}.run(t)
}

func TestFirstWaitIsSpreadToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		for range 100 {
			server := scripted(status(503), status(200))
			_, err := newTransport(t, server, steadyhttp.WithBackoff(time.Second, time.Second)).RoundTrip(get(t))
			require.NoError(t, err)
			seen[server.Waits()[0]] = true
		}
		assert.Greater(t, len(seen), 95)
	})
}

func TestOriginIsForgottenOnceItsBudgetIsFullAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503))
		transport := newTransport(t, server, steadyhttp.WithOriginLimit(1), steadyhttp.WithMaxAttempts(1000),
			steadyhttp.WithBackoff(1, 1), steadyhttp.WithBreakerFailureRate(0, 1), steadyhttp.WithBreakerConsecutive(1000, 0))
		sendMany(t, transport, 1)
		server.Play(status(200))
		time.Sleep(49 * time.Second)
		visit(t, transport, "other.example.com")
		require.Contains(t, states(transport), origin)
		time.Sleep(time.Second)
		visit(t, transport, "other.example.com")
		assert.NotContains(t, states(transport), origin)
	})
}

func TestOpenTimeIsSpreadToBothSides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		longer := 0
		for range 200 {
			transport, _ := opened(t, status(200))
			if time.Until(breaker(t, transport).RetryAt) > time.Second {
				longer++
			}
		}
		assert.InDelta(t, 100, longer, 50)
	})
}

func TestClosedBreakerBeginsANewRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, server := opened(t, status(200))
		time.Sleep(2 * time.Second)
		sendMany(t, transport, 1) // the probe
		require.Equal(t, steadyhttp.BreakerClosed, state(t, transport))
		server.Play(status(503))
		sendMany(t, transport, 2)
		assert.Equal(t, steadyhttp.BreakerClosed, state(t, transport))
	})
}

func TestOutcomeFromBeforeTheOutageIsNotCountedAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		steps := []step{after(time.Minute, status(503))}
		for range 10 {
			steps = append(steps, status(503))
		}
		transport := newTransport(t, scripted(append(steps, status(200))...), single()...)
		var group sync.WaitGroup
		group.Go(func() { sendMany(t, transport, 1) })
		synctest.Wait()
		sendMany(t, transport, 10)
		time.Sleep(2 * time.Second)
		sendMany(t, transport, 1) // the probe
		require.Equal(t, steadyhttp.BreakerClosed, state(t, transport))
		group.Wait()
		assert.Equal(t, steadyhttp.BreakerStatus{Origin: origin}, breaker(t, transport))
	})
}

func TestBreakerEventsAreToldOneAtATimeAndAllOfThem(t *testing.T) {
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
		steps := make([]step, 10)
		for i := range steps {
			steps[i] = status(503)
		}
		transport = newTransport(t, scripted(append(steps, status(200))...), single(steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			if e.Kind != steadyhttp.EventBreaker {
				return
			}
			note(e.To.String())
			time.Sleep(2 * time.Second)
			note("told")
		}))...)
		group.Go(func() { sendMany(t, transport, 10) })
		time.Sleep(1500 * time.Millisecond)
		sendMany(t, transport, 1) // half-open and closed, while the first event is still being told
		group.Wait()
		assert.Equal(t, []string{"open", "told", "half_open", "told", "closed", "told"}, seen)
	})
}

func TestWaitThatOutlastsTheOpenTimeIsWorthwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var transport *steadyhttp.Transport
		asked := 0
		server := scripted(status(503), status(200))
		transport = newTransport(t, server, steadyhttp.WithBreakerConsecutive(1, 0), steadyhttp.WithBackoffPolicy(func() backoff.BackOff {
			return policy(func() time.Duration {
				asked++
				return time.Until(breaker(t, transport).RetryAt) // not a nanosecond longer
			})
		}))
		code, err := send(t, transport)
		require.NoError(t, err)
		assert.Equal(t, 200, code)
		assert.Equal(t, 1, asked)
	})
}

func TestOftenUsedOriginIsNeverForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, status(200), steadyhttp.WithOriginLimit(3))
		for i := range 100 {
			visit(t, transport, "often.example.com")
			visit(t, transport, fmt.Sprintf("once-%d.example.com", i))
		}
		for _, b := range transport.Breakers() {
			if b.Origin == "https://often.example.com:443" {
				assert.GreaterOrEqual(t, b.Requests, uint32(95), "forgotten at most when the registry first fills")
				return
			}
		}
		t.Error("forgotten")
	})
}

func TestManyFirstCallsToAnOriginShareOneBreaker(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, status(200), steadyhttp.WithOriginLimit(1<<20))
	const hosts, callers = 500, 8
	for i := range hosts {
		start := make(chan struct{})
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				<-start
				visit(t, transport, fmt.Sprintf("host-%d.example.com", i))
			})
		}
		close(start)
		group.Wait()
	}
	assert.Len(t, transport.Breakers(), hosts)
}

func TestTheOneOriginThatCanBeForgottenIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, function(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "clean.example.com" || r.URL.Host == "new.example.com" {
				return status(200).RoundTrip(r)
			}
			return status(503).RoundTrip(r)
		}), single(steadyhttp.WithOriginLimit(100), steadyhttp.WithBreakerConsecutive(1, 0))...)
		for i := range 99 {
			visit(t, transport, fmt.Sprintf("host-%d.example.com", i))
		}
		visit(t, transport, "clean.example.com")
		visit(t, transport, "new.example.com")
		assert.Contains(t, states(transport), "https://new.example.com:443")
		assert.NotContains(t, states(transport), "https://clean.example.com:443")
	})
}

func TestSchemeIsSpelledAnyWay(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, scripted(status(200)))
	r := get(t)
	r.URL.Scheme = "HTTPS" // url.Parse would not leave it so
	_, err := transport.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, origin, breaker(t, transport).Origin)
}

func TestDeadlineThatIsNowIsPast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := due{t.Context(), time.Now()}
		assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(request(t, ctx, http.MethodGet, ""), nil, &steadyhttp.CircuitOpenError{}))
	})
}

type due struct {
	context.Context
	at time.Time
}

func (d due) Deadline() (time.Time, bool) { return d.at, true }

func TestAnswerAtTheDeadlineStillCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		transport := newTransport(t, scripted(function(func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			return status(503).RoundTrip(r)
		})))
		_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, uint32(1), breaker(t, transport).Failures, "a 503 is a 503, however late")
	})
}

func TestLargestRetryAfterLineMayComeFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503, "Retry-After", "4", "Retry-After", "1"), status(200))
		_, err := newTransport(t, server).RoundTrip(get(t))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, server.Waits()[0], 4*time.Second)
	})
}

func TestIdempotencyKeyWithoutAValueCounts(t *testing.T) {
	t.Parallel()
	play{request: payload(http.MethodPost, "Idempotency-Key", ""), steps: []step{status(500), status(200)},
		attempts: 2, status: 200, stopped: steadyhttp.StopSuccess}.run(t)
}

func TestErrorIsTemporaryByItsClass(t *testing.T) {
	t.Parallel()
	for class := steadyhttp.Unclassified; class <= steadyhttp.Canceled; class++ {
		want := class == steadyhttp.Transient || class == steadyhttp.Unprocessed || class == steadyhttp.Throttled
		assert.Equal(t, want, (&steadyhttp.Error{Class: class}).Temporary(), class)
	}
}

func TestLaterBudgetOptionCounts(t *testing.T) {
	t.Parallel()
	play{options: unbroken(steadyhttp.WithoutRetryBudget(), steadyhttp.WithRetryBudget(0, 2)), steps: []step{status(503)},
		attempts: 3, status: 503, stopped: steadyhttp.StopBudget}.run(t)
}

func TestProbesLeaseDoesNotOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, _ := opened(t, after(time.Second, status(200)), steadyhttp.WithAttemptTimeout(1<<63-1))
		time.Sleep(2 * time.Second)
		sendMany(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerClosed, state(t, transport))
	})
}

// unconnected asks for a connection as http.Transport does, and gets none.
func unconnected(then step) step {
	return function(func(r *http.Request) (*http.Response, error) {
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GetConn != nil {
			trace.GetConn(r.URL.Host)
		}
		return then.RoundTrip(r)
	})
}

func TestResendIsWatchedEvenIfTheServerAnsweredBefore(t *testing.T) {
	t.Parallel()
	runPlays(t, []play{{
		name: "cut-off handshake after a 429", request: payload(http.MethodPost),
		steps:    []step{status(429, "Retry-After", "0"), unconnected(fail(io.EOF)), status(200)},
		attempts: 3, status: 200, stopped: steadyhttp.StopSuccess,
	}})
}

func TestAttemptTimeoutDuringADialIsAnAttemptTimeout(t *testing.T) {
	t.Parallel()
	runPlays(t, []play{{
		name: "POST", request: payload(http.MethodPost), options: []steadyhttp.Option{steadyhttp.WithAttemptTimeout(time.Second)},
		steps: []step{unconnected(hang)}, attempts: 1, stopped: steadyhttp.StopUnsafeMethod,
	}})
}

func TestDeadlineIsTimedEvenIfNobodyWatches(t *testing.T) {
	t.Parallel()
	for patience, failures := range map[time.Duration]uint32{10 * time.Millisecond: 0, 2 * time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, scripted(hang))
			time.Sleep(time.Hour)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, failures, breaker(t, transport).Failures, patience)
		})
	}
}

func TestBodyThatFailsInTheReplayBufferIsPermanent(t *testing.T) {
	t.Parallel()
	var seen []steadyhttp.Event
	r := request(t, t.Context(), http.MethodPut, "")
	r.Body, r.ContentLength = &body{Reader: failing{errReset}}, -1
	_, err := newTransport(t, scripted(status(200)), steadyhttp.WithReplayBuffer(7), steadyhttp.WithObserver(
		func(_ context.Context, e steadyhttp.Event) { seen = append(seen, e) })).RoundTrip(r)
	require.Error(t, err)
	require.Len(t, seen, 1)
	assert.Equal(t, steadyhttp.Permanent, seen[0].Class)
}

func TestLongestOpenTimeDoesNotOverflow(t *testing.T) {
	t.Parallel()
	for range 50 {
		transport := newTransport(t, scripted(status(503)), single(steadyhttp.WithBreakerConsecutive(1, 0), steadyhttp.WithBreakerOpenFor(math.MaxInt64))...)
		sendMany(t, transport, 1)
		assert.True(t, breaker(t, transport).RetryAt.After(time.Now()))
	}
}

func TestBreakerEventsCarryTheContextOfTheCallThatBroughtThemAbout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var seen []string
		transport := newTransport(t, scripted(status(503), status(200)), single(steadyhttp.WithBreakerConsecutive(1, 0),
			steadyhttp.WithObserver(func(ctx context.Context, e steadyhttp.Event) {
				if e.Kind == steadyhttp.EventBreaker {
					seen = append(seen, fmt.Sprint(e.To, " by ", ctx.Value(key{})))
				}
			}))...)
		for _, caller := range []string{"first", "second"} {
			_, err := transport.RoundTrip(request(t, context.WithValue(t.Context(), key{}, caller), http.MethodGet, ""))
			require.NoError(t, err)
			time.Sleep(2 * time.Second)
		}
		assert.Equal(t, []string{"open by first", "half_open by second", "closed by second"}, seen)
	})
}

func TestErrorsOfAConnectionAreNotTheRequests(t *testing.T) {
	t.Parallel()
	r := get(t)
	r.Header["X"] = []string{"a\nb"}
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: syscall.ECONNRESET}} {
		assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, err), err)
	}
	r = get(t)
	r.Method = ""
	assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, errors.New("?")))
	assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, &net.DNSError{IsTemporary: true}))
}

func TestSiblingReportsDoNotShareTheirList(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, scripted(status(200)))
	ctx := t.Context()
	for range 3 {
		ctx, _ = steadyhttp.WithReport(ctx)
	}
	one, first := steadyhttp.WithReport(ctx)
	_, second := steadyhttp.WithReport(ctx)
	_, err := transport.RoundTrip(request(t, one, http.MethodGet, ""))
	require.NoError(t, err)
	assert.Len(t, first.Attempts, 1)
	assert.Empty(t, second.Attempts)
}

func TestCancelThatEndsAWaitIsNoTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		_, err := newTransport(t, scripted(status(503))).RoundTrip(request(t, ctx, http.MethodGet, ""))
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.False(t, failed.Timeout())
		assert.False(t, (&steadyhttp.Error{Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}).Timeout())
	})
}

func TestCallsAtOnceMayShareAReport(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, status(200))
	ctx, report := steadyhttp.WithReport(t.Context())
	const calls = 64
	var group sync.WaitGroup
	for i := range calls {
		r := request(t, ctx, http.MethodGet, "")
		r.URL.Host = fmt.Sprintf("host-%d.example.com", i)
		group.Go(func() { _, _ = transport.RoundTrip(r) })
	}
	group.Wait()
	assert.Len(t, report.Attempts, calls)
	assert.Len(t, transport.Breakers(), calls)
}

func TestManyCallersMeetNewOriginsAtOnce(t *testing.T) {
	t.Parallel()
	const callers, hosts = 8, 500
	transport := newTransport(t, status(200), steadyhttp.WithOriginLimit(callers*hosts))
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := range hosts {
				visit(t, transport, fmt.Sprintf("host-%d-%d.example.com", caller, i))
			}
		})
	}
	group.Wait()
	assert.Len(t, transport.Breakers(), callers*hosts)
}

func TestRequestWithAControlCharacterIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					connections.Add(1)
				}
			}
			if server.EnableHTTP2 = secure; secure {
				server.StartTLS()
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			t.Cleanup(server.CloseClientConnections)
			transport := newTransport(t, server.Client().Transport, steadyhttp.WithBackoff(time.Millisecond, time.Millisecond))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
			require.NoError(t, err)
			r.URL.RawQuery = "q=a\nb" // as "q=" + input makes it
			ctx, report := steadyhttp.WithReport(ctx)
			_, err = transport.RoundTrip(r.WithContext(ctx))
			require.Error(t, err)
			assert.Equal(t, steadyhttp.StopNotRetryable, report.Stopped)
			assert.LessOrEqual(t, connections.Load(), int64(1))
			for _, b := range transport.Breakers() {
				assert.Zero(t, b.Failures)
			}
		})
	}
}

func TestHostsThatDiedLongAgoDoNotDisarmTheTransport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, fail(dial(syscall.ECONNREFUSED)), steadyhttp.WithOriginLimit(16))
		for i := range 16 { // one call each, with the defaults, and none ever again
			visit(t, transport, fmt.Sprintf("dead-%d.example.com", i))
		}
		time.Sleep(24 * time.Hour)
		for range 20 {
			visit(t, transport, "down.example.com")
		}
		assert.Equal(t, steadyhttp.BreakerOpen, states(transport)["https://down.example.com:443"])
	})
}

func TestCallerWhoGivesUpWhileTheBodyIsBufferedIsToldSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ctx, report := steadyhttp.WithReport(ctx)
	r := request(t, ctx, http.MethodPut, "")
	r.Body, r.ContentLength = &body{Reader: readFunc(func([]byte) (int, error) {
		cancel()
		return 0, errors.New("the upload was aborted")
	})}, -1
	_, err := newTransport(t, scripted(status(200)), steadyhttp.WithReplayBuffer(7)).RoundTrip(r)
	require.Error(t, err)
	assert.Equal(t, steadyhttp.StopCanceled, report.Stopped)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestBodyThatIsNotAsLongAsItSaysIsPermanent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(server.Close)
	bodied := func(open func() io.ReadCloser, length int64) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = open(), length
			r.GetBody = func() (io.ReadCloser, error) { return open(), nil }
		}
	}
	for name, spoil := range map[string]func(*http.Request){
		"a length, but no body": func(r *http.Request) { r.ContentLength = 7 },
		"a short stream":        bodied(func() io.ReadCloser { return text("short") }, 10),
		"a long stream":         bodied(func() io.ReadCloser { return text("too long") }, 3),
		"short, in memory":      bodied(func() io.ReadCloser { return io.NopCloser(strings.NewReader("short")) }, 10),
		"an invalid trailer": func(r *http.Request) {
			bodied(func() io.ReadCloser { return text("payload") }, -1)(r)
			r.Trailer = http.Header{"Content-Length": nil}
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := &http.Transport{}
			t.Cleanup(base.CloseIdleConnections)
			assertPermanent(t, base, http.MethodPut, server.URL, spoil)
		})
	}
}

func assertPermanent(t *testing.T, base http.RoundTripper, method, address string, spoil func(*http.Request)) {
	t.Helper()
	transport := newTransport(t, base, steadyhttp.WithBackoff(time.Millisecond, time.Millisecond))
	ctx, report := steadyhttp.WithReport(t.Context())
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	require.NoError(t, err)
	spoil(r)
	_, err = transport.RoundTrip(r)
	require.Error(t, err)
	require.Len(t, report.Attempts, 1, err)
	assert.Equal(t, steadyhttp.Permanent, report.Attempts[0].Class, err)
	assert.Zero(t, breaker(t, transport).Failures)
}

func TestOpenBreakerFitsIntoAKibibyte(t *testing.T) { // not parallel: the heap is everybody's
	const origins = 20_000
	transport := newTransport(t, status(503), single(steadyhttp.WithOriginLimit(origins), steadyhttp.WithBreakerConsecutive(1, 0))...)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range origins {
		visit(t, transport, fmt.Sprintf("%s-%d.example.com", strings.Repeat("x", 48), i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.LessOrEqual(t, (after.HeapAlloc-before.HeapAlloc)/origins, uint64(1<<10), "bytes an origin")
	runtime.KeepAlive(transport)
}

func TestEveryInvalidArgumentIsNamed(t *testing.T) {
	t.Parallel()
	_, err := steadyhttp.NewTransport((*http.Transport)(nil), steadyhttp.WithMaxAttempts(0), steadyhttp.WithRetryBudget(-1, 0))
	for _, want := range []string{"WithMaxAttempts: 0", "WithRetryBudget: -1", "WithRetryBudget: 0", "nil *http.Transport"} {
		assert.ErrorContains(t, err, want)
	}
}

func TestGiveUpAfterARejectedResendTellsOfTheLastAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var last steadyhttp.Event
		transport := newTransport(t, scripted(status(503)), steadyhttp.WithBreakerConsecutive(2, 0), steadyhttp.WithBreakerOpenFor(time.Minute),
			steadyhttp.WithBackoff(10*time.Second, 20*time.Second), steadyhttp.WithObserver(
				func(_ context.Context, e steadyhttp.Event) {
					mu.Lock()
					defer mu.Unlock()
					last = e
				}))
		time.AfterFunc(time.Second, func() { sendMany(t, transport, 1) })
		_, err := transport.RoundTrip(get(t))
		require.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, steadyhttp.EventGiveUp, last.Kind)
		assert.Equal(t, 503, last.StatusCode)
	})
}

func TestRequestWithATabInItsURLIsPermanent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	r.URL.RawQuery = "q=a\tb"
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	transport := newTransport(t, base, single()...)
	_, err = transport.RoundTrip(r)
	require.Error(t, err)
	for _, b := range transport.Breakers() {
		assert.Zero(t, b.Failures)
	}
}

func TestQueriesOfTwoNestedCallsStayOutOfTheError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nested := func(secret string) error {
			return &url.Error{Op: "Post", URL: "https://auth.example.com/token?secret=" + secret, Err: errReset}
		}
		_, err := newTransport(t, scripted(fail(errors.Join(nested("hunter2"), nested("hunter3"))))).RoundTrip(get(t))
		assert.NotContains(t, err.Error(), "hunter")
	})
}
