package steadyhttp

import (
	"context"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A pausePolicy is what the user says of pauses.
type pausePolicy struct {
	on      bool
	waiters int                        // at most so many calls of an origin wait
	key     func(*http.Request) string // nil: all calls of an origin are limited as one
}

// A pauseConfig is what the pauses of a Transport share.
type pauseConfig struct {
	policy        pausePolicy
	maxRetryAfter time.Duration // a server that asks for more is not waited for
	epoch         time.Time     // what times are counted from
	observe       Observer      // nil for none
}

// maxPauseKeys bounds how many keys of an origin are told apart at a time. Others are not paused.
const maxPauseKeys = 1024

// An originPause has the gates of one origin: one, or one for each key of [WithPauseKey]. A gate exists from the
// first response that says "wait" until the gate is as good as none, so a healthy origin has none.
//
// Invariants. mu guards all fields below it, and the gates; the methods that need it say "p.mu is held". The lock order
// is p.mu, then the breaker's. present is the number of gates; it is written under p.mu and read without it. Nobody but
// deliver calls the Observer, and it holds no lock.
type originPause struct {
	origin   string
	config   *pauseConfig
	present  atomic.Int32
	delivery delivery

	mu      sync.Mutex
	gates   map[string]*timedGate
	phase   uint64 // the last one of a gate that was removed
	sweptAt time.Duration
}

// A timedGate is a gate, and the timer that lets its next waiter go. The timer runs only while calls wait.
type timedGate struct {
	gate
	key   string
	timer *time.Timer
}

func newPauseConfig(policy *policy, epoch time.Time) *pauseConfig {
	return &pauseConfig{policy: policy.pause, maxRetryAfter: policy.maxRetryAfter, epoch: epoch, observe: policy.observe}
}

func newOriginPause(origin string, config *pauseConfig) *originPause {
	return &originPause{origin: origin, config: config, delivery: delivery{observe: config.observe}}
}

func (p *originPause) now() time.Duration { return time.Since(p.config.epoch) }

// pausing is the layer that holds attempts back while their origin says "wait". It is outside of the breaker, so
// that a call that waits takes nobody's place there, and an open breaker rejects it when it is let go. One that
// is open by hand, for longer than the call may wait, rejects it at once.
func pausing(next sender) sender {
	return func(c *call) {
		p := c.origin.pause
		if p == nil { // the registry has no room for the origin
			next(c)
			return
		}
		if p.present.Load() > 0 && !p.admit(c) {
			return
		}
		next(c)
		if p.present.Load() > 0 || c.attempt.told() > 0 {
			p.report(c)
		}
	}
}

// pausingFor is nil where no origin is paused.
func pausingFor(policy *policy) layer {
	if !policy.pause.on {
		return nil
	}
	return pausing
}

// told is how long the origin told the client to wait; 0 for not. A 503 is about the origin as much as a 429 is
// (RFC 9110 §10.2.3); any other response is about the one request.
func (a *attempt) told() time.Duration {
	unavailable := a.status == http.StatusServiceUnavailable && a.health == failing
	if !a.saysWhen || a.class != Throttled && !unavailable {
		return 0
	}
	return a.retryAfter
}

// A pauseTicket is what a call remembers of its origin's pause.
type pauseTicket struct {
	known    bool       // whether
	key      string     // is known
	phase    uint64     // in which the attempt was let go
	reserved *timedGate // where the next attempt has a place; nil for none
}

// giveBack gives a place back that will not be taken; originPause.mu is held.
func (t *pauseTicket) giveBack() {
	if t.reserved != nil {
		t.reserved.reserved--
		t.reserved = nil
	}
}

// keyOf asks the user's function once for each call, and only if its origin says "wait".
func (p *originPause) keyOf(c *call) string {
	if p.config.policy.key != nil && !c.ticket.known {
		c.ticket.key = p.config.policy.key(c.caller)
	}
	c.ticket.known = true
	return c.ticket.key
}

// admit waits until the attempt may be sent, and reports whether it may.
func (p *originPause) admit(c *call) bool {
	for {
		w, g := p.enter(c)
		p.delivery.deliver()
		if w == nil {
			return true
		}
		refused := p.await(c, g, w)
		p.delivery.deliver() // what changed as it was let go
		switch {
		case refused != nil:
			c.attempt.err, c.attempt.class, c.attempt.rejected = refused, Throttled, StopPaused
			return false
		case !w.again:
			c.ticket.phase = w.phase
			return true
		}
	}
}

// enter brings the attempt to its gate; nil if there is none, or if a breaker that was opened by hand rejects the attempt
// anyway. That is asked under p.mu, since Isolate and Trip recall all that wait, once: none may come to wait after that.
func (p *originPause) enter(c *call) (*waiter, *timedGate) {
	key := p.keyOf(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	g := p.find(c.caller.Context(), key, now)
	if g == nil {
		return nil, nil
	}
	w := p.newWaiter(c, now)
	if c.origin.breaker.isHeldOpen(w.waitLimit(now)) {
		c.ticket.giveBack()
		p.update(g, now)
		return nil, nil
	}
	w.reserved, c.ticket.reserved = c.ticket.reserved != nil, nil
	g.enter(w, now)
	p.update(g, now)
	return w, g
}

func (p *originPause) newWaiter(c *call, now time.Duration) *waiter {
	w := &waiter{
		cause: c.caller.Context(), attempt: c.attempt.number,
		deadline: math.MaxInt64, latest: addTime(now, c.policy.maxRetryAfter), settled: make(chan struct{}),
	}
	if deadline, ok := c.request.Context().Deadline(); ok {
		w.deadline = deadline.Sub(p.config.epoch)
	}
	return w
}

// await waits until it is decided whether the waiter may go, the caller gives up, or it has waited for as long as
// it may.
func (p *originPause) await(c *call, g *timedGate, w *waiter) *PausedError {
	select {
	case <-w.settled:
		return p.refusal(w)
	default:
	}
	start := p.now()
	limit := time.NewTimer(w.latest - start)
	defer limit.Stop()
	select {
	case <-w.settled:
		c.attempt.held += p.now() - start
	case <-c.request.Context().Done():
	case <-cancelOf(c.request):
	case <-limit.C:
		p.release(g) // its time may have come at the same moment
	}
	p.mu.Lock() // whoever settled it keeps the change of state before it is unlocked, for this call to tell of
	defer p.mu.Unlock()
	if g.leave(w) {
		w.refuse(refusedByLimit, g.next)
		p.update(g, p.now())
	}
	return p.refusal(w)
}

// refusal is the error of a settled waiter, or nil.
func (p *originPause) refusal(w *waiter) *PausedError {
	if w.refused == "" {
		return nil
	}
	return &PausedError{Origin: p.origin, RetryAt: p.config.epoch.Add(w.retryAt), Reason: w.refused}
}

// report tells the gate what became of an attempt.
func (p *originPause) report(c *call) {
	p.count(c)
	p.delivery.deliver()
}

func (p *originPause) count(c *call) {
	key, a := p.keyOf(c), &c.attempt
	o := outcome{cause: c.caller.Context(), phase: c.ticket.phase, told: a.told(), letIn: a.letIn()}
	tooLong := o.told > p.config.maxRetryAfter
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	g := p.find(o.cause, key, now)
	if g == nil && o.told > 0 && !tooLong {
		g = p.open(key, now)
	}
	if g == nil || tooLong && g.state == PauseIdle { // no pause is to begin
		return
	}
	o.told = min(o.told, p.config.maxRetryAfter)
	g.report(o, now)
	p.update(g, now)
}

// reserve takes a place in the queue for the call's next attempt, while its response is still there to be
// returned. It reports false if the attempt would be refused.
func (p *originPause) reserve(c *call) bool {
	if p == nil || p.present.Load() == 0 {
		return true
	}
	key := p.keyOf(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	g := p.find(c.caller.Context(), key, now)
	if g == nil {
		return true
	}
	w := p.newWaiter(c, now)
	refused := g.reserve(w, now)
	if w.reserved {
		c.ticket.reserved = g
	}
	p.update(g, now)
	return refused == ""
}

// refuses reports whether the call's first attempt would be refused now. It changes nothing.
func (p *originPause) refuses(c *call) bool {
	if p == nil || p.present.Load() == 0 {
		return false
	}
	key := p.keyOf(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	g := p.gates[key]
	return g != nil && !g.isFree(now) && g.refusal(p.newWaiter(c, now), now) != ""
}

// cancel gives a place back that will not be taken.
func (p *originPause) cancel(c *call) {
	g := c.ticket.reserved
	p.mu.Lock()
	defer p.mu.Unlock()
	c.ticket.giveBack()
	p.update(g, p.now())
}

// find returns the key's gate, or nil. p.mu is held.
func (p *originPause) find(ctx context.Context, key string, now time.Duration) *timedGate {
	if now-p.sweptAt >= time.Second {
		p.sweep(ctx, now)
	}
	return p.gates[key]
}

// sweep removes the gates that nobody came to any more. p.mu is held.
func (p *originPause) sweep(ctx context.Context, now time.Duration) {
	p.sweptAt = now
	for _, g := range p.gates {
		g.advance(ctx, now)
		p.update(g, now)
	}
}

// open makes the key's gate, if there is room. Its phases are no other gate's, so that an outcome that comes late
// counts in none. p.mu is held.
func (p *originPause) open(key string, now time.Duration) *timedGate {
	if len(p.gates) >= maxPauseKeys {
		return nil
	}
	g := &timedGate{gate: *newGate(p.config.policy.waiters, now), key: key}
	g.phase, g.longest = p.phase+1, p.config.maxRetryAfter
	if p.gates == nil {
		p.gates = make(map[string]*timedGate)
	}
	p.gates[key] = g
	p.present.Add(1)
	return g
}

// update does what follows from a change of a gate: it keeps the events, starts or stops the timer, and removes
// a gate that is as good as none. p.mu is held.
func (p *originPause) update(g *timedGate, now time.Duration) {
	for _, change := range g.changes {
		p.delivery.add(change.cause, Event{Kind: EventPause, Origin: p.origin, PauseFrom: change.from, PauseTo: change.to})
	}
	g.changes = nil
	switch {
	case len(g.queue) > 0 && g.timer == nil:
		g.timer = time.AfterFunc(g.next-now, func() { p.release(g) })
	case len(g.queue) > 0:
		g.timer.Reset(g.next - now)
	case g.timer != nil:
		g.timer.Stop()
	}
	if g.isClear() && p.gates[g.key] == g {
		delete(p.gates, g.key)
		p.phase = max(p.phase, g.phase)
		p.present.Add(-1)
	}
}

// release runs on the gate's timer. It calls no Observer: the calls that it lets go do.
func (p *originPause) release(g *timedGate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	g.release(now)
	p.update(g, now)
}

// recallFor makes all that wait in vain, for a breaker that Isolate or Trip opened, come to their gates anew. Where it is
// closed again by then, they wait on: the origin still says "wait".
func (p *originPause) recallFor(b *breaker) {
	if p == nil || p.present.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, g := range p.gates {
		g.queue = slices.DeleteFunc(g.queue, func(w *waiter) bool {
			inVain := b.isHeldOpen(w.waitLimit(now))
			if inVain {
				w.recall()
			}
			return inVain
		})
		p.update(g, now)
	}
}

// forgettable reports whether nothing is lost with the pause.
func (p *originPause) forgettable(now time.Duration) bool {
	if p == nil || p.present.Load() == 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.gates {
		if !g.isQuiet(now) {
			return false
		}
	}
	return true
}
