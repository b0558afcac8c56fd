package integration

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/assert"

	"github.com/steadyhttp/steadyhttp"
)

// A server that closes an idle connection in the moment in which a client sends on it has not seen the
// request, but nothing tells the client so: it may as well have died of it.

// tinyKeepAlive closes connections so soon that requests run into it all the time.
const tinyKeepAlive = `
	keepalive_timeout 5ms;
	keepalive_requests 20;` + forwarding

// A race is a load of POSTs with bodies, each about as long after the one before as the server keeps an idle
// connection.
type race struct {
	transport http.RoundTripper
	url       string
	workers   int
	idle      func() time.Duration
	lossless  bool         // whether no connection has to be lost for the race to be one
	lost      atomic.Int64 // connections that were lost before there was an answer, net/http's own resends among them
}

// run sends for some seconds, and longer if no connection was lost by then.
func (r *race) run(t *testing.T) []delivery {
	var (
		mu         sync.Mutex
		deliveries []delivery
		workers    sync.WaitGroup
		start      = time.Now()
	)
	goOn := func() bool {
		passed := time.Since(start)
		return passed < 4*time.Second || !r.lossless && r.lost.Load() == 0 && passed < patience
	}
	for range r.workers {
		workers.Go(func() {
			for goOn() {
				time.Sleep(r.idle())
				d := r.post(t.Context())
				mu.Lock()
				deliveries = append(deliveries, d)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return deliveries
}

func (r *race) post(ctx context.Context) delivery {
	var connections atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connections.Add(1) },
	})
	d := deliver(ctx, r.transport, newOrder(http.MethodPost, r.url, 5000))
	r.lost.Add(connections.Load() - 1)
	return d
}

// assertNothingFails runs, and checks that every POST is answered, and was processed once.
func (r *race) assertNothingFails(t *testing.T, shop *application) {
	t.Helper()
	deliveries := r.run(t)
	assert.True(t, r.lossless || r.lost.Load() > 0, "without a connection lost nothing was tested")
	for _, d := range deliveries {
		d.assertAnswered(t)
		assert.Equal(t, 1, shop.times(d.id), "times that order %s was processed", d.id)
	}
	t.Logf("%d POSTs, %d connections lost", len(deliveries), r.lost.Load())
}

// aroundTimeout waits as long as tinyKeepAlive does, or a little less or more.
func aroundTimeout() time.Duration { return 4*time.Millisecond + rand.N(2*time.Millisecond) }

// forRaces are the options of a client that knows such a server: keys let its POSTs be sent again, attempts and
// budget allow for one lost connection after the other. To a breaker a server is failing that loses half of what it
// is sent, as this one does when the machine is busy and HTTP/2 has eight requests on each connection.
var forRaces = []steadyhttp.Option{
	steadyhttp.WithIdempotencyKeys(), steadyhttp.WithMaxAttempts(8), steadyhttp.WithRetryBudget(0.2, 100),
	steadyhttp.WithoutBreaker(),
}

func TestKeepAliveRacesFailNoPostThatHasAKey(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		server := startNginx(t, shop.address, tinyKeepAlive)
		transport := steady(t, p.base(), forRaces...)
		load := &race{transport: transport, url: p.url(server.endpoint, "/"), workers: 8, idle: aroundTimeout}
		load.assertNothingFails(t, shop)
	})
}

func TestKeepAliveRacesFailNoPostIfTheClientLetsGoFirst(t *testing.T) {
	t.Parallel()
	const shortKeepAlive = `
	keepalive_timeout 2s;
	keepalive_requests 3;` + forwarding
	shop := deploy(t)
	server := startNginx(t, shop.address, shortKeepAlive)
	base := cleanhttp.DefaultPooledTransport()
	base.IdleConnTimeout = 100 * time.Millisecond
	load := &race{
		transport: steady(t, base), url: "http://" + server.Plain, workers: 32,
		idle:     func() time.Duration { return rand.N(2400 * time.Millisecond) },
		lossless: true,
	}
	load.assertNothingFails(t, shop)
}

func TestKeepAliveRacesRepeatNoPostAndHideNone(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		server := startNginx(t, shop.address, tinyKeepAlive)
		load := &race{transport: steady(t, p.base()), url: p.url(server.endpoint, "/"), workers: 8, idle: aroundTimeout}
		deliveries := load.run(t)

		assert.Positive(t, load.lost.Load(), "without a connection lost nothing was tested")
		failed := 0
		for _, d := range deliveries {
			if d.err == nil {
				d.assertAnswered(t)
				assert.Equal(t, 1, shop.times(d.id), "times that order %s was processed", d.id)
				continue
			}
			failed++
			assert.LessOrEqual(t, shop.times(d.id), 1, "times that order %s was processed", d.id)
			assert.NotEqual(t, steadyhttp.StopSuccess, d.Stopped, "%v", d.err)
		}
		t.Logf("%d POSTs, %d failed, %d connections lost", len(deliveries), failed, load.lost.Load())
	})
}
