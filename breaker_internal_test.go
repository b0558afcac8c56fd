package steadyhttp

import (
	"context"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func newTestBreaker(policy *policy) *breaker {
	b := makeBreaker(&origin{name: "a"}, newBreakerConfig(policy, time.Now()))
	return &b
}

func TestBreaker_IsForgottenAMinuteAfterItCouldHaveProbed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := defaultPolicy()
		policy.attemptTimeout = time.Hour
		b := newTestBreaker(policy)
		now := func() time.Duration { return time.Since(b.config.epoch) }
		assert.True(t, b.forgettable(0))
		b.countFailure(&attempt{health: failing})
		assert.False(t, b.forgettable(0))
		assert.False(t, b.forgettable(b.config.policy.window-1))
		assert.True(t, b.forgettable(b.config.policy.window))

		b.setState(t.Context(), b.machine.trip, "")
		assert.False(t, b.forgettable(now()))
		assert.False(t, b.forgettable(b.probeAt+time.Minute))
		assert.True(t, b.forgettable(b.probeAt+time.Minute+1))

		time.Sleep(b.probeAt)
		b.toHalfOpen(t.Context())
		assert.Nil(t, b.admit(now()).rejection)
		assert.False(t, b.forgettable(now()))
		assert.False(t, b.forgettable(b.probeAt+time.Minute))
		assert.True(t, b.forgettable(b.probeAt+time.Minute+1))
	})
}

func TestBreaker_AsksGobreakerOnlyWhenTheStateMayChange(t *testing.T) {
	t.Parallel()
	policy := defaultPolicy()
	b := newTestBreaker(policy)
	for _, found := range []health{healthy, failing, healthy} {
		assert.False(t, b.count(permit{}, &attempt{health: found}))
	}
	assert.Nil(t, b.machine.gobreaker)
}

func TestBreaker_KeepsNoContextOfACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := defaultPolicy()
		policy.observe = func(context.Context, Event) {}
		b := newTestBreaker(policy)
		b.setState(t.Context(), b.machine.trip, "")
		time.Sleep(2 * b.config.policy.openFor)
		b.toHalfOpen(t.Context())
		assert.Len(t, b.changes.pending, 2)
		b.deliver()
		for _, delivered := range b.changes.pending[:cap(b.changes.pending)] {
			assert.Zero(t, delivered)
		}
	})
}

func TestBreaker_OnlyTheFirstCallMakesItHalfOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker(defaultPolicy())
		b.setState(t.Context(), b.machine.trip, "")
		time.Sleep(2 * b.config.policy.openFor)
		b.toHalfOpen(t.Context())
		assert.Equal(t, BreakerHalfOpen, b.state())
		phase := b.phase.Load()
		b.toHalfOpen(t.Context())
		assert.Equal(t, phase, b.phase.Load())
	})
}

func TestBreaker_TripsAtExactlyTheRate(t *testing.T) {
	t.Parallel()
	policy := breakerPolicy{rate: 0.57, minRequests: 100}
	assert.True(t, policy.tripsByRate(tally{requests: 100, failures: 57}), "no truncation at 57 %%")
	assert.False(t, policy.tripsByRate(tally{requests: 100, failures: 56}))
	assert.False(t, policy.tripsByRate(tally{requests: 99, failures: 99}))
	assert.False(t, policy.trips(run{failures: 100, timeouts: 100}, time.Hour, 0), "the rules that are off")
}

func TestBreaker_TripsAtExactlyTheRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy breakerPolicy
		run    func(uint32) run
	}{
		"failures": {breakerPolicy{failures: threshold{count: 3, lasting: time.Second}}, func(n uint32) run { return run{failures: n} }},
		"timeouts": {breakerPolicy{timeouts: threshold{count: 3, lasting: time.Second}}, func(n uint32) run { return run{failures: 100, timeouts: n} }},
	} {
		assert.True(t, c.policy.trips(c.run(3), time.Second, 0), name)
		assert.False(t, c.policy.trips(c.run(2), time.Hour, 0), name)
		assert.False(t, c.policy.trips(c.run(3), time.Second-1, 0), name)
		assert.True(t, c.policy.trips(c.run(3), time.Second, time.Hour), "%s: patience is for the default", name)
		assert.False(t, c.policy.tripsByRate(tally{requests: 1000, failures: 1000}), "a rule that is off")
	}
}

func TestBreaker_RetriesAreSuspendedAfterAsManyFailuresAsACallMayHave(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]uint32{1: 4, 4: 4, 5: 5, 1000: 1000, math.MaxInt: math.MaxInt32} {
		policy := defaultPolicy()
		assert.Equal(t, threshold{count: want, lasting: 600 * time.Millisecond}, policy.breaker.suspension(attempts))
		policy.breaker.failures.count = 0
		assert.Equal(t, want, policy.breaker.suspension(attempts).count)
		policy.breaker.timeouts.count = 0
		assert.Zero(t, policy.breaker.suspension(attempts), "without a rule for what fails in a row")
	}
}

func TestBreaker_RunLastsFromItsFirstSilence(t *testing.T) {
	t.Parallel()
	timeout := func(start, end time.Duration) *attempt {
		return &attempt{err: os.ErrDeadlineExceeded, start: start, end: end}
	}
	for name, c := range map[string]struct {
		first     *attempt
		succeeded time.Duration
		want      run
	}{
		"a failure":                        {&attempt{start: 10, end: 20}, 5, run{failures: 1, since: 20}},
		"a timeout":                        {timeout(10, 20), 5, run{failures: 1, timeouts: 1, calls: 1, since: 10}},
		"a timeout, and a success in it":   {timeout(10, 20), 15, run{failures: 1, timeouts: 1, calls: 1, since: 15}},
		"a failure, and a success in it":   {&attempt{start: 10, end: 20}, 15, run{failures: 1, since: 20}},
		"a failure that ended long before": {&attempt{start: 10, end: 20}, 25, run{failures: 1, since: 25}},
	} {
		var r run
		r.add(c.first, c.succeeded)
		assert.Equal(t, c.want, r, name)
		r.add(timeout(0, 100), 0)
		want := run{2, c.want.timeouts + 1, c.want.calls + 1, c.want.since}
		assert.Equal(t, want, r, "later ones only count")
		retry := timeout(0, 100)
		retry.number = 2
		r.add(retry, 0)
		want.failures, want.timeouts = 3, want.timeouts+1
		assert.Equal(t, want, r, "a retry is of no other call")
	}
}

func TestBreaker_LetsAnotherProbeGoAfterAnOpenTime(t *testing.T) {
	t.Parallel()
	const openFor, lease = 700 * time.Millisecond, time.Minute
	for timedOutAfter, want := range map[time.Duration]time.Duration{
		0: openFor, 500 * time.Millisecond: openFor, time.Second: 1200 * time.Millisecond, time.Hour: 2 * time.Second,
	} {
		config := breakerConfig{policy: breakerPolicy{openFor: openFor}, lease: lease}
		assert.Equal(t, want, config.probeTime(timedOutAfter), "after timeouts of %v", timedOutAfter)
		config.policy.openFor = time.Hour
		assert.Equal(t, lease, config.probeTime(timedOutAfter))
	}
}

func TestBreaker_OpenTimeReachesAFifthToBothSides(t *testing.T) {
	t.Parallel()
	policy := breakerPolicy{openFor: time.Second}
	shortest, longest := spreadOf(func() time.Duration { return policy.openTime(0) })
	assert.InDelta(t, 800*time.Millisecond, shortest, float64(20*time.Millisecond))
	assert.InDelta(t, 1200*time.Millisecond, longest, float64(20*time.Millisecond))
}

func TestBreaker_OpenTimeCountsFromTheStartOfAFailedProbe(t *testing.T) {
	t.Parallel()
	policy := breakerPolicy{openFor: time.Second}
	for range 1000 {
		for _, c := range []struct{ waited, least, most time.Duration }{
			{0, 800 * time.Millisecond, 1200 * time.Millisecond},
			{300 * time.Millisecond, 500 * time.Millisecond, 900 * time.Millisecond},
			{time.Hour, 200 * time.Millisecond, 300 * time.Millisecond},
		} {
			open := policy.openTime(c.waited)
			assert.GreaterOrEqual(t, open, c.least)
			assert.LessOrEqual(t, open, c.most)
		}
	}
}

// A success beside a run's first failure comes before it, so that the run lasts no longer than the success is old, or after
// it, so that there is no run. That the run outlives it with the silence from before would open a breaker too soon.
func TestBreaker_SuccessBesideTheFirstFailureComesBeforeOrAfterIt(t *testing.T) {
	t.Parallel()
	const silence = time.Second
	policy := defaultPolicy()
	failure := &attempt{health: failing, err: os.ErrDeadlineExceeded, start: silence, end: 2 * silence}
	success := &attempt{health: healthy, start: 2*silence - 1, end: 2 * silence}
	var b atomic.Pointer[breaker]
	var turns, ended atomic.Int64
	const rounds = 100_000
	var beside sync.WaitGroup
	defer beside.Wait()
	defer turns.Store(rounds)
	beside.Go(func() {
		for round := range int64(rounds) {
			for turns.Load() <= round {
				runtime.Gosched()
			}
			delay(round / 16 % 16)
			b.Load().settle(permit{}, success)
			ended.Store(round + 1)
		}
	})
	for round := range int64(rounds) {
		broken := newTestBreaker(policy)
		broken.successes.advance(success.end) // else the success takes the lock to begin a slot
		b.Store(broken)
		turns.Store(round + 1)
		delay(round % 16)
		broken.settle(permit{}, failure)
		for ended.Load() <= round {
			runtime.Gosched()
		}
		if broken.run.failures != 0 && !assert.Equal(t, success.start, broken.run.since, round) {
			return
		}
	}
}

// delay takes some nanoseconds a step.
func delay(steps int64) {
	var none atomic.Int64
	for range steps {
		none.Add(1)
	}
}
