package steadyhttp

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
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
// gobreaker keeps the state, and is asked only when it may change: at the failure that is one too many,
// at a probe's outcome, and once the open time is over. Successes, which cost by their number, never
// reach it; and what it would do under its lock or leave undone is done here: neutral outcomes, leases
// for probes, jitter, ordered events.
type breaker struct {
	origin string
	config *breakerConfig
	phase  atomic.Uint64 // a generation and a state; written under mu, read without it

	mu        sync.Mutex
	machine   *gobreaker.CircuitBreaker[struct{}] // nil until it first opens
	recent    window
	run       uint32            // failures since the last success, by weight
	runSince  time.Duration     // when the first failure's silence began, or the last success if that was later
	succeeded time.Duration     // when the last success began
	waited    time.Duration     // by the probe that has just failed
	probeAt   time.Duration     // when an open breaker may probe, since the epoch
	retryAt   time.Time         // and by the wall clock
	rejection *CircuitOpenError // of every call that is rejected in this phase
	probe     probe
	cause     context.Context // of the change that gobreaker is asked for
	untold    []change
	telling   bool
}

// A probe is the one call that a half-open breaker has let through. One that hangs loses its lease, and
// with it its say.
type probe struct {
	id      uint64
	running bool
	until   time.Duration // since the epoch
}

// A permit is an admission; its outcome counts only in the phase in which it was given.
type permit struct {
	phase uint64
	probe uint64 // 0 for an ordinary call
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
	granted, rejection := b.admit(time.Since(b.config.epoch))
	for rejection == errDue {
		b.wake(c.attempt.request.Context())
		b.tell()
		granted, rejection = b.admit(time.Since(b.config.epoch)) // the probe's lease begins after the telling
	}
	if rejection != nil {
		c.attempt.err, c.attempt.class, c.attempt.rejected = rejection, Unprocessed, StopCircuitOpen
		return
	}
	b.sendProbe(next, c, granted)
}

// sendProbe reports on every way out, a panic and runtime.Goexit among them: the outcome that there is
// none of is neutral, and frees the probe's place.
func (b *breaker) sendProbe(next sender, c *call, granted permit) {
	c.timed = true
	defer b.report(c, granted)
	next(c)
}

// wake makes an open breaker half-open, unless another call just has.
func (b *breaker) wake(cause context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cause = cause
	b.machine.State() // notices that gobreaker's own time is over, and calls enter
	b.cause = nil
}

// errDue is no rejection: the open time is over.
var errDue = &CircuitOpenError{}

// admit gives a permit, or says why not.
func (b *breaker) admit(now time.Duration) (permit, *CircuitOpenError) {
	b.mu.Lock()
	defer b.mu.Unlock()
	phase := b.phase.Load()
	switch stateIn(phase) {
	case BreakerClosed:
		return permit{phase: phase}, nil
	case BreakerOpen:
		if now >= b.probeAt {
			return permit{}, errDue
		}
		return permit{}, b.rejection
	}
	if b.probe.running && now < b.probe.until {
		return permit{}, b.rejection
	}
	b.probe = probe{id: b.probe.id + 1, running: true, until: now + min(b.config.lease, math.MaxInt64-now)}
	return permit{phase: phase, probe: b.probe.id}, nil
}

// report counts an outcome, and tells what follows from it once the lock is free.
func (b *breaker) report(c *call, granted permit) {
	if c.attempt.health == neutral && granted.probe == 0 {
		return
	}
	if b.count(c.attempt.request.Context(), granted, &c.attempt) {
		b.tell()
	}
}

// count reports whether the state changed. An outcome from an earlier phase decides nothing, and
// neither does a probe's after its lease.
func (b *breaker) count(cause context.Context, granted permit, a *attempt) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if granted.phase != b.phase.Load() || granted.probe != 0 && !b.endProbe(granted.probe, a.end) {
		return false
	}
	if b.state() == BreakerClosed && !b.tally(a) || a.health == neutral {
		return false
	}
	if granted.probe != 0 {
		b.waited = a.took()
	}
	b.decide(cause, a.health)
	return true
}

// endProbe frees the probe's place, and reports whether its outcome counts.
func (b *breaker) endProbe(id uint64, now time.Duration) bool {
	if id != b.probe.id || !b.probe.running {
		return false
	}
	b.probe.running = false
	return now < b.probe.until
}

// tally counts an outcome of a closed breaker, and reports whether it is one too many.
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

var errFailing = errors.New("the origin is failing")

// decide lets gobreaker draw the consequence: a failure opens, a probe's success closes. Nothing runs
// inside Execute, so nothing can hang, panic or exit there.
func (b *breaker) decide(cause context.Context, found health) {
	outcome := errFailing
	if found == healthy {
		outcome = nil
	}
	if b.machine == nil {
		b.machine = b.newMachine()
	}
	b.cause = cause
	_, _ = b.machine.Execute(func() (struct{}, error) { return struct{}{}, outcome })
	b.cause = nil
}

// newMachine returns a gobreaker that opens at the first failure it is told of, for it is told of none
// before the policy trips. Its own open time only has to be over when ours is. It calls back under its
// lock and ours, so enter calls nobody.
func (b *breaker) newMachine() *gobreaker.CircuitBreaker[struct{}] {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     1, // ns; 0 would be a minute
		ReadyToTrip: func(gobreaker.Counts) bool { return true },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.enter(BreakerState(from), BreakerState(to)) // gobreaker numbers its states as we do
		},
	})
}

// enter starts a new generation, in which nothing has happened yet.
func (b *breaker) enter(from, to BreakerState) {
	generation := b.phase.Load()>>stateBits + 1
	b.phase.Store(generation<<stateBits | uint64(to))
	b.recent.clear()
	b.run = 0
	b.retryAt = time.Time{}
	if to == BreakerOpen {
		b.open(b.config.policy.openTime(b.waited))
	}
	b.waited = 0
	b.rejection = &CircuitOpenError{Origin: b.origin, RetryAt: b.retryAt}
	if b.config.observe != nil {
		b.untold = append(b.untold, change{b.cause, Event{Kind: EventBreaker, Origin: b.origin, From: from, To: to}})
	}
}

func (b *breaker) open(lasting time.Duration) {
	now := time.Now()
	b.retryAt = now.Add(lasting)
	since := now.Sub(b.config.epoch)
	b.probeAt = since + min(lasting, math.MaxInt64-since)
}

// openFor reports whether the breaker is sure to reject a call after the wait.
func (b *breaker) openFor(wait time.Duration) bool {
	if b == nil || b.state() != BreakerOpen {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.probeAt-time.Since(b.config.epoch) > wait
}

// stale is how long after its time an open breaker, which a call would have made half-open, is taken for
// one that nobody asks any more. Else hosts that died would fill the registry for good.
const stale = time.Minute

// clean reports whether the breaker has nothing to remember: it is closed and no failure is left in the
// window, or it stopped rejecting long ago.
func (b *breaker) clean(now time.Duration) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.state() {
	case BreakerClosed:
		return b.recent.sum(now).failures == 0
	case BreakerOpen:
		return now-b.probeAt > stale
	default:
		return now-b.probe.until > stale
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

// A change is a transition that the Observer has not been told of yet.
type change struct {
	cause context.Context // of the call whose outcome it was
	event Event
}

// tell delivers the changes in order and outside the lock, one teller at a time: whoever finds another
// at it, perhaps further up its own stack, leaves its change to that one.
func (b *breaker) tell() {
	for {
		next, ok := b.takeChange()
		if !ok {
			return
		}
		b.tellOne(next)
	}
}

func (b *breaker) takeChange() (next change, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.telling || len(b.untold) == 0 {
		return change{}, false
	}
	next, b.untold = b.untold[0], b.untold[1:]
	b.telling = true
	return next, true
}

// tellOne lets nobody lose a change because the Observer panics at another.
func (b *breaker) tellOne(c change) {
	told := false
	defer func() {
		b.mu.Lock()
		b.telling = false
		b.mu.Unlock()
		if !told {
			b.tell()
		}
	}()
	b.config.observe(c.cause, c.event)
	told = true
}
