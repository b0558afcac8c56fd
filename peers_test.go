package steadyhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
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

// Each test here shows that a bug of a peer is not ours. docs/peer-bugs.md tells which bug, and names
// the tests elsewhere that show it of the others.

// replayableRequests are requests whose bodies can be replayed, the second one because of the replay buffer.
var replayableRequests = map[string]func(*testing.T, context.Context) *http.Request{
	"from GetBody":           payloadRequest(http.MethodPut),
	"from the replay buffer": streamRequest(http.MethodPut),
}

// net/http's write loop outlives RoundTrip when the answer comes early: it reads the body on.
func TestReplay_BodyThatIsStillBeingReadIsNotTouched(t *testing.T) {
	t.Parallel()
	for name, requested := range replayableRequests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var sent []*http.Request
				var bodies []io.ReadCloser
				hasty := baseFunc{func(r *http.Request) (*http.Response, error) {
					if r.Body == nil {
						return status(200).RoundTrip(r)
					}
					_, err := io.ReadFull(r.Body, make([]byte, 1))
					assert.NoError(t, err)
					sent, bodies = append(sent, r), append(bodies, r.Body)
					return status(503).RoundTrip(newGet(t)) // the body of r is left as it is
				}}
				transport := newTransport(t, hasty, noBreakerOptions(steadyhttp.WithReplayBuffer(7))...)
				sendGets(t, transport, 1) // a healthy origin is sent the caller's own request
				_, err := transport.RoundTrip(requested(t, t.Context()))
				require.NoError(t, err)
				require.Len(t, sent, 6)
				for i, r := range sent {
					assert.True(t, bodies[i] == r.Body, "attempt %d has the body that it was sent with", i+1)
					rest, err := io.ReadAll(bodies[i])
					assert.NoError(t, err)
					assert.Equal(t, "ayload", string(rest), "attempt %d", i+1)
				}
			})
		})
	}
}

func TestBody_IsWholeWithAnyCombinationOfOptions(t *testing.T) {
	t.Parallel()
	available := []steadyhttp.Option{
		steadyhttp.WithReplayBuffer(7), // the first one: without it a stream is sent once
		steadyhttp.WithIdempotencyKeys(),
		steadyhttp.WithAttemptTimeout(time.Second),
		steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {}),
		steadyhttp.WithClassifier(func(*http.Request, *http.Response, error) steadyhttp.Class { return steadyhttp.Unclassified }),
		steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return backoff.NewConstantBackOff(time.Millisecond) }),
		steadyhttp.WithoutBreaker(),
		steadyhttp.WithoutRetryBudget(),
	}
	for chosen := range 1 << len(available) {
		var options []steadyhttp.Option
		for i, o := range available {
			if chosen&(1<<i) != 0 {
				options = append(options, o)
			}
		}
		streamed := 1
		if chosen&1 != 0 {
			streamed = 3
		}
		synctest.Test(t, func(t *testing.T) {
			assertWholeBodies(t, payloadRequest(http.MethodPut), 3, options)
			assertWholeBodies(t, streamRequest(http.MethodPut), streamed, options)
		})
	}
}

func assertWholeBodies(t *testing.T, requested func(*testing.T, context.Context) *http.Request, attempts int, options []steadyhttp.Option) {
	t.Helper()
	// The second attempt runs into the attempt timeout where there is one.
	server := newScript(status(503), delay(2*time.Second, fail(errReset)), status(200))
	response, err := newTransport(t, server, options...).RoundTrip(requested(t, t.Context()))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Len(t, server.Attempts(), attempts)
	for i, sent := range server.Attempts() {
		assert.Equal(t, "payload", string(sent.Body), "attempt %d", i+1)
		assert.EqualValues(t, 7, sent.Request.ContentLength, "attempt %d", i+1)
	}
}

func TestReplay_UploadIsReadAheadOnlyUpToTheBuffer(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for name, c := range map[string]struct {
		options []steadyhttp.Option
		length  int64
		ahead   int
	}{
		"not without a buffer":        {nil, -1, 0},
		"one byte more than it has":   {[]steadyhttp.Option{steadyhttp.WithReplayBuffer(1000)}, -1, 1001},
		"not if it is known too long": {[]steadyhttp.Option{steadyhttp.WithReplayBuffer(1000)}, size, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, ahead := &endlessBody{}, -1
			base := stepFunc(func(r *http.Request) (*http.Response, error) {
				ahead = source.read
				sent, err := io.Copy(io.Discard, r.Body)
				assert.NoError(t, err)
				assert.EqualValues(t, size, sent)
				return status(200).RoundTrip(r)
			})
			r := newRequest(t, t.Context(), http.MethodPut, "")
			r.Body, r.ContentLength = io.NopCloser(io.LimitReader(source, size)), c.length
			_, err := newTransport(t, base, c.options...).RoundTrip(r)
			require.NoError(t, err)
			assert.Equal(t, c.ahead, ahead)
		})
	}
}

// net/http retries by itself, after a GOAWAY and on a stale connection, from the GetBody of what it got.
func TestReplay_BaseMayReplayEveryAttemptToo(t *testing.T) {
	t.Parallel()
	for name, requested := range replayableRequests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503), status(503), status(200))
				_, err := newTransport(t, server, append(requestChangingOptions(), steadyhttp.WithReplayBuffer(7))...).RoundTrip(requested(t, t.Context()))
				require.NoError(t, err)
				require.Len(t, server.Attempts(), 3)
				for _, sent := range server.Attempts() {
					require.NotNil(t, sent.Request.GetBody)
					again, err := sent.Request.GetBody()
					require.NoError(t, err)
					content, err := io.ReadAll(again)
					require.NoError(t, err)
					assert.Equal(t, "payload", string(content))
					assert.EqualValues(t, len(content), sent.Request.ContentLength)
				}
			})
		})
	}
}

func TestBody_RedirectThatKeepsItSendsItOnEveryAttempt(t *testing.T) {
	t.Parallel()
	for _, code := range []int{307, 308} {
		synctest.Test(t, func(t *testing.T) {
			server := newScript(status(503), status(code, "Location", "/elsewhere"), status(503), status(200))
			client := &http.Client{Transport: newTransport(t, server, requestChangingOptions()...)}
			response, err := client.Do(newRequest(t, t.Context(), http.MethodPut, "payload"))
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Len(t, server.Attempts(), 4)
			for i, sent := range server.Attempts() {
				assert.Equal(t, "payload", string(sent.Body), "attempt %d", i+1)
				assert.Equal(t, i > 1, sent.Request.URL.Path == "/elsewhere", "attempt %d", i+1)
			}
		})
	}
}

func TestBody_EmptyStaysNoBodyOnEveryAttempt(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]io.Reader{
		"nil": nil, "NoBody": http.NoBody, "an empty string": strings.NewReader(""), "an empty buffer": &bytes.Buffer{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, targetURL, source)
				require.NoError(t, err)
				r.GetBody = nil // nothing need be replayed
				r.Header.Set("Content-Type", "application/json")
				server := newScript(status(503), status(503), status(200))
				_, err = newTransport(t, server, requestChangingOptions()...).RoundTrip(r)
				require.NoError(t, err)
				require.Len(t, server.Attempts(), 3)
				for _, sent := range server.Attempts() {
					assert.Equal(t, r.Body, sent.Request.Body)
					assert.Zero(t, sent.Request.ContentLength)
					assert.Equal(t, "application/json", sent.Request.Header.Get("Content-Type"))
				}
			})
		})
	}
}

func TestBody_OneRequestMayBeSentByManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		every3rd := stepFunc(func(r *http.Request) (*http.Response, error) {
			if sent.Add(1)%3 != 0 {
				return status(503).RoundTrip(r)
			}
			return status(200).RoundTrip(r)
		})
		transport := newTransport(t, every3rd, append(requestChangingOptions(), steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget())...)
		shared := newRequest(t, t.Context(), http.MethodPost, "")
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() {
				response, err := transport.RoundTrip(shared)
				assert.NoError(t, err)
				assert.NoError(t, response.Body.Close())
			})
		}
		group.Wait()
		assert.Empty(t, shared.Header)
	})
}

func TestDrain_ResponseIsDrainedAndClosedBeforeTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dropped := newTrackedBody(strings.Repeat("unavailable ", 1000))
		server := newScript(stepFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"30"}}, Body: dropped}, nil
		}), status(200))
		transport := newTransport(t, server)
		var group sync.WaitGroup
		group.Go(func() { sendGets(t, transport, 1) })
		time.Sleep(time.Second)
		server.AssertAttempts(t, 1)
		assert.Equal(t, 1, dropped.closes())
		left, err := io.ReadAll(dropped)
		assert.NoError(t, err)
		assert.Empty(t, left, "what is left unread costs the connection")
		group.Wait()
		server.AssertAttempts(t, 2)
	})
}

func TestClassify_ClassifierOwnsNoResponseWhateverItReturns(t *testing.T) {
	t.Parallel()
	for class := steadyhttp.Unclassified; class <= steadyhttp.Canceled+1; class++ {
		for _, code := range []int{200, 404, 429, 501, 503} {
			t.Run(fmt.Sprint(code, " is ", class), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					server := newScript(status(code, "Retry-After", "1"))
					response, err := newTransport(t, server, steadyhttp.WithMaxAttempts(2), steadyhttp.WithClassifier(
						func(*http.Request, *http.Response, error) steadyhttp.Class { return class },
					)).RoundTrip(newGet(t))
					require.NoError(t, err)
					assert.Equal(t, code, response.StatusCode)
					content, err := io.ReadAll(response.Body)
					assert.NoError(t, err)
					assert.Equal(t, http.StatusText(code), string(content))
					assertClosedOnce(t, server, response)
				})
			})
		}
	}
}

func TestClassify_ClassifierMayReadTheResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		server := newScript(status(503), status(200))
		response, err := newTransport(t, server, append(requestChangingOptions(), steadyhttp.WithClassifier(
			func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
				assert.Zero(t, server.Attempts()[len(server.Attempts())-1].Closed, "not closed before it is asked")
				content, err := io.ReadAll(response.Body)
				assert.NoError(t, err)
				seen = append(seen, string(content))
				response.Body = struct {
					io.Reader
					io.Closer
				}{bytes.NewReader(content), response.Body}
				return steadyhttp.Unclassified
			}))...).RoundTrip(newGet(t))
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		assert.NoError(t, err)
		assert.Equal(t, "OK", string(content))
		assert.Equal(t, []string{"Service Unavailable", "OK"}, seen)
		require.NoError(t, response.Body.Close())
		assertClosedOnce(t, server, nil)
	})
}

// Connections to healthy hosts are idle in the same pool.
func TestRetry_FailuresCloseNoIdleConnectionsOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base := &idleCloser{Transport: newScript(status(503), fail(errReset), hang)}
		transport := newTransport(t, base, steadyhttp.WithAttemptTimeout(time.Second))
		for range 5 {
			_, err := sendGet(t, transport)
			assert.Error(t, err)
		}
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		assert.Zero(t, base.closed)
	})
}

// A caller's context may live as long as the process.
func TestLeak_NoAttemptsContextOutlivesItsCall(t *testing.T) {
	t.Parallel()
	for last, step := range map[string]step{"a body": status(200), "no body": status(204)} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503), fail(errReset), hang, step)
				transport := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Second), steadyhttp.WithoutBreaker())
				response, err := transport.RoundTrip(newGet(t))
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Len(t, server.Attempts(), 4)
				for i, sent := range server.Attempts() {
					assert.Error(t, sent.Request.Context().Err(), "attempt %d", i+1)
				}
				assert.NoError(t, response.Request.Context().Err())
			})
		})
	}
}

func TestCancel_InAnyCallbackSendsNothingMore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		option func(cancel func(), r *http.Request) steadyhttp.Option
		kept   bool // the response: nobody has begun to wait
	}{
		"classifier": {func(cancel func(), _ *http.Request) steadyhttp.Option {
			return steadyhttp.WithClassifier(func(*http.Request, *http.Response, error) steadyhttp.Class {
				cancel()
				return steadyhttp.Unclassified
			})
		}, true},
		"observer": {func(cancel func(), _ *http.Request) steadyhttp.Option {
			return steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) { cancel() })
		}, true},
		"policy": {func(cancel func(), _ *http.Request) steadyhttp.Option {
			return withBackoffFunc(func() time.Duration { cancel(); return 0 })
		}, false},
		"GetBody": {func(cancel func(), r *http.Request) steadyhttp.Option {
			r.GetBody = func() (io.ReadCloser, error) { cancel(); return newTrackedBody("payload"), nil }
			return withBackoffFunc(func() time.Duration { return 0 })
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 { // a wait that is over as well may be noticed first
				synctest.Test(t, func(t *testing.T) { assertCancelSendsNothing(t, c.option, c.kept) })
			}
		})
	}
}

func assertCancelSendsNothing(t *testing.T, option func(func(), *http.Request) steadyhttp.Option, kept bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ctx, report := steadyhttp.WithReport(ctx)
	r := newRequest(t, ctx, http.MethodPut, "payload")
	server := newScript(status(503))
	response, err := newTransport(t, server, option(cancel, r)).RoundTrip(r)
	server.AssertAttempts(t, 1)
	assert.Equal(t, steadyhttp.StopCanceled, report.Stopped)
	assertClosedOnce(t, server, response)
	if kept {
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
		return
	}
	assert.Nil(t, response)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, "last status 503")
}

func TestTimeout_DeadlineDuringARetryLeavesTheLastStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := newTransport(t, newScript(status(503), hang)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, 503, failed.StatusCode)
		assert.Equal(t, 2, failed.Attempts)
		assert.Equal(t, steadyhttp.StopDeadline, failed.Stopped)
		assert.ErrorContains(t, err, "last status 503")
	})
}

func TestBackoff_DefaultsWaitBeforeEveryRetryWithJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		for range 50 {
			server := newScript(status(503))
			sendGets(t, newTransport(t, server, steadyhttp.WithoutBreaker()), 1)
			waits := server.Waits()
			require.Len(t, waits, 3)
			for i, wait := range waits {
				interval := 300 * time.Millisecond << i
				assert.InDelta(t, interval, wait, float64(interval/2), "wait %d", i+1)
				seen[wait] = true
			}
		}
		assert.Greater(t, len(seen), 140)
	})
}

func TestBackoff_WaitsOfAnyLengthArePositiveAndBounded(t *testing.T) {
	t.Parallel()
	lengths := []time.Duration{1, 2, 3, time.Millisecond, time.Second + 1, time.Hour, math.MaxInt64 / 4, math.MaxInt64 - 1, math.MaxInt64}
	for i, initial := range lengths {
		for _, longest := range lengths[i:] {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				waits := 0
				transport := newTransport(t, newScript(status(503)), noBreakerOptions(steadyhttp.WithoutRetryBudget(),
					steadyhttp.WithMaxAttempts(20), steadyhttp.WithBackoff(initial, longest),
					steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
						if e.Kind == steadyhttp.EventRetry {
							waits++
							assert.Positive(t, e.Wait, "from %d to %d", initial, longest)
							assert.LessOrEqual(t, e.Wait, longest, "from %d to %d", initial, longest)
						}
						if e.Wait > math.MaxInt64/8 {
							cancel() // longer than the bubble's clock goes
						}
					}))...)
				_, _ = transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
				assert.True(t, waits == 19 || ctx.Err() != nil, "from %d to %d: %d waits", initial, longest, waits)
			})
		}
	}
}

// backoff.ExponentialBackOff stops after 15 minutes unless it is told not to.
func TestBackoff_HasNoHiddenTimeLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server := newScript(status(503))
		sendGets(t, newTransport(t, server, noBreakerOptions(steadyhttp.WithoutRetryBudget(),
			steadyhttp.WithMaxAttempts(300), steadyhttp.WithBackoff(10*time.Second, 10*time.Second))...), 1)
		server.AssertAttempts(t, 300)
		assert.Greater(t, time.Since(start), 20*time.Minute)
	})
}

func TestTimeout_OfZeroIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(delay(24*time.Hour, status(503)), delay(24*time.Hour, status(200)))
		original := &http.Client{Transport: server}
		client, err := steadyhttp.Wrap(original, steadyhttp.WithTimeout(0), steadyhttp.WithAttemptTimeout(0))
		require.NoError(t, err)
		response, err := client.Get(targetURL)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, 200, response.StatusCode)

		original.Timeout = time.Minute
		client, err = steadyhttp.Wrap(original, steadyhttp.WithTimeout(0))
		require.NoError(t, err)
		assert.Equal(t, time.Minute, client.Timeout)
	})
}

func TestRetryAfter_MaximumOfZeroAllowsOnlyZero(t *testing.T) {
	t.Parallel()
	none := []steadyhttp.Option{steadyhttp.WithMaxRetryAfter(0)}
	runScriptCases(t, []scriptCase{
		{name: "not a second", options: none, steps: []step{status(503, "Retry-After", "1")},
			attempts: 1, status: 503, stopped: steadyhttp.StopRetryAfterTooLong},
		{name: "now", options: none, steps: []step{status(429, "Retry-After", "0"), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "no wish", options: none, steps: []step{status(503), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
	})
}

// gobreaker calls back under its lock.
func TestObserver_EveryCallbackMayCallTheTransport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var transport *steadyhttp.Transport
		depth := 0
		callBack := func() {
			if transport == nil || depth == 3 {
				return
			}
			depth++
			defer func() { depth-- }()
			transport.Breakers()
			transport.CloseIdleConnections()
			sendGets(t, transport, 1)
		}
		server := newScript(status(503), status(503), status(200))
		transport = newTransport(t, server, optionsCallingBack(callBack)...)
		r := newRequest(t, t.Context(), http.MethodPut, "payload")
		r.GetBody = func() (io.ReadCloser, error) { callBack(); return newTrackedBody("payload"), nil }
		for range 3 {
			_, _ = transport.RoundTrip(r)
			time.Sleep(2 * time.Second) // the next one may probe
		}
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
	})
}

// optionsCallingBack sets every callback that an option can set.
func optionsCallingBack(call func()) []steadyhttp.Option {
	return []steadyhttp.Option{
		steadyhttp.WithBreakerConsecutiveFailures(2, 0),
		steadyhttp.WithOriginKey(func(*http.Request) string { call(); return "" }),
		steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) { call() }),
		steadyhttp.WithClassifier(func(*http.Request, *http.Response, error) steadyhttp.Class { call(); return steadyhttp.Unclassified }),
		steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff {
			call()
			return backoffFunc(func() time.Duration { call(); return time.Millisecond })
		}),
	}
}

func TestBreaker_HalfOpenEndsWhateverTheProbesOutcome(t *testing.T) {
	t.Parallel()
	for name, probe := range map[string]step{
		"200": status(200), "304": status(304), "404": status(404), "429": status(429), "501": status(501), "503": status(503),
		"a reset": fail(errReset), "no such name": fail(lookupError(net.DNSError{IsNotFound: true})), "no ports": fail(dialError(syscall.EADDRNOTAVAIL)),
		"an impatient caller": hang, "both": both, "neither": neither,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, server := newOpenBreaker(t, probe)
				time.Sleep(time.Until(onlyBreaker(t, transport).RetryAt))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				_, _ = transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
				require.Len(t, server.Attempts(), 11)

				server.Play(status(200))
				time.Sleep(2 * time.Second) // longer than any open time, shorter than the lease
				for range 3 {
					code, err := sendGet(t, transport)
					require.NoError(t, err)
					assert.Equal(t, 200, code)
				}
				assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
			})
		})
	}
}

// A breaker learns of slow calls only when they end: then it must spare the server the retries at least.
func TestBreaker_HangingServerGetsNoRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server := newScript(hang)
		transport := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Second), steadyhttp.WithoutRetryBudget())
		var group sync.WaitGroup
		var waited atomic.Int64
		for range 1000 {
			group.Go(func() {
				sendGets(t, transport, 1)
				if time.Since(start) > time.Second {
					waited.Add(1)
				}
			})
		}
		group.Wait()
		assert.LessOrEqual(t, len(server.Attempts()), 1010)
		assert.Less(t, waited.Load(), int64(10), "nobody waits to be rejected but those who opened the breaker")
	})
}

func TestBreaker_RunningProbeRejectsACallWithoutAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), delay(30*time.Second, status(200)))
		transport := newTransport(t, server, steadyhttp.WithBreakerConsecutiveFailures(1, 0))
		sendGets(t, transport, 1)
		time.Sleep(2 * time.Second)
		var group sync.WaitGroup
		group.Go(func() { sendGets(t, transport, 1) }) // the probe
		synctest.Wait()
		start := time.Now()
		ctx, report := steadyhttp.WithReport(t.Context())
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		assert.Zero(t, time.Since(start))
		assert.Equal(t, steadyhttp.StopCircuitOpen, report.Stopped)
		group.Wait()
		server.AssertAttempts(t, 2)
	})
}

func TestBreaker_ConnectionErrorsOpenIt(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"refused": dialError(syscall.ECONNREFUSED), "unreachable": dialError(syscall.EHOSTUNREACH), "no name for now": lookupError(net.DNSError{IsTemporary: true}),
		"reset": &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "EOF": io.ErrUnexpectedEOF,
		"silence": headerTimeoutError{}, "a closed idle connection": errors.New("http: server closed idle connection"),
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newScript(fail(err))
			transport := newTransport(t, server, singleAttemptOptions()...)
			sendGets(t, transport, 50)
			assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport), name)
			assert.Len(t, server.Attempts(), 10, name)
		})
	}
}

// A naiveBreaker remembers every outcome, and counts them all again each time.
type naiveBreaker struct {
	epoch    time.Time
	outcomes []naiveOutcome
}

type naiveOutcome struct {
	at     time.Duration
	failed bool
}

// count counts those of the last ten tenths of the window, of which the present one is not over.
func (n *naiveBreaker) count(window time.Duration) (requests, failures uint32) {
	tenth := window / 10
	for _, o := range n.outcomes {
		if o.at/tenth > time.Since(n.epoch)/tenth-10 {
			requests++
			if o.failed {
				failures++
			}
		}
	}
	return requests, failures
}

// run returns how many failures there were since the last success, and how long ago the first one was.
func (n *naiveBreaker) run() (length int, lasting time.Duration) {
	for i := len(n.outcomes) - 1; i >= 0 && n.outcomes[i].failed; i-- {
		length, lasting = length+1, time.Since(n.epoch)-n.outcomes[i].at
	}
	return length, lasting
}

func (n *naiveBreaker) status() steadyhttp.BreakerStatus {
	requests, failures := n.count(2 * time.Second)
	length, lasting := n.run()
	last := n.outcomes[len(n.outcomes)-1]
	if last.failed && (requests >= 7 && 2*failures >= requests || length >= 4 && lasting >= 800*time.Millisecond) {
		return steadyhttp.BreakerStatus{Origin: targetOrigin, State: steadyhttp.BreakerOpen, Reason: "failures"}
	}
	return steadyhttp.BreakerStatus{Origin: targetOrigin, Requests: requests, Failures: failures}
}

func TestBreaker_CountsAsANaiveOneDoes(t *testing.T) {
	t.Parallel()
	opened := 0
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			if agreeUntilOpen(t, rand.New(rand.NewPCG(seed, 0))) {
				opened++
			}
		})
	}
	assert.Greater(t, opened, 50, "seeds whose breaker opened")
	assert.Less(t, opened, 150, "seeds whose breaker stayed closed")
}

// agreeUntilOpen compares a breaker with a naive one, outcome for outcome.
func agreeUntilOpen(t *testing.T, random *rand.Rand) (opened bool) {
	server := newScript(status(200))
	transport := newTransport(t, server, singleAttemptOptions(steadyhttp.WithBreakerFailureRate(0.5, 7),
		steadyhttp.WithBreakerConsecutiveFailures(4, 800*time.Millisecond), steadyhttp.WithBreakerWindow(2*time.Second))...)
	naive := &naiveBreaker{epoch: time.Now()}
	healthy := []int{200, 302, 404, 501}
	failing := 0.5 * random.Float64()
	for range 100 {
		pause := 400 * time.Millisecond
		if random.IntN(20) == 0 {
			pause = 4 * time.Second // about a whole window
		}
		time.Sleep(time.Duration(random.Int64N(int64(pause))))
		code := healthy[random.IntN(len(healthy))]
		if random.Float64() < failing {
			code = 500 + random.IntN(100)
			code += code % 2 // 501, 505, 507 and 511 are no failures
		}
		server.Play(status(code))
		sendGets(t, transport, 1)
		class := steadyhttp.Classify(nil, &http.Response{StatusCode: code}, nil)
		naive.outcomes = append(naive.outcomes, naiveOutcome{time.Since(naive.epoch), class == steadyhttp.Transient})

		got := onlyBreaker(t, transport)
		got.RetryAt = time.Time{}
		require.Equal(t, naive.status(), got)
		if got.State == steadyhttp.BreakerOpen {
			return true
		}
	}
	return false
}

func TestOptions_TransportsOfTheSameOptionsShareNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		options := []steadyhttp.Option{steadyhttp.WithMaxAttempts(100), steadyhttp.WithBackoff(1, 1), steadyhttp.WithBreakerConsecutiveFailures(0, 0)}
		for range 3 {
			server := newScript(status(503))
			transport := newTransport(t, server, options...)
			assert.Equal(t, 5, countRetries(t, transport, server), "a budget of its own")
			assert.Equal(t, uint32(6), onlyBreaker(t, transport).Failures, "a breaker of its own")
			server = newScript(status(503))
			assert.Equal(t, 3, countRetries(t, newTransport(t, server, steadyhttp.WithoutBreaker()), server), "defaults that stay what they are")
		}
	})
}

func TestBreaker_OpenChangesStateOnlyWithTraffic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, _ := newOpenBreaker(t, status(200))
		open := onlyBreaker(t, transport)
		time.Sleep(time.Hour)
		assert.Equal(t, open, onlyBreaker(t, transport), "RetryAt tells that a call may probe")
		assert.Less(t, open.RetryAt, time.Now())
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
	})
}

func TestBudget_AnyResponseAfterARetryFillsIt(t *testing.T) {
	t.Parallel()
	for _, code := range []int{200, 404, 501} {
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			everySecond := stepFunc(func(r *http.Request) (*http.Response, error) {
				if sent++; sent%2 == 1 {
					return status(503).RoundTrip(r)
				}
				return status(code).RoundTrip(r)
			})
			transport := newTransport(t, everySecond, noBreakerOptions(steadyhttp.WithRetryBudget(1, 1))...)
			for i := range 20 {
				got, err := sendGet(t, transport)
				require.NoError(t, err)
				assert.Equal(t, code, got, "call %d", i+1)
			}
		})
	}
}

// An origin that a call never leaves can never be forgotten.
func TestRegistry_CallReleasesItsOriginOnEveryPath(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		step step
		body io.Reader
	}{
		"answer":          {t.Context(), status(404), nil},
		"throttled":       {t.Context(), status(429), nil},
		"error":           {t.Context(), fail(lookupError(net.DNSError{IsNotFound: true})), nil},
		"cancelled":       {canceled, fail(context.Canceled), nil},
		"unreadable body": {t.Context(), status(200), failingReader{errReset}},
		"panic":           {t.Context(), stepFunc(func(*http.Request) (*http.Response, error) { panic("base") }), nil},
		"Goexit":          {t.Context(), stepFunc(func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newScript(c.step)
			transport := newTransport(t, server, steadyhttp.WithOriginLimit(1), steadyhttp.WithReplayBuffer(1))
			r := newRequest(t, c.ctx, http.MethodGet, "")
			if c.body != nil {
				r.Body, r.ContentLength = io.NopCloser(c.body), -1
			}
			runInGoroutine(func() { _, _ = transport.RoundTrip(r) })
			require.Contains(t, breakerStates(transport), targetOrigin)
			server.Play(status(200))
			sendToHost(t, transport, "other.example.com")
			assert.NotContains(t, breakerStates(transport), targetOrigin)
		})
	}
}

func TestRedact_SecretsStayOutOfEventsReportsAndErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []string
		tell := func(what any) { told = append(told, fmt.Sprintf("%+v", what)) }
		server := newScript(status(503, "Set-Cookie", "hunter2"), fail(errReset), hang, neither)
		transport := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Second), steadyhttp.WithBreakerConsecutiveFailures(4, time.Second), steadyhttp.WithObserver(
			func(_ context.Context, e steadyhttp.Event) {
				e.Request = nil // the caller's own
				tell(e)
			}))
		for range 10 {
			ctx, report := steadyhttp.WithReport(t.Context())
			r := newRequest(t, ctx, http.MethodPut, "hunter2")
			r.URL, _ = url.Parse("https://hunter2:hunter2@api.example.com/things?hunter2=hunter2#hunter2")
			r.Header.Set("Authorization", "hunter2")
			_, err := transport.RoundTrip(r)
			tell(err)
			tell(*report)
			tell(transport.Breakers())
		}
		require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		all := strings.Join(told, "\n")
		assert.Contains(t, all, "https://api.example.com:443")
		assert.Contains(t, all, "https://api.example.com/things")
		assert.NotContains(t, all, "hunter2")
	})
}

// Go's log goes to the standard error of the whole process, so a process of its own is listened to.
func TestLog_NothingIsPrintedUnlessAsked(t *testing.T) {
	t.Parallel()
	const marker = "STEADYHTTP_TEST_PRINTS_NOTHING"
	if os.Getenv(marker) != "" {
		synctest.Test(t, runEveryOutcome)
		os.Exit(0) // before the testing package has its say
	}
	program, err := os.Executable()
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), program, "-test.run=^TestLog_NothingIsPrintedUnlessAsked$", "-test.timeout=30s")
	child.Env = append(os.Environ(), marker+"=1", "GOCOVERDIR="+t.TempDir())
	printed, err := child.CombinedOutput()
	require.NoError(t, err)
	assert.Empty(t, string(printed))
}

// runEveryOutcome retries, times out, gives up, opens a breaker and closes it again.
func runEveryOutcome(t *testing.T) {
	server := newScript(status(200), status(503), fail(errReset), hang, status(404), both, neither, hang)
	transport := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Second))
	for range 20 {
		sendGets(t, transport, 1)
		time.Sleep(100 * time.Millisecond)
	}
	require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	server.Play(status(200))
	time.Sleep(2 * time.Second)
	sendGets(t, transport, 1)
	require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
}
