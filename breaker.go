package steadyhttp

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// BreakerState is what a breaker does with the next call.
type BreakerState uint8

const (
	// BreakerClosed lets every call through and counts the outcomes.
	BreakerClosed BreakerState = iota
	// BreakerHalfOpen lets one probe through, whose outcome closes or opens the breaker, and rejects
	// the rest.
	BreakerHalfOpen
	// BreakerOpen rejects every call.
	BreakerOpen
)

var breakerStateNames = [...]string{BreakerClosed: "closed", BreakerHalfOpen: "half_open", BreakerOpen: "open"}

// String returns the state in snake case, "half_open" for example.
func (s BreakerState) String() string { return nameOf(breakerStateNames[:], int(s)) }

// MarshalText returns String, so that a state is text in JSON.
func (s BreakerState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// BreakerStatus is what [Transport.Breakers] tells of one breaker.
type BreakerStatus struct {
	// Origin is "https://api.example.com:443", or what [WithOriginKey] returned.
	Origin string
	State  BreakerState
	// Requests and Failures are counted in the window; neutral outcomes are not. A change of state
	// begins a new window, so both are 0 unless the breaker is closed.
	Requests uint32
	Failures uint32
	// RetryAt is when the next probe may go; zero unless open.
	RetryAt time.Time
}

// A breakerPolicy says when a breaker opens and for how long.
type breakerPolicy struct {
	rate        float64 // of failures in the window; 0: this rule is off
	minRequests uint32
	failures    uint32 // in a row; 0: this rule is off
	lasting     time.Duration
	window      time.Duration
	openFor     time.Duration
}

// A breakerConfig is what all breakers of a Transport share.
type breakerConfig struct {
	policy  breakerPolicy
	lease   time.Duration // of a probe
	epoch   time.Time     // what times are counted from
	observe Observer      // nil for none
}

// trips decides, from the window's tally, the length of the present run of failures, and for how long it
// has lasted.
func (p *breakerPolicy) trips(counted tally, run uint32, lasting time.Duration) bool {
	byRate := p.rate > 0 && counted.requests >= p.minRequests &&
		float64(counted.failures)/float64(counted.requests) >= p.rate // a product could round up past 7 of 100
	byRun := p.failures > 0 && run >= p.failures && lasting >= p.lasting
	return byRate || byRun
}

// weight is how much a failure adds to a run that there is. A silence of as long as a run must last is worth
// two: else a server that is slow to fail gets much more to do before its clients have seen enough.
func (p *breakerPolicy) weight(silence time.Duration) uint32 {
	if p.lasting > 0 && silence >= p.lasting {
		return 2
	}
	return 1
}

// openTime spreads the open time by ±20 %, so that a fleet does not probe in step. What a failed probe
// has waited counts towards it, or a server that recovers from slowness would be found out late; but
// some of it remains.
func (p *breakerPolicy) openTime(waited time.Duration) time.Duration {
	fifth := p.openFor / 5
	earliest := p.openFor - fifth
	whole := earliest + min(randUpTo(2*fifth), math.MaxInt64-earliest)
	return max(whole-waited, whole/4)
}

// A breaker guards one origin.
//
// Invariants. mu guards all fields below it, and the methods that need it say "b.mu is held". The lock order is
// b.mu, then gobreaker's mutex (see machine). Nobody but deliver calls the Observer, and it holds no lock.
// phase is written under b.mu and read without it. Each change of state begins a new phase, and an outcome
// counts only in the phase in which its attempt was admitted.
type breaker struct {
	origin string
	config *breakerConfig
	phase  atomic.Uint64 // a generation, and the state in its lowest bits

	mu         sync.Mutex
	machine    machine
	recent     window
	run        uint32            // failures since the last success, by weight
	runSince   time.Duration     // when the first failure's silence began, or the last success if that was later
	succeeded  time.Duration     // when the last success began
	waited     time.Duration     // by the probe that has just failed
	probeAt    time.Duration     // when an open breaker may probe, since the epoch
	retryAt    time.Time         // and by the wall clock
	rejection  *CircuitOpenError // of every call that is rejected in this phase
	probe      probe
	pending    []transition // that the Observer has not been told of
	delivering bool         // whether some call is telling it
}

// A probe is the one call that a half-open breaker has let through. If it takes longer than its lease, its
// outcome no longer counts, and another probe may go.
type probe struct {
	id      uint64
	running bool
	until   time.Duration // since the epoch
}

func newBreakerConfig(policy *policy, epoch time.Time) *breakerConfig {
	return &breakerConfig{policy: policy.breaker, lease: policy.probeLease(), epoch: epoch, observe: policy.observe}
}

func newBreaker(origin string, config *breakerConfig) *breaker {
	return &breaker{origin: origin, config: config, recent: newWindow(config.policy.window)}
}

const stateBits = 2

func stateIn(phase uint64) BreakerState { return BreakerState(phase & (1<<stateBits - 1)) }

func (b *breaker) state() BreakerState { return stateIn(b.phase.Load()) }

func (b *breaker) now() time.Duration { return time.Since(b.config.epoch) }

// breaking is the layer that asks the origin's breaker, if it has one, before each attempt, and tells it
// the outcome.
func breaking(next sender) sender {
	return func(c *call) {
		b := c.origin.breaker
		if b == nil {
			next(c)
			return
		}
		phase := b.phase.Load()
		if stateIn(phase) != BreakerClosed {
			b.guard(next, c)
			return
		}
		next(c)
		b.report(c, permit{phase: phase})
	}
}

// guard is the way through a breaker that is not closed.
func (b *breaker) guard(next sender, c *call) {
	for {
		switch a := b.admit(b.now()); {
		case a.due:
			b.toHalfOpen(c.attempt.request.Context())
			b.deliver() // before it is asked again: the Observer's time is not the probe's
		case a.rejection != nil:
			c.attempt.err, c.attempt.class, c.attempt.rejected = a.rejection, Unprocessed, StopCircuitOpen
			return
		default:
			b.sendProbe(next, c, a.permit)
			return
		}
	}
}

// sendProbe reports on every way out. After a panic and runtime.Goexit there is no outcome: the zero health is
// neutral, which decides nothing and frees the probe's place.
func (b *breaker) sendProbe(next sender, c *call, granted permit) {
	c.timed, c.attempt.probe = true, true
	defer b.report(c, granted)
	next(c)
	c.base.idle.closeOnProof(&c.attempt)
}

// An admission is the breaker's word on an attempt: a permit, or a rejection, or neither yet, since the open
// time is over and the breaker is due to be half-open.
type admission struct {
	permit    permit
	rejection *CircuitOpenError // nil unless rejected
	due       bool
}

// A permit says what an outcome can decide.
type permit struct {
	phase uint64 // in which it was given
	probe uint64 // 0 for an ordinary attempt
}

// admit decides whether an attempt may go.
func (b *breaker) admit(now time.Duration) admission {
	b.mu.Lock()
	defer b.mu.Unlock()
	phase := b.phase.Load()
	switch state := stateIn(phase); {
	case state == BreakerClosed:
		return admission{permit: permit{phase: phase}}
	case state == BreakerOpen && now >= b.probeAt:
		return admission{due: true}
	case state == BreakerOpen, b.probe.running && now < b.probe.until:
		return admission{rejection: b.rejection}
	default:
		b.probe = probe{id: b.probe.id + 1, running: true, until: now + min(b.config.lease, math.MaxInt64-now)}
		return admission{permit: permit{phase: phase, probe: b.probe.id}}
	}
}

// toHalfOpen makes an open breaker half-open, unless another call just has.
func (b *breaker) toHalfOpen(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state() == BreakerOpen {
		b.setState(ctx, b.machine.halfOpen)
	}
}

// report counts an attempt's outcome, unless the response's body is to tell it.
func (b *breaker) report(c *call, granted permit) {
	if c.attempt.deferred {
		c.permit = granted
		return
	}
	b.settle(c.attempt.request.Context(), granted, &c.attempt)
}

// settle counts an outcome, and delivers what follows from it.
func (b *breaker) settle(ctx context.Context, granted permit, a *attempt) {
	if b == nil || a.health == neutral && granted.probe == 0 {
		return
	}
	if b.count(ctx, granted, a) {
		b.deliver()
	}
}

// count reports whether the state changed. An outcome from an earlier phase decides nothing, and
// neither does a probe's after its lease.
func (b *breaker) count(ctx context.Context, granted permit, a *attempt) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case granted.phase != b.phase.Load():
		return false
	case granted.probe != 0:
		return b.countProbe(ctx, granted.probe, a)
	case !b.tally(a): // settle has left out what is neutral
		return false
	default:
		b.setState(ctx, b.machine.trip)
		return true
	}
}

// countProbe frees the probe's place, and draws the consequence: a failure opens, a success closes. b.mu is held.
func (b *breaker) countProbe(ctx context.Context, id uint64, a *attempt) (changed bool) {
	if id != b.probe.id || !b.probe.running {
		return false
	}
	b.probe.running = false
	if a.health == neutral || a.end >= b.probe.until {
		return false
	}
	change := b.machine.close
	if a.health == failing {
		b.waited, change = a.took(), b.machine.trip
	}
	b.setState(ctx, change)
	return true
}

// tally counts an outcome of a closed breaker, and reports whether it is one too many. b.mu is held.
func (b *breaker) tally(a *attempt) (trips bool) {
	slot := b.recent.current(a.end)
	slot.requests++
	if a.health == healthy {
		b.run, b.succeeded = 0, max(b.succeeded, a.start)
		return false
	}
	slot.failures++
	if b.run == 0 {
		b.run, b.runSince = 1, max(a.end-a.timeoutAfter(), b.succeeded)
	} else {
		b.run += b.config.policy.weight(a.timeoutAfter())
	}
	return b.config.policy.trips(b.recent.sum(a.end), b.run, a.end-b.runSince)
}

// setState changes the machine, and begins a new phase, in which nothing has happened yet. ctx is that of the
// call which caused the change. b.mu is held.
func (b *breaker) setState(ctx context.Context, change func()) {
	from := b.machine.state
	change()
	to := b.machine.state
	generation := b.phase.Load()>>stateBits + 1
	b.phase.Store(generation<<stateBits | uint64(to))
	b.recent.clear()
	b.run = 0
	b.retryAt = time.Time{}
	if to == BreakerOpen {
		b.setOpenTime(b.config.policy.openTime(b.waited))
	}
	b.waited = 0
	b.rejection = &CircuitOpenError{Origin: b.origin, RetryAt: b.retryAt}
	if b.config.observe != nil {
		b.pending = append(b.pending, transition{ctx, Event{Kind: EventBreaker, Origin: b.origin, From: from, To: to}})
	}
}

// setOpenTime fixes when the next probe may go. b.mu is held.
func (b *breaker) setOpenTime(openTime time.Duration) {
	now := time.Now()
	b.retryAt = now.Add(openTime)
	since := now.Sub(b.config.epoch)
	b.probeAt = since + min(openTime, math.MaxInt64-since)
}

// succeededSince reports whether an attempt that began since then has succeeded.
func (b *breaker) succeededSince(start time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.succeeded > 0 && b.succeeded >= start
}

// endRun ends a run of failures, and counts nothing: by a response of which its caller wanted no more.
func (b *breaker) endRun(granted permit, start time.Duration) {
	if b == nil || granted.probe != 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if granted.phase == b.phase.Load() {
		b.run, b.succeeded = 0, max(b.succeeded, start)
	}
}

// openFor reports whether the breaker is sure to reject a call after the wait.
func (b *breaker) openFor(wait time.Duration) bool {
	if b == nil || b.state() != BreakerOpen {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.probeAt-b.now() > wait
}

// forgetAfter is how long after its time an open breaker, which a call would have made half-open, is taken for
// one that nobody asks any more. Else hosts that died would fill the registry for good.
const forgetAfter = time.Minute

// forgettable reports whether the breaker has nothing to remember: it is closed and no failure is left in the
// window, or it stopped rejecting long ago.
func (b *breaker) forgettable(now time.Duration) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.state() {
	case BreakerClosed:
		return b.recent.sum(now).failures == 0
	case BreakerOpen:
		return now-b.probeAt > forgetAfter
	default:
		return now-b.probe.until > forgetAfter
	}
}

func (b *breaker) status(now time.Duration) BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	counted := b.recent.sum(now)
	return BreakerStatus{
		Origin: b.origin, State: b.state(), Requests: counted.requests, Failures: counted.failures, RetryAt: b.retryAt,
	}
}

// A transition is a change of state that the Observer is to be told of.
type transition struct {
	ctx   context.Context // of the call whose outcome it was
	event Event
}

// deliver tells the Observer of the changes, in order, one call at a time, and with no lock held, so that it may
// call anything. A call that finds another one delivering, perhaps further up its own stack, leaves its
// change to that one.
func (b *breaker) deliver() {
	for {
		next, ok := b.nextPending()
		if !ok {
			return
		}
		b.deliverOne(next)
	}
}

func (b *breaker) nextPending() (next transition, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.delivering || len(b.pending) == 0 {
		return transition{}, false
	}
	next = b.pending[0]
	b.pending = slices.Delete(b.pending, 0, 1) // which keeps no context
	b.delivering = true
	return next, true
}

// deliverOne loses no later change if the Observer panics or exits at this one.
func (b *breaker) deliverOne(t transition) {
	returned := false
	defer func() {
		b.mu.Lock()
		b.delivering = false
		b.mu.Unlock()
		if !returned {
			b.deliver()
		}
	}()
	b.config.observe(t.ctx, t.event)
	returned = true
}
