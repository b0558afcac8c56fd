package steadyhttp

import (
	"sync"
	"time"
)

// A budgetPolicy says how many retries an origin is worth. Tokens pay for retries: each success earns
// ratio of one, and a trickle keeps a quiet client able to retry at all.
type budgetPolicy struct {
	ratio float64
	burst float64
	fixed bool // whether burst is the user's, and does not grow with traffic
}

const (
	trickle      = 0.1 // tokens a second
	burstShare   = 0.3 // of the successes in burstWindow
	burstWindow  = 10 * time.Second
	priceOfRetry = 1
)

// capacity is the most tokens a budget can hold.
func (p budgetPolicy) capacity(successes uint32) float64 {
	if p.fixed {
		return p.burst
	}
	return max(p.burst, burstShare*float64(successes))
}

// refill is what tokens come to after so many successes and so long a time.
func (p budgetPolicy) refill(tokens float64, earned uint64, elapsed time.Duration, successes uint32) float64 {
	tokens += p.ratio*float64(earned) + trickle*max(0, elapsed).Seconds()
	return min(tokens, p.capacity(successes))
}

// A budget bounds the retries against one origin. It starts full, and does the sums only when a retry
// asks for them: a success is a mere count.
type budget struct {
	mu       sync.Mutex
	policy   *budgetPolicy
	tokens   float64
	earned   uint64        // successes since the last refill
	refilled time.Duration // since the epoch
	recent   window
}

func newBudget(policy *budgetPolicy, now time.Duration) *budget {
	return &budget{policy: policy, tokens: policy.burst, refilled: now, recent: newWindow(burstWindow)}
}

// earn counts a success.
func (b *budget) earn(now time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.earned++
	b.recent.current(now).requests++
	b.mu.Unlock()
}

// spend pays for one retry, or reports that the budget cannot.
func (b *budget) spend(now time.Duration) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	if b.tokens < priceOfRetry {
		return false
	}
	b.tokens -= priceOfRetry
	return true
}

// refund gives back what one retry cost.
func (b *budget) refund() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.tokens += priceOfRetry // a refill caps it
	b.mu.Unlock()
}

// full reports whether nothing would be forgotten if the budget were.
func (b *budget) full(now time.Duration) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	return b.tokens >= b.policy.burst
}

func (b *budget) refill(now time.Duration) {
	successes := b.recent.sum(now).requests
	b.tokens = b.policy.refill(b.tokens, b.earned, now-b.refilled, successes)
	b.earned, b.refilled = 0, max(b.refilled, now)
}
