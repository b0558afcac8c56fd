package steadyhttp

import (
	"context"
	"math"
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
	// RetryAt is when the next probe may go; zero unless open, and while the breaker is isolated.
	RetryAt time.Time
	// Reason is why the breaker is open: "failures", "fleet" (see [WithFleet]), or what [Breaker.Isolate] or
	// [Breaker.Trip] was given; empty unless open.
	Reason string
	// Shadow is whether the breaker rejects nothing; see [WithShadowBreaker].
	Shadow bool
}

// A breakerPolicy says when a breaker opens and for how long.
type breakerPolicy struct {
	failures    threshold // of failures in a row
	timeouts    threshold // of timeouts in a row
	rate        float64   // of failures in the window; 0: this rule is off
	minRequests uint32
	window      time.Duration
	openFor     time.Duration
}

// A breakerConfig is what all breakers of a Transport share.
type breakerConfig struct {
	policy  breakerPolicy
	suspend threshold     // from which retries are suspended
	lease   time.Duration // of a probe
	epoch   time.Time     // what times are counted from
	observe Observer      // nil for none
	shadow  bool          // whether nothing is rejected
	fleet   Fleet         // nil for none
}

// minSuspend and suspendLasting are when retries are suspended: one call alone must not do it, and a blip is over
// by then.
const (
	minSuspend     = 4
	suspendLasting = 600 * time.Millisecond
	suspendedFor   = time.Minute // after the last failure: what an origin was like before tells a quiet client nothing
)

// overload is how many timeouts, each of another call, are enough where the origin became slow first. One slow call
// decides nothing, and neither do its retries.
var overload = threshold{count: 2, lasting: suspendLasting}

// off reports whether no rule is left that could open a breaker.
func (p *breakerPolicy) off() bool {
	return p.rate == 0 && p.failures.count == 0 && p.timeouts.count == 0
}

// suspension is the threshold from which retries are suspended. All attempts of one call are allowed.
func (p *breakerPolicy) suspension(maxAttempts int) threshold {
	if p.failures.count == 0 && p.timeouts.count == 0 {
		return threshold{}
	}
	return threshold{count: uint32(min(max(minSuspend, maxAttempts), math.MaxInt32)), lasting: suspendLasting}
}

// raiseDefaults raises the thresholds that no option has set, where one call may make many attempts: its failures, and
// that of the call after it, must not open the breaker. A path that always fails must not shut others out.
func (p *breakerPolicy) raiseDefaults(maxAttempts int) {
	least := p.suspension(maxAttempts).count + 2
	for _, t := range []*threshold{&p.failures, &p.timeouts} {
		if t.byDefault {
			t.count = max(t.count, least)
		}
	}
}

// trips reports whether so many failures in a row, over so long a time, open the breaker. By default this time is one in
// which a success would have come: it is patient where successes take long.
func (p *breakerPolicy) trips(r run, lasting, patience time.Duration) bool {
	return p.failures.reached(r.failures, lasting) && (!p.failures.byDefault || lasting >= patience) ||
		p.timeouts.reached(r.timeouts, lasting)
}

// A tally is what a breaker counted in its window.
type tally struct{ requests, failures uint32 }

// tripsByRate decides from what is counted in the window.
func (p *breakerPolicy) tripsByRate(counted tally) bool {
	return p.rate > 0 && counted.requests >= p.minRequests &&
		float64(counted.failures)/float64(counted.requests) >= p.rate // a product could round up past 7 of 100
}

// openTime spreads the open time by ±20 %, so that a fleet does not probe in step. The time since the last probe
// was sent counts towards it, or a server that recovers from slowness would be found out late; but some of it
// remains.
func (p *breakerPolicy) openTime(waited time.Duration) time.Duration {
	fifth := p.openFor / 5
	earliest := p.openFor - fifth
	whole := earliest + min(randUpTo(2*fifth), math.MaxInt64-earliest)
	return max(whole-waited, whole/4)
}

// maxProbeTime is how long a probe keeps others back at most, if an open time is not longer.
const maxProbeTime = 2 * time.Second

// probeTime is how long a half-open breaker waits for a probe before it lets another one go: an open time, so that
// one slow call decides nothing. Where attempts have timed out, the probe may do so first: else the probes of
// quiet clients would fill the queue of a server that is slow.
func (c *breakerConfig) probeTime(timedOutAfter time.Duration) time.Duration {
	longer := min(timedOutAfter+timedOutAfter/5, maxProbeTime)
	return min(max(c.policy.openFor, longer), c.lease)
}

// A breaker guards one origin.
//
// Invariants. mu guards all fields below it, and the methods that need it say "b.mu is held". The lock order is
// b.mu, then gobreaker's mutex (see machine). Nobody but delivery calls the Observer, and it holds no lock.
// phase and failed are written under b.mu and read without it. A success takes no lock: it adds to successes, and moves
// succeeded on; only where failed says that failures came before it does it need b.mu, to end their run. Each change of
// state begins a new phase, and an outcome counts only in the phase in which its attempt was admitted; but a success that
// looked at the phase just before it changed may still add one to the requests of the next.
type breaker struct {
	origin *origin // whose it is
	config *breakerConfig
	phase  atomic.Uint64 // a generation, and the state in its lowest bits
	failed atomic.Int64  // a lastFailure
	fleet  *FleetBreaker // nil for none

	succeeded atomic.Int64 // when the last success began
	successes window       // in this phase

	mu       sync.Mutex
	machine  machine
	failures window // in this phase
	run      run
	hung     time.Duration // how long the failure that opened it took to time out; 0: it did not
	probed   time.Duration // when the latest probe began, since the epoch
	probeAt  time.Duration // when the next one may go, since the epoch
	probes   uint32        // under way in this phase
	leave    bool          // whether the fleet lets the next one of this phase go
	unread   bool          // whether one of this phase brought a response that its caller closed
	changes  *delivery     // to the Observer; nil for none
	last     *change       // which began this phase; nil in the first
}

func newBreakerConfig(policy *policy, epoch time.Time) *breakerConfig {
	return &breakerConfig{
		policy: policy.breaker, suspend: policy.breaker.suspension(policy.maxAttempts),
		lease: policy.probeLease(), epoch: epoch, observe: policy.observe, shadow: policy.shadowBreaker,
		fleet: policy.fleet,
	}
}

// makeBreaker returns it by value, since it is part of its origin.
func makeBreaker(origin *origin, config *breakerConfig) breaker {
	span := config.policy.window
	return breaker{origin: origin, config: config, successes: newWindow(span), failures: newWindow(span)}
}

const stateBits = 2

func stateIn(phase uint64) BreakerState { return BreakerState(phase & (1<<stateBits - 1)) }

// generationOf is narrow, to fit beside others. It wraps after decades of probes at the default open time; until the next
// trouble a late probe then may decide nothing.
func generationOf(phase uint64) uint32 { return uint32(phase >> stateBits) }

func (b *breaker) generation() uint32 { return generationOf(b.phase.Load()) }

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
			b.letProbe(c.attempt.request.Context())
			b.deliver() // before it is asked again: the Observer's time is not the probe's
		case a.rejection != nil && b.config.shadow:
			c.attempt.shadowed, c.permit = true, permit{} // which counts in no phase but the first
			next(c)
			return
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
	c.timed, c.attempt.probe, c.attempt.phase = true, true, granted.phase
	granted.lease = c.policy.probeLease() // [Override] may give the attempt more time than others have
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
	phase uint64        // in which it was given
	probe bool          // whether the outcome decides the state,
	lease time.Duration // unless it comes as late as this
}

// admit decides whether an attempt may go. A half-open breaker lets one probe through at a time, unless that takes
// too long, or frees its place without an outcome.
func (b *breaker) admit(now time.Duration) admission {
	b.mu.Lock()
	defer b.mu.Unlock()
	phase := b.phase.Load()
	switch state := stateIn(phase); {
	case state == BreakerClosed:
		return admission{permit: permit{phase: phase}}
	case state == BreakerOpen && now >= b.probeAt:
		return admission{due: true}
	case state == BreakerOpen, now < b.probeAt && (b.probes > 0 || b.needsLeave()):
		return admission{rejection: &b.last.rejection}
	case b.needsLeave():
		return admission{due: true}
	default:
		b.probes++
		b.leave = false
		b.probed, b.probeAt = now, later(now, b.config.probeTime(b.hung))
		return admission{permit: permit{phase: phase, probe: true}}
	}
}

// later is now + d, or the end of time.
func later(now, d time.Duration) time.Duration { return now + min(d, math.MaxInt64-now) }

// toHalfOpen makes an open breaker half-open, unless another call just has.
func (b *breaker) toHalfOpen(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state() == BreakerOpen && b.now() >= b.probeAt { // by hand it may have been opened for longer
		b.setState(ctx, b.machine.halfOpen, "")
	}
}

// report counts an attempt's outcome, unless the response's body is to tell it.
func (b *breaker) report(c *call, granted permit) {
	if c.attempt.deferred {
		granted.lease = later(granted.lease, c.policy.bodyLease())
		c.permit = granted
		return
	}
	b.settle(granted, &c.attempt)
}

// settle counts an outcome, and delivers what follows from it.
func (b *breaker) settle(granted permit, a *attempt) {
	if b == nil || a.health == neutral && !granted.probe {
		return
	}
	switch {
	case a.health == healthy && !granted.probe:
		b.countSuccess(granted.phase, a)
	case b.count(granted, a):
		b.deliver()
	}
	if b.fleet != nil {
		b.fleet.tell(granted, a)
	}
}

// countSuccess counts a success that ends no probe.
func (b *breaker) countSuccess(phase uint64, a *attempt) {
	if phase != b.phase.Load() {
		return
	}
	b.successes.countWith(&b.mu, a.end)
	b.noteSuccess(phase, a.start)
}

// noteSuccess ends a run of failures, by a success that began then.
func (b *breaker) noteSuccess(phase uint64, start time.Duration) {
	raise(&b.succeeded, int64(start))
	if b.failed.Load() != 0 {
		b.endRun(phase)
	}
}

// raise makes it at least the value.
func raise(to *atomic.Int64, value int64) {
	for {
		if old := to.Load(); old >= value || to.CompareAndSwap(old, value) {
			return
		}
	}
}

func (b *breaker) endRun(phase uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if phase == b.phase.Load() {
		b.run = run{}
		b.failed.Store(0)
	}
}

// count counts an outcome that is no success, or a probe's, and reports whether the state changed. An outcome from an
// earlier phase decides nothing, but see countLateProbe.
func (b *breaker) count(granted permit, a *attempt) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case granted.phase != b.phase.Load():
		return granted.probe && b.countLateProbe(a, granted)
	case granted.probe:
		return b.countProbe(a, granted.lease)
	case !b.countFailure(a): // settle has left out what is neutral
		return false
	default:
		b.trip(a)
		return true
	}
}

// countProbe frees the probe's place, and draws the consequence: a failure opens, a success closes. A probe that
// took longer than its lease decides nothing. b.mu is held.
func (b *breaker) countProbe(a *attempt, lease time.Duration) (changed bool) {
	b.probes--
	if b.probes == 0 {
		b.probeAt = min(b.probeAt, b.now()) // the place is free
	}
	if a.health == neutral || a.took() >= lease {
		return false
	}
	if a.health == failing {
		b.trip(a)
	} else {
		raise(&b.succeeded, int64(a.start))
		b.setState(a.request.Context(), b.machine.close, "")
	}
	return true
}

// countLateProbe closes the breaker for the success of a probe that others have overtaken, where even quick successes take
// longer than a probe keeps others back: there what fails at once would decide alone, and a breaker that is open would
// stay so. What was sent before the trouble, or before Isolate or Trip, decides nothing here either. b.mu is held.
func (b *breaker) countLateProbe(a *attempt, granted permit) (changed bool) {
	switch pace, took := &b.origin.pace, a.took(); {
	case a.health != healthy, b.state() == BreakerClosed, generationOf(granted.phase) < b.last.trouble, took >= granted.lease:
		return false
	case pace.quickest() < b.config.probeTime(b.hung) || !pace.isQuick(took):
		return false
	default:
		raise(&b.succeeded, int64(a.start))
		b.setState(a.request.Context(), b.machine.reset, "")
		return true
	}
}

// countFailure reports whether it is one too many. b.mu is held.
func (b *breaker) countFailure(a *attempt) (trips bool) {
	b.failures.count(a.end)
	if b.isStale(a) {
		b.run = run{}
	}
	// A success moves succeeded on, and then looks at failed. So one that is beside the run's first failure either is seen
	// by it or sees it.
	b.failed.CompareAndSwap(0, failedBit)
	b.run.add(a, time.Duration(b.succeeded.Load()))
	b.fleet.noteSilence(a)
	lasting := a.end - b.run.since
	b.setFailed(a.end, b.config.suspend.reached(b.run.failures, lasting))
	policy := &b.config.policy
	return policy.trips(b.run, lasting, b.patience()) || policy.tripsByRate(b.recent(a.end)) || b.overloaded(a, lasting)
}

// patience is a time in which a success would have come: twice what even quick ones take. It is no longer than a run may
// be idle.
func (b *breaker) patience() time.Duration { return min(2*b.origin.pace.quickest(), suspendedFor) }

// recent is what was counted in the window. b.mu is held.
func (b *breaker) recent(now time.Duration) tally {
	failures := b.failures.sum(now)
	return tally{requests: b.successes.sum(now) + failures, failures: failures}
}

// A lastFailure is when the last failure of a run came, since the epoch, and in its lowest bits that there is one, and
// whether it suspended retries. 0: there is no run.
type lastFailure int64

const (
	suspendedBit = 1 << iota
	failedBit
	failureBits = iota
)

func (f lastFailure) at() time.Duration { return time.Duration(f >> failureBits) }

func (f lastFailure) suspended() bool { return f&suspendedBit != 0 }

func (b *breaker) lastFailure() lastFailure { return lastFailure(b.failed.Load()) }

// setFailed notes when the last failure came, and whether retries are suspended. b.mu is held.
func (b *breaker) setFailed(at time.Duration, suspended bool) {
	failed := int64(max(at, b.lastFailure().at()))<<failureBits | failedBit
	if suspended {
		failed |= suspendedBit
	}
	b.failed.Store(failed)
}

// isStale reports whether an attempt was sent so long after the last failure that it is no part of the same trouble.
func (b *breaker) isStale(a *attempt) bool { return a.start-b.lastFailure().at() > suspendedFor }

// overloaded reports whether a timeout shows that the origin has more to do than it can, since it became slow before.
// b.mu is held.
func (b *breaker) overloaded(a *attempt, lasting time.Duration) bool {
	silence := a.timeoutAfter()
	return silence > 0 && b.config.policy.timeouts.count > 0 && overload.reached(b.run.calls, lasting) && b.origin.pace.slowed(silence)
}

// trip opens the breaker for this failure. b.mu is held.
func (b *breaker) trip(a *attempt) {
	b.hung = a.timeoutAfter()
	b.setFailed(a.end, b.lastFailure().suspended() && !b.isStale(a)) // so a probe that fails prolongs it
	b.fleet.noteSilence(a)
	b.setState(a.request.Context(), b.machine.trip, reasonFailures)
}

// setState changes the machine, and begins a new phase, in which nothing has happened yet. ctx is that of the
// call which caused the change. b.mu is held.
func (b *breaker) setState(ctx context.Context, change func(), reason string) {
	from := b.machine.state
	change()
	to := b.machine.state
	generation := b.phase.Load()>>stateBits + 1
	b.phase.Store(generation<<stateBits | uint64(to))
	b.successes.clear()
	b.failures.clear()
	b.run, b.probes, b.leave, b.unread = run{}, 0, false, false
	if from != to || to == BreakerOpen { // which it may be once more, for another reason
		b.record(ctx, from, to, reason)
	}
	switch {
	case to == BreakerClosed:
		b.failed.Store(0)
	case to == BreakerOpen && from == BreakerHalfOpen:
		b.setOpenTime(b.config.policy.openTime(b.now() - b.probed))
	case to == BreakerOpen:
		b.setOpenTime(b.config.policy.openTime(0))
	}
}

// setOpenTime fixes when the next probe may go. b.mu is held.
func (b *breaker) setOpenTime(openTime time.Duration) {
	now := time.Now()
	b.last.rejection.RetryAt = now.Add(openTime)
	b.probeAt = later(now.Sub(b.config.epoch), openTime)
}

// succeededSince reports whether an attempt that began since then has succeeded.
func (b *breaker) succeededSince(start time.Duration) bool {
	last := time.Duration(b.succeeded.Load())
	return last > 0 && last >= start
}

// noteResponse is told of a response of which its caller wanted no more. It ends a run of failures, and counts nothing.
// Of probes the second one counts as a success, and for that it reports true: callers that want headers alone would
// never close the breaker else.
func (b *breaker) noteResponse(granted permit, start time.Duration) (counts bool) {
	switch {
	case b == nil || granted.phase != b.phase.Load():
		return false
	case granted.probe:
		return b.noteUnread(granted.phase)
	default:
		b.noteSuccess(granted.phase, start)
		return false
	}
}

// noteUnread reports whether another probe of the phase ended so before.
func (b *breaker) noteUnread(phase uint64) (before bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if phase != b.phase.Load() {
		return false
	}
	before, b.unread = b.unread, true
	return before
}

// suspendsRetries reports whether nothing is to be sent a second time at present, by a call that may make so many attempts.
func (b *breaker) suspendsRetries(maxAttempts int) bool {
	return b.isSuspended() && !b.config.shadow && !b.allows(maxAttempts)
}

// allows reports whether the run of failures is shorter than what a call may make alone, should [Override] give it more
// attempts than others have.
func (b *breaker) allows(maxAttempts int) bool {
	if maxAttempts <= int(b.config.suspend.count) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.machine.state == BreakerClosed && int64(b.run.failures) < int64(maxAttempts)
}

func (b *breaker) isSuspended() bool {
	if b == nil {
		return false
	}
	last := b.lastFailure()
	return last.suspended() && b.now()-last.at() <= suspendedFor
}

// openFor reports whether the breaker is sure to reject a call after the wait.
func (b *breaker) openFor(wait time.Duration) bool {
	if b == nil || b.state() != BreakerOpen || b.config.shadow {
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
		return b.failures.sum(now) == 0
	default:
		return now-b.probeAt > forgetAfter
	}
}

func (b *breaker) status(now time.Duration) BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	status := BreakerStatus{Origin: b.origin.name, State: b.state(), Shadow: b.config.shadow}
	switch status.State {
	case BreakerClosed:
		counted := b.recent(now)
		status.Requests, status.Failures = counted.requests, counted.failures
	case BreakerOpen:
		status.RetryAt, status.Reason = b.last.rejection.RetryAt, b.last.rejection.Reason
	}
	return status
}

// deliver tells the Observer of the changes.
func (b *breaker) deliver() {
	b.mu.Lock()
	d := b.changes
	b.mu.Unlock()
	if d != nil {
		d.deliver()
	}
}
