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
	policy = breakerPolicy{failures: 3, lasting: time.Second}
	assert.True(t, policy.trips(tally{}, 3, time.Second))
	assert.False(t, policy.trips(tally{}, 2, time.Hour))
	assert.False(t, policy.trips(tally{}, 3, time.Second-1))
	assert.False(t, policy.trips(tally{requests: 1000, failures: 1000}, 1, 0), "a rule that is off")
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
