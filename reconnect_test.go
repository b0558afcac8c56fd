package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// runEachTLSProtocol runs a test in a bubble, over HTTP/1 and over HTTP/2.
func runEachTLSProtocol(t *testing.T, run func(t *testing.T, protocol string)) {
	t.Helper()
	runProtocols(t, synctest.Test, run)
}

// runEachTLSProtocolWithBodies is for handlers that write headers or bodies.
func runEachTLSProtocolWithBodies(t *testing.T, run func(t *testing.T, protocol string)) {
	t.Helper()
	runProtocols(t, func(t *testing.T, test func(*testing.T)) {
		skipWithoutHTTP2BodiesInBubbles(t)
		synctest.Test(t, test)
	}, run)
}

// runProtocols runs what speaks HTTP/2 in a bubble of the given kind.
func runProtocols(t *testing.T, http2Bubble func(*testing.T, func(*testing.T)), run func(t *testing.T, protocol string)) {
	t.Helper()
	testCertificate() // outside of the bubble
	for protocol, bubble := range map[string]func(*testing.T, func(*testing.T)){"HTTP/1.1": synctest.Test, "HTTP/2.0": http2Bubble} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) { run(t, protocol) })
		})
	}
}

// A hiddenBase hides net/http's transport but for the usual methods.
type hiddenBase struct {
	transport *http.Transport
	closes    *atomic.Int64 // of idle connections
}

func (b hiddenBase) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.transport.RoundTrip(r)
}

func (b hiddenBase) CloseIdleConnections() {
	b.closes.Add(1)
	b.transport.CloseIdleConnections()
}

// A callServer notes how often each call reaches it.
type callServer struct {
	mu    sync.Mutex
	calls map[string]int // by their header Call
	close bool           // whether any request asked to close its connection
}

// handle holds requests for /warm for a moment, so that they need connections of their own, and for /slow for ever.
func (s *callServer) handle(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[r.Header.Get("Call")]++
	s.close = s.close || r.Close || r.Header.Get("Connection") != ""
	s.mu.Unlock()
	switch r.URL.Path {
	case "/warm":
		time.Sleep(10 * time.Millisecond)
	case "/slow":
		<-r.Context().Done()
	}
}

// A load is calls at a rate.
type load struct {
	method, path string
	every        time.Duration
	duration     time.Duration
	first        bool // whether it ends with the first success
}

// A loadResult is what came of a load.
type loadResult struct {
	calls, succeeded, failed atomic.Int64
	took                     atomic.Int64 // until the first success, in nanoseconds; 0: none
}

func (l load) run(t *testing.T, transport http.RoundTripper) *loadResult {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := &loadResult{}
	start := time.Now()
	var calls sync.WaitGroup
	for time.Since(start) < l.duration && !(l.first && result.took.Load() > 0) {
		number := result.calls.Add(1)
		calls.Go(func() {
			content := ""
			if l.method == http.MethodPut || l.method == http.MethodPost {
				content = "content"
			}
			r := newWireRequest(t, l.method, "https://example.com"+l.path, content).WithContext(ctx)
			r.Header.Set("Call", fmt.Sprint(l.path, number))
			response, err := transport.RoundTrip(r)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			if err != nil || response.StatusCode != http.StatusOK {
				result.failed.Add(1)
				return
			}
			result.succeeded.Add(1)
			result.took.CompareAndSwap(0, int64(time.Since(start))+1)
		})
		time.Sleep(l.every)
	}
	if l.first {
		cancel()
	}
	calls.Wait()
	return result
}

var twoSeconds = steadyhttp.WithAttemptTimeout(2 * time.Second)

func TestReconnect_DeadConnectionsAreLeftInTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options []steadyhttp.Option
		within  time.Duration
	}{
		{"attempts of 2 s", []steadyhttp.Option{twoSeconds}, 5 * time.Second},
		{"attempts of 2 s, no breaker", []steadyhttp.Option{twoSeconds, steadyhttp.WithoutBreaker()}, 5 * time.Second},
		{"defaults", nil, 50 * time.Second},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost} {
			for _, every := range []time.Duration{1010 * time.Millisecond, 50 * time.Millisecond} {
				t.Run(fmt.Sprint(c.name, ", ", method, " every ", every), func(t *testing.T) {
					t.Parallel()
					runEachTLSProtocol(t, func(t *testing.T, protocol string) {
						server := &callServer{}
						n := newPipeNetwork(t, protocol, server.handle)
						base := n.base(t)
						if c.options == nil {
							base.ResponseHeaderTimeout = 30 * time.Second // as the built-in transport has it
						}
						transport := newTransport(t, hiddenBase{base, new(atomic.Int64)}, c.options...)
						n.warm(t, transport, 6)
						n.swallow()
						result := load{method: method, every: every, duration: 3 * time.Minute, first: true}.run(t, transport)
						took := time.Duration(result.took.Load())
						t.Log("the first success came after", took, "and", result.failed.Load(), "failures")
						assert.NotZero(t, took)
						assert.LessOrEqual(t, took, c.within)
						assert.False(t, server.close, "the server sees nothing of it")
						for call, times := range server.calls {
							assert.True(t, times == 1 || call == "", "%s came %d times", call, times)
						}
					})
				})
			}
		}
	}
}

// A deadline of less than a second says nothing against a server, but several of them do against a connection.
func TestReconnect_CallersInAHurryLeaveADeadConnection(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{300 * time.Millisecond, 900 * time.Millisecond} {
		for _, every := range []time.Duration{1010 * time.Millisecond, 50 * time.Millisecond} {
			t.Run(fmt.Sprint(limit, " every ", every), func(t *testing.T) {
				t.Parallel()
				testCertificate()
				synctest.Test(t, func(t *testing.T) {
					n := newPipeNetwork(t, "HTTP/2.0", (&callServer{}).handle)
					transport := newTransport(t, n.base(t), steadyhttp.WithTimeout(limit))
					n.warm(t, transport, 6)
					n.swallow()
					result := load{path: "/", every: every, duration: time.Minute, first: true}.run(t, transport)
					assert.NotZero(t, result.took.Load())
					assert.LessOrEqual(t, time.Duration(result.took.Load()), 5*time.Second)
				})
			})
		}
	}
}

func TestReconnect_CallersInAHurryLeaveNoConnectionThatWorks(t *testing.T) {
	t.Parallel()
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		n := newPipeNetwork(t, "HTTP/2.0", (&callServer{}).handle)
		transport := newTransport(t, n.base(t), steadyhttp.WithTimeout(300*time.Millisecond))
		n.warm(t, transport, 1)
		before := n.dials.Load()
		for range 100 {
			load{path: "/slow", every: time.Second, duration: time.Second}.run(t, transport)
			load{path: "/", every: time.Second, duration: time.Second}.run(t, transport)
		}
		assert.Equal(t, before, n.dials.Load())
	})
}

// Six dead idle connections are no reason to fail: before, 4 attempts went over 4 of them.
func TestReconnect_OneCallIsEnoughToGetPastDeadIdleConnections(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		n := newPipeNetwork(t, protocol, (&callServer{}).handle)
		transport := newTransport(t, n.base(t), twoSeconds)
		n.warm(t, transport, 14)
		n.swallow()
		got := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://example.com/", ""))
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
	})
}

// Where nothing can be written any more, close_notify cannot either.
func TestReconnect_DeadConnectionThatTakesNothingIsClosedAtOnce(t *testing.T) {
	t.Parallel()
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		n := newPipeNetwork(t, "HTTP/1.1", (&callServer{}).handle)
		base := n.base(t)
		var full atomic.Bool
		base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := n.dial(ctx, network, address)
			if err != nil || full.Load() {
				return conn, err
			}
			stuck, _ := net.Pipe()
			return &fullConn{conn, stuck, &full}, nil
		}
		transport := newTransport(t, base, twoSeconds)
		n.warm(t, transport, 6)
		full.Store(true)
		start := time.Now()
		got := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://example.com/", ""))
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		assert.Less(t, time.Since(start), 5*time.Second, "which is how long tls.Conn.Close waits for one")
	})
}

// A fullConn takes nothing to be written once it is full.
type fullConn struct {
	net.Conn
	stuck net.Conn // which nobody reads
	full  *atomic.Bool
}

func (c *fullConn) Write(p []byte) (int, error) {
	if c.full.Load() {
		return c.stuck.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *fullConn) SetWriteDeadline(t time.Time) error {
	return errors.Join(c.Conn.SetWriteDeadline(t), c.stuck.SetWriteDeadline(t))
}

func (c *fullConn) Close() error { return errors.Join(c.stuck.Close(), c.Conn.Close()) }

func TestReconnect_SeveralConnectionsOfHTTP2AreLeft(t *testing.T) {
	t.Parallel()
	testCertificate()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newPipeNetwork(t, "HTTP/2.0", (&callServer{}).handle, func(s *http.Server) {
					s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2}
				})
				transport := newTransport(t, n.base(t), twoSeconds, steadyhttp.WithoutBreaker(), steadyhttp.WithMaxAttempts(1))
				var warming sync.WaitGroup
				for range 6 { // one after the other, so that each connection is used
					warming.Go(func() { n.warm(t, transport, 1) })
					time.Sleep(time.Millisecond)
				}
				warming.Wait()
				require.EqualValues(t, 3, n.dials.Load())
				n.swallow()
				got := sendWire(t, transport, newWireRequest(t, method, "https://example.com/", "content"))
				require.Error(t, got.err)
				got = sendWire(t, transport, newWireRequest(t, method, "https://example.com/", "content"))
				got.assertResponse(t, http.StatusOK, "")
				assert.LessOrEqual(t, n.dials.Load(), int64(5), "one handshake, or two if the first connection was marked before it was used")
			})
		})
	}
}

// Over HTTP/1 each attempt gets one dead connection out of the way, with or without hooks.
func TestReconnect_BaseWithoutHooksLeavesADeadConnectionOfHTTP2(t *testing.T) {
	t.Parallel()
	runDeadHTTP2(t, func(t *testing.T, n *pipeNetwork) http.RoundTripper {
		base := n.base(t)
		return baseFunc{roundTrip: func(r *http.Request) (*http.Response, error) {
			return base.RoundTrip(r.WithContext(withoutTrace{r.Context()}))
		}}
	})
}

func TestReconnect_BaseThatDialsForEachRequestWithClose(t *testing.T) {
	t.Parallel()
	runDeadHTTP2(t, closeDialing)
}

// runDeadHTTP2 checks that the first success comes in time after the connection died.
func runDeadHTTP2(t *testing.T, newBase func(*testing.T, *pipeNetwork) http.RoundTripper) {
	t.Helper()
	testCertificate()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, every := range []time.Duration{1010 * time.Millisecond, 50 * time.Millisecond} {
			t.Run(fmt.Sprint(method, " every ", every), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					server := &callServer{}
					n := newPipeNetwork(t, "HTTP/2.0", server.handle)
					transport := newTransport(t, newBase(t, n), twoSeconds)
					n.warm(t, transport, 1)
					n.warm(t, transport, 6)
					n.swallow()
					before := n.dials.Load()
					result := load{method: method, path: "/", every: every, duration: time.Minute}.run(t, transport)
					took := time.Duration(result.took.Load())
					t.Log("the first success came after", took, "-", result.succeeded.Load(), "of", result.calls.Load(), "over", n.dials.Load()-before, "connections")
					assert.NotZero(t, took)
					assert.LessOrEqual(t, took, 5*time.Second)
					assert.False(t, server.close, "the server sees nothing of it")
				})
			})
		}
	}
}

// closeDialing returns a base that dials for each request with Close, as that of golang.org/x/net/http2 does.
func closeDialing(t *testing.T, n *pipeNetwork) http.RoundTripper {
	t.Helper()
	return closeDialingBase{hiddenBase{n.base(t), new(atomic.Int64)}, func() *http.Transport { return n.base(t) }}
}

type closeDialingBase struct {
	hiddenBase
	newBase func() *http.Transport
}

func (b closeDialingBase) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Close || r.Header.Get("Connection") == "close" {
		return b.newBase().RoundTrip(r)
	}
	return b.hiddenBase.RoundTrip(r)
}

func TestReconnect_SlowServerPaysOneHandshakeAnOpenTimeForEachRequestWithClose(t *testing.T) {
	t.Parallel()
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		n := newPipeNetwork(t, "HTTP/2.0", (&callServer{}).handle)
		var opened atomic.Int64
		transport := newTransport(t, closeDialing(t, n), twoSeconds, openings(&opened))
		n.warm(t, transport, 10)
		before := n.dials.Load()
		load{path: "/slow", every: 100 * time.Millisecond, duration: time.Minute}.run(t, transport)
		dials := n.dials.Load() - before
		t.Log(dials, "dials, opened", opened.Load(), "times")
		assert.LessOrEqual(t, dials, opened.Load()+3, "three show what the base does")
	})
}

// What is refused a connection must be sent once more, so a body that cannot be is not refused one.
func TestReconnect_BodyThatCannotBeReplayedIsNotCutOff(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			runEachTLSProtocol(t, func(t *testing.T, protocol string) {
				n := newPipeNetwork(t, protocol, (&callServer{}).handle)
				transport := newTransport(t, n.base(t), twoSeconds)
				n.warm(t, transport, 6)
				n.swallow()
				for failures := 0; ; failures++ {
					require.Less(t, failures, 10)
					r := newWireRequest(t, method, "https://example.com/", "content")
					r.GetBody = nil
					got := sendWire(t, transport, r)
					if got.err == nil {
						break
					}
					for _, a := range got.Attempts {
						assert.ErrorIs(t, a.Err, steadyhttp.ErrAttemptTimeout)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestReconnect_AttemptTimeoutHoldsWhileConnectionsAreLeft(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		n := newPipeNetwork(t, protocol, (&callServer{}).handle)
		base := n.base(t)
		transport := newTransport(t, base, twoSeconds, steadyhttp.WithMaxAttempts(2))
		n.warm(t, transport, 6)
		n.swallow()
		base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		got := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://example.com/", ""))
		require.Len(t, got.Attempts, 2)
		for _, a := range got.Attempts {
			assert.Equal(t, 2*time.Second, a.Duration)
			assert.ErrorIs(t, a.Err, steadyhttp.ErrAttemptTimeout)
		}
	})
}

// openings counts how often a breaker opens.
func openings(count *atomic.Int64) steadyhttp.Option {
	return steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
		if e.Kind == steadyhttp.EventBreaker && e.To == steadyhttp.BreakerOpen {
			count.Add(1)
		}
	})
}

// Over HTTP/1 net/http itself closes a connection whose request timed out, so a dial for each is its own.
func TestReconnect_SlowServerPaysOneHandshakeAnOpenTime(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		n := newPipeNetwork(t, protocol, (&callServer{}).handle)
		var opened atomic.Int64
		transport := newTransport(t, n.base(t), twoSeconds, openings(&opened))
		n.warm(t, transport, 10)
		before, requests := n.dials.Load(), n.requests.Load()
		load{path: "/slow", every: 100 * time.Millisecond, duration: time.Minute}.run(t, transport)
		dials := n.dials.Load() - before
		t.Log(dials, "dials,", n.requests.Load()-requests, "requests, opened", opened.Load(), "times")
		if protocol == "HTTP/1.1" {
			dials -= n.requests.Load() - requests
		}
		assert.Greater(t, opened.Load(), int64(10))
		assert.LessOrEqual(t, dials, opened.Load())
	})
}

func TestReconnect_SlowPathOfAQuickServerPaysNothing(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		n := newPipeNetwork(t, protocol, (&callServer{}).handle)
		base := hiddenBase{n.base(t), new(atomic.Int64)}
		transport := newTransport(t, base, twoSeconds)
		n.warm(t, transport, 20)
		before := n.dials.Load()
		var timedOut int64
		var both sync.WaitGroup
		both.Go(func() { load{path: "/", every: 50 * time.Millisecond, duration: time.Minute}.run(t, transport) })
		both.Go(func() {
			for start := time.Now(); time.Since(start) < 50*time.Second; {
				got := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://example.com/slow", ""))
				timedOut += int64(len(got.Attempts))
			}
		})
		both.Wait()
		dials := n.dials.Load() - before
		t.Log(dials, "dials,", timedOut, "attempts timed out")
		if protocol == "HTTP/2.0" {
			assert.Zero(t, dials)
		}
		assert.LessOrEqual(t, dials, timedOut)
		assert.Zero(t, base.closes.Load(), "of idle connections")
	})
}

func TestReconnect_FlakyServerPaysFewHandshakes(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		var failures atomic.Int64
		n := newPipeNetwork(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
			if rand.N(10) == 0 {
				failures.Add(1)
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		transport := newTransport(t, n.base(t))
		for _, every := range []time.Duration{time.Second, 50 * time.Millisecond, 5 * time.Millisecond} {
			before := n.dials.Load()
			failures.Store(0)
			load{path: "/", every: every, duration: 1000 * every}.run(t, transport)
			dials := n.dials.Load() - before
			t.Log("a call every", every, "-", failures.Load(), "failures,", dials, "handshakes")
			assert.LessOrEqual(t, dials, failures.Load()/4+1)
		}
	})
}

func TestReconnect_OutageBringsTwoMoreConnectionsAtMost(t *testing.T) {
	t.Parallel()
	for _, options := range [][]steadyhttp.Option{nil, {steadyhttp.WithoutBreaker()}, {steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget()}} {
		t.Run(fmt.Sprint(len(options), " protections off"), func(t *testing.T) {
			t.Parallel()
			runEachTLSProtocol(t, func(t *testing.T, protocol string) {
				var out atomic.Bool
				n := newPipeNetwork(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
					if out.Load() {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				})
				transport := newTransport(t, n.base(t), options...)
				load{path: "/", every: 50 * time.Millisecond, duration: 5 * time.Second}.run(t, transport)
				out.Store(true)
				before := n.dials.Load()
				load{path: "/", every: 100 * time.Millisecond, duration: 20 * time.Second}.run(t, transport)
				assert.LessOrEqual(t, n.dials.Load()-before, int64(2))
			})
		})
	}
}

// twoBackends returns a base whose dials lead to two servers by turns, of which one is sick.
func twoBackends(t *testing.T, protocol string, sickFirst bool) http.RoundTripper {
	t.Helper()
	good := newPipeNetwork(t, protocol, func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) })
	bad := newPipeNetwork(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Millisecond)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	var dials atomic.Int64
	base := good.base(t)
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1)%2 == 0 == sickFirst {
			return good.dial(ctx, network, address)
		}
		return bad.dial(ctx, network, address)
	}
	return base
}

func TestReconnect_TwoBackendsOfWhichOneIsSick(t *testing.T) {
	t.Parallel()
	for _, sickFirst := range []bool{true, false} {
		for _, parallel := range []int{1, 10} {
			t.Run(fmt.Sprint("sick first ", sickFirst, ", ", parallel, " at a time"), func(t *testing.T) {
				t.Parallel()
				runEachTLSProtocol(t, func(t *testing.T, protocol string) {
					transport := newTransport(t, twoBackends(t, protocol, sickFirst))
					var calls, succeeded atomic.Int64
					var callers sync.WaitGroup
					for range parallel {
						callers.Go(func() {
							for range 200 {
								calls.Add(1)
								if code, err := sendGet(t, transport); err == nil && code == http.StatusOK {
									succeeded.Add(1)
								}
								time.Sleep(100 * time.Millisecond)
							}
						})
					}
					callers.Wait()
					t.Log(succeeded.Load(), "of", calls.Load())
					if protocol == "HTTP/1.1" || parallel == 1 { // else the second dial may lead to the sick one as well
						assert.GreaterOrEqual(t, float64(succeeded.Load()), 0.95*float64(calls.Load()))
					}
				})
			})
		}
	}
}

// A client that retries nothing learns of it too, and also where its first attempts are not traced: over HTTP/1 in the clear.
// Before, all its calls went to the sick backend, and all probes of the breaker.
func TestReconnect_BackendThatBecomesSickIsLeftByCallsThatAreNotRetried(t *testing.T) {
	t.Parallel()
	testCertificate()
	for scheme, protocol := range map[string]string{"https": "HTTP/1.1", "http": "HTTP/1.1 in the clear"} {
		for name, option := range map[string]steadyhttp.Option{
			"a breaker": steadyhttp.WithBreakerWindow(time.Minute), "no breaker": steadyhttp.WithoutBreaker(),
		} {
			t.Run(scheme+", "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var sick atomic.Bool
					good := newPipeNetwork(t, protocol, (&callServer{}).handle)
					bad := newPipeNetwork(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
						if sick.Load() {
							w.WriteHeader(http.StatusServiceUnavailable)
						}
					})
					var dials atomic.Int64
					base := good.base(t)
					base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
						if dials.Add(1)%2 == 0 {
							return good.dial(ctx, network, address)
						}
						return bad.dial(ctx, network, address)
					}
					transport := newTransport(t, base, option)
					succeeded := 0
					for i := range 120 {
						sick.Store(i >= 20)
						got := sendWire(t, transport, newWireRequest(t, http.MethodPost, scheme+"://example.com/", ""))
						if got.err == nil && got.response.StatusCode == http.StatusOK {
							succeeded++
						}
						time.Sleep(100 * time.Millisecond)
					}
					assert.GreaterOrEqual(t, succeeded, 120-3)
					assert.EqualValues(t, 2, dials.Load())
				})
			})
		}
	}
}

// What the connection that was left still brings tells nothing of the new one.
func TestReconnect_LateErrorsLeaveNoOtherConnectionOfHTTP2(t *testing.T) {
	t.Parallel()
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		good := newPipeNetwork(t, "HTTP/2.0", func(http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) })
		bad := newPipeNetwork(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Duration(len(r.URL.Query().Get("late"))) * 20 * time.Millisecond)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		var dials atomic.Int64
		base := good.base(t)
		base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) == 2 {
				return good.dial(ctx, network, address)
			}
			return bad.dial(ctx, network, address)
		}
		transport := newTransport(t, base, steadyhttp.WithMaxAttempts(1), steadyhttp.WithoutBreaker())
		sendWire(t, transport, newWireRequest(t, http.MethodPost, "https://example.com/", ""))
		var calls sync.WaitGroup
		for _, late := range []string{"11", "111", "1111", "11111"} {
			calls.Go(func() {
				sendWire(t, transport, newWireRequest(t, http.MethodPost, "https://example.com/?late="+late, ""))
			})
		}
		time.Sleep(10 * time.Millisecond)
		sendWire(t, transport, newWireRequest(t, http.MethodPost, "https://example.com/", ""))
		time.Sleep(time.Millisecond)
		for range 10 {
			calls.Go(func() {
				got := sendWire(t, transport, newWireRequest(t, http.MethodPost, "https://example.com/", ""))
				got.assertResponse(t, http.StatusOK, "")
			})
			time.Sleep(10 * time.Millisecond)
		}
		calls.Wait()
		assert.EqualValues(t, 2, dials.Load())
	})
}

// Idle connections may be those of other origins.
func TestReconnect_IdleConnectionsAreClosedOnProofAndOnceAMinute(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		n := newPipeNetwork(t, protocol, (&callServer{}).handle)
		base := hiddenBase{n.base(t), new(atomic.Int64)}
		transport := newTransport(t, base, twoSeconds, steadyhttp.WithMaxAttempts(1),
			steadyhttp.WithBreakerConsecutiveFailures(5, time.Second))
		die := func() {
			n.warm(t, transport, 14)
			n.swallow()
			n.fail(t, transport, 10)
			require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
			time.Sleep(time.Second)
			load{path: "/", every: time.Second, duration: 2 * time.Second}.run(t, transport)
			require.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport))
		}
		die()
		assert.EqualValues(t, 1, base.closes.Load(), "a probe showed that they are dead")
		die()
		assert.EqualValues(t, 1, base.closes.Load(), "not again so soon")
		time.Sleep(time.Minute)
		die()
		assert.EqualValues(t, 2, base.closes.Load())
	})
}

// A probe that fails is no proof, though there was a response.
func TestReconnect_IdleConnectionsStayWhereAServerIsOverloaded(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		var requests, opened atomic.Int64
		n := newPipeNetwork(t, protocol, func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1)%2 == 0 {
				<-r.Context().Done()
			}
			w.WriteHeader(http.StatusInternalServerError)
		})
		base := hiddenBase{n.base(t), new(atomic.Int64)}
		transport := newTransport(t, base, twoSeconds, openings(&opened))
		load{path: "/", every: 100 * time.Millisecond, duration: time.Minute}.run(t, transport)
		assert.Greater(t, opened.Load(), int64(5))
		assert.Zero(t, base.closes.Load())
	})
}

func TestReconnect_IdleConnectionsStayWhereASlowServerRecovers(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		n := newPipeNetwork(t, protocol, (&callServer{}).handle)
		base := hiddenBase{n.base(t), new(atomic.Int64)}
		untraced := baseFunc{roundTrip: func(r *http.Request) (*http.Response, error) {
			return base.RoundTrip(r.WithContext(withoutTrace{r.Context()}))
		}}
		transport := newTransport(t, struct {
			http.RoundTripper
			hiddenBaseCloser
		}{untraced, hiddenBaseCloser(base)}, twoSeconds)
		n.warm(t, transport, 1)
		load{path: "/slow", every: 50 * time.Millisecond, duration: 10 * time.Second}.run(t, transport)
		result := load{path: "/", every: time.Second, duration: 10 * time.Second}.run(t, transport)
		assert.NotZero(t, result.succeeded.Load())
		assert.Zero(t, base.closes.Load(), "a base that calls no hooks gives no proof")
	})
}

// A hiddenBaseCloser has the one method alone.
type hiddenBaseCloser hiddenBase

func (b hiddenBaseCloser) CloseIdleConnections() { hiddenBase(b).CloseIdleConnections() }

// withoutTrace hides httptrace's hooks from a base.
type withoutTrace struct{ context.Context }

func (c withoutTrace) Value(key any) any {
	if value := c.Context.Value(key); value != httptrace.ContextClientTrace(c.Context) {
		return value
	}
	return nil
}

// Such a base may be no client of HTTP/2 at all, but a record of what one once got.
func TestReconnect_BaseWithoutHooksSeesNoRequestButTheAttemptsAfterA5xx(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		base := baseFunc{roundTrip: func(r *http.Request) (*http.Response, error) {
			requests.Add(1)
			return &http.Response{StatusCode: http.StatusServiceUnavailable, ProtoMajor: 2, Body: http.NoBody, Request: r}, nil
		}}
		got := sendWire(t, newTransport(t, base), newWireRequest(t, http.MethodGet, "https://example.com/", ""))
		assert.Len(t, got.Attempts, 4)
		assert.EqualValues(t, 4, requests.Load())
	})
}

// To leave a connection of HTTP/2 takes a request that marks it, and none of that is ever written.
func TestReconnect_ServerSeesNoRequestButTheAttempts(t *testing.T) {
	t.Parallel()
	runEachTLSProtocol(t, func(t *testing.T, protocol string) {
		n := newPipeNetwork(t, protocol, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		transport := newTransport(t, n.base(t), steadyhttp.WithoutBreaker())
		got := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://example.com/", ""))
		require.Len(t, got.Attempts, 4)
		for _, a := range got.Attempts {
			assert.Zero(t, a.Resends)
		}
		assert.EqualValues(t, 4, n.requests.Load())
		assert.Greater(t, n.dials.Load(), int64(1), "a connection was left")
	})
}

// A base that signs or traces is called once for each attempt that brings a response.
func TestReconnect_WrappedBaseIsCalledOnceForEachAttempt(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }, replyHandler(503))
	for name, spoken := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := server.Client().Transport.(*http.Transport).Clone()
			base.ForceAttemptHTTP2 = spoken
			if !spoken {
				base.TLSClientConfig.NextProtos, base.Protocols = nil, nil
			}
			var called atomic.Int64
			wrapped := baseFunc{func(r *http.Request) (*http.Response, error) {
				called.Add(1)
				return base.RoundTrip(r)
			}}
			transport := newTransport(t, wrapped, unlimitedRetryOptions(steadyhttp.WithMaxAttempts(6), steadyhttp.WithBackoff(1, 1))...)
			for i := range 3 {
				call := sendWire(t, transport, newWireRequest(t, http.MethodPut, server.URL, "payload"))
				assert.Len(t, call.Attempts, 6)
				assert.EqualValues(t, 6*(i+1), called.Load())
			}
			base.CloseIdleConnections()
		})
	}
}

// HTTP/1 returns the bare cause, which is no timeout, or that the request was canceled, as http.Client.Timeout does
// at the same time.
func TestReconnect_DeadlineTellsOfADeadConnectionWhateverTheErrorIs(t *testing.T) {
	t.Parallel()
	for _, cancels := range []bool{false, true} {
		t.Run(fmt.Sprint("cancels: ", cancels), func(t *testing.T) {
			t.Parallel()
			runEachTLSProtocol(t, func(t *testing.T, protocol string) {
				n := newPipeNetwork(t, protocol, (&callServer{}).handle)
				base := n.base(t)
				canceled := make(chan struct{})
				cancel := sync.OnceFunc(func() { close(canceled) })
				transport := newTransport(t, baseFunc{roundTrip: func(r *http.Request) (*http.Response, error) {
					response, err := base.RoundTrip(r)
					if err != nil && cancels {
						cancel()
						err = errors.New("net/http: request canceled")
					}
					return response, err
				}})
				n.warm(t, transport, 6)
				n.swallow()
				send := func(cancel <-chan struct{}) error {
					ctx, stop := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("too slow"))
					defer stop()
					r := newWireRequest(t, http.MethodGet, "https://example.com/", "").WithContext(ctx)
					r.Cancel = cancel //lint:ignore SA1019 http.Client.Timeout still uses it
					return sendWire(t, transport, r).err
				}
				require.Error(t, send(canceled))
				assert.NoError(t, send(nil))
			})
		})
	}
}
