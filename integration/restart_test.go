package integration

import (
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/steadyhttp/steadyhttp"
)

// rush is how long the load lasts.
const rush = 30 * time.Second

// TestRestartUnderLoadFailsHardlyAGetAndRepeatsNoPost uses the default policy, with which a call outlasts the
// moment that a service manager needs to restart nginx.
func TestRestartUnderLoadFailsHardlyAGetAndRepeatsNoPost(t *testing.T) {
	t.Parallel()
	shop := deploy(t)
	shop.firstly(func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) }) // so that orders are under way
	server := startNginx(t, shop.address, forwarding)

	var load sync.WaitGroup
	done := make(chan struct{})
	results := make(chan delivery, 1000)
	for _, p := range protocols {
		transport := steady(t, p.base())
		for range 4 {
			load.Go(func() { sendMixed(t, transport, p.url(server.endpoint, "/"), done, results) })
		}
	}
	var seen census
	go func() {
		seen.away = restartRepeatedly(t, server)
		close(done)
		load.Wait()
		close(results)
	}()
	for d := range results {
		seen.count(t, d, shop.times(d.id))
	}
	seen.assertGood(t)
}

// sendMixed sends GETs and POSTs in turn, until it is done.
func sendMixed(t *testing.T, transport *steadyhttp.Transport, url string, done <-chan struct{}, results chan<- delivery) {
	for {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				results <- deliver(t.Context(), transport, newOrder(method, url, 2000))
			}
		}
	}
}

// restartRepeatedly stops and starts the server as service managers do, in turn so that what is under way is
// finished, and so that it is cut off. It returns how long the server was away at most.
func restartRepeatedly(t *testing.T, server *nginx) (longest time.Duration) {
	start := time.Now()
	for graceful := true; time.Since(start) < rush; graceful = !graceful {
		time.Sleep(2 * time.Second)
		gone := time.Now()
		if graceful {
			server.finish(t)
		}
		server.stop(t, syscall.SIGTERM)
		server.start(t)
		longest = max(longest, time.Since(gone))
	}
	return longest
}

// grace is how long a stopping server may finish what is under way. nginx takes what it is given, since it
// waits for connections on which no request ever came, and it has stopped listening by then.
const grace = 250 * time.Millisecond

func (n *nginx) finish(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGQUIT)
	select {
	case <-n.exited:
	case <-time.After(grace):
	}
}

// A census is what a load came to.
type census struct {
	gets, gotten   int
	posts, settled int
	resent         int           // calls that took more than one attempt
	away           time.Duration // the server's longest absence
}

func (c *census) count(t *testing.T, d delivery, processed int) {
	t.Helper()
	if len(d.Attempts) > 1 {
		c.resent++
	}
	good := d.answered()
	if d.method == http.MethodGet {
		c.gets++
		if good {
			c.gotten++
		}
		return
	}
	c.posts++
	assert.LessOrEqual(t, processed, 1, "times that order %s was processed", d.id)
	if good {
		c.settled++
		assert.Equal(t, 1, processed, "times that order %s was processed", d.id)
	}
}

func (c *census) assertGood(t *testing.T) {
	t.Helper()
	t.Logf("%d of %d GETs and %d of %d POSTs were answered; %d calls took more than one attempt; the server was away for %v at most",
		c.gotten, c.gets, c.settled, c.posts, c.resent, c.away)
	assert.Positive(t, c.resent, "without it nothing was tested")
	assert.Positive(t, c.settled)
	assert.GreaterOrEqual(t, float64(c.gotten)/float64(c.gets), 0.995, "share of the GETs that succeeded")
}
