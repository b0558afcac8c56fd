package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
)

// A gatedServer answers as its function says, and writes down when attempts came and for what.
type gatedServer struct {
	answer func(*http.Request) step

	mu    sync.Mutex
	begin time.Time
	sent  []sending
}

type sending struct {
	at   time.Duration
	path string
}

func newGatedServer(answer func(*http.Request) step) *gatedServer {
	return &gatedServer{answer: answer, begin: time.Now()}
}

func (s *gatedServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.sent = append(s.sent, sending{time.Since(s.begin), r.URL.Path})
	s.mu.Unlock()
	return s.answer(r).RoundTrip(r)
}

func (s *gatedServer) sendings() []sending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// saysWait answers "wait" to all, for so long.
func saysWait(seconds int) func(*http.Request) step {
	return func(*http.Request) step { return status(429, "Retry-After", fmt.Sprint(seconds)) }
}

// waitsUntil answers "wait" until a time has come.
func waitsUntil(end time.Duration, seconds int) func(*http.Request) step {
	begin := time.Now()
	return func(*http.Request) step {
		if time.Since(begin) < end {
			return status(429, "Retry-After", fmt.Sprint(seconds))
		}
		return status(200)
	}
}

func pauseOptions(options ...steadyhttp.Option) []steadyhttp.Option {
	return append([]steadyhttp.Option{steadyhttp.WithOriginPause(1000), steadyhttp.WithMaxAttempts(1)}, options...)
}

func onlyOrigin(t *testing.T, transport *steadyhttp.Transport) steadyhttp.OriginStatus {
	t.Helper()
	origins := transport.Origins()
	require.Len(t, origins, 1)
	return origins[0]
}

// pause makes three calls that a server answers "wait", which pauses it.
func pause(t *testing.T, transport *steadyhttp.Transport) {
	t.Helper()
	for i := range 3 {
		if i > 0 {
			time.Sleep(150 * time.Millisecond)
		}
		sendGets(t, transport, 1)
	}
	require.Equal(t, steadyhttp.PausePaused, onlyOrigin(t, transport).Pause)
}

// getPath makes one call in the background.
func getPath(t *testing.T, ctx context.Context, transport http.RoundTripper, path string) <-chan error {
	r := newRequest(t, ctx, http.MethodGet, "")
	r.URL.Path = path
	done := make(chan error, 1)
	go func() {
		response, err := transport.RoundTrip(r)
		if err == nil {
			err = response.Body.Close()
		}
		done <- err
	}()
	return done
}

func TestPause_BeginsWithThreeInARowOver300Milliseconds(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	wait, well := status(429, "Retry-After", "2"), status(200)
	type beat struct {
		at   time.Duration
		step step
	}
	for name, c := range map[string]struct {
		beats  []beat
		pauses bool
	}{
		"three over 300 ms":            {[]beat{{0, wait}, {150 * ms, wait}, {300 * ms, wait}}, true},
		"three in less":                {[]beat{{0, wait}, {150 * ms, wait}, {299 * ms, wait}}, false},
		"a fourth at 300 ms":           {[]beat{{0, wait}, {1 * ms, wait}, {2 * ms, wait}, {300 * ms, wait}}, true},
		"two over more":                {[]beat{{0, wait}, {900 * ms, wait}}, false},
		"a success between":            {[]beat{{0, wait}, {150 * ms, wait}, {200 * ms, well}, {300 * ms, wait}, {301 * ms, wait}}, false},
		"a 404 between":                {[]beat{{0, wait}, {150 * ms, wait}, {200 * ms, status(404)}, {300 * ms, wait}}, false},
		"a 501 between":                {[]beat{{0, wait}, {150 * ms, wait}, {200 * ms, status(501)}, {300 * ms, wait}}, false},
		"three after a success":        {[]beat{{0, wait}, {1 * ms, well}, {2 * ms, wait}, {150 * ms, wait}, {302 * ms, wait}}, true},
		"a 500 between tells nothing":  {[]beat{{0, wait}, {150 * ms, status(500)}, {200 * ms, wait}, {300 * ms, wait}}, true},
		"an error tells nothing":       {[]beat{{0, wait}, {150 * ms, fail(errReset)}, {200 * ms, wait}, {300 * ms, wait}}, true},
		"a bare 429 tells nothing":     {[]beat{{0, wait}, {150 * ms, status(429)}, {300 * ms, wait}}, false},
		"nor how long":                 {[]beat{{0, wait}, {150 * ms, status(429, "Retry-After", "junk")}, {300 * ms, wait}}, false},
		"now is no time to wait":       {[]beat{{0, wait}, {150 * ms, status(429, "Retry-After", "0")}, {300 * ms, wait}}, false},
		"longer than anybody waits":    {[]beat{{0, wait}, {150 * ms, status(429, "Retry-After", "61")}, {300 * ms, wait}}, false},
		"as long as anybody waits":     {[]beat{{0, wait}, {150 * ms, status(429, "Retry-After", "60")}, {300 * ms, wait}}, true},
		"a 503 that says when":         {[]beat{{0, status(503, "Retry-After", "2")}, {150 * ms, wait}, {300 * ms, status(503, "Retry-After", "2")}}, true},
		"a 502 is not about the whole": {[]beat{{0, wait}, {150 * ms, status(502, "Retry-After", "2")}, {300 * ms, wait}}, false},
		"a hint":                       {[]beat{{0, wait}, {150 * ms, status(429, "Retry-After-Ms", "900")}, {300 * ms, wait}}, true},
		"a run that is long over":      {[]beat{{0, wait}, {5001 * ms, wait}, {5002 * ms, wait}}, false}, // 2 × 2 s and 1 s
		"one that is not":              {[]beat{{0, wait}, {5000 * ms, wait}, {5001 * ms, wait}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var steps []step
				for _, b := range c.beats {
					steps = append(steps, b.step)
				}
				transport := newTransport(t, newScript(steps...), pauseOptions(steadyhttp.WithoutBreaker(), steadyhttp.WithHints(steadyhttp.HintMilliseconds))...)
				begin := time.Now()
				for i, b := range c.beats {
					assert.Equal(t, steadyhttp.PauseIdle, originPause(transport), "before response %d", i+1)
					time.Sleep(b.at - time.Since(begin))
					sendGets(t, transport, 1)
				}
				assert.Equal(t, c.pauses, originPause(transport) == steadyhttp.PausePaused)
			})
		})
	}
}

func originPause(transport *steadyhttp.Transport) steadyhttp.PauseState {
	for _, o := range transport.Origins() {
		return o.Pause
	}
	return steadyhttp.PauseIdle
}

// A call's own attempts count as anybody's.
func TestPause_BeginsWithTheAttemptsOfOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newGatedServer(saysWait(1)), steadyhttp.WithOriginPause(0), steadyhttp.WithMaxAttempts(3))
		sendGets(t, transport, 1)
		_, err := sendGet(t, transport)
		assert.ErrorIs(t, err, steadyhttp.ErrPaused)
	})
}

func TestPause_IsOffByDefault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(30))
		transport := newTransport(t, server, steadyhttp.WithMaxAttempts(1))
		for range 20 {
			sendGets(t, transport, 1)
			time.Sleep(100 * time.Millisecond)
		}
		assert.Len(t, server.sendings(), 20)
		assert.Equal(t, steadyhttp.PauseIdle, onlyOrigin(t, transport).Pause)
	})
}

func TestPause_HoldsCallsBackUntilTheTimeToldAndSendsOneFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(waitsUntil(time.Second, 2))
		answer := server.answer
		server.answer = func(r *http.Request) step { // slow, so that one can be seen to go first
			if time.Since(server.begin) > time.Second {
				return delay(100*time.Millisecond, status(200))
			}
			return answer(r)
		}
		transport := newTransport(t, server, pauseOptions()...)
		pause(t, transport)
		began := time.Since(server.begin)
		var calls []<-chan error
		for i := range 5 {
			calls = append(calls, getPath(t, t.Context(), transport, fmt.Sprintf("/%d", i)))
			time.Sleep(10 * time.Millisecond)
		}
		assert.Equal(t, 5, onlyOrigin(t, transport).Waiting)
		for _, call := range calls {
			assert.NoError(t, <-call)
		}
		sent := server.sendings()[3:]
		require.Len(t, sent, 5)
		assert.GreaterOrEqual(t, sent[0].at-began, 2*time.Second)
		assert.LessOrEqual(t, sent[0].at-began, 3*time.Second, "half of the time told is spread on top")
		assert.GreaterOrEqual(t, sent[1].at-sent[0].at, 100*time.Millisecond, "the others wait for the first one's response")
		for i, s := range sent {
			assert.Equal(t, fmt.Sprintf("/%d", i), s.path, "first come, first served")
			if i > 1 {
				assert.Positive(t, s.at-sent[i-1].at, "at a pace")
			}
		}
	})
}

// Ten calls a second come; so in a second at most fifteen are let go.
func TestPause_ReleasesAtAPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(waitsUntil(time.Second, 10))
		transport := newTransport(t, server, pauseOptions()...)
		pause(t, transport)
		var group sync.WaitGroup
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			group.Go(func() {
				code, err := sendGet(t, transport)
				assert.NoError(t, err)
				assert.Equal(t, 200, code)
			})
		}
		group.Wait()
		sent := server.sendings()[4:]
		require.Len(t, sent, 299)
		for i, s := range sent {
			inSecond := slices.IndexFunc(sent[i:], func(other sending) bool { return other.at >= s.at+time.Second })
			assert.LessOrEqual(t, inSecond, 17, "from %v on", s.at)
		}
		time.Sleep(21 * time.Second)
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.PauseIdle, onlyOrigin(t, transport).Pause)
	})
}

func TestPause_RefusesAtOnceWhatCannotWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options  []steadyhttp.Option
		override []steadyhttp.Option
		limit    time.Duration // of the call
		reason   string
	}{
		"a deadline before the time told": {nil, nil, 2 * time.Second, "the wait outlasts the caller's deadline"},
		"WithMaxRetryAfter":               {nil, []steadyhttp.Option{steadyhttp.WithMaxRetryAfter(1999 * time.Millisecond)}, time.Hour, "the wait is longer than WithMaxRetryAfter"},
		"nobody may wait":                 {[]steadyhttp.Option{steadyhttp.WithOriginPause(0)}, nil, time.Hour, "as many calls wait as WithOriginPause allows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newGatedServer(saysWait(2))
				transport := newTransport(t, server, pauseOptions(c.options...)...)
				pause(t, transport)
				until := onlyOrigin(t, transport).PausedUntil
				ctx, cancel := context.WithTimeout(overridden(t, c.override...), c.limit)
				defer cancel()
				ctx, report := steadyhttp.WithReport(ctx)
				content := newTrackedBody("payload")
				r := newRequest(t, ctx, http.MethodPost, "")
				r.Body = content
				start := time.Now()
				response, err := transport.RoundTrip(r)
				assert.Nil(t, response)
				assert.Zero(t, time.Since(start))
				assert.Len(t, server.sendings(), 3)
				assert.Equal(t, 1, content.closes())
				assert.Equal(t, steadyhttp.StopPaused, report.Stopped)
				assert.Empty(t, report.Attempts)

				var paused *steadyhttp.PausedError
				require.ErrorAs(t, err, &paused)
				assert.ErrorIs(t, err, steadyhttp.ErrPaused)
				assert.Same(t, paused, err, "nothing was sent")
				assert.Equal(t, targetOrigin, paused.Origin)
				assert.Equal(t, c.reason, paused.Reason)
				assert.True(t, paused.RetryAt.Equal(until), "%v, %v", paused.RetryAt, until)
				assert.False(t, paused.Timeout())
				assert.True(t, paused.Temporary())
				assert.EqualError(t, err, "steadyhttp: paused: "+targetOrigin+" asked to wait until "+until.Format("2006-01-02T15:04:05.000Z07:00")+": "+c.reason)
			})
		})
	}
}

func TestPause_RefusedCallDoesNotWaitForABodyToBuffer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []steadyhttp.Option
		limit   time.Duration
	}{
		"a deadline before the time told": {nil, time.Second},
		"nobody may wait":                 {[]steadyhttp.Option{steadyhttp.WithOriginPause(0)}, time.Hour},
		"no room for its key":             {[]steadyhttp.Option{steadyhttp.WithOriginPause(0), steadyhttp.WithPauseKey(func(*http.Request) string { return "one" })}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport := newTransport(t, newGatedServer(saysWait(2)), pauseOptions(append(c.options, steadyhttp.WithReplayBuffer(1024))...)...)
				pause(t, transport)
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				reader, writer := io.Pipe() // that nobody writes to
				r := newRequest(t, ctx, http.MethodPut, "")
				r.Body, r.ContentLength = reader, -1
				start := time.Now()
				_, err := transport.RoundTrip(r)
				assert.ErrorIs(t, err, steadyhttp.ErrPaused)
				assert.Zero(t, time.Since(start))
				_, err = writer.Write([]byte("late"))
				assert.ErrorIs(t, err, io.ErrClosedPipe, "the body is closed")
			})
		})
	}
}

// The jitter is ours: it must not make a pause too long that the server's time does not.
func TestPause_AsLongAsWithMaxRetryAfterIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newGatedServer(waitsUntil(time.Second, 60)), pauseOptions()...)
		pause(t, transport)
		start := time.Now()
		assert.True(t, onlyOrigin(t, transport).PausedUntil.Equal(start.Add(time.Minute)))
		assert.NoError(t, <-getPath(t, t.Context(), transport, "/"))
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

func TestPause_WithTimeoutIsADeadlineToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newGatedServer(saysWait(5)), pauseOptions(steadyhttp.WithTimeout(3*time.Second))...)
		pause(t, transport)
		start := time.Now()
		_, err := sendGet(t, transport)
		assert.ErrorIs(t, err, steadyhttp.ErrPaused)
		assert.Zero(t, time.Since(start))
	})
}

func TestPause_BoundsTheCallsThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newGatedServer(waitsUntil(time.Second, 2)), pauseOptions(steadyhttp.WithOriginPause(7))...)
		pause(t, transport)
		var calls []<-chan error
		for range 20 {
			calls = append(calls, getPath(t, t.Context(), transport, "/"))
			synctest.Wait()
			assert.LessOrEqual(t, onlyOrigin(t, transport).Waiting, 7)
		}
		refused := 0
		for _, call := range calls {
			if err := <-call; err != nil {
				assert.ErrorIs(t, err, steadyhttp.ErrPaused)
				refused++
			}
		}
		assert.Equal(t, 13, refused)
	})
}

// With nobody waiting, the first call after the time told goes, and those beyond the pace fail.
func TestPause_WithoutWaitersStillProbesAndReleases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(waitsUntil(time.Second, 2))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithOriginPause(0))...)
		pause(t, transport)
		time.Sleep(3 * time.Second)
		code, err := sendGet(t, transport)
		assert.NoError(t, err)
		assert.Equal(t, 200, code)
		for range 30 {
			sendGets(t, transport, 1)
			time.Sleep(time.Second)
		}
		assert.Len(t, server.sendings(), 3+1+30)
		assert.Equal(t, steadyhttp.PauseIdle, onlyOrigin(t, transport).Pause)
	})
}

func TestPause_CallerWhoGivesUpLeavesAtOnce(t *testing.T) {
	t.Parallel()
	why := errors.New("the user went away")
	for name, c := range map[string]struct {
		giveUp  func(context.Context, *http.Request) (*http.Request, func())
		is      []error
		stopped steadyhttp.StopReason
	}{
		"by a cancel": {func(ctx context.Context, r *http.Request) (*http.Request, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return r.WithContext(ctx), func() { cancel(why) }
		}, []error{why, context.Canceled}, steadyhttp.StopCanceled},
		"by a deadline that was not announced": {func(ctx context.Context, r *http.Request) (*http.Request, func()) {
			quiet := unannouncedContext{ctx, make(chan struct{})}
			return r.WithContext(quiet), func() { close(quiet.done) }
		}, []error{context.DeadlineExceeded}, steadyhttp.StopDeadline},
		"by Request.Cancel": {func(ctx context.Context, r *http.Request) (*http.Request, func()) {
			done := make(chan struct{})
			r = r.WithContext(ctx)
			r.Cancel = done //lint:ignore SA1019 http.Client.Timeout still uses it
			return r, func() { close(done) }
		}, []error{context.Canceled}, steadyhttp.StopCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newGatedServer(waitsUntil(time.Second, 2))
				transport := newTransport(t, server, pauseOptions()...)
				pause(t, transport)
				ctx, report := steadyhttp.WithReport(t.Context())
				r, giveUp := c.giveUp(ctx, newGet(t))
				behind := make(chan error, 1)
				start := time.Now()
				time.AfterFunc(time.Second, giveUp)
				time.AfterFunc(time.Millisecond, func() { behind <- <-getPath(t, t.Context(), transport, "/") })
				response, err := transport.RoundTrip(r)
				assert.Nil(t, response)
				assert.Equal(t, time.Second, time.Since(start))
				for _, is := range c.is {
					assert.ErrorIs(t, err, is)
				}
				assert.NotErrorIs(t, err, steadyhttp.ErrPaused)
				assert.Equal(t, c.stopped, report.Stopped)
				assert.Equal(t, 1, onlyOrigin(t, transport).Waiting)
				assert.NoError(t, <-behind, "who was behind is not held up")
				assert.Len(t, server.sendings(), 4)
			})
		})
	}
}

// Its response came while others were held back, and is still there: an error would say less.
func TestPause_ThrottledCallThatCannotWaitIsReturnedItsResponse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waiters int
		limit   time.Duration
	}{
		"its deadline is too soon": {10, 1950 * time.Millisecond}, // its own wait ends 0.05 s before it, the pause 0.05 s after it
		"there is no room":         {0, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newGatedServer(func(r *http.Request) step {
					if r.URL.Path == "/slow" {
						return delay(400*time.Millisecond, status(429, "Retry-After", "1"))
					}
					return status(429, "Retry-After", "2")
				})
				transport := newTransport(t, server, steadyhttp.WithOriginPause(c.waiters), steadyhttp.WithMaxAttempts(2), steadyhttp.WithRetryBudget(0, 1))
				for _, then := range []time.Duration{150 * time.Millisecond, 100 * time.Millisecond, 50 * time.Millisecond} {
					getPath(t, steadyhttp.NoRetry(t.Context()), transport, "/")
					time.Sleep(then)
				}
				require.Equal(t, steadyhttp.PauseIdle, onlyOrigin(t, transport).Pause)
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				slow := newRequest(t, ctx, http.MethodPost, "payload")
				slow.URL.Path = "/slow"
				time.AfterFunc(time.Millisecond, func() { getPath(t, steadyhttp.NoRetry(t.Context()), transport, "/last") })
				response, err := transport.RoundTrip(slow)
				require.NoError(t, err)
				content, err := io.ReadAll(response.Body)
				assert.NoError(t, err)
				assert.Equal(t, "Too Many Requests", string(content), "the body is unread")
				assert.Equal(t, steadyhttp.StopPaused, checkResponse(t, response).Stopped)
				assert.Equal(t, 1.0, onlyOrigin(t, transport).Budget, "nothing was paid")
			})
		})
	}
}

func TestPause_BudgetDoesNotPayForWhatAPauseHoldsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(waitsUntil(6*time.Second, 2))
		transport := newTransport(t, server, steadyhttp.WithOriginPause(1000), steadyhttp.WithRetryBudget(0, 1))
		var group sync.WaitGroup
		succeeded := new(atomic.Int64)
		for range 200 {
			group.Go(func() {
				if code, err := sendGet(t, transport); err == nil && code == 200 {
					succeeded.Add(1)
				}
			})
			time.Sleep(20 * time.Millisecond)
		}
		group.Wait()
		assert.GreaterOrEqual(t, int(succeeded.Load()), 184, "all but those that were told before the pause began")
		assert.LessOrEqual(t, len(server.sendings()), 200+30)
	})
}

// Each probe that is told to wait again costs its call an attempt, so it is another call each time.
func TestPause_ProbeIsTheCallWithTheFewestAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(waitsUntil(13*time.Second, 2))
		transport := newTransport(t, server, steadyhttp.WithOriginPause(1000), steadyhttp.WithMaxAttempts(2), steadyhttp.WithoutRetryBudget())
		var early sync.WaitGroup
		for range 3 {
			early.Go(func() { sendGets(t, transport, 1) })
			time.Sleep(150 * time.Millisecond)
		}
		require.Equal(t, steadyhttp.PausePaused, onlyOrigin(t, transport).Pause)
		var calls []<-chan error
		for i := range 10 {
			calls = append(calls, getPath(t, t.Context(), transport, fmt.Sprintf("/%d", i)))
		}
		for _, call := range calls {
			assert.NoError(t, <-call)
		}
		early.Wait()
		var probes []string
		for _, s := range server.sendings() {
			if s.path != "/things" && s.at < 13*time.Second {
				probes = append(probes, s.path)
			}
		}
		slices.Sort(probes)
		assert.Equal(t, probes, slices.Compact(slices.Clone(probes)), "none is asked to probe twice while there are others")
		assert.NotEmpty(t, probes)
	})
}

func TestPause_ProbeWithoutAnOutcomeIsFollowedByAnotherAfterASecond(t *testing.T) {
	t.Parallel()
	for name, probe := range map[string]step{
		"hangs":     hang,
		"fails":     status(503),
		"is broken": fail(errReset),
		"panics":    stepFunc(func(*http.Request) (*http.Response, error) { panic("a test's") }),
		"exits":     stepFunc(func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil }),
		"says less": status(429),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newGatedServer(saysWait(2))
				transport := newTransport(t, server, pauseOptions(steadyhttp.WithoutBreaker())...)
				pause(t, transport)
				var probes atomic.Int64
				server.answer = func(*http.Request) step {
					if probes.Add(1) <= 2 {
						return probe
					}
					return status(200)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				var group sync.WaitGroup
				for range 5 {
					group.Go(func() {
						runInGoroutine(func() { callAndClose(transport, newRequest(t, ctx, http.MethodGet, "")) })
					})
				}
				group.Wait()
				sent := server.sendings()[3:]
				require.Len(t, sent, 5)
				assert.Equal(t, time.Second, sent[1].at-sent[0].at)
				assert.Equal(t, time.Second, sent[2].at-sent[1].at)
				assert.Less(t, sent[4].at-sent[2].at, 5*time.Second)
			})
		})
	}
}

// An origin that fails does not say "wait" any more: its failures are for the breaker and the budget.
func TestPause_OfAnOriginThatFailsAfterItHoldsNobodyBackForLong(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]step{"fails": status(503), "is broken": fail(errReset), "hangs": delay(3*time.Second, fail(os.ErrDeadlineExceeded))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newGatedServer(saysWait(2))
				transport := newTransport(t, server, pauseOptions(steadyhttp.WithoutBreaker())...)
				pause(t, transport)
				quiet := onlyOrigin(t, transport).PausedUntil.Add(2*2*time.Second + time.Second).Sub(server.begin)
				server.answer = func(*http.Request) step { return failure }
				var group sync.WaitGroup
				for range 300 {
					group.Go(func() {
						if _, err := sendGet(t, transport); err != nil {
							assert.NotErrorIs(t, err, steadyhttp.ErrPaused)
						}
					})
					time.Sleep(100 * time.Millisecond)
				}
				group.Wait()
				sent := server.sendings()[3:]
				require.Len(t, sent, 300)
				early := slices.IndexFunc(sent, func(s sending) bool { return s.at > quiet })
				assert.LessOrEqual(t, early, 6, "one a second, while the last \"wait\" may still hold")
				assert.Less(t, time.Since(server.begin), 45*time.Second)
				assert.Equal(t, steadyhttp.PauseIdle, onlyOrigin(t, transport).Pause)
			})
		})
	}
}

func TestPause_ProbeThatIsToldToWaitPausesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(waitsUntil(7*time.Second, 2))
		transport := newTransport(t, server, pauseOptions()...)
		pause(t, transport)
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { sendGets(t, transport, 1) })
		}
		group.Wait()
		sent := server.sendings()[3:]
		require.Len(t, sent, 20)
		for i, s := range sent {
			if s.at < 7*time.Second {
				assert.GreaterOrEqual(t, sent[i+1].at-s.at, 2*time.Second, "one at a time")
			}
		}
	})
}

// What a Classifier calls a 429 that says no time is no sign that the limit is over.
func TestPause_ProbeThatIsA429ReleasesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		server := newGatedServer(func(*http.Request) step {
			switch now := time.Since(begin); {
			case now < time.Second:
				return status(429, "Retry-After", "2")
			case now < 6*time.Second:
				return status(429)
			default:
				return status(200)
			}
		})
		notReady := func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
			if response.StatusCode == 429 && response.Header.Get("Retry-After") == "" {
				return steadyhttp.NotReady
			}
			return steadyhttp.Unclassified
		}
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithClassifier(notReady))...)
		pause(t, transport)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() { sendGets(t, transport, 1) })
		}
		group.Wait()
		for i, s := range server.sendings()[3:12] {
			if s.at < 6*time.Second {
				assert.GreaterOrEqual(t, server.sendings()[4+i].at-s.at, time.Second, "one probe at a time")
			}
		}
	})
}

// Whoever cannot make it any more learns so when the pause becomes longer.
func TestPause_LengthenedRefusesThoseWhoseDeadlineIsBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(2))
		transport := newTransport(t, server, pauseOptions()...)
		pause(t, transport)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start := time.Now()
		probe, waiting := getPath(t, ctx, transport, "/probe"), make(chan time.Duration, 1)
		synctest.Wait()
		go func() {
			err := <-getPath(t, ctx, transport, "/waiting")
			assert.ErrorIs(t, err, steadyhttp.ErrPaused)
			waiting <- time.Since(start)
		}()
		assert.NoError(t, <-probe)
		probed := time.Since(start)
		assert.Equal(t, probed, <-waiting)
		assert.Less(t, probed, 4*time.Second)
	})
}

// The answer to a call that was sent before the pause may say more.
func TestPause_LateResponseMayLengthenIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(func(r *http.Request) step {
			if r.URL.Path == "/late" {
				return delay(time.Second, status(429, "Retry-After", "30"))
			}
			return status(429, "Retry-After", "2")
		})
		transport := newTransport(t, server, pauseOptions()...)
		late := getPath(t, t.Context(), transport, "/late")
		synctest.Wait()
		pause(t, transport)
		before := onlyOrigin(t, transport).PausedUntil
		assert.NoError(t, <-late)
		after := onlyOrigin(t, transport).PausedUntil
		assert.True(t, after.After(before))
		assert.Equal(t, 30*time.Second, time.Until(after))
	})
}

func TestPause_LateSuccessDoesNotEndIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(func(r *http.Request) step {
			if r.URL.Path == "/late" {
				return delay(2500*time.Millisecond, status(200))
			}
			return status(429, "Retry-After", "1")
		})
		transport := newTransport(t, server, pauseOptions()...)
		late := getPath(t, t.Context(), transport, "/late")
		synctest.Wait()
		pause(t, transport)
		server.answer = func(*http.Request) step { return hang }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		probe := getPath(t, ctx, transport, "/probe")
		assert.NoError(t, <-late)
		assert.Equal(t, steadyhttp.PauseProbing, onlyOrigin(t, transport).Pause, "it was sent before")
		assert.Error(t, <-probe)
	})
}

func TestPause_OpenBreakerRejectsTheCallThatIsLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(func(*http.Request) step { return status(503, "Retry-After", "2") })
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithBreakerConsecutiveFailures(3, 0), steadyhttp.WithBreakerOpenFor(time.Hour))...)
		pause(t, transport)
		var calls []<-chan error
		for range 3 {
			calls = append(calls, getPath(t, t.Context(), transport, "/"))
		}
		start := time.Now()
		for _, call := range calls {
			assert.ErrorIs(t, <-call, steadyhttp.ErrCircuitOpen)
		}
		assert.GreaterOrEqual(t, time.Since(start), 4*time.Second, "one a second, and not all at once")
		assert.Len(t, server.sendings(), 3)
	})
}

func TestPause_WaitsNoLongerThanWithMaxRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(2))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithMaxRetryAfter(10*time.Second))...)
		pause(t, transport)
		start := time.Now()
		var group sync.WaitGroup
		var longest, refused atomic.Int64
		for range 50 {
			group.Go(func() {
				if _, err := sendGet(t, transport); err != nil {
					assert.ErrorIs(t, err, steadyhttp.ErrPaused)
					refused.Add(1)
				}
				longest.Store(max(longest.Load(), int64(time.Since(start))))
			})
		}
		group.Wait()
		assert.LessOrEqual(t, time.Duration(longest.Load()), 10*time.Second)
		assert.GreaterOrEqual(t, int(refused.Load()), 45)
	})
}

// A base may call another origin, for a token for example. That this one is paused says nothing against the caller's own.
func TestPause_OfAnotherOriginIsNoFailureOfTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := newTransport(t, newGatedServer(saysWait(30)), pauseOptions(steadyhttp.WithOriginPause(0))...)
		pause(t, tokens)
		base := baseFunc{func(r *http.Request) (*http.Response, error) {
			return tokens.RoundTrip(newRequest(t, r.Context(), http.MethodGet, ""))
		}}
		transport := newTransport(t, base)
		_, err := transport.RoundTrip(newGet(t))
		var paused *steadyhttp.PausedError
		assert.ErrorAs(t, err, &paused)
		assert.Zero(t, onlyBreaker(t, transport).Failures)
		assert.Equal(t, 5.0, onlyOrigin(t, transport).Budget, "nothing was retried")
	})
}

func TestPauseKey_OtherKeysGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := func(r *http.Request) step {
			if r.Header.Get("Authorization") == "hunter2" {
				return status(429, "Retry-After", "5")
			}
			return status(200)
		}
		var asked atomic.Int64
		server := newGatedServer(limited)
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithPauseKey(func(r *http.Request) string {
			asked.Add(1)
			return r.Header.Get("Authorization")
		}))...)
		send := func(token string) error {
			r := newGet(t)
			r.Header.Set("Authorization", token)
			response, err := transport.RoundTrip(r)
			if err == nil {
				require.NoError(t, response.Body.Close())
			}
			return err
		}
		require.NoError(t, send("another"))
		assert.Zero(t, asked.Load(), "nobody says wait")
		for range 3 {
			require.NoError(t, send("hunter2"))
			require.NoError(t, send("another"))
			time.Sleep(150 * time.Millisecond)
		}
		require.Equal(t, steadyhttp.PausePaused, onlyOrigin(t, transport).Pause, "successes of another key are no answer to this one")
		asked.Store(0)
		require.NoError(t, send("another"))
		assert.EqualValues(t, 1, asked.Load(), "once for the call")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := newRequest(t, ctx, http.MethodGet, "")
		r.Header.Set("Authorization", "hunter2")
		_, err := transport.RoundTrip(r)
		assert.ErrorIs(t, err, steadyhttp.ErrPaused)
		assert.NotContains(t, err.Error(), "hunter2")
		assert.NotContains(t, fmt.Sprint(transport.Origins()), "hunter2")
	})
}

func TestPauseKey_OfTwoOriginsIsNotOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(5))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithPauseKey(func(*http.Request) string { return "key" }))...)
		pause(t, transport)
		sendToHost(t, transport, "other.example.com")
		assert.Len(t, server.sendings(), 4)
	})
}

func TestPauseKey_KeysAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(60))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithOriginPause(0), steadyhttp.WithPauseKey(func(r *http.Request) string { return r.URL.Path }))...)
		for range 3 {
			for i := range 1500 {
				<-getPath(t, t.Context(), transport, fmt.Sprint("/", i))
			}
			time.Sleep(150 * time.Millisecond)
		}
		sent := len(server.sendings())
		for i := range 1500 {
			<-getPath(t, t.Context(), transport, fmt.Sprint("/", i))
		}
		assert.Equal(t, 1500-1024, len(server.sendings())-sent, "calls of the other keys are sent as without a pause")
	})
}

func TestPauseKey_PanicLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		panics := false
		server := newScript(status(429, "Retry-After", "2"))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithPauseKey(func(*http.Request) string {
			if panics {
				panic("a test's")
			}
			return ""
		}))...)
		pause(t, transport)
		panics = true
		content := newTrackedBody("payload")
		r := newPost(t)
		r.Body = content
		assert.Panics(t, func() { _, _ = transport.RoundTrip(r) })
		assert.Equal(t, 1, content.closes())
		assert.Zero(t, onlyOrigin(t, transport).Calls)
		time.Sleep(time.Minute)
		fresh := newTransport(t, server, pauseOptions(steadyhttp.WithPauseKey(func(*http.Request) string { panic("a test's") }))...)
		assert.Panics(t, func() { _, _ = fresh.RoundTrip(newGet(t)) })
		server.AssertClosed(t)
	})
}

func TestPause_OtherOriginsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(5))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithOriginPause(0))...)
		pause(t, transport)
		sendToHost(t, transport, "other.example.com")
		assert.Len(t, server.sendings(), 4)
	})
}

func TestPause_ChangesAreObservedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type callKey struct{}
		var events []string
		var mu sync.Mutex
		observe := func(ctx context.Context, e steadyhttp.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == steadyhttp.EventPause {
				events = append(events, fmt.Sprint(e.PauseFrom, " to ", e.PauseTo, " by ", ctx.Value(callKey{})))
				assert.Equal(t, targetOrigin, e.Origin)
				assert.Nil(t, e.Request)
				assert.Contains(t, fmt.Sprint(e.LogValue()), "from="+e.PauseFrom.String())
			}
			if e.Kind == steadyhttp.EventAttempt && e.StatusCode == 200 {
				events = append(events, fmt.Sprint("attempt held ", e.Held > time.Second))
			}
		}
		server := newGatedServer(waitsUntil(time.Second, 2))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithObserver(observe))...)
		as := func(name string) context.Context { return context.WithValue(t.Context(), callKey{}, name) }
		for _, name := range []string{"one", "two", "three"} {
			<-getPath(t, as(name), transport, "/")
			time.Sleep(150 * time.Millisecond)
		}
		assert.NoError(t, <-getPath(t, as("probe"), transport, "/"))
		time.Sleep(10 * time.Second)
		assert.NoError(t, <-getPath(t, as("later"), transport, "/"))
		assert.Equal(t, []string{
			"idle to paused by three", "paused to probing by probe", "probing to releasing by probe", "attempt held true",
			"releasing to idle by later", "attempt held false",
		}, events)
	})
}

func TestPause_HeldTimeIsInTheReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newGatedServer(waitsUntil(time.Second, 2)), pauseOptions()...)
		pause(t, transport)
		ctx, report := steadyhttp.WithReport(t.Context())
		start := time.Now()
		callAndClose(transport, newRequest(t, ctx, http.MethodGet, ""))
		require.Len(t, report.Attempts, 1)
		assert.Equal(t, time.Since(start), report.Attempts[0].Held)
		assert.Equal(t, time.Now(), report.Attempts[0].Start, "it begins when it is sent")
		assert.Contains(t, fmt.Sprint(report.LogValue()), "held=")
	})
}

func TestPause_ObserverThatBlocksOrPanicsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		observe := func(_ context.Context, e steadyhttp.Event) {
			if e.Kind == steadyhttp.EventPause && e.PauseTo == steadyhttp.PauseProbing {
				panic("a test's")
			}
		}
		server := newGatedServer(waitsUntil(time.Second, 2))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithObserver(observe))...)
		pause(t, transport)
		go func() { runInGoroutine(func() { sendGets(t, transport, 1) }) }()
		synctest.Wait()
		assert.NoError(t, <-getPath(t, t.Context(), transport, "/behind"))
	})
}

func TestPause_OriginIsNotForgottenMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(30))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithOriginLimit(2), steadyhttp.WithOriginPause(0))...)
		pause(t, transport)
		server.answer = func(*http.Request) step { return status(200) }
		for i := range 10 {
			sendToHost(t, transport, fmt.Sprint("host", i))
		}
		_, err := sendGet(t, transport)
		assert.ErrorIs(t, err, steadyhttp.ErrPaused)
		time.Sleep(5 * time.Minute)
		for i := range 10 {
			sendToHost(t, transport, fmt.Sprint("host", i))
		}
		for _, o := range transport.Origins() {
			assert.NotEqual(t, targetOrigin, o.Origin, "a pause that nobody asks about any more is forgotten")
		}
	})
}

func TestPause_OfAnOriginWithoutRoomIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(30))
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithOriginLimit(1), steadyhttp.WithOriginPause(0))...)
		pause(t, transport)
		for range 10 {
			sendToHost(t, transport, "other.example.com")
			time.Sleep(100 * time.Millisecond)
		}
		assert.Len(t, server.sendings(), 13)
	})
}

// Callers that all wait make no new calls to tell the pace from.
func TestPause_WorkersThatAllWaitGetThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(waitsUntil(12*time.Second, 3))
		transport := newTransport(t, server, steadyhttp.WithOriginPause(1000), steadyhttp.WithoutRetryBudget())
		start := time.Now()
		var group sync.WaitGroup
		var failed atomic.Int64
		for range 20 {
			group.Go(func() {
				for range 10 {
					if code, err := sendGet(t, transport); err != nil || code != 200 {
						failed.Add(1)
					}
				}
			})
		}
		group.Wait()
		assert.LessOrEqual(t, int(failed.Load()), 20)
		assert.Less(t, time.Since(start), 60*time.Second)
	})
}

func TestPause_PoliteClientNeedsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, &limiter{every: time.Second}, steadyhttp.WithOriginPause(1000))
		for range 100 {
			code, err := sendGet(t, transport)
			require.NoError(t, err)
			require.Equal(t, 200, code)
			require.Equal(t, steadyhttp.PauseIdle, onlyOrigin(t, transport).Pause)
		}
	})
}

func TestPause_ReservedPlaceIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(saysWait(2))
		transport := newTransport(t, server, steadyhttp.WithOriginPause(4), steadyhttp.WithoutRetryBudget())
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 3 {
			getPath(t, ctx, transport, fmt.Sprint("/", i))
			time.Sleep(150 * time.Millisecond)
		}
		require.Equal(t, steadyhttp.PausePaused, onlyOrigin(t, transport).Pause, "by the third, which takes a place")
		full := func() (n int) {
			quick, stop := context.WithCancel(t.Context())
			defer stop()
			for {
				call := getPath(t, quick, transport, "/")
				synctest.Wait()
				select {
				case err := <-call:
					assert.ErrorIs(t, err, steadyhttp.ErrPaused)
					stop()
					synctest.Wait()
					return n
				default:
					n++
				}
			}
		}
		assert.Equal(t, 3, full(), "one is kept for its retry")
		cancel()
		synctest.Wait()
		assert.Equal(t, 4, full())
	})
}

func TestPause_SuccessAllocatesNothing(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	response := &http.Response{StatusCode: 200, Body: http.NoBody}
	transport := newTransport(t, baseFunc{func(*http.Request) (*http.Response, error) { return response, nil }}, steadyhttp.WithOriginPause(1000))
	r := newGet(t)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }))
}

func TestPause_OptionsWithoutEffectAreRefused(t *testing.T) {
	t.Parallel()
	key := func(*http.Request) string { return "" }
	for want, options := range map[string][]steadyhttp.Option{
		"steadyhttp: WithOriginPause: -1 is invalid: want 0 or more":                                     {steadyhttp.WithOriginPause(-1)},
		"steadyhttp: WithPauseKey: nil is invalid: want a function":                                      {steadyhttp.WithOriginPause(1), steadyhttp.WithPauseKey(nil)},
		"steadyhttp: WithPauseKey has no effect without WithOriginPause":                                 {steadyhttp.WithPauseKey(key)},
		"steadyhttp: WithOriginPause has no effect with WithMaxRetryAfter(0), which waits for no server": {steadyhttp.WithMaxRetryAfter(0), steadyhttp.WithOriginPause(1)},
	} {
		_, err := steadyhttp.NewClient(options...)
		assert.EqualError(t, err, want)
	}
	_, err := steadyhttp.NewClient(steadyhttp.WithPauseKey(key), steadyhttp.WithOriginPause(0))
	assert.NoError(t, err, "in any order")
}

func TestPause_StatesHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for state := steadyhttp.PauseIdle; state <= steadyhttp.PauseReleasing+1; state++ {
		names = append(names, state.String())
	}
	assert.Equal(t, []string{"idle", "paused", "probing", "releasing", "4"}, names)
	text, err := steadyhttp.PauseProbing.MarshalText()
	assert.NoError(t, err)
	assert.Equal(t, "probing", string(text))
}

func TestOrigins_ShowsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newGatedServer(func(r *http.Request) step {
			if r.URL.Path == "/slow" {
				return delay(time.Minute, status(200))
			}
			return status(429, "Retry-After", "2")
		})
		transport := newTransport(t, server, pauseOptions()...)
		assert.Empty(t, transport.Origins())
		slow := getPath(t, t.Context(), transport, "/slow")
		synctest.Wait()
		pause(t, transport)
		waiting := getPath(t, t.Context(), transport, "/waiting")
		sendToHost(t, transport, "a.example.com")
		synctest.Wait()

		origins := transport.Origins()
		require.Len(t, origins, 2)
		assert.Equal(t, "https://a.example.com:443", origins[0].Origin, "sorted by name")
		assert.Zero(t, origins[0].Calls)
		o := origins[1]
		assert.Equal(t, targetOrigin, o.Origin)
		assert.Equal(t, 2, o.Calls)
		assert.Equal(t, transport.Breakers()[1], o.Breaker)
		assert.Equal(t, 5.0, o.Budget)
		assert.Equal(t, steadyhttp.PausePaused, o.Pause)
		assert.Equal(t, 1, o.Waiting)
		assert.GreaterOrEqual(t, time.Until(o.PausedUntil), 2*time.Second)
		assert.LessOrEqual(t, time.Until(o.PausedUntil), 3*time.Second)
		assert.NoError(t, <-waiting)
		assert.True(t, onlyNamed(t, transport, targetOrigin).PausedUntil.After(o.PausedUntil), "it was told again")
		assert.NoError(t, <-slow)
	})
}

func onlyNamed(t *testing.T, transport *steadyhttp.Transport, origin string) steadyhttp.OriginStatus {
	t.Helper()
	at := slices.IndexFunc(transport.Origins(), func(o steadyhttp.OriginStatus) bool { return o.Origin == origin })
	require.GreaterOrEqual(t, at, 0)
	return transport.Origins()[at]
}

func TestOrigins_OfWhatIsOff(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)), steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget())
	sendGets(t, transport, 1)
	assert.Equal(t, steadyhttp.OriginStatus{Origin: targetOrigin, Budget: -1}, onlyOrigin(t, transport))
	assert.Empty(t, new(steadyhttp.Transport).Origins())
}

func TestOrigins_BudgetIsWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(503), status(503), status(200)), steadyhttp.WithRetryBudget(0.5, 10), steadyhttp.WithBackoff(1, 1))
		sendGets(t, transport, 1)
		assert.InDelta(t, 8.5, onlyOrigin(t, transport).Budget, 1e-6)
		time.Sleep(10 * time.Second)
		assert.InDelta(t, 9.5, onlyOrigin(t, transport).Budget, 1e-6)
	})
}

// Of several keys, what holds calls back most.
func TestOrigins_PauseIsTheStrictestOfItsKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := map[string]time.Duration{"/a": time.Second, "/b": time.Hour}
		server := newGatedServer(func(r *http.Request) step {
			if until := limited[r.URL.Path]; time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) < until {
				return status(429, "Retry-After", "2")
			}
			return status(200)
		})
		transport := newTransport(t, server, pauseOptions(steadyhttp.WithPauseKey(func(r *http.Request) string { return r.URL.Path }))...)
		for range 3 {
			<-getPath(t, t.Context(), transport, "/a")
			<-getPath(t, t.Context(), transport, "/b")
			time.Sleep(150 * time.Millisecond)
		}
		assert.Equal(t, steadyhttp.PausePaused, onlyOrigin(t, transport).Pause)
		time.Sleep(3 * time.Second)
		assert.NoError(t, <-getPath(t, t.Context(), transport, "/a"))
		assert.Equal(t, steadyhttp.PausePaused, onlyOrigin(t, transport).Pause, "/a is releasing, /b still paused")
	})
}
