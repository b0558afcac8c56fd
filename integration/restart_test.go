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

// The load lasts for at least loadTime, and longer if the machine is too slow for short downtimes.
const (
	loadTime    = 30 * time.Second
	maxLoadTime = 4 * loadTime
)

// A call with the default policy survives a downtime of at most shortDowntime. A longer one opens the breaker, and this
// may have an effect for the time of recovery.
const (
	shortDowntime = 500 * time.Millisecond
	recovery      = 3 * time.Second
)

// TestRestart_UnderLoadFailsHardlyAnyGetAndRetriesNoPost uses the default policy, with which a call survives the
// time that a service manager takes to restart nginx.
func TestRestart_UnderLoadFailsHardlyAnyGetAndRetriesNoPost(t *testing.T) {
	t.Parallel()
	app := startApplication(t)
	app.setHook(func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) }) // so that some orders are under way
	server := startNginx(t, app.address, proxySite)

	var load sync.WaitGroup
	done := make(chan struct{})
	results := make(chan result, 1000)
	for _, p := range protocols {
		transport := newTransport(t, p.base())
		for range 4 {
			load.Go(func() { sendMixed(t, transport, p.url(server.endpoint, "/"), done, results) })
		}
	}
	var total loadResult
	go func() {
		defer close(results)
		defer load.Wait()
		defer close(done) // also if a restart fails, which calls Goexit
		total.downtimes = restartRepeatedly(t, server)
	}()
	for r := range results {
		total.count(t, r, app.timesProcessed(r.id))
	}
	total.assertGood(t)
}

// sendMixed sends GETs and POSTs in turn, until done is closed.
func sendMixed(t *testing.T, transport *steadyhttp.Transport, url string, done <-chan struct{}, results chan<- result) {
	for {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				results <- send(t.Context(), transport, newOrder(method, url, 2000))
			}
		}
	}
}

// A downtime is the time in which a server did not listen, for a restart.
type downtime struct{ start, end time.Time }

func (d downtime) isShort() bool { return d.end.Sub(d.start) <= shortDowntime }

// excuses reports whether the downtime is a reason for a call to fail.
func (d downtime) excuses(r result) bool {
	return !d.isShort() && r.ended.After(d.start) && r.ended.Before(d.end.Add(recovery))
}

// restartRepeatedly stops and starts the server as service managers do. In turn, requests under way may finish, or they
// are cut off. It goes on until some downtimes of each kind were short.
func restartRepeatedly(t *testing.T, server *nginx) (downtimes []downtime) {
	short := make(map[bool]int) // the number of short downtimes, by whether they were graceful
	start := time.Now()
	for graceful := true; time.Since(start) < loadTime || min(short[true], short[false]) < 2 && time.Since(start) < maxLoadTime; graceful = !graceful {
		time.Sleep(recovery)
		down := downtime{start: time.Now()}
		if graceful {
			server.finish(t)
		}
		server.stop(t, syscall.SIGTERM)
		server.start(t)
		down.end = time.Now()
		downtimes = append(downtimes, down)
		if down.isShort() {
			short[graceful]++
		}
	}
	assert.GreaterOrEqual(t, min(short[true], short[false]), 2, "short downtimes of each kind")
	return downtimes
}

// gracePeriod is how long a server that stops may finish what is under way. It has stopped listening by then. nginx takes
// all of this time, because it also waits for connections on which there never was a request.
const gracePeriod = 250 * time.Millisecond

func (n *nginx) finish(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGQUIT)
	select {
	case <-n.exited:
	case <-time.After(gracePeriod):
	}
}

// A loadResult counts the results of a load.
type loadResult struct {
	gets, getsSucceeded   int
	posts, postsSucceeded int
	retried               int        // calls that took more than one attempt
	failed                []result   // GETs
	downtimes             []downtime // of the server
}

func (c *loadResult) count(t *testing.T, r result, processed int) {
	t.Helper()
	if len(r.Attempts) > 1 {
		c.retried++
	}
	good := r.succeeded()
	switch {
	case r.method == http.MethodGet && good:
		c.gets++
		c.getsSucceeded++
	case r.method == http.MethodGet:
		c.gets++
		c.failed = append(c.failed, r)
	default:
		c.posts++
		assert.LessOrEqual(t, processed, 1, "times that order %s was processed", r.id)
		if good {
			c.postsSucceeded++
			assert.Equal(t, 1, processed, "times that order %s was processed", r.id)
		}
	}
}

// excused counts the GETs that failed because of a long downtime.
func (c *loadResult) excused() (excused int) {
	for _, r := range c.failed {
		if slices.ContainsFunc(c.downtimes, func(d downtime) bool { return d.excuses(r) }) {
			excused++
		}
	}
	return excused
}

func (c *loadResult) assertGood(t *testing.T) {
	t.Helper()
	for _, d := range c.downtimes {
		t.Logf("down for %v", d.end.Sub(d.start))
	}
	excused := c.excused()
	t.Logf("%d of %d GETs and %d of %d POSTs succeeded; %d calls took more than one attempt; %d GETs failed in long downtimes",
		c.getsSucceeded, c.gets, c.postsSucceeded, c.posts, c.retried, excused)
	assert.Positive(t, c.retried, "no call was retried, so nothing was tested")
	assert.Positive(t, c.postsSucceeded)
	assert.GreaterOrEqual(t, float64(c.getsSucceeded)/float64(c.gets-excused), 0.995, "share of the GETs that succeeded")
}
