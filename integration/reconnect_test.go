package integration

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
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

// isDead reports whether this is the client's side of a connection that died.
func (r *relay) isDead(conn net.Conn) (dead bool) {
	r.each(func(c *relayConn) {
		dead = dead || c.dead.Load() && c.client.RemoteAddr().String() == conn.LocalAddr().String()
	})
	return dead
}

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

// A deadWatch counts the attempts that began a second after one had failed, and were written to a dead connection all
// the same. What begins in the same instant may be.
type deadWatch struct {
	relay  *relay
	failed atomic.Pointer[time.Time]
	late   atomic.Int64
}

func (w *deadWatch) observe(_ context.Context, e steadyhttp.Event) {
	if e.Kind == steadyhttp.EventAttempt && e.Err != nil {
		now := time.Now()
		w.failed.CompareAndSwap(nil, &now)
	}
}

func (w *deadWatch) isLate() bool {
	failed := w.failed.Load()
	return failed != nil && time.Since(*failed) > time.Second
}

// watch watches a call. A connection of HTTP/1 that is offered, and not written to, was not used.
func (w *deadWatch) watch(ctx context.Context) context.Context {
	var late, dead atomic.Bool
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { late.Store(w.isLate()) },
		GotConn: func(info httptrace.GotConnInfo) { dead.Store(w.relay.isDead(info.Conn)) },
		WroteHeaders: func() {
			if late.Load() && dead.Load() {
				w.late.Add(1)
			}
		},
	})
}

// untilSuccess sends orders until one succeeds, and returns all of them.
func untilSuccess(t *testing.T, every time.Duration, send func(context.Context) result) (took time.Duration, sent []result) {
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
			sending.Go(func() { results <- send(ctx) })
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

// How long it takes the root's TestReconnect_DeadConnectionsAreLeftInTime holds, in virtual time: a busy machine can take seconds of a
// handshake. Here it is that no attempt is made in vain once one has failed, however many connections died.
func TestReconnect_DeadConnectionsAreLeftOnceAnAttemptFailed(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for name, every := range map[string]time.Duration{"1 a second": time.Second, "20 a second": 50 * time.Millisecond} {
			t.Run(method+" "+name, func(t *testing.T) {
				t.Parallel()
				runEachProtocol(t, func(t *testing.T, p protocol) {
					app := startDirectApplication(t, p)
					app.setHook(func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Millisecond) })
					relay := startRelay(t, app.address)
					watch := &deadWatch{relay: relay}
					transport := newTransport(t, p.base(), steadyhttp.WithAttemptTimeout(2*time.Second), steadyhttp.WithObserver(watch.observe))
					sendTogether(t, transport, p, relay.address, 6)
					relay.swallow()
					took, sent := untilSuccess(t, every, func(ctx context.Context) result {
						return send(watch.watch(ctx), transport, newOrder(method, p.scheme()+relay.address+"/", 1000))
					})
					t.Log("the first success came after", took)
					require.NotZero(t, took, "no success at all")
					assert.Zero(t, watch.late.Load())
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
		_, sent := untilSuccess(t, 100*time.Millisecond, func(ctx context.Context) result {
			return send(ctx, transport, newOrder(http.MethodGet, n.url("/"), 1000))
		})
		assert.True(t, sent[0].succeeded(), "%v", sent[0].err)
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
