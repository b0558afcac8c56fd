package integration

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A relay stands before a server. It can swallow all that comes on the connections that there are, as a dead NAT entry
// does, while new ones work.
type relay struct {
	address string
	mu      sync.Mutex
	conns   []*relayConn
}

// A relayConn is a connection through the relay.
type relayConn struct {
	client, server net.Conn
	dead           atomic.Bool
}

func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	r := &relay{address: freeAddress(t)}
	listener := listen(t, r.address)
	var serving sync.WaitGroup
	serving.Go(func() {
		for client, err := listener.Accept(); err == nil; client, err = listener.Accept() {
			serving.Go(func() { r.serve(client, target) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		r.each((*relayConn).close)
		serving.Wait()
	})
	return r
}

func (r *relay) serve(client net.Conn, target string) {
	server, err := net.Dial("tcp", target)
	if err != nil {
		_ = client.Close()
		return
	}
	c := &relayConn{client: client, server: server}
	r.mu.Lock()
	r.conns = append(r.conns, c)
	r.mu.Unlock()
	var passing sync.WaitGroup
	passing.Go(func() { c.pass(server, client) })
	passing.Go(func() { c.pass(client, server) })
	passing.Wait()
}

func (r *relay) each(do func(*relayConn)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		do(c)
	}
}

// swallow lets the connections that there are die.
func (r *relay) swallow() { r.each(func(c *relayConn) { c.dead.Store(true) }) }

// count is how many connections there ever were.
func (r *relay) count() (count int) {
	r.each(func(*relayConn) { count++ })
	return count
}

// pass tells nobody of an end once the connection is dead.
func (c *relayConn) pass(to, from net.Conn) {
	_, _ = io.Copy(swallowing{to, &c.dead}, from)
	if !c.dead.Load() {
		c.close()
	}
}

func (c *relayConn) close() {
	_ = c.client.Close()
	_ = c.server.Close()
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

// sendTogether sends so many orders at the same time.
func sendTogether(t *testing.T, transport http.RoundTripper, p protocol, address string, orders int) {
	t.Helper()
	var sending sync.WaitGroup
	for range orders {
		sending.Go(func() {
			send(t.Context(), transport, newOrder(http.MethodGet, p.scheme()+address+"/", 0)).assertSuccess(t)
		})
	}
	sending.Wait()
}

// untilSuccess sends orders until one succeeds, and returns all of them.
func untilSuccess(t *testing.T, transport http.RoundTripper, method, url string, every time.Duration) (took time.Duration, sent []result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	defer cancel()
	start := time.Now()
	results := make(chan result)
	var sending sync.WaitGroup
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for took == 0 && ctx.Err() == nil {
		select {
		case <-ticks.C:
			sending.Go(func() { results <- send(ctx, transport, newOrder(method, url, 1000)) })
		case r := <-results:
			sent = append(sent, r)
			if r.succeeded() {
				took = time.Since(start)
			}
		}
	}
	cancel()
	go func() {
		sending.Wait()
		close(results)
	}()
	for r := range results {
		sent = append(sent, r)
	}
	return took, sent
}

func TestReconnect_DeadConnectionsAreLeftWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for name, every := range map[string]time.Duration{"1 a second": time.Second, "20 a second": 50 * time.Millisecond} {
			t.Run(method+" "+name, func(t *testing.T) {
				t.Parallel()
				runEachProtocol(t, func(t *testing.T, p protocol) {
					app := startDirectApplication(t, p)
					app.setHook(func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Millisecond) })
					relay := startRelay(t, app.address)
					transport := newTransport(t, p.base(), steadyhttp.WithAttemptTimeout(2*time.Second))
					sendTogether(t, transport, p, relay.address, 6)
					relay.swallow()
					took, sent := untilSuccess(t, transport, method, p.scheme()+relay.address+"/", every)
					t.Log("the first success came after", took)
					require.NotZero(t, took, "no success at all")
					assert.LessOrEqual(t, took, 5*time.Second)
					for _, r := range sent {
						assert.LessOrEqual(t, app.timesProcessed(r.id), 1)
					}
				})
			})
		}
	}
}

// The toxic swallows what comes back on any connection, until it is taken away: a network that was down for a while.
func TestReconnect_SilentNetworkThatComesBackIsUsedAtOnce(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		transport := newTransport(t, n.base(), steadyhttp.WithAttemptTimeout(time.Second))
		send(t.Context(), transport, n.order(http.MethodGet, 0)).assertSuccess(t)
		n.addToxic(t, "timeout", downstream, attributes{"timeout": 0})
		for range 4 {
			assert.False(t, send(t.Context(), transport, n.order(http.MethodPost, 1000)).succeeded())
		}
		n.removeToxics()
		took, _ := untilSuccess(t, transport, http.MethodGet, n.url("/"), 100*time.Millisecond)
		require.NotZero(t, took)
		assert.LessOrEqual(t, took, 5*time.Second)
	})
}

// Both backends listen behind one address, as the pods of a Kubernetes service do: who dials gets one or the other.
func TestReconnect_TwoBackendsOfWhichOneIsSick(t *testing.T) {
	t.Parallel()
	for _, callers := range []int{1, 10} {
		t.Run(map[int]string{1: "one caller", 10: "ten callers"}[callers], func(t *testing.T) {
			t.Parallel()
			for _, p := range protocols[:2] { // all of HTTP/2 goes over one connection
				healthy, sick := startDirectApplication(t, p), startDirectApplication(t, p)
				sick.failNext(1 << 40)
				base := p.base()
				var dials atomic.Int64
				base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
					to := []string{healthy.address, sick.address}[dials.Add(1)%2]
					return new(net.Dialer).DialContext(ctx, network, to)
				}
				transport := newTransport(t, base)
				var succeeded, sent atomic.Int64
				var calling sync.WaitGroup
				for range callers {
					calling.Go(func() {
						for range 100 {
							sent.Add(1)
							if send(t.Context(), transport, newOrder(http.MethodGet, p.scheme()+healthy.address+"/", 0)).succeeded() {
								succeeded.Add(1)
							}
							time.Sleep(10 * time.Millisecond)
						}
					})
				}
				calling.Wait()
				t.Log(p.name, succeeded.Load(), "of", sent.Load(), "over", dials.Load(), "connections")
				assert.GreaterOrEqual(t, float64(succeeded.Load()), 0.95*float64(sent.Load()))
			}
		})
	}
}
