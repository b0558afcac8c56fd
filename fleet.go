package steadyhttp

import (
	"context"
	"errors"
	"time"
)

// A Fleet carries what this process sees of its origins to other processes, and what they see to this one; see
// [WithFleet]. The module steadyfleet has one.
//
// Its methods are called from many goroutines at once.
type Fleet interface {
	// Status is what it knows, for [Transport.Fleet].
	Status() FleetStatus
	// Add is called once for each breaker, before its first attempt. It must not block, nor call the breaker or its
	// Transport. If it returns nil, nothing is shared of this origin.
	Add(origin string, breaker *FleetBreaker) FleetOrigin
}

// A FleetOrigin is told what happens at one breaker. No lock is held when its methods are called, so they may call the
// [FleetBreaker]. Nothing is called on the way of a success.
type FleetOrigin interface {
	// Failed tells that an attempt failed. It must not block.
	Failed()
	// MayProbe is asked before each probe: when an open breaker's time is over, or the last probe hangs or was cancelled, and
	// a call has come, which waits for the result; other calls are rejected meanwhile. If it may not probe, retryAfter is
	// when to ask again. An implementation that does not know within some 100 ms should say yes: the breaker is then on its own.
	MayProbe(ctx context.Context) (ok bool, retryAfter time.Duration)
	// Probed tells what came of a probe, and how long its header or error took. It must not block.
	Probed(succeeded bool, took time.Duration)
	// Remove tells that the origin is forgotten. It must not block, nor call the breaker or its Transport.
	Remove()
}

// FleetStatus is a snapshot of what a [Fleet] knows.
type FleetStatus struct {
	// Members is how many processes share, this one included, as far as was heard last; 0 if it is not known.
	Members int
	// Lag is how long the others' word took to come lately: a round trip to a store, for example.
	Lag time.Duration
	// Alone is whether the fleet cannot be reached. Then breakers are on their own.
	Alone bool
	// Advice is what is in force, sorted by origin. It tells of nothing for an origin with which all is well.
	Advice []FleetAdvice
}

// FleetAdvice is a fleet's word on one origin.
type FleetAdvice struct {
	Origin string // as in [BreakerStatus]
	Phase  string // what the fleet thinks of it, in its own terms; with steadyfleet "alert", "down" or "recovery"
	Since  time.Time
}

// Fleet tells what the fleet knows, of the origins of all Transports that share it. Without [WithFleet] it is nil.
func (t *Transport) Fleet() *FleetStatus {
	if t.policy == nil || t.policy.fleet == nil {
		return nil
	}
	status := t.policy.fleet.Status()
	return &status
}

// A FleetBreaker is what a [Fleet] may do to the breaker of one origin. It is safe for concurrent use, and none of its
// methods blocks.
type FleetBreaker struct {
	breaker *breaker
	origin  FleetOrigin   // who is told
	silence time.Duration // how long the last attempt waited that timed out; 0: none has. breaker.mu guards it
}

// FleetEvidence is what one process knows of an origin.
type FleetEvidence struct {
	// Failing is whether the last that was heard of the origin is a failure: nothing has succeeded since, or the breaker
	// is not closed.
	Failing bool
	// Succeeded is when the latest success was sent; zero if there was none.
	Succeeded time.Time
	// Took is how long a success took lately, at most 100 ms before the latest; Usual is what they take on average.
	Took, Usual time.Duration
	// Silence is how long the last attempt waited that timed out; 0 if none has.
	Silence time.Duration
}

// Evidence returns a snapshot of what this process has seen of the origin.
func (f *FleetBreaker) Evidence() FleetEvidence {
	b := f.breaker
	pace := &b.origin.pace
	b.mu.Lock()
	defer b.mu.Unlock()
	e := FleetEvidence{
		Failing: b.run.failures > 0 || b.state() != BreakerClosed, Silence: f.silence,
		Took: time.Duration(pace.last.Load()) * time.Microsecond, Usual: time.Duration(pace.usual.Load()) * time.Microsecond,
	}
	if last := time.Duration(b.succeeded.Load()); last > 0 {
		e.Succeeded = b.config.epoch.Add(last)
	}
	return e
}

// Open opens the breaker, if it is closed, as its own rules do. Its reason is "fleet". The fleet is asked about the first
// probe after an open time, or after probeAfter if that is sooner and not 0.
func (f *FleetBreaker) Open(probeAfter time.Duration) {
	f.breaker.applyChange(func(b *breaker) {
		if b.state() != BreakerClosed {
			return
		}
		b.hung = f.silence
		b.setState(context.Background(), b.machine.trip, reasonFleet)
		if probeAfter > 0 && later(b.now(), probeAfter) < b.probeAt {
			b.setOpenTime(probeAfter)
		}
	})
}

// Close closes the breaker, with nothing counted, unless [Breaker.Isolate] or [Breaker.Trip] opened it.
func (f *FleetBreaker) Close() {
	f.breaker.applyChange(func(b *breaker) {
		if b.state() != BreakerClosed && !b.openedByHand() {
			b.setState(context.Background(), b.machine.reset, reasonFleet)
		}
	})
}

// openedByHand looks beyond the probe of a half-open breaker. b.mu is held.
func (b *breaker) openedByHand() bool {
	opened := b.last
	for opened != nil && opened.to != BreakerOpen {
		opened = opened.before
	}
	return opened != nil && opened.byHand
}

// joinFleet adds the breaker to the fleet, if there is one that wants it.
func (b *breaker) joinFleet() {
	if b == nil || b.config.fleet == nil {
		return
	}
	joined := &FleetBreaker{breaker: b}
	if joined.origin = b.config.fleet.Add(b.origin.name, joined); !isNil(joined.origin) {
		b.fleet = joined
	}
}

// leaveFleet is called once the origin is forgotten.
func (b *breaker) leaveFleet() {
	if b != nil && b.fleet != nil {
		b.fleet.origin.Remove()
	}
}

// tell tells of a failure and of a probe; of other successes nothing.
func (f *FleetBreaker) tell(granted permit, a *attempt) {
	if a.health == failing {
		f.origin.Failed()
	}
	if granted.probe && a.health != neutral {
		f.origin.Probed(a.health == healthy, a.took()-a.body)
	}
}

// noteSilence keeps how long an attempt waited that timed out. breaker.mu is held.
func (f *FleetBreaker) noteSilence(a *attempt) {
	if silence := a.timeoutAfter(); f != nil && silence > 0 {
		f.silence = silence
	}
}

// maxAsk is how long others do not ask the fleet while one call does.
const maxAsk = time.Second

// needsLeave reports whether the fleet is to be asked before the next probe. A half-open breaker asks once more if its probe
// hangs or was cancelled: meanwhile another process may have been let go. b.mu is held.
func (b *breaker) needsLeave() bool { return b.fleet != nil && !b.leave }

// letProbe lets a probe go whose time has come, if the fleet does. One call at a time asks.
func (b *breaker) letProbe(ctx context.Context) {
	if b.fleet == nil {
		b.toHalfOpen(ctx)
		return
	}
	if phase, ok := b.beginAsking(); ok {
		granted, retryAfter := b.fleet.origin.MayProbe(ctx)
		b.endAsking(ctx, phase, granted, retryAfter)
	}
}

// beginAsking keeps others from asking. It reports false if they do, or if nobody needs to any more.
func (b *breaker) beginAsking() (phase uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state() == BreakerClosed || b.leave || b.now() < b.probeAt {
		return 0, false
	}
	b.probeAt = later(b.now(), maxAsk)
	return b.phase.Load(), true
}

// endAsking lets the probe go, or puts off the next question.
func (b *breaker) endAsking(ctx context.Context, phase uint64, granted bool, retryAfter time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.phase.Load() != phase: // what was asked for is past
	case granted:
		if b.state() == BreakerOpen {
			b.setState(ctx, b.machine.halfOpen, "")
		}
		b.leave, b.probeAt = true, b.now()
	case b.state() == BreakerHalfOpen:
		b.probeAt = later(b.now(), max(retryAfter, time.Millisecond))
	default:
		postponed := *b.last // since rejected calls share the one there is
		b.last = &postponed
		b.setOpenTime(max(retryAfter, time.Millisecond))
	}
}

// checkFleet refuses a fleet that would never be told anything.
func (p *policy) checkFleet() error {
	if p.fleet == nil || !p.withoutBreaker {
		return nil
	}
	return errors.New("steadyhttp: WithFleet has no effect with WithoutBreaker: a fleet shares what breakers see")
}
