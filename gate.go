package steadyhttp

import (
	"context"
	"math"
	"slices"
	"time"
)

// PauseState is what the pause of an origin does with the next call; see [WithOriginPause].
type PauseState uint8

const (
	// PauseIdle lets every call through.
	PauseIdle PauseState = iota
	// PausePaused holds every call back: the origin said until when.
	PausePaused
	// PauseProbing has let one call through, whose outcome decides for the others.
	PauseProbing
	// PauseReleasing lets calls through at a pace.
	PauseReleasing
)

var pauseStateNames = [...]string{
	PauseIdle: "idle", PausePaused: "paused", PauseProbing: "probing", PauseReleasing: "releasing",
}

// String returns the state in lower case, "releasing" for example.
func (s PauseState) String() string { return nameOf(pauseStateNames[:], int(s)) }

// MarshalText returns String, so that a state is text in JSON.
func (s PauseState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The fleet benchmark (docs/fleet.md) settled these.
const (
	pauseAfter   = 3                      // responses in a row that say "wait",
	pauseLasting = 300 * time.Millisecond // from the first to the last of them so long: the pause begins

	pauseProbeTime = time.Second // after which one more call goes as a probe

	rateWindow = 5 * time.Second // in which calls are counted, for the pace
	minRate    = 0.2             // calls a second, where none were seen

	maxPace    = 1.5 // times the rate at which calls come: those that wait must get through as well
	minPace    = 0.1
	donePace   = 1.0                   // a release is not over below it
	slowDown   = 0.8                   // times the pace, when a response says "wait" meanwhile
	speedUp    = 0.3                   // more, for each second in which none does
	pacingSlip = 10 * time.Millisecond // how much a late timer may make up for at once
)

// A gate holds calls back while their origin says "wait". It is a state machine without a clock: each method is
// told the time, as it is since the transport's epoch. It is not safe for concurrent use: originPause has the
// lock.
//
// Invariants: next is when the next call may go, in every state but idle. A waiter is in queue until it is
// settled, and it is settled once.
type gate struct {
	waiters  int           // at most so many calls wait,
	longest  time.Duration // and no longer than this, by WithMaxRetryAfter
	state    PauseState
	phase    uint64 // counts the changes of state
	next     time.Duration
	queue    []*waiter // first come, first served
	reserved int       // places in the queue for retries that still wait as they were told

	run      int           // responses in a row that said "wait"
	runSince time.Duration // when the first of them came
	toldAt   time.Duration // when the last one came,
	told     time.Duration // and what it asked for
	until    time.Duration // when the last pause ended

	since       time.Duration // when the gate was made
	calls       window        // that came since
	usualRate   float64       // calls a second, when the pause began
	pace        float64
	pacedAt     time.Duration // when the pace last changed, or a response said "wait"
	slowedUntil time.Duration // until then the pace is not slowed down again

	changes []pauseChange // that nobody has been told of
}

// A pauseChange is a change of state that a call caused.
type pauseChange struct {
	cause    context.Context
	from, to PauseState
}

// A waiter is an attempt that comes to a gate.
type waiter struct {
	cause    context.Context
	attempt  int
	deadline time.Duration // of the call; math.MaxInt64 for none
	latest   time.Duration // until then it may wait, by WithMaxRetryAfter
	reserved bool          // whether it has a place in the queue

	settled chan struct{} // closed once it is decided,
	phase   uint64        // and in which phase it was let go,
	again   bool          // or whether it is to come anew,
	refused string        // or why it was not let go,
	retryAt time.Duration // and when it might have been
}

// waitLimit is for how long it may still wait.
func (w *waiter) waitLimit(now time.Duration) time.Duration { return min(w.latest, w.deadline) - now }

func (w *waiter) letGo(phase uint64) {
	w.phase = phase
	close(w.settled)
}

func (w *waiter) recall() {
	w.again = true
	close(w.settled)
}

func (w *waiter) refuse(reason string, retryAt time.Duration) {
	w.refused, w.retryAt = reason, retryAt
	close(w.settled)
}

// An outcome is what a gate is told of an attempt.
type outcome struct {
	cause context.Context
	phase uint64        // in which the attempt was let go
	told  time.Duration // how long it was told to wait; 0 for not
	letIn bool
}

func newGate(waiters int, now time.Duration) *gate {
	return &gate{waiters: waiters, longest: math.MaxInt64, since: now, calls: newWindow(rateWindow), pace: maxPace}
}

// enter lets the waiter go, refuses it, or puts it into the queue.
func (g *gate) enter(w *waiter, now time.Duration) {
	g.advance(w.cause, now)
	if w.attempt == 1 {
		g.calls.count(now)
	}
	if w.reserved {
		g.reserved--
	}
	if g.isFree(now) {
		g.letGo(w, now)
		return
	}
	if reason := g.refusal(w, now); reason != "" {
		w.refuse(reason, addTime(now, g.expected(now)))
		return
	}
	g.queue = append(g.queue, w)
	g.release(now)
}

// isFree reports whether a call that comes now need not wait.
func (g *gate) isFree(now time.Duration) bool {
	return g.state == PauseIdle || len(g.queue) == 0 && now >= g.next
}

// reserve takes a place in the queue for a retry that will come, or says why it would be refused.
func (g *gate) reserve(w *waiter, now time.Duration) (refused string) {
	g.advance(w.cause, now)
	if g.state == PauseIdle {
		return ""
	}
	if reason := g.refusal(w, now); reason != "" {
		return reason
	}
	g.reserved++
	w.reserved = true
	return ""
}

// leave takes a waiter out whose caller gave up. It reports false if it was settled meanwhile.
func (g *gate) leave(w *waiter) bool {
	at := slices.Index(g.queue, w)
	if at < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, at, at+1)
	return true
}

// release lets go all whose time has come.
func (g *gate) release(now time.Duration) {
	for len(g.queue) > 0 && now >= g.next {
		g.letGo(g.take(), now)
	}
}

// take takes the waiter whose turn it is. The probe is the one with the fewest attempts, since it may be told to
// wait again: else the first in the queue would use up all its attempts.
func (g *gate) take() *waiter {
	turn := 0
	if g.state != PauseReleasing {
		for i, w := range g.queue {
			if w.attempt < g.queue[turn].attempt {
				turn = i
			}
		}
	}
	w := g.queue[turn]
	g.queue = slices.Delete(g.queue, turn, turn+1)
	return w
}

func (g *gate) letGo(w *waiter, now time.Duration) {
	switch g.state {
	case PausePaused, PauseProbing:
		g.setState(PauseProbing, w.cause)
		g.next = addTime(now, pauseProbeTime)
	case PauseReleasing:
		g.next = max(g.next, now-pacingSlip) + g.gap(now)
	}
	w.letGo(g.phase)
}

// What a [PausedError] gives as its reason.
const (
	refusedByDeadline = "the wait outlasts the caller's deadline"
	refusedByLimit    = "the wait is longer than WithMaxRetryAfter"
	refusedByRoom     = "as many calls wait as WithOriginPause allows"
)

// refusal says why the waiter may not wait, or nothing.
func (g *gate) refusal(w *waiter, now time.Duration) string {
	turn := addTime(now, g.expected(now))
	switch {
	case turn >= w.deadline:
		return refusedByDeadline
	case turn > w.latest:
		return refusedByLimit
	case len(g.queue)+g.reserved >= g.waiters: // never one that had a place, since that is free again
		return refusedByRoom
	default:
		return ""
	}
}

// expected is how long a waiter that comes now will probably wait.
func (g *gate) expected(now time.Duration) time.Duration {
	ahead := time.Duration(len(g.queue)+g.reserved) * g.gap(now)
	return addTime(max(0, g.next-now), ahead)
}

// gap is how long after a call the next one is let go. No calls come where all callers wait: then the usual rate
// counts.
func (g *gate) gap(now time.Duration) time.Duration {
	rate := g.rate(now)
	if rate == 0 {
		rate = max(g.usualRate, minRate)
	}
	return time.Duration(float64(time.Second) / (rate * g.pace))
}

// rate is how many calls come in a second.
func (g *gate) rate(now time.Duration) float64 {
	counted := min(max(now-g.since, time.Second), rateWindow)
	return float64(g.calls.sum(now)) / counted.Seconds()
}

// report takes in what became of an attempt. Any outcome but "wait" and being let in tells nothing: a probe that
// brings one is followed by another one when its time is over.
func (g *gate) report(o outcome, now time.Duration) {
	g.advance(o.cause, now)
	switch {
	case o.told > 0:
		g.throttled(o, now)
	case o.letIn:
		g.run = 0
		if g.state == PauseProbing && o.phase == g.phase {
			g.beginRelease(o.cause, now)
		}
	}
	g.release(now)
}

func (g *gate) throttled(o outcome, now time.Duration) {
	if g.run == 0 {
		g.runSince = now
	}
	g.run++
	g.toldAt, g.told = now, o.told
	sure := g.run >= pauseAfter && now-g.runSince >= pauseLasting
	switch {
	case g.state == PausePaused: // by an attempt that was let go before
		g.pauseUntil(max(g.next, addTime(now, o.told)))
	case g.state == PauseProbing || sure:
		g.pause(o, now)
	case g.state == PauseReleasing:
		g.slow(o, now)
	}
}

// pause holds all calls back until the time that the origin gave, and a little longer: others were told the
// same. But that alone must make it too long for nobody.
func (g *gate) pause(o outcome, now time.Duration) {
	if g.state == PauseIdle {
		g.pace, g.usualRate = maxPace, g.rate(now)
	}
	g.setState(PausePaused, o.cause)
	g.pauseUntil(addTime(now, max(o.told, min(addJitter(o.told), g.longest))))
}

func (g *gate) pauseUntil(until time.Duration) {
	g.next, g.until = until, until
	g.refuseLate()
}

// refuseLate lets those know at once for whom the pause is too long.
func (g *gate) refuseLate() {
	g.queue = slices.DeleteFunc(g.queue, func(w *waiter) bool {
		switch {
		case g.next >= w.deadline:
			w.refuse(refusedByDeadline, g.next)
		case g.next > w.latest:
			w.refuse(refusedByLimit, g.next)
		default:
			return false
		}
		return true
	})
}

// slow slows the pace down, once for each time that the origin tells to wait: those that were let go together
// are told together.
func (g *gate) slow(o outcome, now time.Duration) {
	g.pacedAt = now
	if now < g.slowedUntil {
		return
	}
	g.pace = max(minPace, g.pace*slowDown)
	g.slowedUntil = addTime(now, o.told)
}

// advance notices what time alone brings about.
func (g *gate) advance(cause context.Context, now time.Duration) {
	if g.state == PauseReleasing {
		seconds := max(0, now-g.pacedAt) / time.Second
		g.pace = min(maxPace, g.pace+speedUp*float64(seconds))
		g.pacedAt += seconds * time.Second
	}
	if !g.isQuiet(now) {
		return
	}
	g.run = 0
	switch empty := len(g.queue)+g.reserved == 0; {
	case empty && (g.state != PauseReleasing || g.pace >= donePace):
		g.setState(PauseIdle, cause)
	case g.state == PauseProbing:
		g.beginRelease(cause, now)
	}
}

func (g *gate) beginRelease(cause context.Context, now time.Duration) {
	g.setState(PauseReleasing, cause)
	g.next, g.pacedAt = now, now
}

// isQuiet reports whether the last "wait", or the end of the pause that it brought, was so long ago that it tells no
// more. The probes since then may have told nothing.
func (g *gate) isQuiet(now time.Duration) bool {
	last := g.toldAt
	if g.state == PausePaused || g.state == PauseProbing {
		last = max(last, g.until)
	}
	return now-last > addTime(time.Second, addTime(g.told, g.told))
}

// isClear reports whether the gate is as good as none.
func (g *gate) isClear() bool { return g.state == PauseIdle && g.run == 0 && g.reserved == 0 }

func (g *gate) setState(to PauseState, cause context.Context) {
	if to == g.state {
		return
	}
	g.changes = append(g.changes, pauseChange{cause, g.state, to})
	g.state = to
	g.phase++
}

// addTime saturates.
func addTime(a, b time.Duration) time.Duration {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}
