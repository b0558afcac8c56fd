package steadyhttp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// spreadOf returns the shortest and the longest of a thousand.
func spreadOf(draw func() time.Duration) (shortest, longest time.Duration) {
	shortest = draw()
	for range 1000 {
		drawn := draw()
		shortest, longest = min(shortest, drawn), max(longest, drawn)
	}
	return shortest, longest
}

func TestBackoff_RandomWaitReachesBothEnds(t *testing.T) {
	t.Parallel()
	for _, end := range []time.Duration{0, 1} {
		shortest, longest := spreadOf(func() time.Duration { return randUpTo(end) })
		assert.Zero(t, shortest)
		assert.Equal(t, end, longest)
	}
}

func TestBackoff_WaitAfterATimeoutHasJitterOfHalfOfIt(t *testing.T) {
	t.Parallel()
	policy := backoffPolicy{initial: 1, max: 10 * time.Second}
	shortest, longest := spreadOf(func() time.Duration { return policy.stretchAfterTimeout(1, 600*time.Millisecond) })
	assert.InDelta(t, 600*time.Millisecond, shortest, float64(20*time.Millisecond))
	assert.InDelta(t, 900*time.Millisecond, longest, float64(20*time.Millisecond))
}

func TestBackoff_CustomPolicyIsNotLengthenedByATimeout(t *testing.T) {
	t.Parallel()
	policy := backoffPolicy{custom: func() Backoff { return nil }}
	assert.Equal(t, time.Duration(5), policy.stretchAfterTimeout(5, time.Second))
}

func TestRetryAfter_JitterIsUpToHalfOfItAndFiveSeconds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ asked, most time.Duration }{{4 * time.Second, 6 * time.Second}, {time.Hour, time.Hour + 5*time.Second}} {
		shortest, longest := spreadOf(func() time.Duration { return addJitter(c.asked) })
		assert.InDelta(t, c.asked, shortest, float64(100*time.Millisecond))
		assert.InDelta(t, c.most, longest, float64(100*time.Millisecond))
	}
}
