package steadyhttp

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Report tells what a call took; see [WithReport].
type Report struct {
	// Attempts are in the order in which they were sent.
	Attempts []Attempt
	// Stopped is why no further attempt was made.
	Stopped StopReason
}

// Attempt is one attempt in a [Report].
type Attempt struct {
	Start time.Time
	// Duration is until the response's header, or the error.
	Duration time.Duration
	// StatusCode is 0 without a response.
	StatusCode int
	Err        error
	Class      Class
	// Wait is how long was waited after this attempt, before the next; 0 for the last.
	Wait time.Duration
}

// StopReason is why no further attempt was made. Its zero value is no reason.
type StopReason uint8

const (
	// StopSuccess: the last attempt was a [Success].
	StopSuccess StopReason = iota + 1
	// StopNotRetryable: a [ClientFault], a [Permanent] failure, or [Throttled] without a usable
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
	// StopRetryAfterTooLong: the server asks for more patience than [WithMaxRetryAfter] allows.
	StopRetryAfterTooLong
	// StopDeadline: the wait would outlast the caller's deadline, or did.
	StopDeadline
	// StopCircuitOpen: the origin's breaker is open.
	StopCircuitOpen
	// StopCanceled: the caller gave up.
	StopCanceled
	// StopNoRetry: the call was marked with [NoRetry].
	StopNoRetry
)

var stopReasonNames = [...]string{
	0: "none", StopSuccess: "success", StopNotRetryable: "not_retryable", StopMaxAttempts: "max_attempts",
	StopBudgetExhausted: "budget_exhausted", StopNotIdempotent: "not_idempotent", StopBodyNotReplayable: "body_not_replayable",
	StopRetryAfterTooLong: "retry_after_too_long", StopDeadline: "deadline", StopCircuitOpen: "circuit_open",
	StopCanceled: "canceled", StopNoRetry: "no_retry",
}

// String returns the reason in snake case, "max_attempts" for example.
func (r StopReason) String() string { return nameOf(stopReasonNames[:], int(r)) }

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

func (r *reporter) setStopped(reason StopReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Stopped = reason
}

func reasonFor(ended error) StopReason {
	if errors.Is(ended, context.DeadlineExceeded) {
		return StopDeadline
	}
	return StopCanceled
}
