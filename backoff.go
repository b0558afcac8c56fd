package steadyhttp

import (
	"math"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Backoff is a policy for the waits between the attempts of one call; see [WithBackoffPolicy].
//
// It is the interface of cenkalti/backoff, of every version. One Backoff serves one call at a time.
type Backoff interface {
	// NextBackOff returns the wait before the next attempt. A negative one means: stop.
	NextBackOff() time.Duration
	// Reset starts anew.
	Reset()
}

// A backoffPolicy makes the waits between attempts.
type backoffPolicy struct {
	initial, max time.Duration
	custom       func() Backoff // nil: exponential, from initial to max
}

const (
	multiplier = 2
	jitter     = 0.5 // a wait is its interval ± half of it
)

// start returns the waits of one call; they are stateful, and not to be shared. Exponential ones are used again for the
// next call, from where last points to; nil there: none are yet.
func (p *backoffPolicy) start(last *Backoff) Backoff {
	if p.custom == nil {
		if *last == nil {
			*last = p.exponential()
		}
		(*last).Reset()
		return *last
	}
	waits := p.custom()
	if isNil(waits) {
		return &backoff.StopBackOff{}
	}
	waits.Reset()
	return waits
}

// ceiling is so far below max that the jitter on top stays within it.
func (p *backoffPolicy) ceiling() time.Duration {
	return time.Duration(float64(p.max) / (1 + jitter))
}

// exponential has a ceiling because backoff applies MaxInterval before the jitter, which would exceed it
// by half.
func (p *backoffPolicy) exponential() Backoff {
	ceiling := p.ceiling()
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(p.initial, ceiling)),
		backoff.WithMaxInterval(ceiling),
		backoff.WithMultiplier(multiplier),
		backoff.WithRandomizationFactor(jitter),
		backoff.WithMaxElapsedTime(0),
		backoff.WithClockProvider(noClock{}),
	)
}

// noClock avoids reading the clock: there is no maximum of elapsed time to compare it with.
type noClock struct{}

func (noClock) Now() time.Time { return time.Time{} }

// next returns the next wait, not shorter than the server asked for, or false for no more.
func (p *backoffPolicy) next(waits Backoff, retryAfter time.Duration) (time.Duration, bool) {
	wait := waits.NextBackOff()
	if wait < 0 {
		return wait, false
	}
	if p.custom == nil {
		wait = max(1, min(wait, p.max))
	}
	return max(wait, addJitter(retryAfter)), true
}

// maxTimeoutStretch is how much of a timeout stretches the wait after it.
const maxTimeoutStretch = time.Second

// stretchAfterTimeout lengthens the wait after an attempt that timed out. The server has much work queued,
// and its clients have not yet seen enough failures: a retry at once would add to it (docs/fleet.md).
func (p *backoffPolicy) stretchAfterTimeout(wait, timeoutAfter time.Duration) time.Duration {
	if p.custom != nil {
		return wait
	}
	stretch := min(timeoutAfter, maxTimeoutStretch, p.ceiling())
	return max(wait, stretch+randUpTo(stretch/2))
}

// maxRetryAfterJitter bounds the jitter on top of a Retry-After.
const maxRetryAfterJitter = 5 * time.Second

// addJitter spreads the clients that were told the same time. It never shortens: Retry-After is a floor.
func addJitter(retryAfter time.Duration) time.Duration {
	extra := randUpTo(min(retryAfter/2, maxRetryAfterJitter))
	return retryAfter + min(extra, math.MaxInt64-retryAfter)
}

// randUpTo is a random time from 0 to longest, both included.
func randUpTo(longest time.Duration) time.Duration {
	if longest == 0 {
		return 0
	}
	return rand.N(longest + 1)
}

// isNil also finds a nil pointer or func inside a non-nil interface.
func isNil(value any) bool {
	if value == nil {
		return true
	}
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}
