package steadyhttp

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// defersOutcome reports whether what the attempt tells of its origin is known only once the response's body
// has been read: with [WithBodyTimeout] and [WithResume] a header alone is no success. The body of a [NotReady] one is
// drained and not read.
func (c *call) defersOutcome() bool {
	a := &c.attempt
	return a.health == healthy && a.class != NotReady && hasContent(a.request, a.response)
}

func (p *policy) followsBodies() bool { return p.bodyTimeout > 0 || p.resume }

const (
	// wellAfter is how long a body must live to count as a success before it has ended: a stream may never end.
	wellAfter = time.Second
	// muchContent is what counts as one however quickly it came: an origin that sends so much works. It is also
	// the most that is read once more to get to where a body broke.
	muchContent = 8 << 20
)

// A bodyOutcome tells the origin what became of an attempt, once its body does.
//
// It counts a success at most once, and a failure at most once, which may come after a success: a body may live for an
// hour, and break. mu guards what is below it; the breaker and the budget are told without it.
type bodyOutcome struct {
	origin  *origin
	permit  permit
	request *http.Request // tells whether its caller has given up
	epoch   time.Time
	start   time.Duration // of the attempt, since the epoch
	header  time.Duration // when it came
	fresh   bool          // whether its connection was dialed for it, as far as that is known
	refunds bool          // whether a success gives back what the attempt cost the budget

	reported atomic.Bool // whether the breaker was told

	mu        sync.Mutex
	content   int64 // how much came
	succeeded bool
	ended     bool // nothing is counted any more
}

// begin takes over an attempt's outcome; if that was counted already there is nothing left to count.
func (o *bodyOutcome) begin(c *call, now time.Time) {
	a := &c.attempt
	o.origin, o.permit, o.request, o.epoch = c.origin, c.permit, c.withoutReplay(), c.transport.origins.epoch
	o.start, o.header, o.fresh = a.start, now.Sub(o.epoch), a.fresh
	o.refunds = c.refunds
	if o.ended = !a.deferred; !o.ended {
		o.origin.bodies.Add(1)
	}
}

// withoutReplay lets go of what [WithReplayBuffer] holds: no more attempt needs it.
func (c *call) withoutReplay() *http.Request {
	if c.policy.replayBuffer == 0 || c.request.GetBody == nil {
		return c.request
	}
	bare := c.request.WithContext(c.request.Context())
	bare.Body, bare.GetBody = nil, nil
	return bare
}

func (o *bodyOutcome) now() time.Duration { return time.Since(o.epoch) }

// progress counts what was read.
func (o *bodyOutcome) progress(n int) {
	o.mu.Lock()
	o.content += int64(n)
	known := o.ended || o.succeeded || n == 0
	much := o.content >= muchContent
	o.mu.Unlock()
	if !known && (much || o.now()-o.header >= wellAfter) {
		o.countSuccess()
	}
}

// succeed ends a body that was read to its end.
func (o *bodyOutcome) succeed() {
	o.countSuccess()
	o.end()
}

// close counts a success if all was read, or nothing has gone wrong for long enough. Else nothing is counted, but the
// origin did respond: a client that wants headers alone must not open the breaker by the few calls that fail, nor keep
// it half-open.
func (o *bodyOutcome) close(complete bool) {
	switch {
	case complete || o.now()-o.header >= wellAfter:
		o.countSuccess()
	case o.isOpen() && o.origin.breaker.noteResponse(o.permit, o.start):
		o.countSuccess()
	}
}

func (o *bodyOutcome) isOpen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.ended
}

// abandon ends a body that its caller wants no more of. That is neutral, which only frees a probe's place.
func (o *bodyOutcome) abandon() {
	if o.end() {
		o.report(attempt{health: neutral, end: o.now()})
	}
}

// fail ends a body that the server broke, or that stalled: then its connection may be dead.
func (o *bodyOutcome) fail(err error) {
	if !o.end() {
		return
	}
	failed := attempt{health: failing, err: err, end: o.now(), fresh: o.fresh, sends: 1}
	failed.start = failed.end - silenceOf(err)
	o.origin.suspect(&failed)
	o.report(failed)
}

// silenceOf is how long nothing came before the error.
func silenceOf(err error) time.Duration {
	var timeout *bodyTimeoutError
	if errors.As(err, &timeout) {
		return timeout.limit
	}
	return 0
}

// end reports whether the body had not ended before. Until then its origin is not forgotten.
func (o *bodyOutcome) end() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false
	}
	o.ended = true
	o.origin.bodies.Add(-1)
	return true
}

func (o *bodyOutcome) countSuccess() {
	o.mu.Lock()
	counted := o.ended || o.succeeded
	o.succeeded = true
	o.mu.Unlock()
	if counted {
		return
	}
	now := o.now()
	o.report(attempt{health: healthy, start: o.start, end: now})
	o.origin.budget.earn(now)
	if o.refunds {
		o.origin.budget.refund()
	}
}

// report tells the breaker. A probe tells it once, and what it has taken is all the time since it was sent.
func (o *bodyOutcome) report(a attempt) {
	if o.permit.probe {
		if o.reported.Swap(true) {
			return
		}
		a.start, a.body = o.start, a.end-o.header
	}
	a.request = o.request
	o.origin.breaker.settle(o.permit, &a)
}
