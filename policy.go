package steadyhttp

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
)

// A policy is all the settings of a Transport. The options write it; once [newPolicy] has returned it, it
// does not change.
type policy struct {
	maxAttempts        int
	backoff            backoffPolicy
	maxRetryAfter      time.Duration
	timeout            time.Duration // of a whole call; 0: none
	attemptTimeout     time.Duration // 0: none
	bodyTimeout        time.Duration // of a Read; 0: none
	resume             bool
	retryNonIdempotent bool
	idempotencyKeys    bool
	attemptHeader      string // of retries; empty: none
	replayBuffer       int64
	classifier         Classifier // nil: none
	hints              []Hint
	observers          []Observer
	observe            Observer                   // all observers as one; nil for none
	originKey          func(*http.Request) string // nil: scheme, host and port
	originLimit        int

	budget         budgetPolicy
	withoutBudget  bool
	breaker        breakerPolicy
	withoutBreaker bool
	shadowBreaker  bool
	fleet          Fleet // nil: none
	pause          pausePolicy
}

// defaultPolicy is settled by the fleet benchmark (docs/fleet.md), not by taste.
func defaultPolicy() *policy {
	return &policy{
		maxAttempts:   4,
		backoff:       backoffPolicy{initial: 300 * time.Millisecond, max: 10 * time.Second},
		maxRetryAfter: time.Minute,
		originLimit:   1024,
		budget:        budgetPolicy{ratio: 0.2, burst: 5},
		breaker: breakerPolicy{
			failures: threshold{6, 5 * time.Second, true}, timeouts: threshold{6, 5 * time.Second, true},
			window: 5 * time.Second, openFor: 700 * time.Millisecond,
		},
	}
}

// newPolicy applies the options to the defaults. Its error joins one error for each invalid value.
func newPolicy(options []Option) (*policy, error) {
	p := defaultPolicy()
	var errs []error
	for i, o := range options {
		if isNil(o) {
			errs = append(errs, fmt.Errorf("steadyhttp: option %d is nil", i+1))
			continue
		}
		errs = append(errs, o.apply(p))
	}
	p.observe = combine(p.observers)
	p.breaker.raiseDefaults(p.maxAttempts)
	return p, joinErrors(append(errs, p.checkBreaker(), p.checkFleet(), p.checkPause(), p.checkWhole("WithTimeout", p.timeout))...)
}

// checkPause refuses what would never pause.
func (p *policy) checkPause() error {
	switch {
	case p.pause.key != nil && !p.pause.on:
		return errors.New("steadyhttp: WithPauseKey has no effect without WithOriginPause")
	case p.pause.on && p.maxRetryAfter == 0:
		return errors.New("steadyhttp: WithOriginPause has no effect with WithMaxRetryAfter(0), which waits for no server")
	default:
		return nil
	}
}

// checkWhole refuses an attempt timeout that has no effect, since bound ends the whole call before; whole is 0 where
// there is none.
func (p *policy) checkWhole(bound string, whole time.Duration) error {
	return check(whole <= 0 || p.attemptTimeout <= whole, "WithAttemptTimeout", p.attemptTimeout,
		fmt.Sprintf("want at most %v, since %s ends the whole call by then", whole, bound))
}

// checkFirstWait refuses a timeout of a client that ends each call before its first retry. The waits of
// [WithBackoffPolicy] are not known before they are needed: its initial is 0.
func (p *policy) checkFirstWait(bound string, whole time.Duration) error {
	return check(whole <= 0 || p.maxAttempts <= 1 || p.backoff.initial <= whole, bound, whole,
		fmt.Sprintf("want at least %v, the first wait of WithBackoff, since it bounds the whole call; or WithMaxAttempts(1)", p.backoff.initial))
}

func (p *policy) checkBreaker() error {
	if p.withoutBreaker || !p.breaker.off() {
		return nil
	}
	return errors.New("steadyhttp: WithBreakerConsecutiveFailures, WithBreakerConsecutiveTimeouts and WithBreakerFailureRate are all 0, so the breaker would never open: use WithoutBreaker")
}

const (
	maxProbe   = time.Minute            // the lease of a probe that no attempt timeout bounds
	probeGrace = 100 * time.Millisecond // for a timed-out attempt to be reported
)

// probeLease is how long a probe may take before another one may go.
func (p *policy) probeLease() time.Duration {
	if p.attemptTimeout == 0 {
		return maxProbe
	}
	return p.attemptTimeout + min(probeGrace, math.MaxInt64-p.attemptTimeout)
}

// bodyLease is how much longer one may take whose body tells the outcome.
func (p *policy) bodyLease() time.Duration {
	if p.bodyTimeout == 0 {
		return maxProbe
	}
	return later(wellAfter, p.bodyTimeout)
}

// joinErrors is errors.Join, but flat: what is joined already is taken apart.
func joinErrors(errs ...error) error {
	var flat []error
	for _, err := range errs {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			flat = append(flat, joined.Unwrap()...)
			continue
		}
		flat = append(flat, err)
	}
	return errors.Join(flat...)
}

// invalidOption names the option, the value and what is wanted of it.
func invalidOption(option string, value any, want string) error {
	return fmt.Errorf("steadyhttp: %s: %v is invalid: %s", option, value, want)
}

func check(holds bool, option string, value any, want string) error {
	if holds {
		return nil
	}
	return invalidOption(option, value, want)
}

func checkNotNegative(option string, d time.Duration) error {
	return check(d >= 0, option, d, "want 0 or more")
}

func checkAtLeast(option string, d, least time.Duration) error {
	return check(d >= least, option, d, "want at least "+least.String())
}
