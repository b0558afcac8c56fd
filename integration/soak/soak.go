package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-cleanhttp"

	"github.com/steadyhttp/steadyhttp"
)

// settings are what the flags say, and what tests change.
type settings struct {
	duration     time.Duration
	seed         uint64
	callers      int
	minResponses int                 // whole ones; if there are fewer, the soak takes longer
	tolerance    time.Duration       // what a busy machine, and the clients' own timeouts, may add to a call
	settleTime   time.Duration       // after which canceled callers have returned, and everything is as it was before
	options      []steadyhttp.Option // of every client, after its own
	breakClient  func(*client)       // on purpose; nil: no client is broken
}

// A protocol is what is spoken to the backend.
type protocol struct {
	secure bool
	major  int
}

var protocols = []protocol{{false, 1}, {true, 1}, {true, 2}}

const maxAttempts = 4

// A policy is how the clients of one kind are set up.
type policy struct {
	options     []steadyhttp.Option
	keys        bool // whether each POST gets a key
	timeout     bool // whether it has a timeout for the whole call
	connections int  // at most; 0: any number
}

// policies are those of the clients of each protocol. Their waits are shorter than by default, so that there are more
// of them.
var policies = []policy{
	{options: []steadyhttp.Option{steadyhttp.WithAttemptTimeout(500 * time.Millisecond)}},
	{options: []steadyhttp.Option{steadyhttp.WithReplayBuffer(1 << 16)}, connections: 10},
	{options: []steadyhttp.Option{steadyhttp.WithIdempotencyKeys(), steadyhttp.WithAttemptTimeout(time.Second)}, keys: true},
	{options: []steadyhttp.Option{steadyhttp.WithTimeout(3 * time.Second), steadyhttp.WithMaxAttempts(3)}, timeout: true},
}

// A client is a transport to one server of the backend, through one network.
type client struct {
	protocol
	policy
	transport http.RoundTripper
	closeIdle func()
	url       url.URL
}

func (c *client) String() string {
	return fmt.Sprintf("%v by HTTP/%d", &c.url, c.major)
}

// A soakRun is everything that runs.
type soakRun struct {
	settings
	ctx        context.Context // of every caller; it ends for those that are stuck, and once nothing more is open
	cancel     context.CancelFunc
	violations *violations
	counters   *counters
	orderLog   *orderLog
	backend    *backend
	servers    []*httptest.Server // of the backend, one for each protocol
	proxies    *proxyProcess
	clients    []*client
	bodies     atomic.Int64 // of requests, that are not closed
}

// soak runs everything, and returns the violations.
func soak(s settings) []string {
	found := &violations{}
	before := measure()
	func() { // a function of its own, so that its memory is free after it
		r := newSoakRun(s, found)
		r.run()
		r.close()
		r.counters.print()
		r.counters.checkCoverage(found, r.minResponses)
	}()
	before.compare(found, s.settleTime)
	return found.list()
}

func newSoakRun(s settings, found *violations) *soakRun {
	r := &soakRun{settings: s, violations: found, counters: &counters{}, orderLog: newOrderLog(found)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.backend = &backend{seed: s.seed, orderLog: r.orderLog, violations: found, started: time.Now()}
	var targets []string
	for _, p := range protocols {
		server := r.backend.serve(p)
		r.servers = append(r.servers, server)
		targets = append(targets, server.Listener.Addr().String())
	}
	var err error
	r.proxies, err = startProxyProcess(s.seed, targets)
	must(err)
	for i, p := range protocols {
		r.proxies.networks[i].cut = r.servers[i].CloseClientConnections
		r.addClients(p, r.servers[i], r.proxies.networks[i])
	}
	return r
}

func (r *soakRun) addClients(p protocol, server *httptest.Server, n *network) {
	target, err := url.Parse(server.URL + "/")
	must(err)
	for _, kind := range policies {
		base := newBase(p, server, n)
		base.MaxConnsPerHost = kind.connections
		wrapped, err := steadyhttp.Wrap(&http.Client{Transport: base}, slices.Concat([]steadyhttp.Option{
			steadyhttp.WithBackoff(20*time.Millisecond, 500*time.Millisecond),
			steadyhttp.WithBreakerConsecutiveFailures(5, 600*time.Millisecond),
			steadyhttp.WithObserver(r.observe),
		}, kind.options, r.options)...)
		must(err)
		c := &client{protocol: p, policy: kind, transport: wrapped.Transport, closeIdle: wrapped.CloseIdleConnections, url: *target}
		if kind.timeout {
			c.transport = doer{wrapped}
		}
		if r.breakClient != nil {
			r.breakClient(c)
		}
		r.clients = append(r.clients, c)
	}
}

// A doer sends through a client, with what a client does above its transport.
type doer struct{ *http.Client }

func (d doer) RoundTrip(request *http.Request) (*http.Response, error) { return d.Do(request) }

func newBase(p protocol, server *httptest.Server, n *network) *http.Transport {
	base := cleanhttp.DefaultPooledTransport()
	base.DialContext = n.dial
	base.MaxIdleConnsPerHost = 20
	base.IdleConnTimeout = 5 * time.Second // its timers keep HTTP/2 connections in memory, closed ones too
	base.ResponseHeaderTimeout = 2 * time.Second
	base.TLSHandshakeTimeout = 2 * time.Second
	base.Protocols = &http.Protocols{}
	base.Protocols.SetHTTP1(p.major == 1)
	base.Protocols.SetHTTP2(p.major == 2)
	if p.secure {
		base.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	}
	return base
}

func (r *soakRun) observe(_ context.Context, event steadyhttp.Event) {
	if event.Kind == steadyhttp.EventBreaker {
		r.counters.add("breaker: " + event.To.String())
	}
}

// run lets the callers call and the toxics change.
func (r *soakRun) run() {
	stop := make(chan struct{})
	var changing, calling sync.WaitGroup
	for _, n := range r.proxies.networks {
		changing.Go(func() { n.changeToxics(stop) })
	}
	dog := watchdog{soakRun: r}
	end := time.Now().Add(r.duration)
	for i := range r.callers {
		c := &caller{soakRun: r, random: newRandom(r.seed, callerOrders, uint64(i)), progress: progress{number: i}}
		dog.callers = append(dog.callers, c)
		calling.Go(func() { c.run(end) })
	}
	done := make(chan struct{})
	go func() {
		calling.Wait()
		close(done)
	}()
	dog.watch(done)
	close(stop)
	changing.Wait()
}

// close ends everything, and checks that nothing is left open.
func (r *soakRun) close() {
	for _, c := range r.clients {
		c.closeIdle()
	}
	r.checkNone("request bodies are not closed", r.bodies.Load)
	for _, n := range r.proxies.networks {
		r.checkNone("connections are open", n.open.Load)
	}
	r.cancel()
	if err := r.proxies.close(); err != nil {
		r.violations.add("the proxy process failed: %v", err)
	}
	r.checkNone("connections of the backend are open", r.backend.connections.Load)
	for _, server := range r.servers {
		server.CloseClientConnections() // else Close waits for them
		server.Close()
	}
}

// checkNone waits until there are none left.
func (r *soakRun) checkNone(what string, left func() int64) {
	if !eventually(r.settleTime, func() bool { return left() == 0 }) {
		r.violations.add("%d "+what, left())
	}
}

// eventually waits until something holds, and reports whether it does. What a busy machine takes of the time does not
// count.
func eventually(within time.Duration, holds func() bool) bool {
	const pause = 10 * time.Millisecond
	for range within / pause {
		if holds() {
			return true
		}
		time.Sleep(pause)
	}
	return holds()
}

// A measurement is what must be the same before and after.
type measurement struct {
	goroutines int
	heap       uint64
}

func measure() measurement {
	runtime.GC()
	runtime.GC() // the second one empties pools
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return measurement{runtime.NumGoroutine(), memory.HeapAlloc}
}

// heapTolerance is for caches of the standard library, and for what the counters print.
const heapTolerance = 2 << 20

// compare waits until all is as it was before.
func (m measurement) compare(found *violations, settleTime time.Duration) {
	if !eventually(settleTime, func() bool { return runtime.NumGoroutine() <= m.goroutines }) {
		found.add("%d goroutines, %d at the beginning:\n%s", runtime.NumGoroutine(), m.goroutines, goroutines())
	}
	after := measure()
	if !eventually(settleTime, func() bool { after = measure(); return after.heap <= m.heap+heapTolerance }) {
		found.add("%d bytes of heap, %d at the beginning", after.heap, m.heap)
	}
	fmt.Printf("heap %d -> %d KiB, goroutines %d -> %d\n", m.heap>>10, after.heap>>10, m.goroutines, after.goroutines)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
