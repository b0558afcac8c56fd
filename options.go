package steadyhttp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// An Option changes one setting of a [Transport].
//
// Options are applied in order, and of two for the same setting the later one counts. What they are
// given is checked by [NewClient], [Wrap] and [NewTransport], which return every invalid value in one
// joined error.
type Option interface {
	apply(*config) error
}

type option func(*config) error

func (o option) apply(c *config) error { return o(c) }

// WithMaxAttempts bounds how often a request is sent. The first attempt counts; 1 turns retrying off.
//
// The default is 4. It must be at least 1. The retry budget, the breaker and the caller's deadline can
// end a call earlier.
func WithMaxAttempts(n int) Option {
	return option(func(c *config) error {
		c.maxAttempts = n
		return wanted(n >= 1, "WithMaxAttempts", n, "want at least 1")
	})
}

// WithBackoff sets the wait before the first resend, and the longest wait.
//
// The defaults are 300 ms and 10 s. A wait doubles from resend to resend and is spread by ±50 %, but is
// never longer than longest, and still spread once it is reached. initial must be positive, and longest
// not less than initial. After an attempt that timed out it is at least as long as that took, up to a
// second or two thirds of longest, whichever is less: a server that has fallen behind is not helped by a
// resend at once. It is not lengthened so where the caller's deadline would leave no time for it. A
// Retry-After that asks for more is followed; see [WithMaxRetryAfter]. It takes the place of an earlier
// [WithBackoffPolicy].
func WithBackoff(initial, longest time.Duration) Option {
	return option(func(c *config) error {
		c.backoff = backoffPolicy{initial: initial, longest: longest}
		return errors.Join(
			wanted(initial > 0, "WithBackoff", initial, "want an initial wait of more than 0"),
			wanted(longest >= initial, "WithBackoff", longest, fmt.Sprintf("want a longest wait of at least the initial %v", initial)),
		)
	})
}

// WithBackoffPolicy lets any cenkalti policy set the waits, in place of [WithBackoff].
//
// newPolicy is called once by the constructor, to see that it returns one that can be Reset, and then for each
// call that comes to a retry: a policy has state, so it must return a fresh one. It is Reset before use. A
// [backoff.Stop] ends the call with [StopMaxAttempts]; [WithMaxAttempts], the budget and Retry-After
// hold besides. A policy that waits 0 makes a hot loop, and it should add jitter of its own.
func WithBackoffPolicy(newPolicy func() backoff.BackOff) Option {
	return option(func(c *config) error {
		if newPolicy == nil {
			return invalid("WithBackoffPolicy", "nil", "want a function")
		}
		c.backoff = backoffPolicy{custom: newPolicy}
		return tryPolicy(newPolicy)
	})
}

// tryPolicy finds the policy that panics before it is needed, in the first outage: a literal
// [backoff.ExponentialBackOff] has no Clock.
func tryPolicy(newPolicy func() backoff.BackOff) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = invalid("WithBackoffPolicy", reason, "want a policy that does not panic; make it by backoff's constructors")
		}
	}()
	waits := newPolicy()
	if isNil(waits) {
		return invalid("WithBackoffPolicy", "nil", "want a function that returns a policy")
	}
	waits.Reset()
	return nil
}

// WithMaxRetryAfter sets how long a server's Retry-After is followed.
//
// The default is 60 s. A longer one ends the call with the response, unread: the wait is never cut
// short, and longer is the caller's decision. 0 follows none but "now". It must not be negative.
func WithMaxRetryAfter(d time.Duration) Option {
	return option(func(c *config) error {
		c.maxRetryAfter = d
		return notNegative("WithMaxRetryAfter", d)
	})
}

// WithTimeout bounds a whole call: attempts, waits, redirects and reading the body.
//
// By default there is no such bound but the request's context. It sets the client's
// [http.Client.Timeout], which over any RoundTripper but net/http's own costs a goroutine a call and
// takes the Write method from the body of a 101: a context with a deadline costs less. 0 leaves the
// client's Timeout as it is. It must not be negative, and does not work with [NewTransport], which has
// no client.
func WithTimeout(d time.Duration) Option {
	return option(func(c *config) error {
		c.timeout = d
		return notNegative("WithTimeout", d)
	})
}

// WithAttemptTimeout bounds each attempt until its response's header; reading the body then has until
// the caller's own deadline. Connecting and sending the request's body are within it, so it must leave time
// for the largest upload.
//
// By default, and with 0, there is no such bound, but the built-in transport waits at most 30 s for a
// header each time that it sends. An attempt that runs out of time is [Transient], its error an
// [ErrAttemptTimeout]. It must not be negative. It costs a timer and some allocations for each attempt.
func WithAttemptTimeout(d time.Duration) Option {
	return option(func(c *config) error {
		c.attemptTimeout = d
		return notNegative("WithAttemptTimeout", d)
	})
}

// WithRetryBudget bounds the retries against each origin: ratio for each success, and burst saved up.
//
// The default is a ratio of 0.2 and a burst of 5, or of 0.3 for each success of the last 10 s if that
// is more; this option fixes the burst. The budget starts full, a retry costs 1, and 0.1 a second
// trickles in, so that a quiet client can retry at all. A call that the budget cannot pay for ends with
// [StopBudgetExhausted] and what the last attempt brought. ratio must be from 0 to 1, burst at least 1.
func WithRetryBudget(ratio float64, burst int) Option {
	return option(func(c *config) error {
		c.budget = budgetPolicy{ratio: ratio, burst: float64(burst), fixed: true}
		c.withoutBudget = false
		return errors.Join(
			wanted(ratio >= 0 && ratio <= 1, "WithRetryBudget", ratio, "want a ratio from 0 to 1"), // NaN is neither
			wanted(burst >= 1, "WithRetryBudget", burst, "want a burst of at least 1"),
		)
	})
}

// WithoutRetryBudget lets every call retry as often as [WithMaxAttempts] allows.
//
// A fleet of such clients multiplies the load on a server that is down. Of it and [WithRetryBudget] the
// later one counts.
func WithoutRetryBudget() Option {
	return option(func(c *config) error {
		c.withoutBudget = true
		return nil
	})
}

// WithRetryNonIdempotent retries requests of any method after a [Transient] failure.
//
// By default a POST or PATCH that the server may have acted on is not sent again, unless it has an
// Idempotency-Key. Use it only where every request may be processed twice; [Idempotent] says so for one
// call.
func WithRetryNonIdempotent() Option {
	return option(func(c *config) error {
		c.retryNonIdempotent = true
		return nil
	})
}

// WithIdempotencyKeys puts a random Idempotency-Key on each POST and PATCH that has none, the same one
// on every attempt, and so lets them be retried.
//
// Use it where the server honours the header: one that does not may process a request twice. The
// caller's request is not changed. Over redirects each hop has a key of its own.
func WithIdempotencyKeys() Option {
	return option(func(c *config) error {
		c.idempotencyKeys = true
		return nil
	})
}

// WithReplayBuffer makes request bodies replayable that have no GetBody, up to maxBytes each.
//
// By default, and with 0, such a body is streamed and the request cannot be sent again. With it a body
// is read before the first attempt: one that ends within maxBytes can be replayed, of a longer one what
// was read is sent on, followed by the rest, and it cannot. A body whose ContentLength is larger is not
// read at all. The memory is held until the call returns. It must not be negative. A body that is not to end
// before the response comes does not go with it; only the request's context bounds the reading.
func WithReplayBuffer(maxBytes int64) Option {
	return option(func(c *config) error {
		c.replayBuffer = maxBytes
		return wanted(maxBytes >= 0, "WithReplayBuffer", maxBytes, "want 0 or more")
	})
}

// WithClassifier lets classifier overrule [Classify].
//
// It is asked once for each attempt; what it returns decides on retrying and on what the breaker
// counts. See [Classifier] for what it may do. It must not be nil.
func WithClassifier(classifier Classifier) Option {
	return option(func(c *config) error {
		if classifier == nil {
			return invalid("WithClassifier", "nil", "want a function")
		}
		c.classifier = classifier
		return nil
	})
}

// WithObserver calls observe for every attempt, retry, give-up and change of a breaker. [LogObserver] makes
// one that logs them.
//
// It is called synchronously and without locks held, for different calls at the same time, for one
// breaker in the order of its changes; it may call anything. Its context is the one of the call that
// brought the event about. What it takes, the call takes longer; should it panic, so does the call. By
// default nothing is observed, and nothing is logged. It must not be nil.
func WithObserver(observe func(context.Context, Event)) Option {
	return option(func(c *config) error {
		if observe == nil {
			return invalid("WithObserver", "nil", "want a function")
		}
		c.observe = observe
		return nil
	})
}

// WithBreakerFailureRate opens a breaker when at least rate of the outcomes in the window are failures,
// if there are at least minRequests.
//
// The default is 0.5 of 30, within [WithBreakerWindow]. Neutral outcomes count for neither. A rate of 0
// turns this rule off; [WithBreakerConsecutiveFailures] is the other one, and either opens. rate must be from 0
// to 1, minRequests at least 1.
func WithBreakerFailureRate(rate float64, minRequests int) Option {
	return option(func(c *config) error {
		c.breaker.rate, c.breaker.minRequests = rate, uint32(minRequests)
		return errors.Join(
			wanted(rate >= 0 && rate <= 1, "WithBreakerFailureRate", rate, "want a rate from 0 to 1"), // NaN is neither
			wanted(minRequests >= 1 && minRequests <= math.MaxInt32, "WithBreakerFailureRate", minRequests, "want a minimum from 1 to 2147483647"),
		)
	})
}

// WithBreakerConsecutiveFailures opens a breaker at a run of so many failures without a success between, if the
// run has lasted so long.
//
// The default is 5, lasting 600 ms: enough for a quiet client, and a blip is not sustained failure. The
// run lasts from its first failure, and from the beginning of that attempt if it timed out, unless a call that
// began later has succeeded. After the first, one that timed out after so long counts twice, so three
// timeouts are enough. A long poll that its caller's deadline ends after a second or more is such a timeout:
// have a [Classifier] call it [Canceled], or give it an origin of its own by [WithOriginKey]. 0 failures turn
// this rule off; [WithBreakerFailureRate] is the other one, and either opens. lasting may be 0. Neither may
// be negative.
func WithBreakerConsecutiveFailures(failures int, lasting time.Duration) Option {
	return option(func(c *config) error {
		c.breaker.failures, c.breaker.lasting = uint32(failures), lasting
		return errors.Join(
			wanted(failures >= 0 && failures <= math.MaxInt32, "WithBreakerConsecutiveFailures", failures, "want from 0 to 2147483647 failures"),
			notNegative("WithBreakerConsecutiveFailures", lasting),
		)
	})
}

// WithBreakerWindow sets how far back [WithBreakerFailureRate] looks.
//
// The default is 5 s. The window rolls in ten steps. It must be at least 10 ms.
func WithBreakerWindow(d time.Duration) Option {
	return option(func(c *config) error {
		c.breaker.window = d
		return atLeast("WithBreakerWindow", d, 10*time.Millisecond)
	})
}

// WithBreakerOpenFor sets how long an open breaker rejects before it lets a probe through.
//
// The default is 700 ms. It is spread by ±20 %, so that a fleet does not probe in step. If the probe fails,
// the next open time counts from when the probe was sent, though a quarter of it remains at least: what was
// waited for a timeout need not be waited twice. It must be at least 1 ms.
func WithBreakerOpenFor(d time.Duration) Option {
	return option(func(c *config) error {
		c.breaker.openFor = d
		return atLeast("WithBreakerOpenFor", d, time.Millisecond)
	})
}

// WithoutBreaker lets every attempt through, whatever the origin's health, and whatever the other
// breaker options say. The retry budget holds all the same.
func WithoutBreaker() Option {
	return option(func(c *config) error {
		c.withoutBreaker = true
		return nil
	})
}

// WithOriginKey says which requests share a breaker and a retry budget: those with the same key.
//
// By default the key is the URL's scheme, host and port, whatever Request.Host says, and so it is for a
// request whose key is "". A host that is written in Unicode and in Punycode is two. A key shows in errors,
// events and [Transport.Breakers], so it must not hold a secret; and there should be few of them, see
// [WithOriginLimit]. key is called once for each call, possibly from many goroutines at once. It must not
// be nil.
func WithOriginKey(key func(*http.Request) string) Option {
	return option(func(c *config) error {
		if key == nil {
			return invalid("WithOriginKey", "nil", "want a function")
		}
		c.originKey = key
		return nil
	})
}

// WithOriginLimit bounds how many origins are remembered.
//
// The default is 1,024. When there are more, one is forgotten that is idle, healthy and, where the
// registry can tell, not used lately; never one that has failures to remember, or whose breaker is open,
// but for one that nobody has asked for a minute after it could have probed. While there is none such,
// new origins go without a breaker and share one retry budget. It must be at least 1.
func WithOriginLimit(n int) Option {
	return option(func(c *config) error {
		c.originLimit = n
		return wanted(n >= 1, "WithOriginLimit", n, "want at least 1")
	})
}
