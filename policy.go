package steadyhttp

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
)

// A config is what the options come to.
type config struct {
	policy
	budget         budgetPolicy
	breaker        breakerPolicy
	withoutBudget  bool
	withoutBreaker bool
	timeout        time.Duration
}

// A policy is all the settings that a chain looks at. It does not change.
type policy struct {
	maxAttempts        int
	backoff            backoffPolicy
	maxRetryAfter      time.Duration
	attemptTimeout     time.Duration
	retryNonIdempotent bool
	idempotencyKeys    bool
	replayBuffer       int64
	classifier         Classifier
	observe            observer
	originKey          func(*http.Request) string
	originLimit        int
	budget             *budgetPolicy  // nil: no budget
	breaker            *breakerPolicy // nil: no breaker
}

// defaults are settled by the fleet benchmark, not by taste.
func defaults() *config {
	return &config{
		policy: policy{
			maxAttempts:   4,
			backoff:       backoffPolicy{initial: 300 * time.Millisecond, longest: 10 * time.Second},
			maxRetryAfter: time.Minute,
			originLimit:   1024,
		},
		budget: budgetPolicy{ratio: 0.2, burst: 5},
		breaker: breakerPolicy{
			rate: 0.5, minRequests: 30,
			failures: 5, lasting: 600 * time.Millisecond,
			window: 5 * time.Second, openFor: 700 * time.Millisecond,
		},
	}
}

const (
	longestProbe = time.Minute            // the lease of a probe that no attempt timeout bounds
	probeGrace   = 100 * time.Millisecond // for a timed-out attempt to be reported
)

// newConfig applies the options to the defaults, and returns every error at once.
func newConfig(options []Option) (*config, error) {
	c := defaults()
	var errs []error
	for i, o := range options {
		if isNil(o) {
			errs = append(errs, fmt.Errorf("steadyhttp: option %d is nil", i+1))
			continue
		}
		errs = append(errs, o.apply(c))
	}
	errs = append(errs, c.checkBreaker())
	c.complete()
	return c, errors.Join(errs...)
}

// complete derives what follows from several settings together.
func (c *config) complete() {
	if !c.withoutBudget {
		c.policy.budget = &c.budget
	}
	if c.withoutBreaker {
		return
	}
	c.breaker.observe = c.observe
	c.breaker.lease = longestProbe
	if c.attemptTimeout > 0 {
		c.breaker.lease = c.attemptTimeout + min(probeGrace, math.MaxInt64-c.attemptTimeout)
	}
	c.policy.breaker = &c.breaker
}

func (c *config) checkBreaker() error {
	if c.withoutBreaker || c.breaker.rate > 0 || c.breaker.failures > 0 {
		return nil
	}
	return errors.New("steadyhttp: WithBreakerFailureRate and WithBreakerConsecutiveFailures are both 0, so the breaker would never open: use WithoutBreaker")
}

// invalid names the option, the value and what is wanted of it.
func invalid(option string, value any, want string) error {
	return fmt.Errorf("steadyhttp: %s: %v is invalid: %s", option, value, want)
}

// checkClientless refuses what only a client could keep.
func (c *config) checkClientless() error {
	return wanted(c.timeout <= 0, "WithTimeout", c.timeout,
		"a Transport has no client whose Timeout it could set; use NewClient, Wrap or WithAttemptTimeout")
}

func notNegative(option string, d time.Duration) error {
	return wanted(d >= 0, option, d, "want 0 or more")
}

func atLeast(option string, d, least time.Duration) error {
	return wanted(d >= least, option, d, "want at least "+least.String())
}

func wanted(holds bool, option string, value any, want string) error {
	if holds {
		return nil
	}
	return invalid(option, value, want)
}
