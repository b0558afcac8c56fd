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

// settings are what the flags say.
type settings struct {
	duration time.Duration
	seed     uint64
	callers  int
	answers  int                 // at least so many good ones, even if it takes a little longer
	slack    time.Duration       // what a loaded machine, and the clients' own timeouts, may add to a caller's patience
	settling time.Duration       // how long callers may take to come back once cancelled, and everything to be as it was before
	options  []steadyhttp.Option // for every client, on top of its own
	sabotage func(*client)       // breaks a client on purpose; nil: nobody does
}

// A protocol is what is spoken to the shop.
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
	timeout     bool // whether it is an http.Client with a Timeout
	connections int  // at most; 0: any number
}

// policies are those of the clients of each protocol. The waits are shorter than by default, to see more of them.
var policies = []policy{
	{options: []steadyhttp.Option{steadyhttp.WithAttemptTimeout(500 * time.Millisecond)}},
	{options: []steadyhttp.Option{steadyhttp.WithReplayBuffer(1 << 16)}, connections: 10},
	{options: []steadyhttp.Option{steadyhttp.WithIdempotencyKeys(), steadyhttp.WithAttemptTimeout(time.Second)}, keys: true},
	{options: []steadyhttp.Option{steadyhttp.WithTimeout(3 * time.Second), steadyhttp.WithMaxAttempts(3)}, timeout: true},
}

// A client is a transport to one shop through one network.
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

// A field is all that runs.
type field struct {
	settings
	ctx     context.Context // of every caller; it ends for those that are stuck, and once nothing more is open
	cancel  context.CancelFunc
	faults  *faults
	tally   *tally
	ledger  *ledger
	shop    *shop
	servers []*httptest.Server // one for each protocol
	station *station
	clients []*client
	bodies  atomic.Int64 // of requests, that are not closed
}

// soak runs it all, and returns what was found.
func soak(s settings) []string {
	found := &faults{}
	before := measure()
	func() { // whose memory must be free again after it
		f := newField(s, found)
		f.run()
		f.close()
		f.tally.print()
		f.tally.suffices(found, f.answers)
	}()
	before.compare(found, s.settling)
	return found.list()
}

func newField(s settings, found *faults) *field {
	f := &field{settings: s, faults: found, tally: &tally{}, ledger: newLedger(found)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.shop = &shop{seed: s.seed, ledger: f.ledger, faults: found, begun: time.Now()}
	var targets []string
	for _, p := range protocols {
		server := f.shop.serve(p)
		f.servers = append(f.servers, server)
		targets = append(targets, server.Listener.Addr().String())
	}
	var err error
	f.station, err = startStation(s.seed, targets)
	must(err)
	for i, p := range protocols {
		f.station.networks[i].cut = f.servers[i].CloseClientConnections
		f.addClients(p, f.servers[i], f.station.networks[i])
	}
	return f
}

func (f *field) addClients(p protocol, server *httptest.Server, n *network) {
	target, err := url.Parse(server.URL + "/")
	must(err)
	for _, kind := range policies {
		base := base(p, server, n)
		base.MaxConnsPerHost = kind.connections
		wrapped, err := steadyhttp.Wrap(&http.Client{Transport: base}, slices.Concat([]steadyhttp.Option{
			steadyhttp.WithBackoff(20*time.Millisecond, 500*time.Millisecond),
			steadyhttp.WithObserver(f.observe),
		}, kind.options, f.options)...)
		must(err)
		c := &client{protocol: p, policy: kind, transport: wrapped.Transport, closeIdle: wrapped.CloseIdleConnections, url: *target}
		if kind.timeout {
			c.transport = doer{wrapped}
		}
		if f.sabotage != nil {
			f.sabotage(c)
		}
		f.clients = append(f.clients, c)
	}
}

// A doer sends through a client, with what that does above its transport.
type doer struct{ *http.Client }

func (d doer) RoundTrip(request *http.Request) (*http.Response, error) { return d.Do(request) }

func base(p protocol, server *httptest.Server, n *network) *http.Transport {
	base := cleanhttp.DefaultPooledTransport()
	base.DialContext = n.dial
	base.MaxIdleConnsPerHost = 20
	base.IdleConnTimeout = 5 * time.Second // which HTTP/2's timers hold on to, and closed connections with them
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

func (f *field) observe(_ context.Context, event steadyhttp.Event) {
	if event.Kind == steadyhttp.EventBreaker {
		f.tally.count("breaker: " + event.To.String())
	}
}

// run lets the callers call and the weather change.
func (f *field) run() {
	stop := make(chan struct{})
	var weather, calling sync.WaitGroup
	for _, n := range f.station.networks {
		weather.Go(func() { n.change(stop) })
	}
	watch := watch{field: f}
	end := time.Now().Add(f.duration)
	for i := range f.callers {
		c := &caller{field: f, draw: drawFrom(f.seed, wishes, uint64(i)), whereabouts: whereabouts{number: i}}
		watch.callers = append(watch.callers, c)
		calling.Go(func() { c.run(end) })
	}
	over := make(chan struct{})
	go func() {
		calling.Wait()
		close(over)
	}()
	watch.keep(over)
	close(stop)
	weather.Wait()
}

// close ends everything, and checks that nothing is left open.
func (f *field) close() {
	for _, c := range f.clients {
		c.closeIdle()
	}
	f.settles("request bodies are not closed", f.bodies.Load)
	for _, n := range f.station.networks {
		f.settles("connections are open", n.open.Load)
	}
	f.cancel()
	if err := f.station.close(); err != nil {
		f.faults.add("the station broke: %v", err)
	}
	f.settles("connections have arrived and are open", f.shop.connections.Load)
	for _, server := range f.servers {
		server.CloseClientConnections() // else Close waits for them
		server.Close()
	}
}

// settles waits until there are no more of them.
func (f *field) settles(what string, left func() int64) {
	if !eventually(f.settling, func() bool { return left() == 0 }) {
		f.faults.add("%d "+what, left())
	}
}

// eventually gives something that much time to hold, not counting what a loaded machine takes from it.
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

// A measurement is what must be the same after it as before it.
type measurement struct {
	goroutines int
	heap       uint64
}

func measure() measurement {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return measurement{runtime.NumGoroutine(), memory.HeapAlloc}
}

// spare is what the heap may keep: caches of the standard library, and what the tally printed.
const spare = 2 << 20

// compare gives everything some time to be let go.
func (m measurement) compare(found *faults, settling time.Duration) {
	if !eventually(settling, func() bool { return runtime.NumGoroutine() <= m.goroutines }) {
		found.add("%d goroutines, %d at the beginning:\n%s", runtime.NumGoroutine(), m.goroutines, goroutines())
	}
	after := measure()
	if !eventually(settling, func() bool { after = measure(); return after.heap <= m.heap+spare }) {
		found.add("%d bytes of heap, %d at the beginning", after.heap, m.heap)
	}
	fmt.Printf("heap %d -> %d KiB, goroutines %d -> %d\n", m.heap>>10, after.heap>>10, m.goroutines, after.goroutines)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
