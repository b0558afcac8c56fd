package steadyhttp

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Report tells what a call took; see [WithReport].
type Report struct {
	// Attempts are in the order in which they were sent.
	Attempts []Attempt
	// Stopped is why no further attempt was made.
	Stopped StopReason
	// Overridden is what [Override] set for this call, in the words of [Transport.String]: "MaxAttempts=1" for example.
	Overridden []string
}

// LogValue is a group: stopped, overridden where anything was, and one group for each attempt, named by its number, with class, duration
// and, where there are such, status, error, body_error, wait and held. An error is shown without the secrets of its URLs.
func (r Report) LogValue() slog.Value {
	attributes := []slog.Attr{slog.String("stopped", r.Stopped.String())}
	if len(r.Overridden) > 0 {
		attributes = append(attributes, slog.String("overridden", strings.Join(r.Overridden, " ")))
	}
	for i, attempt := range r.Attempts {
		attributes = append(attributes, slog.Attr{Key: strconv.Itoa(i + 1), Value: attempt.LogValue()})
	}
	return slog.GroupValue(attributes...)
}

// LogValue is a group with class, duration and, where there are such, status, error, body_error, wait and held.
func (a Attempt) LogValue() slog.Value {
	attributes := []slog.Attr{slog.String("class", a.Class.String()), slog.Duration("duration", a.Duration)}
	if a.StatusCode != 0 {
		attributes = append(attributes, slog.Int("status", a.StatusCode))
	}
	if a.Err != nil {
		attributes = append(attributes, slog.String("error", causeText(a.Err)))
	}
	if a.BodyErr != nil {
		attributes = append(attributes, slog.String("body_error", causeText(a.BodyErr)))
	}
	if a.Wait != 0 {
		attributes = append(attributes, slog.Duration("wait", a.Wait))
	}
	if a.Held != 0 {
		attributes = append(attributes, slog.Duration("held", a.Held))
	}
	return slog.GroupValue(attributes...)
}

// Attempt is one attempt in a [Report].
type Attempt struct {
	// Start is when it was sent.
	Start time.Time
	// Duration is until the response's header, or the error.
	Duration time.Duration
	// StatusCode is 0 without a response.
	StatusCode int
	Err        error
	Class      Class
	// Resends is how often the base transport sent the request again by itself within this attempt, because a
	// connection failed: 0 usually, and at most 7. It is known of net/http's transport, and of each base that
	// calls the hooks of net/http/httptrace. Over the built-in transport and HTTP/2 it leaves out how often a
	// GET was sent again over connections that the pool had already: to count them would cost each success.
	Resends int
	// Wait is how long was waited after this attempt, before the next; 0 for the last.
	Wait time.Duration
	// Held is how long a pause held this attempt back before it was sent, in addition to the wait before it; see
	// [WithOriginPause].
	Held time.Duration
	// BodyErr is what broke the response's body, with [WithResume]; nil if nothing did.
	BodyErr error
}

// StopReason is why no further attempt was made. Its zero value is no reason.
type StopReason uint8

const (
	// StopSuccess: the last attempt was a [Success].
	StopSuccess StopReason = iota + 1
	// StopNotRetryable: a [ClientFault], a [ServerFault], a [Permanent] failure, or [Throttled] without a usable
	// Retry-After.
	StopNotRetryable
	// StopMaxAttempts: [WithMaxAttempts] allows no more, or the policy of [WithBackoffPolicy] does not.
	StopMaxAttempts
	// StopBudgetExhausted: the origin's retry budget is spent.
	StopBudgetExhausted
	// StopNotIdempotent: the request is not idempotent, and may have been processed.
	StopNotIdempotent
	// StopBodyNotReplayable: the body cannot be sent again.
	StopBodyNotReplayable
	// StopRetryAfterTooLong: the server asks for a longer wait than [WithMaxRetryAfter] allows.
	StopRetryAfterTooLong
	// StopDeadline: the wait would outlast the deadline, the caller's or that of [WithTimeout], or did.
	StopDeadline
	// StopCircuitOpen: the origin's breaker is open.
	StopCircuitOpen
	// StopPaused: the origin asked to be left alone for longer than the call can wait; see [PausedError].
	StopPaused
	// StopCanceled: the caller gave up.
	StopCanceled
	// StopServerDeclined: the response says that a retry is of no use, by X-Should-Retry: false or
	// Stripe-Should-Retry: false.
	StopServerDeclined
	// StopNoRetry: the call was marked with [NoRetry].
	StopNoRetry
	// StopNotResumable: the response's body broke, and the rest of it cannot be asked for, or what came is not the rest;
	// see [ResumeError].
	StopNotResumable
	// StopChanged: the response's body broke, and the resource has changed since; see [ChangedError].
	StopChanged
	// StopRetriesSuspended: nothing at the origin has succeeded for a while, so nothing is retried until
	// something does; see [WithBreakerConsecutiveFailures].
	StopRetriesSuspended
)

var stopReasonNames = [...]string{
	0: "none", StopSuccess: "success", StopNotRetryable: "not_retryable", StopMaxAttempts: "max_attempts",
	StopBudgetExhausted: "budget_exhausted", StopNotIdempotent: "not_idempotent", StopBodyNotReplayable: "body_not_replayable",
	StopRetryAfterTooLong: "retry_after_too_long", StopDeadline: "deadline", StopCircuitOpen: "circuit_open",
	StopPaused: "paused", StopServerDeclined: "server_declined", StopCanceled: "canceled", StopNoRetry: "no_retry",
	StopNotResumable: "not_resumable", StopChanged: "changed",
	StopRetriesSuspended: "retries_suspended",
}

// String returns the reason in snake case, "max_attempts" for example.
func (r StopReason) String() string { return nameOf(stopReasonNames[:], int(r)) }

// MarshalText returns String, so that a reason is text in JSON.
func (r StopReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// isSurprise reports whether the reason cannot be guessed from the class and the number of attempts.
func (r StopReason) isSurprise() bool {
	switch r {
	case 0, StopSuccess, StopNotRetryable, StopMaxAttempts, StopCanceled:
		return false
	default:
		return true
	}
}

// A reporter fills in a report. Its context may serve several calls at once.
type reporter struct {
	mu     sync.Mutex
	report Report
}

// add appends an attempt, and returns its place.
func (r *reporter) add(attempt Attempt) (place int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Attempts = append(r.report.Attempts, attempt)
	return len(r.report.Attempts) - 1
}

func (r *reporter) setWait(place int, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Attempts[place].Wait = wait
}

func (r *reporter) setBodyErr(place int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Attempts[place].BodyErr = err
}

func (r *reporter) setOverridden(settings []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Overridden = settings
}

func (r *reporter) setStopped(reason StopReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Stopped = reason
}

func stopReasonOf(callerErr error) StopReason {
	if errors.Is(callerErr, context.DeadlineExceeded) {
		return StopDeadline
	}
	return StopCanceled
}
