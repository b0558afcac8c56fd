package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A play is a script, and what must come of it.
type play struct {
	name     string
	options  []steadyhttp.Option
	request  func(*testing.T, context.Context) *http.Request // nil: a GET
	steps    []step
	attempts int
	status   int // 0: an error
	stopped  steadyhttp.StopReason
}

func (p play) run(t *testing.T) {
	server := scripted(p.steps...)
	transport := newTransport(t, server, append([]steadyhttp.Option{steadyhttp.WithoutBreaker()}, p.options...)...)
	ctx, report := steadyhttp.WithReport(t.Context())
	make := p.request
	if make == nil {
		make = method(http.MethodGet)
	}
	response, err := transport.RoundTrip(make(t, ctx))

	assert.Len(t, server.Attempts(), p.attempts, "attempts at the server")
	assert.Len(t, report.Attempts, p.attempts, "attempts in the report")
	assert.Equal(t, p.stopped, report.Stopped)
	if p.status == 0 {
		require.Error(t, err)
		assert.Nil(t, response)
		assertClosedOnce(t, server, nil)
		return
	}
	require.NoError(t, err)
	assert.Equal(t, p.status, response.StatusCode)
	assert.Equal(t, p.attempts, steadyhttp.Attempts(response))
	content, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	assert.Equal(t, http.StatusText(p.status), string(content), "the body must be unread")
	assertClosedOnce(t, server, response)
}

func runPlays(t *testing.T, plays []play) {
	for _, p := range plays {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, p.run)
		})
	}
}

func method(name string) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request { return request(t, ctx, name, "") }
}

func payload(name string, header ...string) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		r := request(t, ctx, name, "payload")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header[header[i]] = []string{header[i+1]}
		}
		return r
	}
}

// stream is a body that cannot be replayed.
func stream(name string, marks ...func(context.Context) context.Context) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		for _, mark := range marks {
			ctx = mark(ctx)
		}
		r := request(t, ctx, name, "payload")
		r.GetBody = nil
		return r
	}
}

func marked(name string, marks ...func(context.Context) context.Context) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		for _, mark := range marks {
			ctx = mark(ctx)
		}
		return request(t, ctx, name, "payload")
	}
}

func TestWhatIsSentAgain(t *testing.T) {
	t.Parallel()
	once := func(options ...steadyhttp.Option) []steadyhttp.Option { return options }
	runPlays(t, []play{
		{name: "a 503 until it is a 200", steps: []step{status(503), status(503), status(200)},
			attempts: 3, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a redirect is a success", steps: []step{status(301, "Retry-After", "5")},
			attempts: 1, status: 301, stopped: steadyhttp.StopSuccess},
		{name: "not without end", steps: []step{status(503)},
			attempts: 4, status: 503, stopped: steadyhttp.StopMaxAttempts},
		{name: "as often as allowed", options: once(steadyhttp.WithMaxAttempts(2)), steps: []step{status(503)},
			attempts: 2, status: 503, stopped: steadyhttp.StopMaxAttempts},
		{name: "never when one attempt is allowed", options: once(steadyhttp.WithMaxAttempts(1)), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopMaxAttempts},
		{name: "not a 501", steps: []step{status(501)},
			attempts: 1, status: 501, stopped: steadyhttp.StopNotRetryable},
		{name: "an unknown status as a 500", steps: []step{status(999), status(599), status(200)},
			attempts: 3, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "an unknown error", steps: []step{fail(errReset), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "an error at the end", steps: []step{status(503), fail(errReset)},
			attempts: 4, stopped: steadyhttp.StopMaxAttempts},
		{name: "a response at the end", steps: []step{fail(errReset), fail(errReset), fail(errReset), status(503)},
			attempts: 4, status: 503, stopped: steadyhttp.StopMaxAttempts},
		{name: "a PUT", request: payload(http.MethodPut), steps: []step{status(502), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a QUERY", request: payload("QUERY"), steps: []step{status(504), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a request without a method", request: func(t *testing.T, ctx context.Context) *http.Request {
			r := request(t, ctx, "GET", "")
			r.Method = ""
			return r
		}, steps: []step{status(500), status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "not a POST after a 500", request: payload(http.MethodPost), steps: []step{status(500)},
			attempts: 1, status: 500, stopped: steadyhttp.StopUnsafeMethod},
		{name: "not a PATCH after a 503", request: payload(http.MethodPatch), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopUnsafeMethod},
		{name: "not a method in lower case", request: payload("get"), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopUnsafeMethod},
		{name: "not a POST after a reset", request: payload(http.MethodPost), steps: []step{fail(errReset)},
			attempts: 1, stopped: steadyhttp.StopUnsafeMethod},
		{name: "a POST with a key", request: payload(http.MethodPost, "Idempotency-Key", "k"), steps: []step{status(500), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a POST with the other key", request: payload(http.MethodPost, "X-Idempotency-Key", "k"), steps: []step{status(500), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a POST marked idempotent", request: marked(http.MethodPost, steadyhttp.Idempotent), steps: []step{status(500), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a POST where all are allowed", request: payload(http.MethodPost), options: once(steadyhttp.WithRetryNonIdempotent()),
			steps: []step{status(500), status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a POST that gets a key", request: payload(http.MethodPost), options: once(steadyhttp.WithIdempotencyKeys()),
			steps: []step{status(500), status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "not a call marked NoRetry", request: marked(http.MethodGet, steadyhttp.NoRetry), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNoRetry},
		{name: "NoRetry wins over Idempotent", request: marked(http.MethodPost, steadyhttp.NoRetry, steadyhttp.Idempotent), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNoRetry},
		{name: "not a stream", request: stream(http.MethodPut), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopBody},
		{name: "not even a marked stream", request: stream(http.MethodPost, steadyhttp.Idempotent), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopBody},
		{name: "a stream in the replay buffer", request: stream(http.MethodPut), options: once(steadyhttp.WithReplayBuffer(64)),
			steps: []step{status(503), status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "not a stream that is longer", request: stream(http.MethodPut), options: once(steadyhttp.WithReplayBuffer(6)),
			steps: []step{status(503)}, attempts: 1, status: 503, stopped: steadyhttp.StopBody},
		{name: "a throttled POST that is told when", request: payload(http.MethodPost), steps: []step{status(429, "Retry-After", "2"), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a throttled POST that is told now", request: payload(http.MethodPost), steps: []step{status(429, "Retry-After", "0"), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "not a throttled stream", request: stream(http.MethodPost), steps: []step{status(429, "Retry-After", "2")},
			attempts: 1, status: 429, stopped: steadyhttp.StopBody},
		{name: "not a 429 that does not say when", steps: []step{status(429)},
			attempts: 1, status: 429, stopped: steadyhttp.StopNotRetryable},
		{name: "not a 429 that says nonsense", steps: []step{status(429, "Retry-After", "soon")},
			attempts: 1, status: 429, stopped: steadyhttp.StopNotRetryable},
		{name: "not a 429 with a negative time", steps: []step{status(429, "Retry-After", "-1")},
			attempts: 1, status: 429, stopped: steadyhttp.StopNotRetryable},
		{name: "not a 429 that asks for too much", steps: []step{status(429, "Retry-After", "61")},
			attempts: 1, status: 429, stopped: steadyhttp.StopRetryAfterTooLong},
		{name: "not a 429 that asks for ages", steps: []step{status(429, "Retry-After", "9223372037")},
			attempts: 1, status: 429, stopped: steadyhttp.StopRetryAfterTooLong},
		{name: "not a 503 that asks for too much", options: once(steadyhttp.WithMaxRetryAfter(time.Second)), steps: []step{status(503, "Retry-After", "2")},
			attempts: 1, status: 503, stopped: steadyhttp.StopRetryAfterTooLong},
		{name: "as a policy says", options: once(steadyhttp.WithBackoffPolicy(func() backoff.BackOff {
			return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 1)
		})), steps: []step{status(503)}, attempts: 2, status: 503, stopped: steadyhttp.StopMaxAttempts},
	})
}

func TestNo4xxIsRetried(t *testing.T) {
	t.Parallel()
	for code := 400; code < 500; code++ {
		if code == http.StatusTooManyRequests {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			server := scripted(status(code, "Retry-After", "1"))
			response, err := newTransport(t, server).RoundTrip(get(t))
			require.NoError(t, err)
			assert.Equal(t, code, response.StatusCode)
			assert.Len(t, server.Attempts(), 1, "status %d", code)
		})
	}
}

func TestEveryAttemptSendsTheWholeBody(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T, context.Context) *http.Request{
		"from GetBody":           payload(http.MethodPut),
		"from the replay buffer": stream(http.MethodPut),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := scripted(status(503), status(503), status(200))
				transport := newTransport(t, server, steadyhttp.WithReplayBuffer(7))
				original := make(t, t.Context())
				_, err := transport.RoundTrip(original)
				require.NoError(t, err)
				for i, sent := range server.Attempts() {
					assert.Equal(t, "payload", string(sent.Body), "attempt %d", i+1)
					assert.Equal(t, original.ContentLength, sent.Request.ContentLength, "attempt %d", i+1)
				}
			})
		})
	}
}

func TestResendIsAShallowCopySoThatTrailersSurvive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503), status(200))
		original := request(t, t.Context(), http.MethodPut, "payload")
		original.Trailer = http.Header{"Checksum": nil}
		_, err := newTransport(t, server).RoundTrip(original)
		require.NoError(t, err)
		original.Trailer.Set("Checksum", "set while the body was read")
		assert.NotSame(t, original, server.Attempts()[1].Request)
		assert.Equal(t, original.Trailer, server.Attempts()[1].Request.Trailer)
	})
}

func TestBodyLongerThanTheReplayBufferIsStreamedWhole(t *testing.T) {
	t.Parallel()
	server := scripted(status(200))
	transport := newTransport(t, server, steadyhttp.WithReplayBuffer(10))
	long := strings.Repeat("0123456789", 1000)
	for name, length := range map[string]int64{"known length": int64(len(long)), "unknown length": -1} {
		r := get(t)
		source := text(long)
		r.Method, r.Body, r.ContentLength = http.MethodPut, source, length
		_, err := transport.RoundTrip(r)
		require.NoError(t, err, name)
		assert.Equal(t, long, string(server.Attempts()[len(server.Attempts())-1].Body), name)
		assert.Equal(t, 1, source.closes(), name)
	}
}

func TestReplayBufferHoldsABodyOfExactlyItsSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503), status(200))
		source := text("payload")
		r := request(t, t.Context(), http.MethodPut, "")
		r.Body, r.ContentLength = source, -1
		_, err := newTransport(t, server, steadyhttp.WithReplayBuffer(7)).RoundTrip(r)
		require.NoError(t, err)
		server.AssertAttempts(t, 2)
		assert.Equal(t, 1, source.closes())
	})
}

func TestUnboundedReplayBufferStillSendsTheBody(t *testing.T) {
	t.Parallel()
	server := scripted(status(200))
	r := stream(http.MethodPut)(t, t.Context())
	_, err := newTransport(t, server, steadyhttp.WithReplayBuffer(math.MaxInt64)).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, "payload", string(server.Attempts()[0].Body))
}

func TestBodyThatFailsInTheReplayBufferIsNotSent(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk on fire")
	server := scripted(status(200))
	source := &body{Reader: io.MultiReader(strings.NewReader("pay"), failing{errDisk})}
	r := request(t, t.Context(), http.MethodPut, "")
	r.Body, r.ContentLength = source, -1
	ctx, report := steadyhttp.WithReport(t.Context())
	response, err := newTransport(t, server, steadyhttp.WithReplayBuffer(7)).RoundTrip(r.WithContext(ctx))
	assert.Nil(t, response)
	assert.Equal(t, errDisk, err, "unwrapped")
	server.AssertAttempts(t, 0)
	assert.Equal(t, 1, source.closes())
	assert.Empty(t, report.Attempts)
	assert.Equal(t, steadyhttp.StopNotRetryable, report.Stopped)
}

func TestOpenBreakerDoesNotWaitForABodyToBuffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, scripted(fail(errReset)), steadyhttp.WithBreakerConsecutive(1, 0), steadyhttp.WithReplayBuffer(1024))
		_, err := transport.RoundTrip(get(t))
		require.ErrorIs(t, err, errReset)
		reader, writer := io.Pipe() // that nobody writes to
		r := request(t, t.Context(), http.MethodPut, "")
		r.Body, r.ContentLength = reader, -1
		_, err = transport.RoundTrip(r)
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		_, err = writer.Write([]byte("late"))
		assert.ErrorIs(t, err, io.ErrClosedPipe, "the body is closed")
	})
}

func TestBodyThatPanicsInTheReplayBufferIsClosedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		source := &body{Reader: panicking{}}
		r := request(t, ctx, http.MethodPut, "")
		r.Body, r.ContentLength = source, -1
		transport := newTransport(t, scripted(status(200)), steadyhttp.WithReplayBuffer(7))
		assert.Panics(t, func() { _, _ = transport.RoundTrip(r) })
		cancel()
		synctest.Wait()
		assert.Equal(t, 1, source.closes())
	})
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("a test's") }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestFailingGetBodyReturnsTheResponse(t *testing.T) {
	t.Parallel()
	for name, getBody := range map[string]func() (io.ReadCloser, error){
		"an error": func() (io.ReadCloser, error) { return nil, errors.New("gone") },
		"nothing":  func() (io.ReadCloser, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play{
				request: func(t *testing.T, ctx context.Context) *http.Request {
					r := request(t, ctx, http.MethodPut, "payload")
					r.GetBody = getBody
					return r
				},
				steps: []step{status(503)}, attempts: 1, status: 503, stopped: steadyhttp.StopBody,
			}.run(t)
		})
	}
}

func TestIdempotencyKeyIsTheSameOnEveryAttemptAndNotTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503), status(503), status(200))
		transport := newTransport(t, server, steadyhttp.WithIdempotencyKeys())
		first := post(t)
		_, err := transport.RoundTrip(first)
		require.NoError(t, err)
		key := server.Attempts()[0].Request.Header.Get("Idempotency-Key")
		assert.NotEmpty(t, key)
		for _, sent := range server.Attempts() {
			assert.Equal(t, key, sent.Request.Header.Get("Idempotency-Key"))
		}
		assert.NotContains(t, first.Header, "Idempotency-Key", "the caller's request is not modified")

		_, err = transport.RoundTrip(post(t))
		require.NoError(t, err)
		assert.NotEqual(t, key, server.Attempts()[3].Request.Header.Get("Idempotency-Key"), "another call, another key")
	})
}

func TestIdempotencyKeyIsAddedOnlyWhereItIsMissing(t *testing.T) {
	t.Parallel()
	server := scripted(status(200))
	transport := newTransport(t, server, steadyhttp.WithIdempotencyKeys())
	for _, c := range []struct {
		method, name, value, want string
	}{
		{http.MethodPost, "Idempotency-Key", "mine", "mine"},
		{http.MethodPost, "X-Idempotency-Key", "mine", ""},
		{http.MethodGet, "Accept", "text/plain", ""},
		{http.MethodPut, "Accept", "text/plain", ""},
	} {
		r := request(t, t.Context(), c.method, "payload")
		r.Header.Set(c.name, c.value)
		_, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, c.want, server.Attempts()[len(server.Attempts())-1].Request.Header.Get("Idempotency-Key"), "%s with %s", c.method, c.name)
	}
	r := post(t)
	r.Header = nil
	_, err := transport.RoundTrip(r)
	require.NoError(t, err)
	assert.Nil(t, r.Header)
}

func TestWaitsGrowAreSpreadAndStayWithinTheirBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		for range 50 {
			server := scripted(status(503))
			transport := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget(),
				steadyhttp.WithMaxAttempts(12), steadyhttp.WithBackoff(200*time.Millisecond, 10*time.Second))
			_, err := transport.RoundTrip(get(t))
			require.NoError(t, err)
			interval := 200 * time.Millisecond
			for i, wait := range server.Waits() {
				assert.GreaterOrEqual(t, wait, interval/2, "wait %d", i+1)
				assert.LessOrEqual(t, wait, min(interval*3/2, 10*time.Second), "wait %d", i+1)
				interval = min(interval*2, 10*time.Second*2/3)
				if i == 10 {
					seen[wait] = true
				}
			}
		}
		assert.Greater(t, len(seen), 40, "the longest waits are spread as well")
	})
}

func TestBackoffWhoseLongestWaitIsItsFirstIsStillSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503))
		transport := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget(),
			steadyhttp.WithMaxAttempts(100), steadyhttp.WithBackoff(time.Second, time.Second))
		_, err := transport.RoundTrip(get(t))
		require.NoError(t, err)
		seen := make(map[time.Duration]bool)
		for _, wait := range server.Waits() {
			assert.Positive(t, wait)
			assert.LessOrEqual(t, wait, time.Second)
			seen[wait] = true
		}
		assert.Greater(t, len(seen), 90)
	})
}

func TestRetryAfterIsAFloorWithJitterOnTop(t *testing.T) {
	t.Parallel()
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		header   func() []string
		min, max time.Duration
	}{
		"seconds":    {func() []string { return []string{"Retry-After", "3"} }, 3 * time.Second, 4500 * time.Millisecond},
		"decimal":    {func() []string { return []string{"Retry-After", "1.5"} }, 1500 * time.Millisecond, 2250 * time.Millisecond},
		"as seconds": {func() []string { return []string{"Retry-After", "20"} }, 20 * time.Second, 25 * time.Second},
		"date":       {func() []string { return []string{"Retry-After", date(4 * time.Second)} }, 4 * time.Second, 6 * time.Second},
		"date by Date": {func() []string {
			return []string{"Date", date(-time.Hour), "Retry-After", date(-time.Hour + 2*time.Second)}
		}, 2 * time.Second, 3 * time.Second},
		"largest line":          {func() []string { return []string{"Retry-After", "1", "Retry-After", "4", "Retry-After", "junk"} }, 4 * time.Second, 6 * time.Second},
		"less than the backoff": {func() []string { return []string{"Retry-After", "0.001"} }, 150 * time.Millisecond, 450 * time.Millisecond},
		"zero":                  {func() []string { return []string{"Retry-After", "0"} }, 150 * time.Millisecond, 450 * time.Millisecond},
		"past date":             {func() []string { return []string{"Retry-After", date(-time.Hour)} }, 150 * time.Millisecond, 450 * time.Millisecond},
		"exactly the longest":   {func() []string { return []string{"Retry-After", "60"} }, time.Minute, 65 * time.Second},
	} {
		for _, code := range []int{429, 503} {
			t.Run(fmt.Sprint(name, " on ", code), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					seen := make(map[time.Duration]bool)
					for range 20 {
						server := scripted(status(code, c.header()...), status(200))
						_, err := newTransport(t, server).RoundTrip(get(t))
						require.NoError(t, err)
						wait := server.Waits()[0]
						assert.GreaterOrEqual(t, wait, c.min)
						assert.LessOrEqual(t, wait, c.max)
						seen[wait] = true
						time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // HTTP dates have whole seconds
					}
					assert.Greater(t, len(seen), 15, "jitter")
				})
			})
		}
	}
}

func TestWaitThatWouldOutlastTheDeadlineIsNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		server := scripted(status(503, "Retry-After", "5"))
		start := time.Now()
		response, err := newTransport(t, server).RoundTrip(request(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
		assert.Zero(t, time.Since(start))
		assertClosedOnce(t, server, response)
	})
}

func TestErrorThatTheDeadlineLeavesNoTimeForSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := newTransport(t, scripted(fail(errReset))).RoundTrip(request(t, ctx, http.MethodGet, ""))
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopDeadline, failed.Stopped)
		assert.Equal(t, 1, failed.Attempts)
		assert.ErrorIs(t, err, errReset)
	})
}

func TestCancelEndsAWaitAtOnce(t *testing.T) {
	t.Parallel()
	errShutdown := errors.New("shutting down")
	for name, c := range map[string]struct {
		end     func(context.Context) (context.Context, context.CancelFunc)
		is      []error
		stopped steadyhttp.StopReason
	}{
		"with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(2*time.Second, func() { cancel(errShutdown) })
			return ctx, func() { cancel(nil) }
		}, []error{errShutdown, context.Canceled}, steadyhttp.StopCanceled},
		"without": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, []error{context.Canceled}, steadyhttp.StopCanceled},
	} {
		for last, step := range map[string]step{"a response": status(503, "Retry-After", "30"), "an error": fail(errReset)} {
			t.Run(name+" after "+last, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := c.end(t.Context())
					defer cancel()
					ctx, report := steadyhttp.WithReport(ctx)
					server := scripted(step)
					transport := newTransport(t, server, steadyhttp.WithBackoff(10*time.Second, time.Minute))
					start := time.Now()
					source := text("payload")
					r := request(t, ctx, http.MethodPut, "payload")
					r.GetBody = func() (io.ReadCloser, error) { return source, nil }
					response, err := transport.RoundTrip(r)

					assert.Equal(t, 2*time.Second, time.Since(start))
					assert.Nil(t, response)
					for _, want := range c.is {
						assert.ErrorIs(t, err, want)
					}
					var failed *steadyhttp.Error
					require.ErrorAs(t, err, &failed)
					assert.Equal(t, c.stopped, failed.Stopped)
					assert.Equal(t, steadyhttp.Canceled, failed.Class)
					server.AssertAttempts(t, 1)
					assert.Equal(t, 1, source.closes(), "the body of the attempt that was not made")
					assert.Equal(t, 2*time.Second, report.Attempts[0].Wait)
					assertClosedOnce(t, server, nil)
					if last == "a response" {
						assert.Equal(t, 503, failed.StatusCode, "the status stays reachable")
					} else {
						assert.ErrorIs(t, err, errReset, "the last error stays reachable")
					}
				})
			})
		}
	}
}

func TestRequestCancelEndsAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cancel := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(cancel) })
		r := get(t)
		//lint:ignore SA1019 http.Client.Timeout still uses it
		r.Cancel = cancel
		start := time.Now()
		_, err := newTransport(t, scripted(status(503, "Retry-After", "30"))).RoundTrip(r)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestClientTimeoutEndsAWaitAsATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The deadline is known, so the wait is not even begun, and the response is kept.
		server := scripted(status(503, "Retry-After", "30"))
		client := &http.Client{Transport: newTransport(t, server), Timeout: time.Second}
		response, err := client.Get(target)
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
		require.NoError(t, response.Body.Close())
	})
}

func TestNoAttemptIsMadeAfterACancelEvenIfTheWaitIsOverToo(t *testing.T) {
	t.Parallel()
	for range 100 { // select picks either of the two that are ready
		ctx, cancel := context.WithCancel(t.Context())
		server := scripted(status(503))
		transport := newTransport(t, server,
			steadyhttp.WithBackoffPolicy(func() backoff.BackOff { return &backoff.ZeroBackOff{} }),
			steadyhttp.WithObserver(func(_ context.Context, event steadyhttp.Event) {
				if event.Kind == steadyhttp.EventRetry {
					cancel()
				}
			}))
		_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
		assert.ErrorIs(t, err, context.Canceled)
		server.AssertAttempts(t, 1)
	}
}

func TestStalledBodyOfADroppedResponseStallsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stalled := newStalledBody()
		server := scripted(function(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: stalled}, nil
		}), status(200))
		_, err := newTransport(t, server).RoundTrip(get(t))
		require.NoError(t, err)
		assert.LessOrEqual(t, server.Waits()[0], 500*time.Millisecond)
		<-stalled.closed
	})
}

func TestBodyOfADroppedResponseThatPanicsCanBeRecovered(t *testing.T) {
	t.Parallel()
	for name, dropped := range map[string]io.ReadCloser{
		"Read":  &body{Reader: panicking{}},
		"Close": panickingCloser{strings.NewReader("")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := scripted(function(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 503, Header: http.Header{}, Body: dropped}, nil
			}), status(200))
			resent := text("payload")
			r := request(t, t.Context(), http.MethodPut, "payload")
			r.GetBody = func() (io.ReadCloser, error) { return resent, nil }
			transport := newTransport(t, server)
			assert.PanicsWithValue(t, "a test's", func() { _, _ = transport.RoundTrip(r) })
			assert.Equal(t, 1, resent.closes())
			if read, ok := dropped.(*body); ok {
				assert.Equal(t, 1, read.closes())
			}
			server.AssertAttempts(t, 1)
		})
	}
}

type panickingCloser struct{ io.Reader }

func (panickingCloser) Close() error { panic("a test's") }

func TestDrainIsPartOfTheWaitThatMustEndBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{time.Millisecond, 970 * time.Millisecond} {
		for deadline, sent := range map[time.Duration]int{40 * time.Millisecond: 1, time.Second: 2} {
			if deadline < wait && wait > time.Millisecond {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				server := scripted(function(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 503, Header: http.Header{}, Body: newStalledBody()}, nil
				}), status(200))
				response, err := newTransport(t, server, steadyhttp.WithBackoffPolicy(func() backoff.BackOff {
					return backoff.NewConstantBackOff(wait)
				})).RoundTrip(request(t, ctx, http.MethodGet, ""))
				require.NoError(t, err, "wait %v, deadline %v", wait, deadline)
				assert.Len(t, server.Attempts(), sent, "wait %v, deadline %v", wait, deadline)
				require.NoError(t, response.Body.Close())
			})
		}
	}
}

func TestCancelDuringTheDrainEndsTheCallAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server := scripted(function(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: newStalledBody()}, nil
		}), status(200))
		start := time.Now()
		time.AfterFunc(time.Millisecond, cancel)
		_, err := newTransport(t, server, steadyhttp.WithBackoff(time.Second, time.Minute)).RoundTrip(request(t, ctx, http.MethodGet, ""))
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, time.Millisecond, time.Since(start))
	})
}

// A stalledBody says nothing until it is closed.
type stalledBody struct{ closed chan struct{} }

func newStalledBody() *stalledBody { return &stalledBody{make(chan struct{})} }

func (b *stalledBody) Read([]byte) (int, error) {
	<-b.closed
	return 0, io.ErrUnexpectedEOF
}

func (b *stalledBody) Close() error {
	close(b.closed)
	return nil
}

func TestEndlessBodyOfADroppedResponseIsReadOnlySoFar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endless := &endlessBody{}
		server := scripted(function(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: endless}, nil
		}), status(200))
		_, err := newTransport(t, server).RoundTrip(get(t))
		require.NoError(t, err)
		assert.LessOrEqual(t, endless.read, 64<<10)
		assert.Equal(t, 1, endless.closed)
	})
}

type endlessBody struct{ read, closed int }

func (b *endlessBody) Read(p []byte) (int, error) {
	b.read += len(p)
	return len(p), nil
}

func (b *endlessBody) Close() error {
	b.closed++
	return nil
}

func TestPolicyIsFreshForEachCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		made := 0
		transport := newTransport(t, scripted(status(503), status(200), status(503), status(200), status(200)),
			steadyhttp.WithBackoffPolicy(func() backoff.BackOff {
				made++
				return backoff.NewConstantBackOff(time.Millisecond)
			}))
		require.Equal(t, 1, made, "once to see that there is one")
		for range 3 {
			_, err := transport.RoundTrip(get(t))
			require.NoError(t, err)
		}
		assert.Equal(t, 3, made, "one for each call that needs one")
	})
}

func TestPolicyThatIsMissingLaterEndsTheCall(t *testing.T) {
	t.Parallel()
	calls := 0
	play{options: []steadyhttp.Option{steadyhttp.WithBackoffPolicy(func() backoff.BackOff {
		if calls++; calls > 1 {
			return nil
		}
		return backoff.NewConstantBackOff(time.Millisecond)
	})}, steps: []step{status(503)}, attempts: 1, status: 503, stopped: steadyhttp.StopMaxAttempts}.run(t)
}

func TestReplayBufferKeepsToTheCallersDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ctx, report := steadyhttp.WithReport(ctx)
		reader, writer := io.Pipe() // that nobody writes to
		r := request(t, ctx, http.MethodPut, "")
		r.Body, r.ContentLength = reader, -1
		start := time.Now()
		_, err := newTransport(t, scripted(hang), steadyhttp.WithReplayBuffer(1024)).RoundTrip(r)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, steadyhttp.StopDeadline, report.Stopped)
		_, err = writer.Write([]byte("x"))
		assert.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

func TestRetryThatIsNotMadeCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503))
		transport := newTransport(t, server, unbroken()...)
		for range 5 {
			r := request(t, t.Context(), http.MethodPut, "payload")
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
			_, err := transport.RoundTrip(r)
			require.NoError(t, err)
		}
		assert.Equal(t, 5, retries(t, transport, server))
		source := text("payload")
		r := request(t, t.Context(), http.MethodPut, "payload")
		r.GetBody = func() (io.ReadCloser, error) { return source, nil }
		_, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, 1, source.closes(), "made, and not sent for want of budget")
	})
}

func TestBodyThatFailsWithAnErrorOfOursIsStillTheCallers(t *testing.T) {
	t.Parallel()
	elsewhere := &steadyhttp.CircuitOpenError{Origin: "https://elsewhere.example.com:443"}
	transport := newTransport(t, scripted(status(200)))
	ctx, report := steadyhttp.WithReport(t.Context())
	r := request(t, ctx, http.MethodPut, "")
	r.Body, r.ContentLength = &body{Reader: failing{elsewhere}}, -1
	r.GetBody = func() (io.ReadCloser, error) { return &body{Reader: failing{elsewhere}}, nil }
	_, err := transport.RoundTrip(r)
	assert.Equal(t, elsewhere, err)
	assert.Len(t, report.Attempts, 1)
	assert.Equal(t, steadyhttp.Permanent, report.Attempts[0].Class)
	assert.Zero(t, breaker(t, transport).Failures)
}

func TestKeyInOtherLettersIsAKey(t *testing.T) {
	t.Parallel()
	server := scripted(status(200))
	r := post(t)
	r.Header["idempotency-key"] = []string{"mine"}
	_, err := newTransport(t, server, steadyhttp.WithIdempotencyKeys()).RoundTrip(r)
	require.NoError(t, err)
	assert.NotContains(t, server.Attempts()[0].Request.Header, "Idempotency-Key", "or two of them go out")
}

// A retry at once would come on top of what the server has not worked off.
func TestWaitAfterATimeoutIsAsLongAsThatUpToASecond(t *testing.T) {
	t.Parallel()
	custom := steadyhttp.WithBackoffPolicy(func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) })
	for name, c := range map[string]struct {
		took, least, most time.Duration
		option            steadyhttp.Option
	}{
		"quick":           {10 * time.Millisecond, time.Millisecond, 15 * time.Millisecond, steadyhttp.WithBackoff(2*time.Millisecond, time.Minute)},
		"slow":            {600 * time.Millisecond, 600 * time.Millisecond, 900 * time.Millisecond, steadyhttp.WithBackoff(1, time.Minute)},
		"very slow":       {time.Minute, time.Second, 1500 * time.Millisecond, steadyhttp.WithBackoff(1, time.Minute)},
		"but never later": {time.Minute, 13 * time.Millisecond, 20 * time.Millisecond, steadyhttp.WithBackoff(1, 20*time.Millisecond)},
		"nor as late":     {18 * time.Millisecond, 13 * time.Millisecond, 20 * time.Millisecond, steadyhttp.WithBackoff(1, 20*time.Millisecond)},
		"your own policy": {time.Minute, time.Millisecond, time.Millisecond, custom},
		"a longer one":    {time.Second, 10 * time.Second, 30 * time.Second, steadyhttp.WithBackoff(20*time.Second, time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := make(map[time.Duration]bool)
				for range 20 {
					ctx, report := steadyhttp.WithReport(t.Context())
					_, err := newTransport(t, scripted(after(c.took, fail(os.ErrDeadlineExceeded)), status(200)), c.option).
						RoundTrip(request(t, ctx, http.MethodGet, ""))
					require.NoError(t, err)
					wait := report.Attempts[0].Wait
					assert.GreaterOrEqual(t, wait, c.least)
					assert.LessOrEqual(t, wait, c.most)
					seen[wait] = true
				}
				if c.least < c.most {
					assert.Greater(t, len(seen), 15, "jitter")
				}
			})
		})
	}
}

func TestWaitAfterATimeoutIsNotLengthenedBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for patience, stopped := range map[time.Duration]steadyhttp.StopReason{
			2 * time.Second: steadyhttp.StopSuccess, 1050 * time.Millisecond: steadyhttp.StopDeadline,
		} {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ctx, report := steadyhttp.WithReport(ctx)
			server := scripted(hang, status(200))
			_, err := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(request(t, ctx, http.MethodGet, ""))
			assert.Equal(t, stopped, report.Stopped)
			assert.Less(t, time.Since(start), 1500*time.Millisecond)
			if stopped != steadyhttp.StopSuccess {
				assert.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
				assert.Equal(t, time.Second, time.Since(start))
			}
		}
	})
}
