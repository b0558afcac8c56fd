package integration

import (
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/steadyhttp/steadyhttp"
)

// The load lasts for at least so long, and longer on a machine that seldom restarts a server briefly.
const (
	rush    = 30 * time.Second
	longest = 4 * rush
)

// brief is what a call outlasts by the default policy; who is away for longer trips the breaker. recovery is how long
// that may have an effect.
const (
	brief    = 500 * time.Millisecond
	recovery = 3 * time.Second
)

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
		defer close(results)
		defer load.Wait()
		defer close(done) // also if a restart fails, which exits
		seen.absences = restartRepeatedly(t, server)
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

// An absence is how long a server was away for a restart.
type absence struct{ gone, back time.Time }

func (a absence) brief() bool { return a.back.Sub(a.gone) <= brief }

// explains reports whether it is no wonder that a call failed then.
func (a absence) explains(d delivery) bool {
	return !a.brief() && d.ended.After(a.gone) && d.ended.Before(a.back.Add(recovery))
}

// restartRepeatedly stops and starts the server as service managers do, in turn so that what is under way is
// finished, and so that it is cut off. It goes on until some absences of each kind were brief.
func restartRepeatedly(t *testing.T, server *nginx) (absences []absence) {
	short := make(map[bool]int) // brief absences, by whether they were graceful
	start := time.Now()
	for graceful := true; time.Since(start) < rush || min(short[true], short[false]) < 2 && time.Since(start) < longest; graceful = !graceful {
		time.Sleep(recovery)
		away := absence{gone: time.Now()}
		if graceful {
			server.finish(t)
		}
		server.stop(t, syscall.SIGTERM)
		server.start(t)
		away.back = time.Now()
		absences = append(absences, away)
		if away.brief() {
			short[graceful]++
		}
	}
	assert.GreaterOrEqual(t, min(short[true], short[false]), 2, "brief absences of each kind")
	return absences
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
	resent         int        // calls that took more than one attempt
	failed         []delivery // GETs
	absences       []absence  // of the server
}

func (c *census) count(t *testing.T, d delivery, processed int) {
	t.Helper()
	if len(d.Attempts) > 1 {
		c.resent++
	}
	good := d.answered()
	switch {
	case d.method == http.MethodGet && good:
		c.gets++
		c.gotten++
	case d.method == http.MethodGet:
		c.gets++
		c.failed = append(c.failed, d)
	default:
		c.posts++
		assert.LessOrEqual(t, processed, 1, "times that order %s was processed", d.id)
		if good {
			c.settled++
			assert.Equal(t, 1, processed, "times that order %s was processed", d.id)
		}
	}
}

// excused counts the GETs that failed since the server was away for too long.
func (c *census) excused() (excused int) {
	for _, d := range c.failed {
		if slices.ContainsFunc(c.absences, func(a absence) bool { return a.explains(d) }) {
			excused++
		}
	}
	return excused
}

func (c *census) assertGood(t *testing.T) {
	t.Helper()
	for _, away := range c.absences {
		t.Logf("away for %v", away.back.Sub(away.gone))
	}
	excused := c.excused()
	t.Logf("%d of %d GETs and %d of %d POSTs were answered; %d calls took more than one attempt; %d GETs failed in long absences",
		c.gotten, c.gets, c.settled, c.posts, c.resent, excused)
	assert.Positive(t, c.resent, "without it nothing was tested")
	assert.Positive(t, c.settled)
	assert.GreaterOrEqual(t, float64(c.gotten)/float64(c.gets-excused), 0.995, "share of the GETs that succeeded")
}
