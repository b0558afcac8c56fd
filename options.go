package steadyhttp

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// An Option changes one setting of a [Transport].
//
// Options are applied in order. Of two options for the same setting the later one counts; only
// [WithObserver] adds to what was set before. [NewClient], [Wrap] and [NewTransport] check the values,
// and return one joined error with one error for each invalid value.
type Option interface {
	apply(*policy) error
}

// A setter is an Option of this package.
type setter struct {
	name    string
	perCall bool // whether it is fit for one call alone; see [Override]
	set     func(*policy) error
}

func (s setter) apply(p *policy) error { return s.set(p) }

func option(name string, set func(*policy) error) Option { return setter{name, false, set} }

// callOption is an option that is harmless for one call: nothing that it sets is shared by others.
func callOption(name string, set func(*policy) error) Option { return setter{name, true, set} }

// WithMaxAttempts bounds how many attempts a call makes. The first attempt counts; 1 disables retries.
//
// The default is 4. n must be at least 1. The retry budget, the breaker and the caller's deadline can
// end a call earlier: with the default budget a new client has 5 retries for each origin, so more than 5
// attempts need [WithRetryBudget] as well.
func WithMaxAttempts(n int) Option {
	return callOption("WithMaxAttempts", func(p *policy) error {
		p.maxAttempts = n
		return check(n >= 1, "WithMaxAttempts", n, "want at least 1")
	})
}

// WithBackoff sets the wait before the first retry, and the longest wait.
//
// The defaults are 300 ms and 10 s. The wait doubles from retry to retry, with a jitter of ±50 %. It is
// never longer than max, and it keeps its jitter once max is reached. After a timed-out attempt the wait
// is at least as long as that attempt took, capped at the lesser of 1 s and ⅔ of max, unless the
// caller's deadline leaves no time for that: a retry at once does not help a server that has fallen
// behind. A Retry-After that asks for more is followed; see [WithMaxRetryAfter]. initial must be
// positive, and max not less than initial. It replaces an earlier [WithBackoffPolicy].
func WithBackoff(initial, max time.Duration) Option {
	return option("WithBackoff", func(p *policy) error {
		p.backoff = backoffPolicy{initial: initial, max: max}
		return joinErrors(
			check(initial > 0, "WithBackoff", initial, "want an initial wait of more than 0"),
			check(max >= initial, "WithBackoff", max, fmt.Sprintf("want a longest wait of at least the initial %v", initial)),
		)
	})
}

// WithBackoffPolicy lets your own policy set the waits, in place of [WithBackoff].
//
// Every policy of every version of cenkalti/backoff is a [Backoff]:
//
//	steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return backoff.NewExponentialBackOff() })
//
// A policy has state, so newPolicy must return a new one each time. The constructor calls it once, as a
// check, and then each call that comes to a retry does. It is called from many goroutines at once. Reset
// is called before the first use. A negative wait ends the call with [StopMaxAttempts].
// [WithMaxAttempts], the retry budget and Retry-After still apply. The policy should add jitter; a policy
// that waits 0 makes a hot loop.
func WithBackoffPolicy(newPolicy func() Backoff) Option {
	return option("WithBackoffPolicy", func(p *policy) error {
		if newPolicy == nil {
			return invalidOption("WithBackoffPolicy", "nil", "want a function")
		}
		p.backoff = backoffPolicy{custom: newPolicy}
		return tryBackoff(newPolicy)
	})
}

// tryBackoff finds a policy that panics before the first outage does: a literal ExponentialBackOff of
// cenkalti/backoff has no Clock.
func tryBackoff(newPolicy func() Backoff) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = invalidOption("WithBackoffPolicy", reason, "want a policy that does not panic; make it by backoff's constructors")
		}
	}()
	waits := newPolicy()
	if isNil(waits) {
		return invalidOption("WithBackoffPolicy", "nil", "want a function that returns a policy")
	}
	waits.Reset()
	return nil
}

// WithMaxRetryAfter sets the longest Retry-After that is followed.
//
// The default is 60 s. If the server asks for more, the call ends and returns that response, its body
// unread: a wait is never shortened. With 0, only a Retry-After of 0 or of a past date is followed. On top
// of the server's time comes a jitter of up to half of it, at most 5 s. d must not be negative.
func WithMaxRetryAfter(d time.Duration) Option {
	return callOption("WithMaxRetryAfter", func(p *policy) error {
		p.maxRetryAfter = d
		return checkNotNegative("WithMaxRetryAfter", d)
	})
}

// WithHints lets hints say how long a server asks to be left alone where it does not use Retry-After.
//
// By default there are none, and only Retry-After counts. The ready ones are [HintMilliseconds],
// [HintRateLimit] and [HintGitHub]; any function of your own is one too. They are asked in order, once for each
// attempt whose response is no [Success], and the first that knows counts.
//
// A 4xx for which a hint says when is [Throttled]: any method is retried, at the time told. A Retry-After takes
// precedence, unless a hint says the same more exactly: one that differs by less than a second from a
// Retry-After in whole seconds. [WithMaxRetryAfter] bounds a hint as it does Retry-After, and the jitter is the
// same. What a [Classifier] says counts last. No hint may be nil. A later WithHints replaces an earlier one; without arguments it turns hints off.
func WithHints(hints ...Hint) Option {
	return option("WithHints", func(p *policy) error {
		p.hints = slices.Clone(hints)
		isNilHint := func(h Hint) bool { return h == nil }
		return check(!slices.ContainsFunc(hints, isNilHint), "WithHints", "nil", "want functions")
	})
}

// WithTimeout bounds a whole RoundTrip: its attempts, its waits, and reading the response's body.
//
// By default, and with 0, there is no bound but the request's context. The bound is a deadline of the
// context that the base transport gets; an earlier deadline of the caller still counts. Redirects are
// calls of their own: [http.Client.Timeout] bounds them all together. When the time is over, the error
// is a [context.DeadlineExceeded] and its Timeout method returns true. It starts no goroutine; it costs a timer and some allocations for each call. Use it
// together with [WithAttemptTimeout]: alone it lets a first attempt that hangs take all the time.
// d must not be negative, nor shorter than [WithAttemptTimeout].
func WithTimeout(d time.Duration) Option {
	return callOption("WithTimeout", func(p *policy) error {
		p.timeout = d
		return checkNotNegative("WithTimeout", d)
	})
}

// WithAttemptTimeout bounds each attempt until the response's header arrives. Reading the body then has
// until the caller's own deadline.
//
// By default, and with 0, there is no such bound, but the built-in transport waits at most 30 s for a
// header each time that it sends. The time includes connecting and sending the request's body, so it must
// be long enough for the largest upload. An attempt that runs out of time is [Transient], and its error is
// an [ErrAttemptTimeout]. It costs a timer and some allocations for each attempt. d must not be negative, nor
// longer than [WithTimeout] or, with [Wrap], the client's Timeout: these would always be over first.
func WithAttemptTimeout(d time.Duration) Option {
	return callOption("WithAttemptTimeout", func(p *policy) error {
		p.attemptTimeout = d
		return checkNotNegative("WithAttemptTimeout", d)
	})
}

// WithBodyTimeout bounds how long a Read of a response's body waits for its next byte.
//
// By default, and with 0, a body that stalls is waited for until the caller's own deadline. The time runs
// only while the caller is in Read, and each byte starts it anew: neither a slow reader nor a slow but
// steady server runs out of it. When it is over, Read returns an [ErrBodyTimeout], whose Timeout method
// returns true, and the connection, or the HTTP/2 stream, is dropped; where nothing else has succeeded
// since, the next attempt goes over a new connection, as after an attempt that timed out. It applies to
// every response that has content: not to a 101, nor to one to HEAD or CONNECT. A base transport's body
// must end its Read when it is closed, as net/http's does. For server-sent events set a d that is longer
// than the server's keep-alives, and for a long poll one that is longer than the poll, or use a client of
// their own.
//
// It also makes a body count, and so does [WithResume]. A body that the server breaks, or that stalls, is
// a failure of the origin for its breaker. A response that would be a success at its header becomes one,
// for breaker and budget, once its body has ended, lived for a second, or brought 8 MiB. A body that the
// caller closes or cancels before that is neither, nor is one that breaks since the request's own body
// failed. But a Close ends a run of failures, and a half-open breaker closes by the second probe that is
// closed so: to have a success counted at once, read short bodies to their end. It costs one allocation for
// each response. d must not be negative.
func WithBodyTimeout(d time.Duration) Option {
	return callOption("WithBodyTimeout", func(p *policy) error {
		p.bodyTimeout = d
		return checkNotNegative("WithBodyTimeout", d)
	})
}

// WithResume continues the body of a GET that breaks: it asks for the rest by Range and If-Range, and Read
// goes on as if nothing had happened.
//
// What is read is byte for byte the representation that was begun, or Read returns an error: a
// [*ResumeError] that says why, with a [*ChangedError] in it if the resource has changed. A body shorter
// than its Content-Length counts as broken, even if its end looks clean. Without [WithBodyTimeout] a body
// that stalls does not break.
//
// A body can be resumed if the response is a 200, or a 206 with a single range, and has a strong
// validator: an ETag without W/, or, if there is no ETag, a Last-Modified that is a minute older than Date
// or more. It must have no content coding: net/http asks for gzip by itself, so set "Accept-Encoding:
// identity" where bodies may be compressed. A response that announces trailers or says "Accept-Ranges:
// none", a request with a body, and every other method are read as without the option, and the error of a
// break says why it was not resumed. A base transport that decodes bodies must set Uncompressed in its
// responses. A server that ignores Range sends everything from the start; up to 8 MiB of that are skipped.
//
// A resume consists of attempts of the same call. Each one draws on the retry budget, asks the breaker,
// waits as a retry does, and shows in [Report] and events; the request's context and [WithTimeout] bound
// them. [WithMaxAttempts] bounds those that bring no byte, and a body is resumed at most 100 times. What a
// resume cost the budget comes back once its body counts as a success, since nothing was sent twice: so a
// connection that always breaks within a second, and before 8 MiB, ends the download. Close ends a resume
// at once, [NoRetry] forbids it, and [Resumes] tells how many there were. The option costs one allocation
// for each response.
func WithResume() Option {
	return callOption("WithResume", func(p *policy) error {
		p.resume = true
		return nil
	})
}

// WithRetryBudget bounds the retries against each origin: each success earns ratio of a retry, and up to
// burst retries can be saved.
//
// The default is a ratio of 0.2 and a burst of 5, or of 0.3 for each success of the last 10 s if that is
// more. A retry costs 1, but by default one that succeeds in less than twice the time that is usual at the
// origin costs nothing: there retries help, and the server is not overloaded. This option fixes ratio and burst,
// and lets every retry cost 1. The budget starts full, and 0.1 a second is added, so that a quiet client can
// retry at all. A call that the budget cannot pay for ends with [StopBudgetExhausted] and the last attempt's
// outcome. ratio must be from 0 to 1, burst at least 1. It undoes an earlier [WithoutRetryBudget].
func WithRetryBudget(ratio float64, burst int) Option {
	return option("WithRetryBudget", func(p *policy) error {
		p.budget = budgetPolicy{ratio: ratio, burst: float64(burst), fixed: true}
		p.withoutBudget = false
		return joinErrors(
			check(ratio >= 0 && ratio <= 1, "WithRetryBudget", ratio, "want a ratio from 0 to 1"), // NaN is neither
			check(burst >= 1, "WithRetryBudget", burst, "want a burst of at least 1"),
		)
	})
}

// WithoutRetryBudget lets every call retry as often as [WithMaxAttempts] allows.
//
// A fleet of such clients multiplies the load on a server that is down. If [WithRetryBudget] is given as
// well, the later one counts.
func WithoutRetryBudget() Option {
	return option("WithoutRetryBudget", func(p *policy) error {
		p.withoutBudget = true
		return nil
	})
}

// WithRetryNonIdempotent retries requests of any method after a [Transient] failure.
//
// By default a POST or PATCH that the server may have acted on is not retried, unless it has an
// Idempotency-Key. Use this option only where every request may be processed twice; [Idempotent] says so
// for one call.
func WithRetryNonIdempotent() Option {
	return option("WithRetryNonIdempotent", func(p *policy) error {
		p.retryNonIdempotent = true
		return nil
	})
}

// WithIdempotencyKeys adds a random Idempotency-Key to each POST and PATCH that has none, so that it can be
// retried. All attempts of a call have the same key.
//
// Use it where the server honours the header: a server that does not may process a request twice. The
// caller's request is not changed. When a client follows redirects, each hop has a key of its own.
func WithIdempotencyKeys() Option {
	return option("WithIdempotencyKeys", func(p *policy) error {
		p.idempotencyKeys = true
		return nil
	})
}

// WithAttemptHeader tells the server of retries: each attempt after the first one has a header of this name, whose value is
// the number of the attempt, "2" for the first retry.
//
// By default, and with "", there is none. A server that is overloaded can reject retries first by it, and logs can tell
// them from first attempts. A base transport that signs must sign it, too. It replaces a field of that name which the caller
// has set; the first attempt is sent as it is. name must be a valid field name, and none that frames the message or
// belongs to the connection, such as Content-Length, nor one that retries need, such as Idempotency-Key.
func WithAttemptHeader(name string) Option {
	return option("WithAttemptHeader", func(p *policy) error {
		p.attemptHeader = http.CanonicalHeaderKey(name)
		return checkAttemptHeader(name)
	})
}

// WithReplayBuffer makes request bodies without GetBody replayable, up to maxBytes each.
//
// By default, and with 0, such a body is streamed, and the request cannot be retried. With this option up to
// maxBytes of the body are read before the first attempt. A body that ends within them can be replayed, and
// its length is sent as Content-Length; a longer one is streamed as before and cannot. A body whose
// ContentLength is larger is not read at all. The memory is held until the call returns. Only the request's
// context bounds the reading, so do not use it for bidirectional streams, whose body ends after the response
// begins. maxBytes must not be negative.
func WithReplayBuffer(maxBytes int64) Option {
	return callOption("WithReplayBuffer", func(p *policy) error {
		p.replayBuffer = maxBytes
		return check(maxBytes >= 0, "WithReplayBuffer", maxBytes, "want 0 or more")
	})
}

// WithClassifier lets classifier overrule [Classify].
//
// It is called exactly once for each attempt. The class that it returns decides whether the request is
// retried, and what the breaker and the retry budget count:
//
//	class        retried?                       breaker             budget
//	Success      no                             a success           earns
//	ClientFault  no                             a success           earns
//	Throttled    any method, if told when       not counted         pays, if it was told in vain
//	NotReady     any method                     a success, if       pays
//	                                            there is a response
//	Transient    if it is idempotent            a failure           pays
//	Unprocessed  any method                     a failure           pays
//	ServerFault  no                             a failure           nothing
//	Permanent    no                             a success, if       earns, if there
//	                                            there is a response is a response
//	Canceled     no                             not counted         nothing
//
// "Told when" is by Retry-After, or by [WithHints]. So a healthy server that answers 404, 409 or 423 for a while,
// or 429 without a time, is NotReady, and not Transient, which would open the breaker for all calls. See
// [Classifier] for what the function may do. It must not be nil.
func WithClassifier(classifier Classifier) Option {
	return option("WithClassifier", func(p *policy) error {
		if classifier == nil {
			return invalidOption("WithClassifier", "nil", "want a function")
		}
		p.classifier = classifier
		return nil
	})
}

// WithObserver adds a function that is called for every [Event]: every attempt, every retry, the end of every call,
// every change of a breaker or a pause, and every body that breaks. [LogObserver] makes one that logs them.
//
// By default nothing is observed, and nothing is logged. With several, all are called, in the order in
// which they were given. An observer is called synchronously, without locks held, and concurrently for
// concurrent calls; events of one breaker arrive in order. It may call anything. Its context is that of the
// call which caused the event, and the background where somebody did by hand, or a fleet. Its time adds to the call's, and
// a panic in it propagates. It must not be nil.
func WithObserver(observe Observer) Option {
	return option("WithObserver", func(p *policy) error {
		if observe == nil {
			return invalidOption("WithObserver", "nil", "want a function")
		}
		p.observers = append(p.observers, observe)
		return nil
	})
}

// breakerOption is an option of the breaker: it turns the breaker on, if an earlier [WithoutBreaker] had
// turned it off.
func breakerOption(set func(*breakerPolicy) error) Option {
	return option("an option of the breaker", func(p *policy) error {
		p.withoutBreaker = false
		return set(&p.breaker)
	})
}

// WithBreakerConsecutiveFailures opens a breaker when so many attempts in a row have failed, and nothing that was
// sent for so long has succeeded.
//
// The default is 6, lasting 5 s, or two more than [WithMaxAttempts] if that is more than 4: a breaker opens when
// nothing works, not when much fails, and not for one call alone. One success ends the run, and so does a minute
// without an attempt that fails. The time counts from the first failure; if that one timed out, from the start of its
// attempt, but not from before the last success was sent. Where even quick successes, the 20th percentile, take longer
// than half of 5 s, it is twice as long as they take, up to a minute: before that nothing that was sent could have succeeded.
//
// Well before that, retries are suspended: from 4 failures in a row on, or [WithMaxAttempts] if that is more, once
// nothing has succeeded for 600 ms. Each call still makes its first attempt. One that fails is not retried, and one
// that waits for its retry ends; the reason is [StopRetriesSuspended]. The suspension ends with the run: a call
// each hour is retried whatever was an hour ago.
//
// failures 0 turns this rule off. Each of the rules opens the breaker; [WithBreakerConsecutiveTimeouts] and
// [WithBreakerFailureRate] are the others. Without a rule for failures or timeouts in a row, retries are never
// suspended. lasting may be 0. Neither may be negative.
func WithBreakerConsecutiveFailures(failures int, lasting time.Duration) Option {
	return breakerOption(func(b *breakerPolicy) error {
		b.failures = threshold{count: uint32(failures), lasting: lasting}
		return checkThreshold("WithBreakerConsecutiveFailures", failures, "failures", lasting)
	})
}

// WithBreakerConsecutiveTimeouts opens a breaker when so many attempts since the last success have timed out, and
// nothing that was sent for so long has succeeded.
//
// The default is 6, lasting 5 s, or two more than [WithMaxAttempts] if that is more than 4: two calls to a path that
// hangs must not shut others out. Other failures between do not end the run. Those of two calls that have lasted 600 ms
// are enough where an origin became slow before it fell silent, which is what an overloaded server does: the last success
// took three times as long as is usual there, and a quarter as long as the attempt that timed out.
//
// A long poll that its caller's deadline ends after a second or more is a timeout, too: have a [Classifier] call it
// [Canceled], or give it an origin of its own by [WithOriginKey]. timeouts 0 turns this rule off; see
// [WithBreakerConsecutiveFailures] for the others. lasting may be 0. Neither may be negative.
func WithBreakerConsecutiveTimeouts(timeouts int, lasting time.Duration) Option {
	return breakerOption(func(b *breakerPolicy) error {
		b.timeouts = threshold{count: uint32(timeouts), lasting: lasting}
		return checkThreshold("WithBreakerConsecutiveTimeouts", timeouts, "timeouts", lasting)
	})
}

func checkThreshold(option string, count int, of string, lasting time.Duration) error {
	return joinErrors(
		check(count >= 0 && count <= math.MaxInt32, option, count, "want from 0 to 2147483647 "+of),
		checkNotNegative(option, lasting),
	)
}

// WithBreakerFailureRate opens a breaker when at least rate of the outcomes in the window are failures,
// if there are at least minRequests.
//
// By default, and with a rate of 0, this rule is off: of an origin that fails in part, it makes one that fails as a
// whole. Neutral outcomes do not count. The window is [WithBreakerWindow]'s. The other rules are
// [WithBreakerConsecutiveFailures] and [WithBreakerConsecutiveTimeouts], and each of them opens the breaker. rate
// must be from 0 to 1, minRequests at least 1.
func WithBreakerFailureRate(rate float64, minRequests int) Option {
	return breakerOption(func(b *breakerPolicy) error {
		b.rate, b.minRequests = rate, uint32(minRequests)
		return joinErrors(
			check(rate >= 0 && rate <= 1, "WithBreakerFailureRate", rate, "want a rate from 0 to 1"), // NaN is neither
			check(minRequests >= 1 && minRequests <= math.MaxInt32, "WithBreakerFailureRate", minRequests, "want a minimum from 1 to 2147483647"),
		)
	})
}

// WithBreakerWindow sets how far back [WithBreakerFailureRate] looks.
//
// The default is 5 s. The window rolls in ten steps. d must be at least 10 ms.
func WithBreakerWindow(d time.Duration) Option {
	return breakerOption(func(b *breakerPolicy) error {
		b.window = d
		return checkAtLeast("WithBreakerWindow", d, 10*time.Millisecond)
	})
}

// WithBreakerOpenFor sets how long an open breaker rejects calls before it lets a probe through.
//
// The default is 700 ms, with a jitter of ±20 %, so that a fleet does not probe in step. If the probe fails,
// the next open time counts from when the probe was sent, but at least a quarter of it remains: time spent
// waiting for the probe's timeout is not waited again. A probe that takes longer than d lets another one go; after
// timeouts it has a little more time than those took, up to 2 s. Where even quick successes take that long, one closes
// the breaker although the other has failed. d must be at least 1 ms.
func WithBreakerOpenFor(d time.Duration) Option {
	return breakerOption(func(b *breakerPolicy) error {
		b.openFor = d
		return checkAtLeast("WithBreakerOpenFor", d, time.Millisecond)
	})
}

// WithShadowBreaker lets breakers decide and tell, and reject nothing.
//
// Use it to see what the thresholds would do before they do it. Breakers change their states as ever, with
// [Event.Shadow] set; so it is in the [EventAttempt] of each attempt that would have been rejected, whose outcome does not
// count. Retries are neither suspended nor given up for an open breaker. If [WithoutBreaker] is given as well, the later one counts;
// the other options of the breaker apply.
func WithShadowBreaker() Option {
	return option("WithShadowBreaker", func(p *policy) error {
		p.withoutBreaker, p.shadowBreaker = false, true
		return nil
	})
}

// WithFleet lets processes tell each other what they see of an origin, so that a process that makes few calls need not
// learn alone that nothing works there, or that it works again.
//
// By default each process knows its own calls alone. What a fleet says is advice: it opens a breaker, with the reason
// "fleet", closes one that nobody opened by hand, and says which of the open breakers of all processes sends the next probe, so
// that one tests for all. The breaker's own rules apply beside it, and a fleet that cannot be reached changes nothing.
// Nothing of it is on the way of a success. A call that may be the probe waits until the fleet says whether it is.
//
// The module steadyfleet has a fleet over Redis or Valkey; docs/fleet-sharing.md says when it is worth its while.
// Transports may share one fleet. fleet must not be nil, and has no effect with [WithoutBreaker], which is an error.
func WithFleet(fleet Fleet) Option {
	return option("WithFleet", func(p *policy) error {
		p.fleet = fleet
		return check(!isNil(fleet), "WithFleet", "nil", "want a fleet")
	})
}

// WithoutBreaker lets every attempt through, whatever the origin's health.
//
// The retry budget still applies. Use it where a proxy or a mesh already has a breaker. If an
// option of the breaker is given as well, the later one counts: WithBreaker… after it turns the breaker on again.
func WithoutBreaker() Option {
	return option("WithoutBreaker", func(p *policy) error {
		p.withoutBreaker = true
		return nil
	})
}

// WithOriginKey says which requests share a breaker and a retry budget: those with the same key.
//
// By default the key is the URL's scheme, host and port, whatever Request.Host says; that is also the key
// of a request for which the function returns "". Unicode and Punycode spellings of a host are two keys. A
// key shows in errors, events and [Transport.Breakers], so it must not hold a secret. There should be few
// keys; see [WithOriginLimit]. key is called once for each call, possibly from many goroutines at once. It
// must not be nil.
func WithOriginKey(key func(*http.Request) string) Option {
	return option("WithOriginKey", func(p *policy) error {
		if key == nil {
			return invalidOption("WithOriginKey", "nil", "want a function")
		}
		p.originKey = key
		return nil
	})
}

// WithOriginLimit bounds how many origins are remembered.
//
// The default is 1,024. When there are more, the registry evicts an origin that is idle and healthy,
// preferring one that was not used lately. Origins with recent failures or an open breaker are kept; an open
// one that nobody called for a minute after its RetryAt may go. With [WithBodyTimeout] or [WithResume] an
// origin with a body that is still read is not idle, so close each body. While none can go, new origins have no
// breaker and share one retry budget. n must be at least 1.
func WithOriginLimit(n int) Option {
	return option("WithOriginLimit", func(p *policy) error {
		p.originLimit = n
		return check(n >= 1, "WithOriginLimit", n, "want at least 1")
	})
}

// WithOriginPause makes what an origin says hold for all its calls: while all that it answers is "wait until",
// calls to it are held back until then, and at most so many of them wait. Others, and with 0 waiters all, fail at
// once with a [*PausedError].
//
// By default each call waits for itself alone, and others are sent meanwhile. A pause begins with three responses
// in a row, over 300 ms or more and with no other response between them, that are [Throttled] or a 503 and say when,
// by Retry-After or [WithHints], and for no longer than [WithMaxRetryAfter]. It lasts as long as they say, plus
// jitter within WithMaxRetryAfter. Then one call is sent first, and if it is let in, the others follow at a pace: up
// to 1.5 times the rate at which calls come, less while responses still say "wait". First come, first served. If the
// call that is sent first fails, one a second is sent, and after a second and twice the time told the others follow.
//
// A call fails at once, unsent, if its deadline or WithMaxRetryAfter leaves too little time, and is returned its
// last response if there is one. A call that waits ends at once when its caller gives up. A retry that waits as a
// limit told it costs no budget if a pause holds it back. An open breaker rejects a call that is let go.
//
// Use it where a limit is the origin's, or the client's as a whole. A limit of one endpoint or one token makes calls
// that it is not about wait for seconds: name what is limited as one by [WithPauseKey]. Calls that wait take
// memory, so 1,000 is a good number of waiters where calls have deadlines. It must not be negative.
func WithOriginPause(waiters int) Option {
	return option("WithOriginPause", func(p *policy) error {
		p.pause.on, p.pause.waiters = true, waiters
		return check(waiters >= 0, "WithOriginPause", waiters, "want 0 or more")
	})
}

// WithPauseKey says which calls of an origin are limited as one, where that is not all of them: those with the same
// key, such as a token or a route.
//
// By default all calls of an origin are. "" is a key as any other, and two origins never share a pause, whatever the
// key. The key is shown nowhere, so it may hold a secret. It is asked for once for each call, and only while the
// origin says "wait"; at most 1,024 keys of an origin are paused at a time. key is called from many goroutines at once, and must not modify the request. It must not be nil, and has no
// effect without [WithOriginPause], which is an error.
func WithPauseKey(key func(*http.Request) string) Option {
	return option("WithPauseKey", func(p *policy) error {
		p.pause.key = key
		return check(key != nil, "WithPauseKey", "nil", "want a function")
	})
}
