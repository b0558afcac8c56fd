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
	fixed bool // whether both are the user's: then burst does not grow with traffic, and no success is worth more
}

const (
	trickle      = 0.1 // tokens a second
	burstShare   = 0.3 // of the successes in burstWindow
	burstWindow  = 10 * time.Second
	priceOfRetry = 1
	letInWeight  = 1.0 / 8 // of one retry in letIn
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
// asks for them: a success is a mere count. mu guards all but the policy and the count.
type budget struct {
	policy    *budgetPolicy
	successes window

	mu       sync.Mutex
	tokens   float64
	credited uint64        // successes that the last refill knew of,
	refilled time.Duration // and when it was, since the epoch
	letIn    float64       // the share of the retries that waited as a limit had told them, and were let in; the last ones count most
}

// makeBudget returns it by value, since most are part of their origin.
func makeBudget(policy *budgetPolicy, now time.Duration) budget {
	return budget{policy: policy, tokens: policy.burst, refilled: now, successes: newWindow(burstWindow), letIn: 1}
}

// earn counts a success.
func (b *budget) earn(now time.Duration) {
	if b == nil {
		return
	}
	b.successes.countWith(&b.mu, now)
}

// rewards reports whether a retry that succeeded as quickly as usual gives back what it cost: not if the user has said
// what a success is worth.
func (b *budget) rewards() bool { return b != nil && !b.policy.fixed }

// refund gives back what a retry cost.
func (b *budget) refund() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.tokens += priceOfRetry // a refill caps it
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

// settle is told whether a retry that waited as a limit had told it was let in. What it cost comes back if it was,
// and if most of the last ones were: else who waits as told adds to the load for nothing.
func (b *budget) settle(letIn bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !letIn {
		b.letIn -= b.letIn * letInWeight
		return
	}
	b.letIn += (1 - b.letIn) * letInWeight
	b.tokens += priceOfRetry * max(0, 2*b.letIn-1) // a refill caps it
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
	recent, all := b.successes.sum(now), b.successes.total()
	b.tokens = b.policy.refill(b.tokens, all-b.credited, now-b.refilled, recent)
	b.credited, b.refilled = all, max(b.refilled, now)
}
