package steadyhttp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBudget_IsNotFilledTwiceByALateCall(t *testing.T) {
	t.Parallel()
	b := makeBudget(&budgetPolicy{burst: 1}, 0)
	assert.True(t, b.spend(0))
	assert.False(t, b.spend(9*time.Second))
	assert.False(t, b.spend(time.Second))
	assert.False(t, b.spend(9500*time.Millisecond))
	assert.True(t, b.spend(10100*time.Millisecond))
}

func TestBudget_GivesATokenBack(t *testing.T) {
	t.Parallel()
	b := makeBudget(&budgetPolicy{burst: 2}, 0)
	assert.True(t, b.spend(0))
	assert.True(t, b.spend(0))
	b.refund()
	assert.True(t, b.spend(0))
	assert.False(t, b.spend(0))
	for range 10 {
		b.refund()
	}
	assert.True(t, b.full(0))
	assert.True(t, b.spend(0))
	assert.True(t, b.spend(0))
	assert.False(t, b.spend(0), "never more than the burst")
	var unlimited *budget
	unlimited.refund()
}

func TestBudget_RewardsNothingWhereTheUserSaysWhatASuccessIsWorth(t *testing.T) {
	t.Parallel()
	var unlimited *budget
	assert.False(t, unlimited.rewards())
	free := makeBudget(&budgetPolicy{burst: 2}, 0)
	assert.True(t, free.rewards())
	fixed := makeBudget(&budgetPolicy{burst: 2, fixed: true}, 0)
	assert.False(t, fixed.rewards())
}

func TestBudget_TokensStayWithinTheirBounds(t *testing.T) {
	t.Parallel()
	policy := budgetPolicy{ratio: 0.2, burst: 5}
	assert.InDelta(t, 1.2, policy.refill(0, 6, 0, 6), 1e-9)
	assert.InDelta(t, 1, policy.refill(0, 0, 10*time.Second, 0), 1e-9)
	assert.InDelta(t, 5, policy.refill(0, 1000, 0, 0), 1e-9)
	assert.InDelta(t, 30, policy.refill(0, 1000, 0, 100), 1e-9)
	assert.Equal(t, 2.0, policy.refill(2, 0, -time.Hour, 0), "a clock that steps back takes and gives nothing")
	assert.InDelta(t, 5, policy.refill(30, 0, 0, 0), 1e-9, "what traffic no longer warrants is lost")
}
