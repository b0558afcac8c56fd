package steadyhttp_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
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

// misbehaviours are what an observer does that ought to observe only.
var misbehaviours = map[string]func(*steadyhttp.Transport){
	"panics":            func(*steadyhttp.Transport) { panic("observer") },
	"exits":             func(*steadyhttp.Transport) { runtime.Goexit() },
	"blocks":            func(*steadyhttp.Transport) { time.Sleep(time.Second) },
	"looks at breakers": func(transport *steadyhttp.Transport) { transport.Breakers() },
	"calls the client": func(transport *steadyhttp.Transport) {
		request, _ := http.NewRequestWithContext(context.WithValue(context.Background(), fromObserver{}, true), http.MethodGet, targetURL, nil)
		if response, err := transport.RoundTrip(request); err == nil {
			_ = response.Body.Close()
		}
	},
}

type fromObserver struct{}

// An outageRun is an outage of 5 s with a client that calls ten times a second, before, during and after.
type outageRun struct {
	server   *steadyhttptest.Transport
	requests []*trackedBody // of the calls
	mu       sync.Mutex
	changes  map[string][]steadyhttp.Event
	last     int // calls that succeeded in the scene's last 5 s
	sent     int // during the outage
}

// runOutage lets the observer misbehave at every event of a kind, except at those of its own calls.
func runOutage(t *testing.T, kind steadyhttp.EventKind, misbehave func(*steadyhttp.Transport)) *outageRun {
	s := &outageRun{changes: make(map[string][]steadyhttp.Event)}
	start := time.Now()
	s.server = newScript(stepFunc(func(r *http.Request) (*http.Response, error) {
		if at := time.Since(start); at < 5*time.Second || at > 10*time.Second {
			return status(200).RoundTrip(r)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent++
		return status(503).RoundTrip(r)
	}))
	var transport *steadyhttp.Transport
	transport = newTransport(t, s.server, steadyhttp.WithAttemptTimeout(200*time.Millisecond), steadyhttp.WithBreakerConsecutiveFailures(5, time.Second), steadyhttp.WithObserver(func(ctx context.Context, e steadyhttp.Event) {
		s.note(e)
		if e.Kind == kind && ctx.Value(fromObserver{}) == nil {
			misbehave(transport)
		}
	}))
	var calls sync.WaitGroup
	for range 200 {
		calls.Go(func() { s.call(t, transport, start) })
		time.Sleep(100 * time.Millisecond)
	}
	calls.Wait()
	return s
}

func (s *outageRun) note(e steadyhttp.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Kind == steadyhttp.EventBreaker {
		s.changes[e.Origin] = append(s.changes[e.Origin], e)
	}
}

func (s *outageRun) call(t *testing.T, transport *steadyhttp.Transport, start time.Time) {
	defer func() { _ = recover() }()
	content := newTrackedBody("payload")
	r := newRequest(t, t.Context(), http.MethodPut, "")
	r.Body, r.ContentLength = content, 7
	r.GetBody = nil // so that there is one body, and the breaker still sees every failure
	s.mu.Lock()
	s.requests = append(s.requests, content)
	s.mu.Unlock()
	late := time.Since(start) >= 15*time.Second
	response, err := transport.RoundTrip(r)
	if err != nil {
		return
	}
	_ = response.Body.Close()
	if late && response.StatusCode == 200 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last++
	}
}

func TestObserver_ThatMisbehavesBreaksNoInvariant(t *testing.T) {
	t.Parallel()
	for name, misbehave := range misbehaviours {
		for _, kind := range []steadyhttp.EventKind{steadyhttp.EventAttempt, steadyhttp.EventEnd, steadyhttp.EventBreaker} {
			t.Run(kind.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := runOutage(t, kind, misbehave)
					assertClosedOnce(t, s.server, nil)
					for _, content := range s.requests {
						require.Equal(t, 1, content.closes())
					}
					state := steadyhttp.BreakerClosed
					for _, change := range s.changes[targetOrigin] {
						require.Equal(t, state, change.From, "changes come in order")
						state = change.To
					}
					assert.Equal(t, steadyhttp.BreakerClosed, state)
					assert.NotEmpty(t, s.changes[targetOrigin])
					assert.Less(t, s.sent, 50, "the breaker holds")
					if kind == steadyhttp.EventBreaker || !slices.Contains([]string{"panics", "exits"}, name) { // each call's own end
						assert.Equal(t, 50, s.last, "and lets go")
					}
				})
			})
		}
	}
}

// The retries have an outage of their own, where bodies can be replayed.
func TestObserver_ThatMisbehavesOnRetriesBreaksNoInvariant(t *testing.T) {
	t.Parallel()
	for name, misbehave := range misbehaviours {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503), status(503), status(200))
				var transport *steadyhttp.Transport
				calls := 0
				transport = newTransport(t, server, withConstantBackoff(3*time.Second), steadyhttp.WithObserver(func(ctx context.Context, e steadyhttp.Event) {
					if e.Kind == steadyhttp.EventRetry && ctx.Value(fromObserver{}) == nil {
						misbehave(transport)
					}
				}))
				r, bodies := newReplayedRequest(t)
				var done sync.WaitGroup
				done.Go(func() {
					defer func() { _ = recover() }()
					response, err := transport.RoundTrip(r)
					if assert.NoError(t, err) {
						calls++
						assert.Equal(t, 200, response.StatusCode)
						assert.NoError(t, response.Body.Close())
					}
				})
				done.Wait()
				assertClosedOnce(t, server, nil)
				for _, content := range *bodies {
					assert.Equal(t, 1, content.closes())
				}
				if name == "blocks" {
					assert.Equal(t, []time.Duration{4 * time.Second, 4 * time.Second}, server.Waits(), "the wait is not shortened")
				}
				if name != "panics" && name != "exits" {
					assert.Equal(t, 1, calls)
				}
				assert.Zero(t, onlyBreaker(t, transport).RetryAt)
			})
		})
	}
}

// newReplayedRequest is a request of which every body is kept.
func newReplayedRequest(t *testing.T) (*http.Request, *[]*trackedBody) {
	t.Helper()
	var bodies []*trackedBody
	next := func() *trackedBody {
		bodies = append(bodies, newTrackedBody("payload"))
		return bodies[len(bodies)-1]
	}
	r := newRequest(t, t.Context(), http.MethodPut, "")
	r.Body, r.ContentLength = next(), 7
	r.GetBody = func() (io.ReadCloser, error) { return next(), nil }
	return r, &bodies
}

func TestObserver_ThatBlocksDelaysNoOtherCall(t *testing.T) {
	t.Parallel()
	for _, kind := range []steadyhttp.EventKind{steadyhttp.EventAttempt, steadyhttp.EventRetry, steadyhttp.EventEnd, steadyhttp.EventBreaker} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var stuck atomic.Bool
				transport := newTransport(t, newScript(status(503)), steadyhttp.WithMaxAttempts(2), withConstantBackoff(time.Second),
					steadyhttp.WithBreakerConsecutiveFailures(2, 0), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
						if e.Kind == kind && stuck.CompareAndSwap(false, true) {
							<-release
						}
					}))
				var first sync.WaitGroup
				first.Go(func() { sendGets(t, transport, 1) })
				time.Sleep(time.Minute)
				synctest.Wait()
				require.True(t, stuck.Load())
				start := time.Now()
				assert.Len(t, transport.Breakers(), 1)
				_, _ = sendGet(t, transport)
				transport.CloseIdleConnections()
				assert.LessOrEqual(t, time.Since(start), time.Second, "its own wait")
				close(release)
				first.Wait()
			})
		})
	}
}

func TestObserver_ThatBlocksDoesNotDelayTheDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind steadyhttp.EventKind
		err  bool // once it is decided to wait, the response is gone
	}{{steadyhttp.EventAttempt, false}, {steadyhttp.EventRetry, true}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
			defer cancel()
			start := time.Now()
			server := newScript(status(503))
			response, err := newTransport(t, server, withConstantBackoff(100*time.Millisecond), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
				if e.Kind == c.kind {
					time.Sleep(time.Second)
				}
			})).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			assert.Equal(t, time.Second, time.Since(start))
			assert.Equal(t, 1, len(server.Attempts()))
			assertClosedOnce(t, server, response)
			if c.err {
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.ErrorContains(t, err, "last status 503")
			} else {
				require.NoError(t, err)
				assert.Equal(t, 503, response.StatusCode)
			}
		})
	}
}

func TestObserver_TimeIsNotTheAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var took []string
		_, err := newTransport(t, newScript(delay(time.Millisecond, status(503)), delay(2*time.Millisecond, status(200))), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			time.Sleep(time.Second)
			if e.Kind == steadyhttp.EventAttempt {
				took = append(took, e.Duration.String())
			}
		})).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, "1ms 2ms", strings.Join(took, " "))
	})
}
