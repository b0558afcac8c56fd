package steadyhttp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWindowForgetsSlotBySlot(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Second)
	for second := range time.Duration(20) {
		w.current(second*time.Second).requests++
	}
	assert.Equal(t, uint32(10), w.sum(19*time.Second).requests)
	assert.Equal(t, uint32(5), w.sum(24*time.Second).requests)
	assert.Equal(t, uint32(5), w.sum(3*time.Second).requests, "a clock that steps back changes nothing")
	w.current(time.Second).requests++
	assert.Equal(t, uint32(6), w.sum(24*time.Second).requests)
	assert.Equal(t, uint32(0), w.sum(1000*time.Hour).requests)
	w.current(1000*time.Hour).requests++
	w.clear()
	assert.Equal(t, tally{}, w.sum(1000*time.Hour))
}

func TestTripsAtExactlyTheRate(t *testing.T) {
	t.Parallel()
	policy := breakerPolicy{rate: 0.57, minRequests: 100}
	assert.True(t, policy.trips(tally{requests: 100, failures: 57}, 0, 0), "no truncation at 57 %%")
	assert.False(t, policy.trips(tally{requests: 100, failures: 56}, 0, 0))
	assert.False(t, policy.trips(tally{requests: 99, failures: 99}, 0, 0))
	assert.False(t, policy.trips(tally{}, 100, time.Hour), "a rule that is off")
}

func TestTripsAtExactlyTheRun(t *testing.T) {
	t.Parallel()
	policy := breakerPolicy{failures: 3, lasting: time.Second}
	assert.True(t, policy.trips(tally{}, 3, time.Second))
	assert.False(t, policy.trips(tally{}, 2, time.Hour))
	assert.False(t, policy.trips(tally{}, 3, time.Second-1))
	assert.False(t, policy.trips(tally{requests: 1000, failures: 1000}, 1, 0), "a rule that is off")
}

func TestSlowFailureWeighsTwo(t *testing.T) {
	t.Parallel()
	policy := breakerPolicy{lasting: time.Second}
	assert.Equal(t, uint32(2), policy.weight(time.Second))
	assert.Equal(t, uint32(1), policy.weight(time.Second-1))
	policy.lasting = 0
	assert.Equal(t, uint32(1), policy.weight(time.Hour), "nothing is slow where no time is asked for")
}

func TestOpenTimeCountsFromTheStartOfAFailedProbe(t *testing.T) {
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

func TestTokensStayWithinTheirBounds(t *testing.T) {
	t.Parallel()
	policy := budgetPolicy{ratio: 0.2, burst: 5}
	assert.InDelta(t, 1.2, policy.refill(0, 6, 0, 6), 1e-9)
	assert.InDelta(t, 1, policy.refill(0, 0, 10*time.Second, 0), 1e-9)
	assert.InDelta(t, 5, policy.refill(0, 1000, 0, 0), 1e-9)
	assert.InDelta(t, 30, policy.refill(0, 1000, 0, 100), 1e-9)
	assert.InDelta(t, 2, policy.refill(2, 0, -time.Hour, 0), 1e-9, "a clock that steps back takes nothing")
	assert.InDelta(t, 5, policy.refill(30, 0, 0, 0), 1e-9, "what traffic no longer warrants is lost")
}
