package steadyhttp

import (
	"math"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A backoffPolicy makes the waits between attempts.
type backoffPolicy struct {
	initial, longest time.Duration
	custom           func() backoff.BackOff // nil: exponential, from initial to longest
}

const (
	growth = 2
	spread = 0.5 // a wait is its interval ± half of it
)

// start returns the waits of one call; they are stateful, and not to be shared.
func (p *backoffPolicy) start() backoff.BackOff {
	if p.custom == nil {
		return p.exponential()
	}
	waits := p.custom()
	if isNil(waits) {
		return &backoff.StopBackOff{}
	}
	waits.Reset()
	return waits
}

// ceiling is so far below longest that the jitter on top stays within it.
func (p *backoffPolicy) ceiling() time.Duration {
	return time.Duration(float64(p.longest) / (1 + spread))
}

// exponential has a ceiling because backoff's MaxInterval is applied before the jitter, and would be
// overshot by half.
func (p *backoffPolicy) exponential() backoff.BackOff {
	ceiling := p.ceiling()
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(p.initial, ceiling)),
		backoff.WithMaxInterval(ceiling),
		backoff.WithMultiplier(growth),
		backoff.WithRandomizationFactor(spread),
		backoff.WithMaxElapsedTime(0),
	)
}

// next returns the next wait, not shorter than the server asked for, or false for no more.
func (p *backoffPolicy) next(waits backoff.BackOff, asked time.Duration) (time.Duration, bool) {
	wait := waits.NextBackOff()
	if wait < 0 { // backoff.Stop
		return wait, false
	}
	if p.custom == nil {
		wait = max(1, min(wait, p.longest))
	}
	return max(wait, later(asked)), true
}

// longestSilence is how much of a silence lengthens the wait after it.
const longestSilence = time.Second

// patiently lengthens the wait after a timeout. The server has much to work off, and its clients have not
// yet seen enough to know: a retry at once would come on top (docs/fleet.md).
func (p *backoffPolicy) patiently(wait, silence time.Duration) time.Duration {
	if p.custom != nil {
		return wait
	}
	silence = min(silence, longestSilence, p.ceiling())
	return max(wait, silence+upTo(silence/2))
}

// latest bounds the jitter on top of a Retry-After.
const latest = 5 * time.Second

// later spreads those who were told the same time, and never forward: Retry-After is a floor.
func later(asked time.Duration) time.Duration {
	jitter := upTo(min(asked/2, latest))
	return asked + min(jitter, math.MaxInt64-asked)
}

// upTo is any time from 0 to the longest, both included.
func upTo(longest time.Duration) time.Duration { return rand.N(longest + 1) }

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
