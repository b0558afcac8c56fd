package steadyhttp

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tick is what times are told in.
const tick = time.Millisecond

// gateStart is when a test begins: not at 0, so that no zero time is taken for it.
const gateStart = 100 * time.Second

func newWaiter(now time.Duration) *waiter {
	return &waiter{cause: context.Background(), attempt: 1, deadline: math.MaxInt64, latest: now + time.Minute, settled: make(chan struct{})}
}

// enterGate brings a waiter that may wait for a minute.
func enterGate(g *gate, now time.Duration) *waiter {
	w := newWaiter(now)
	g.enter(w, now)
	return w
}

func fate(w *waiter) string {
	select {
	case <-w.settled:
	default:
		return "waits"
	}
	if w.refused != "" {
		return w.refused
	}
	return "goes"
}

func tellGate(g *gate, told, now time.Duration) { g.report(outcome{told: told, phase: g.phase}, now) }

func wellGate(g *gate, now time.Duration) {
	g.report(outcome{letIn: true, phase: g.phase}, now)
}

// newPausedGate returns a gate that begins to pause for two seconds, to which so many calls came in a second.
func newPausedGate(t *testing.T, waiters, calls int) (*gate, time.Duration) {
	t.Helper()
	now := gateStart
	g := newGate(waiters, now)
	tellGate(g, 2*time.Second, now)
	for i := range calls {
		assert.Equal(t, "goes", fate(enterGate(g, now+time.Duration(i)*time.Second/time.Duration(calls))))
	}
	now += time.Second
	tellGate(g, 2*time.Second, now)
	tellGate(g, 2*time.Second, now)
	require.Equal(t, PausePaused, g.state)
	return g, now
}

// newReleasingGate returns a gate whose probe went well.
func newReleasingGate(t *testing.T, waiters, calls int) (*gate, time.Duration) {
	t.Helper()
	g, _ := newPausedGate(t, waiters, calls)
	now := g.next
	assert.Equal(t, "goes", fate(enterGate(g, now)))
	require.Equal(t, PauseProbing, g.state)
	wellGate(g, now)
	require.Equal(t, PauseReleasing, g.state)
	return g, now
}

func TestGate_JitterIsUpToHalfOfTheTimeTold(t *testing.T) {
	t.Parallel()
	seen := make(map[time.Duration]bool)
	for range 100 {
		g, now := newPausedGate(t, 1, 1)
		assert.GreaterOrEqual(t, g.next, now+2*time.Second)
		assert.LessOrEqual(t, g.next, now+3*time.Second)
		seen[g.next] = true
	}
	assert.Greater(t, len(seen), 90)
}

func TestGate_LetsTheFirstGoWhenTheTimeHasCome(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 10, 1)
	first, second := enterGate(g, now), enterGate(g, now)
	g.release(g.next - 1)
	assert.Equal(t, "waits", fate(first))
	g.release(g.next)
	assert.Equal(t, "goes", fate(first))
	assert.Equal(t, "waits", fate(second))
	assert.Equal(t, PauseProbing, g.state)
}

// A timer may be late: who comes meanwhile has to wait behind those who came before.
func TestGate_NewcomerLetsThoseGoWhoseTimeHasCome(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 10, 1)
	first := enterGate(g, now)
	late := enterGate(g, g.next)
	assert.Equal(t, "goes", fate(first))
	assert.Equal(t, "waits", fate(late))
}

func TestGate_ResponseLetsThoseGoWhoseTimeHasCome(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 10, 1)
	first := enterGate(g, now)
	g.report(outcome{}, g.next)
	assert.Equal(t, "goes", fate(first))
}

func TestGate_ProbeIsFollowedAfterASecondAndNotBefore(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 10, 1)
	first, second, third := enterGate(g, now), enterGate(g, now), enterGate(g, now)
	probed := g.next
	g.release(probed)
	g.report(outcome{phase: g.phase}, probed+tick) // a failure tells nothing
	g.release(probed + time.Second - 1)
	assert.Equal(t, []string{"goes", "waits", "waits"}, []string{fate(first), fate(second), fate(third)})
	g.release(probed + time.Second)
	assert.Equal(t, []string{"goes", "goes", "waits"}, []string{fate(first), fate(second), fate(third)})
	g.report(outcome{letIn: true, phase: first.phase}, probed+1500*tick)
	assert.Equal(t, PauseReleasing, g.state, "the first one's word counts as well")
}

func TestGate_ProbeHasTheFewestAttemptsAndTheLongestWait(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 10, 1)
	var waiters []*waiter
	for _, attempt := range []int{3, 2, 1, 1, 2} {
		w := newWaiter(now)
		w.attempt = attempt
		g.enter(w, now)
		waiters = append(waiters, w)
	}
	g.release(g.next)
	assert.Equal(t, "goes", fate(waiters[2]))
	wellGate(g, g.next)
	assert.Equal(t, "goes", fate(waiters[0]), "but then, first come, first served")
	assert.Equal(t, "waits", fate(waiters[1]))
}

// Ten calls came in the last second, and none after that.
func TestGate_PaceIsOneAndAHalfTimesTheRate(t *testing.T) {
	t.Parallel()
	g, now := newReleasingGate(t, 100, 9) // and the probe
	span := min(now-g.since, rateWindow).Seconds()
	assert.InDelta(t, float64(time.Second)/(10/span*1.5), float64(g.gap(now)), float64(tick))
	first := enterGate(g, now)
	assert.Equal(t, "goes", fate(first), "the pace allows one at once")
	next := enterGate(g, now)
	assert.Equal(t, "waits", fate(next))
	gap := g.next - now
	g.release(now + gap - 1)
	assert.Equal(t, "waits", fate(next))
	g.release(now + gap)
	assert.Equal(t, "goes", fate(next))
}

func TestGate_RetriesAreNoCallsThatCome(t *testing.T) {
	t.Parallel()
	g, now := newReleasingGate(t, 100, 9)
	before := g.rate(now)
	w := newWaiter(now)
	w.attempt = 2
	g.enter(w, now)
	assert.Equal(t, before, g.rate(now))
	enterGate(g, now)
	assert.Greater(t, g.rate(now), before)
}

func TestGate_RateIsThatOfFiveSecondsAndOfOneAtLeast(t *testing.T) {
	t.Parallel()
	g := newGate(1, gateStart)
	for range 10 {
		enterGate(g, gateStart)
	}
	for after, want := range map[time.Duration]float64{0: 10, 500 * tick: 10, time.Second: 10, 2 * time.Second: 5, 4 * time.Second: 2.5} {
		assert.InDelta(t, want, g.rate(gateStart+after), 1e-9, after)
	}
	assert.Zero(t, g.rate(gateStart+6*time.Second))
}

func TestGate_UsualRateCountsWhereNoCallsCome(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 100, 20)
	assert.InDelta(t, 20, g.usualRate, 1)
	now += 10 * time.Second
	require.Zero(t, g.rate(now))
	assert.InDelta(t, float64(time.Second)/(g.usualRate*maxPace), float64(g.gap(now)), 1)
	g.usualRate = 0
	assert.InDelta(t, float64(time.Second)/(0.2*maxPace), float64(g.gap(now)), 1)
}

func TestGate_LateTimerMayMakeUpForLittle(t *testing.T) {
	t.Parallel()
	g, now := newReleasingGate(t, 10_000, 1000)
	now += 500 * tick
	for range 1000 {
		enterGate(g, now)
	}
	now += 200 * tick
	before := len(g.queue)
	g.release(now)
	let := before - len(g.queue)
	assert.LessOrEqual(t, let, int(pacingSlip/g.gap(now))+2)
	assert.Positive(t, let)
}

func TestGate_SlowsDownOncePerTimeTold(t *testing.T) {
	t.Parallel()
	g, now := newReleasingGate(t, 10, 1)
	want := maxPace
	for _, step := range []struct {
		after  time.Duration
		slower bool
	}{{tick, true}, {2 * tick, false}, {999 * tick, false}, {1000 * tick, true}, {1001 * tick, false}, {2000 * tick, true}} {
		g.run = 0 // it is about the pace alone
		tellGate(g, 999*tick, now+step.after)
		if step.slower {
			want *= 0.8
		}
		assert.InDelta(t, want, g.pace, 1e-9, step.after)
		require.Equal(t, PauseReleasing, g.state)
	}
}

func TestGate_PaceHasAFloorAndACeiling(t *testing.T) {
	t.Parallel()
	g, now := newReleasingGate(t, 10, 1)
	for i := range 30 {
		g.run = 0
		tellGate(g, tick, now+time.Duration(i)*2*tick)
	}
	assert.Equal(t, 0.1, g.pace)
	last := g.pacedAt
	for i, want := range []float64{0.1, 0.4, 0.7, 1, 1.3, 1.5, 1.5} {
		g.told, g.toldAt = time.Hour, last // so that it is not over
		g.advance(context.Background(), last+time.Duration(i)*time.Second+999*tick)
		assert.InDelta(t, want, g.pace, 1e-9, "after %d s", i)
	}
}

func TestGate_ThreeInARowWhileReleasingPauseAgain(t *testing.T) {
	t.Parallel()
	g, now := newReleasingGate(t, 10, 1)
	for i, want := range []PauseState{PauseReleasing, PauseReleasing, PausePaused} {
		now += 150 * tick
		tellGate(g, 2*time.Second, now)
		assert.Equal(t, want, g.state, i)
	}
	assert.Less(t, g.pace, maxPace, "it goes on where it was")
}

func TestGate_IsIdleOnceItIsQuiet(t *testing.T) {
	t.Parallel()
	quiet := 2*2*time.Second + time.Second
	t.Run("after a release", func(t *testing.T) {
		t.Parallel()
		g, _ := newReleasingGate(t, 10, 1)
		g.advance(context.Background(), g.toldAt+quiet)
		assert.Equal(t, PauseReleasing, g.state)
		g.advance(context.Background(), g.toldAt+quiet+1)
		assert.Equal(t, PauseIdle, g.state)
		assert.True(t, g.isClear())
	})
	t.Run("after a pause that nobody came to", func(t *testing.T) {
		t.Parallel()
		g, _ := newPausedGate(t, 10, 1)
		end := g.next
		g.advance(context.Background(), end+quiet)
		assert.Equal(t, PausePaused, g.state)
		g.advance(context.Background(), end+quiet+1)
		assert.Equal(t, PauseIdle, g.state)
	})
	t.Run("after a probe that nobody heard of", func(t *testing.T) {
		t.Parallel()
		g, _ := newPausedGate(t, 10, 1)
		end := g.next
		enterGate(g, end)
		g.advance(context.Background(), end+quiet)
		assert.Equal(t, PauseProbing, g.state)
		g.advance(context.Background(), end+quiet+1)
		assert.Equal(t, PauseIdle, g.state)
	})
	t.Run("not while the pace is low", func(t *testing.T) {
		t.Parallel()
		g, now := newReleasingGate(t, 10, 1)
		g.pace, g.pacedAt, g.toldAt, g.told = 0.1, now, now, 0
		g.advance(context.Background(), now+2*time.Second)
		assert.Equal(t, PauseReleasing, g.state)
		g.advance(context.Background(), now+3*time.Second)
		assert.Equal(t, PauseIdle, g.state)
	})
	t.Run("a pause, whatever the pace", func(t *testing.T) {
		t.Parallel()
		g, _ := newPausedGate(t, 10, 1)
		g.pace = 0.1
		g.advance(context.Background(), g.next+time.Hour)
		assert.Equal(t, PauseIdle, g.state)
	})
	t.Run("not while one waits and another one will", func(t *testing.T) {
		t.Parallel()
		g, now := newPausedGate(t, 10, 1)
		enterGate(g, now)
		g.reserve(newWaiter(now), now)
		g.advance(context.Background(), now+time.Hour)
		assert.Equal(t, PausePaused, g.state)
	})
	t.Run("not while anybody waits or will", func(t *testing.T) {
		t.Parallel()
		g, now := newPausedGate(t, 10, 1)
		w := newWaiter(now)
		w.latest = math.MaxInt64
		g.reserve(w, now)
		g.advance(context.Background(), now+time.Hour)
		assert.Equal(t, PausePaused, g.state)
		g.reserved--
		g.advance(context.Background(), now+time.Hour)
		assert.Equal(t, PauseIdle, g.state)
	})
	t.Run("though any run is over", func(t *testing.T) {
		t.Parallel()
		g := newGate(1, gateStart)
		tellGate(g, 2*time.Second, gateStart)
		assert.False(t, g.isClear())
		g.advance(context.Background(), gateStart+quiet)
		assert.False(t, g.isClear())
		g.advance(context.Background(), gateStart+quiet+1)
		assert.True(t, g.isClear())
	})
}

func TestGate_PlacesAreCountedWithThoseThatWait(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 2, 1)
	place := newWaiter(now)
	assert.Empty(t, g.reserve(place, now))
	assert.True(t, place.reserved)
	waiting := enterGate(g, now)
	assert.Equal(t, "waits", fate(waiting))
	assert.Equal(t, refusedByRoom, fate(enterGate(g, now)))
	assert.Equal(t, refusedByRoom, g.reserve(newWaiter(now), now))

	g.enter(place, now)
	assert.Equal(t, "waits", fate(place), "it has its place")
	assert.Equal(t, refusedByRoom, fate(enterGate(g, now)), "which is counted once")
	assert.True(t, g.leave(place))
	assert.Equal(t, "waits", fate(enterGate(g, now)))
}

func TestGate_PlaceIsNotNeededWhereNothingIsPaused(t *testing.T) {
	t.Parallel()
	g := newGate(0, gateStart)
	tellGate(g, time.Second, gateStart)
	w := newWaiter(gateStart)
	assert.Empty(t, g.reserve(w, gateStart))
	assert.False(t, w.reserved)
	assert.Zero(t, g.reserved)
}

func TestGate_PlaceIsRefusedIfThePauseIsTooLong(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 2, 1)
	w := newWaiter(now)
	w.deadline = g.next
	assert.Equal(t, refusedByDeadline, g.reserve(w, now))
	w.deadline = g.next + 1
	assert.Empty(t, g.reserve(w, now))
}

// A pause that nobody came to may be long over.
func TestGate_PlaceIsNotNeededOnceItIsQuiet(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 0, 1)
	assert.Empty(t, g.reserve(newWaiter(now), now+time.Hour))
	assert.Equal(t, PauseIdle, g.state)
}

func TestGate_WhoWasSettledCannotLeave(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 10, 1)
	first, second := enterGate(g, now), enterGate(g, now)
	g.release(g.next)
	assert.False(t, g.leave(first))
	assert.True(t, g.leave(second))
	assert.False(t, g.leave(second))
	assert.Empty(t, g.queue)
}

func TestGate_ExpectedTimeCountsThoseAhead(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 100, 10)
	for i := range 5 {
		assert.Equal(t, g.next-now+time.Duration(i)*g.gap(now), g.expected(now))
		place := newWaiter(now)
		g.reserve(place, now)
		if i%2 == 0 {
			place.attempt = 2 // else it would change the rate
			g.enter(place, now)
		}
	}
	for at, want := range map[time.Duration]string{0: "waits", 1: "waits"} {
		w := newWaiter(now)
		w.attempt, w.latest = 2, now+g.expected(now)+at
		g.enter(w, now)
		assert.Equal(t, want, fate(w), at)
	}
	w := newWaiter(now)
	w.attempt, w.latest = 2, now+g.expected(now)-1
	g.enter(w, now)
	assert.Equal(t, refusedByLimit, fate(w))
	assert.Equal(t, now+g.expected(now), w.retryAt)
}

func TestGate_LongerPauseRefusesWhoCannotWaitSoLong(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]func(*gate, time.Duration){
		"told by a late response": func(g *gate, now time.Duration) { tellGate(g, 10*time.Second, now) },
		"told by the probe": func(g *gate, now time.Duration) {
			g.state = PauseProbing
			tellGate(g, 10*time.Second, now)
		},
	} {
		g, now := newPausedGate(t, 100, 1)
		patient, hurried, limited := newWaiter(now), newWaiter(now), newWaiter(now)
		patient.latest = math.MaxInt64
		hurried.deadline, limited.latest = now+10*time.Second, now+10*time.Second-1
		for _, w := range []*waiter{hurried, patient, limited} {
			g.enter(w, now)
			require.Equal(t, "waits", fate(w))
		}
		told(g, now)
		assert.Equal(t, []string{refusedByDeadline, "waits", refusedByLimit}, []string{fate(hurried), fate(patient), fate(limited)}, name)
		assert.Equal(t, g.next, hurried.retryAt)
		assert.Equal(t, []*waiter{patient}, g.queue)
	}
}

func TestGate_TimesSaturate(t *testing.T) {
	t.Parallel()
	g := newGate(10, gateStart)
	for i := range 3 {
		tellGate(g, math.MaxInt64, gateStart+time.Duration(i)*200*tick)
	}
	now := gateStart + time.Second
	assert.Equal(t, PausePaused, g.state)
	assert.Equal(t, time.Duration(math.MaxInt64), g.next)
	w := newWaiter(now)
	w.latest = math.MaxInt64
	g.enter(w, now)
	assert.Equal(t, refusedByDeadline, fate(w), fmt.Sprint("there is no deadline, and no time after it: ", w.retryAt))
	tellGate(g, math.MaxInt64, now)
	assert.Equal(t, time.Duration(math.MaxInt64), g.next)
	assert.False(t, g.isQuiet(math.MaxInt64))
}

func TestGate_ChangesHaveTheContextOfWhoCausedThem(t *testing.T) {
	t.Parallel()
	type key struct{}
	as := func(name string) context.Context { return context.WithValue(context.Background(), key{}, name) }
	g := newGate(10, gateStart)
	for i := range 3 {
		g.report(outcome{cause: as("told"), told: time.Second}, gateStart+time.Duration(i)*150*tick)
	}
	w := newWaiter(gateStart + 300*tick)
	w.cause = as("probe")
	g.enter(w, gateStart+300*tick)
	g.release(g.next)
	g.report(outcome{cause: as("well"), letIn: true, phase: w.phase}, g.next)
	g.advance(as("quiet"), g.next+time.Hour)
	var changes []string
	for _, c := range g.changes {
		changes = append(changes, fmt.Sprint(c.from, " to ", c.to, " by ", c.cause.Value(key{})))
	}
	assert.Equal(t, []string{
		"idle to paused by told", "paused to probing by probe", "probing to releasing by well", "releasing to idle by quiet",
	}, changes)
}

func TestGate_WhoMayWaitUntilThenIsNotRefused(t *testing.T) {
	t.Parallel()
	g, now := newPausedGate(t, 100, 1)
	w := newWaiter(now)
	w.latest = now + 10*time.Second
	g.enter(w, now)
	tellGate(g, 10*time.Second, now)
	assert.Equal(t, w.latest, g.next)
	assert.Equal(t, "waits", fate(w))
}

func TestGate_NobodyIsExpectedToWaitWhereTheTimeHasCome(t *testing.T) {
	t.Parallel()
	g, _ := newPausedGate(t, 100, 1)
	assert.Zero(t, g.expected(g.next))
	assert.Equal(t, time.Duration(1), g.expected(g.next-1))
}

func TestGate_AnyTimeToldCounts(t *testing.T) {
	t.Parallel()
	g := newGate(1, gateStart)
	for i := range 3 {
		tellGate(g, 1, gateStart+time.Duration(i)*150*tick)
	}
	assert.Equal(t, PausePaused, g.state)
}

// What was told before the pause does not slow the release down, nor keep it from being slowed down.
func TestGate_PaceBeginsAnewWithAPause(t *testing.T) {
	t.Parallel()
	g := newGate(10, gateStart)
	tellGate(g, time.Hour, gateStart)
	tellGate(g, time.Second, gateStart+150*tick)
	tellGate(g, time.Second, gateStart+300*tick)
	require.Equal(t, PausePaused, g.state)
	now := g.next
	enterGate(g, now)
	wellGate(g, now)
	assert.Equal(t, maxPace, g.pace)
	tellGate(g, time.Second, now+tick)
	assert.InDelta(t, maxPace*slowDown, g.pace, 1e-9)
}

// A call that was let go before the pause says nothing about its end.
func TestGate_OutcomeOfAnEarlierPhaseReleasesNobody(t *testing.T) {
	t.Parallel()
	g := newGate(10, gateStart)
	tellGate(g, time.Second, gateStart)
	early := enterGate(g, gateStart)
	require.Equal(t, "goes", fate(early))
	tellGate(g, time.Second, gateStart+150*tick)
	tellGate(g, time.Second, gateStart+300*tick)
	probe := enterGate(g, g.next)
	require.Equal(t, "goes", fate(probe))
	g.report(outcome{letIn: true, phase: early.phase}, g.next-tick)
	assert.Equal(t, PauseProbing, g.state)
	g.report(outcome{letIn: true, phase: probe.phase}, g.next-tick)
	assert.Equal(t, PauseReleasing, g.state)
}
