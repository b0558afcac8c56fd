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

// If a server closes an idle connection just when the client sends a request on it, the server has not seen the request.
// But the client cannot know: the server may also have crashed while it processed the request.

// tinyKeepAlive closes idle connections so early that requests often collide with it.
const tinyKeepAlive = `
	keepalive_timeout 5ms;
	keepalive_requests 20;` + proxySite

// A race is a load of POSTs with bodies. The time between two of them is about as long as the server keeps an idle
// connection.
type race struct {
	transport    http.RoundTripper
	url          string
	workers      int
	idle         func() time.Duration
	lossOptional bool         // whether it is a test even if no connection is lost
	lost         atomic.Int64 // connections that were lost before a response came, also where net/http itself retried
}

// run sends for some seconds, and longer if no connection is lost by then.
func (r *race) run(t *testing.T) []result {
	var (
		mu      sync.Mutex
		results []result
		workers sync.WaitGroup
		start   = time.Now()
	)
	goOn := func() bool {
		passed := time.Since(start)
		return passed < 4*time.Second || !r.lossOptional && r.lost.Load() == 0 && passed < timeLimit
	}
	for range r.workers {
		workers.Go(func() {
			for goOn() {
				time.Sleep(r.idle())
				got := r.post(t.Context())
				mu.Lock()
				results = append(results, got)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return results
}

func (r *race) post(ctx context.Context) result {
	var connections atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connections.Add(1) },
	})
	got := send(ctx, r.transport, newOrder(http.MethodPost, r.url, 5000))
	r.lost.Add(connections.Load() - 1)
	return got
}

// assertNothingFails runs the race, and checks that every POST succeeds and is processed once.
func (r *race) assertNothingFails(t *testing.T, app *application) {
	t.Helper()
	results := r.run(t)
	assert.True(t, r.lossOptional || r.lost.Load() > 0, "no connection was lost, so nothing was tested")
	for _, got := range results {
		got.assertSuccess(t)
		assert.Equal(t, 1, app.timesProcessed(got.id), "times that order %s was processed", got.id)
	}
	t.Logf("%d POSTs, %d connections lost", len(results), r.lost.Load())
}

// aroundTimeout is about as long as the timeout of tinyKeepAlive.
func aroundTimeout() time.Duration { return 4*time.Millisecond + rand.N(2*time.Millisecond) }

// raceOptions are those for such a server: keys make POSTs idempotent, and attempts and budget are enough for one lost
// connection after another. There is no breaker, because a server that loses half of the requests is failing; this one
// does if the machine is busy and HTTP/2 has eight requests on each connection.
var raceOptions = []steadyhttp.Option{
	steadyhttp.WithIdempotencyKeys(), steadyhttp.WithMaxAttempts(8), steadyhttp.WithRetryBudget(0.2, 100),
	steadyhttp.WithoutBreaker(),
}

func TestKeepAlive_RacesFailNoPostWithAKey(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startApplication(t)
		server := startNginx(t, app.address, tinyKeepAlive)
		transport := newTransport(t, p.base(), raceOptions...)
		load := &race{transport: transport, url: p.url(server.endpoint, "/"), workers: 8, idle: aroundTimeout}
		load.assertNothingFails(t, app)
	})
}

func TestKeepAlive_RacesFailNoPostIfTheClientClosesFirst(t *testing.T) {
	t.Parallel()
	const shortKeepAlive = `
	keepalive_timeout 2s;
	keepalive_requests 3;` + proxySite
	app := startApplication(t)
	server := startNginx(t, app.address, shortKeepAlive)
	base := cleanhttp.DefaultPooledTransport()
	base.IdleConnTimeout = 100 * time.Millisecond
	load := &race{
		transport: newTransport(t, base), url: "http://" + server.Plain, workers: 32,
		idle:         func() time.Duration { return rand.N(2400 * time.Millisecond) },
		lossOptional: true,
	}
	load.assertNothingFails(t, app)
}

func TestKeepAlive_RacesRetryNoPostAndHideNone(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startApplication(t)
		server := startNginx(t, app.address, tinyKeepAlive)
		load := &race{transport: newTransport(t, p.base()), url: p.url(server.endpoint, "/"), workers: 8, idle: aroundTimeout}
		results := load.run(t)

		assert.Positive(t, load.lost.Load(), "no connection was lost, so nothing was tested")
		failed := 0
		for _, got := range results {
			if got.err == nil {
				got.assertSuccess(t)
				assert.Equal(t, 1, app.timesProcessed(got.id), "times that order %s was processed", got.id)
				continue
			}
			failed++
			assert.LessOrEqual(t, app.timesProcessed(got.id), 1, "times that order %s was processed", got.id)
			assert.NotEqual(t, steadyhttp.StopSuccess, got.Stopped, "%v", got.err)
		}
		t.Logf("%d POSTs, %d failed, %d connections lost", len(results), failed, load.lost.Load())
	})
}
