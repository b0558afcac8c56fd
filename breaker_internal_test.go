package steadyhttp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// gobreaker counts every call of done, also the second one for the same request.
func TestBreaker_ProbeThatReportsTwiceIsCountedOnce(t *testing.T) {
	t.Parallel()
	for _, first := range []health{neutral, healthy, failing} {
		synctest.Test(t, func(t *testing.T) {
			b := newBreaker("a", newBreakerConfig(defaultPolicy(), time.Now()))
			b.setState(t.Context(), b.machine.trip)
			time.Sleep(2 * b.config.policy.openFor)
			b.toHalfOpen(t.Context())
			now := time.Since(b.config.epoch)
			admitted := b.admit(now)
			assert.Nil(t, admitted.rejection)
			b.count(t.Context(), admitted.permit, &attempt{health: first, start: now, end: now})
			after := b.state()
			assert.False(t, b.count(t.Context(), admitted.permit, &attempt{health: failing, start: now, end: now}))
			assert.False(t, b.count(t.Context(), admitted.permit, &attempt{health: healthy, start: now, end: now}))
			assert.Equal(t, after, b.state())
		})
	}
}

func TestBreaker_IsForgottenAMinuteAfterItCouldHaveProbed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := defaultPolicy()
		policy.attemptTimeout = time.Hour
		b := newBreaker("a", newBreakerConfig(policy, time.Now()))
		now := func() time.Duration { return time.Since(b.config.epoch) }
		assert.True(t, b.forgettable(0))
		b.tally(&attempt{health: failing})
		assert.False(t, b.forgettable(0))
		assert.False(t, b.forgettable(b.config.policy.window-1))
		assert.True(t, b.forgettable(b.config.policy.window))

		b.setState(t.Context(), b.machine.trip)
		assert.False(t, b.forgettable(now()))
		assert.False(t, b.forgettable(b.probeAt+time.Minute))
		assert.True(t, b.forgettable(b.probeAt+time.Minute+1))

		time.Sleep(b.probeAt)
		b.toHalfOpen(t.Context())
		assert.Nil(t, b.admit(now()).rejection)
		assert.False(t, b.forgettable(now()))
		assert.False(t, b.forgettable(b.probe.until+time.Minute))
		assert.True(t, b.forgettable(b.probe.until+time.Minute+1))
	})
}

func TestBreaker_AsksGobreakerOnlyWhenTheStateMayChange(t *testing.T) {
	t.Parallel()
	policy := defaultPolicy()
	b := newBreaker("a", newBreakerConfig(policy, time.Now()))
	for _, found := range []health{healthy, failing, healthy} {
		assert.False(t, b.count(t.Context(), permit{}, &attempt{health: found}))
	}
	assert.Nil(t, b.machine.gobreaker)
}

func TestBreaker_KeepsNoContextOfACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := defaultPolicy()
		policy.observe = func(context.Context, Event) {}
		b := newBreaker("a", newBreakerConfig(policy, time.Now()))
		b.setState(t.Context(), b.machine.trip)
		time.Sleep(2 * b.config.policy.openFor)
		b.toHalfOpen(t.Context())
		assert.Len(t, b.pending, 2)
		b.deliver()
		for _, delivered := range b.pending[:cap(b.pending)] {
			assert.Zero(t, delivered)
		}
	})
}

func TestBreaker_OnlyTheFirstCallMakesItHalfOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker("a", newBreakerConfig(defaultPolicy(), time.Now()))
		b.setState(t.Context(), b.machine.trip)
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
	assert.True(t, policy.trips(tally{requests: 100, failures: 57}, 0, 0), "no truncation at 57 %%")
	assert.False(t, policy.trips(tally{requests: 100, failures: 56}, 0, 0))
	assert.False(t, policy.trips(tally{requests: 99, failures: 99}, 0, 0))
	assert.False(t, policy.trips(tally{}, 100, time.Hour), "a rule that is off")
}

func TestBreaker_TripsAtExactlyTheRun(t *testing.T) {
	t.Parallel()
	policy := breakerPolicy{failures: 3, lasting: time.Second}
	assert.True(t, policy.trips(tally{}, 3, time.Second))
	assert.False(t, policy.trips(tally{}, 2, time.Hour))
	assert.False(t, policy.trips(tally{}, 3, time.Second-1))
	assert.False(t, policy.trips(tally{requests: 1000, failures: 1000}, 1, 0), "a rule that is off")
}

func TestBreaker_SlowFailureCountsTwice(t *testing.T) {
	t.Parallel()
	policy := breakerPolicy{lasting: time.Second}
	assert.Equal(t, uint32(2), policy.weight(time.Second))
	assert.Equal(t, uint32(1), policy.weight(time.Second-1))
	policy.lasting = 1
	assert.Equal(t, uint32(2), policy.weight(1))
	policy.lasting = 0
	assert.Equal(t, uint32(1), policy.weight(time.Hour), "nothing is slow where no time is asked for")
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
