package steadyhttp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A relay stands before a server. It can swallow all that comes on the connections that there are, as a dead NAT
// entry does, while new ones work.
type relay struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	dead     []*atomic.Bool
	dials    atomic.Int64
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{listener: listener, to: to}
	ctx := t.Context()
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { r.serve(ctx, client) })
		}
	})
	return r
}

func (r *relay) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })()
	r.dials.Add(1)
	dead := new(atomic.Bool)
	r.mu.Lock()
	r.dead = append(r.dead, dead)
	r.mu.Unlock()
	var copying sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(swallowing{to, dead}, from)
		if !dead.Load() {
			_, _ = client.Close(), server.Close()
		}
	}
	copying.Go(func() { pass(server, client) })
	copying.Go(func() { pass(client, server) })
	copying.Wait()
}

// swallowing writes nothing once it is dead.
type swallowing struct {
	io.Writer
	dead *atomic.Bool
}

func (s swallowing) Write(p []byte) (int, error) {
	if s.dead.Load() {
		return len(p), nil
	}
	return s.Writer.Write(p)
}

// swallow lets the connections that there are die.
func (r *relay) swallow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, dead := range r.dead {
		dead.Store(true)
	}
}

// A hiddenBase hides net/http's transport but for the usual methods.
type hiddenBase struct{ transport *http.Transport }

func (b hiddenBase) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.transport.RoundTrip(r)
}
func (b hiddenBase) CloseIdleConnections() { b.transport.CloseIdleConnections() }

func TestReconnect_FirstSuccessComesSoonAfterConnectionsDied(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, every := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond} {
			t.Run(fmt.Sprint(protocol, " a call every ", every), func(t *testing.T) {
				t.Parallel()
				transport, relay, url := newRelayed(t, protocol)
				relay.warm(t, transport, url, 6) // at the same time, so that there are as many connections over HTTP/1
				relay.swallow()
				t.Log("the first success came after", untilSuccess(t, transport, url, every))
			})
		}
	}
}

// timeScale is by how much these tests are quicker than attempts of 2 s, after which the first success comes within
// 5 s on an idle machine. Before there was a reconnector, none came within 150 s.
const timeScale = 5

func newRelayed(t *testing.T, protocol string) (*steadyhttp.Transport, *relay, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = protocol == "HTTP/2.0"
	server.StartTLS()
	t.Cleanup(server.Close)
	relay := newRelay(t, server.Listener.Addr().String())
	base := server.Client().Transport.(*http.Transport)
	base.MaxIdleConnsPerHost = 10
	transport := newTransport(t, hiddenBase{base},
		steadyhttp.WithAttemptTimeout(2*time.Second/timeScale), steadyhttp.WithBackoff(300*time.Millisecond/timeScale, 10*time.Second/timeScale),
		steadyhttp.WithBreakerOpenFor(700*time.Millisecond/timeScale), steadyhttp.WithBreakerConsecutiveFailures(3, 600*time.Millisecond/timeScale))
	return transport, relay, "https://" + relay.listener.Addr().String()
}

// warm makes so many calls at the same time.
func (r *relay) warm(t *testing.T, transport *steadyhttp.Transport, url string, calls int) {
	t.Helper()
	var all sync.WaitGroup
	for range calls {
		all.Go(func() { sendWire(t, transport, newWireRequest(t, http.MethodGet, url, "")) })
	}
	all.Wait()
}

// untilSuccess calls again and again until one succeeds, and says how long that took.
func untilSuccess(t *testing.T, transport *steadyhttp.Transport, url string, every time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var took atomic.Int64
	var calls sync.WaitGroup
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for took.Load() == 0 && time.Since(start) < 10*time.Second {
		<-ticks.C
		calls.Go(func() {
			response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, url, "").WithContext(ctx))
			if err != nil {
				return
			}
			_ = response.Body.Close()
			if response.StatusCode == 200 {
				took.CompareAndSwap(0, int64(time.Since(start)))
			}
		})
	}
	cancel()
	calls.Wait()
	require.NotZero(t, took.Load(), "no success at all")
	return time.Duration(took.Load())
}

func TestReconnect_TwoBackendsBehindOneAddress(t *testing.T) {
	t.Parallel()
	var sick, healthy atomic.Int64
	sickServer := newWireServer(t, (*httptest.Server).Start, func(w http.ResponseWriter, _ *http.Request) {
		sick.Add(1)
		w.WriteHeader(503)
	})
	healthyServer := newWireServer(t, (*httptest.Server).Start, func(w http.ResponseWriter, _ *http.Request) { healthy.Add(1) })
	var dials atomic.Int64
	balance := func(ctx context.Context, network, _ string) (net.Conn, error) {
		to := sickServer
		if dials.Add(1)%2 == 0 {
			to = healthyServer
		}
		return new(net.Dialer).DialContext(ctx, network, to.Listener.Addr().String())
	}
	transport := newTransport(t, &http.Transport{DialContext: balance}, steadyhttp.WithBackoff(time.Millisecond, time.Millisecond))
	succeeded := 0
	for range 200 {
		response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, "http://two.example.com/", ""))
		require.NoError(t, err)
		_ = response.Body.Close()
		if response.StatusCode == 200 {
			succeeded++
		}
	}
	assert.GreaterOrEqual(t, succeeded, 190)
}
