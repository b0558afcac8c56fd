package steadyhttp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrCircuitOpen is found by [errors.Is] in the error of a call, or of a retry, that an open breaker
// rejected. [errors.As] with a *[CircuitOpenError] tells which breaker, and until when.
var ErrCircuitOpen = errors.New("steadyhttp: circuit open")

// errorTime is how the text of an error shows a time.
const errorTime = "2006-01-02T15:04:05.000Z07:00"

// errRetriesSuspended is why a retry was given up after its wait.
var errRetriesSuspended = errors.New("steadyhttp: retries are suspended: nothing has succeeded at this origin lately")

// CircuitOpenError says that an attempt was not sent, because the breaker of this origin is open.
//
// If it was the first one, nothing was sent, and this is the error; otherwise it is within an [*Error]
// that tells how many were. Calls that are rejected for the same reason share one value: treat it as
// read-only.
type CircuitOpenError struct {
	// Origin is the breaker's, "https://api.example.com:443" or what [WithOriginKey] returned.
	Origin string
	// RetryAt is when the next probe may go. It is zero while a probe is under way, on whose result it
	// depends, and while the breaker is isolated.
	RetryAt time.Time
	// Reason is why the breaker opened: "failures", "fleet" (see [WithFleet]), or what [Breaker.Isolate] or
	// [Breaker.Trip] was given. It is empty while a probe is under way.
	Reason string
}

// Error names the origin, the time of the next probe where it is known, and a reason other than failures.
func (e *CircuitOpenError) Error() string {
	text := fmt.Sprintf("steadyhttp: circuit open for %s", printable(e.Origin))
	switch {
	case e.isIsolated():
		text += ", isolated"
	case e.RetryAt.IsZero():
		text += ": a probe is under way"
	default:
		text += " until " + e.RetryAt.Format(errorTime)
	}
	if e.Reason == "" || e.Reason == reasonFailures {
		return text
	}
	return text + ": " + line(e.Reason)
}

// isIsolated reports whether no probe is sent: while one is under way there is no reason.
func (e *CircuitOpenError) isIsolated() bool { return e.RetryAt.IsZero() && e.Reason != "" }

func (e *CircuitOpenError) isByHand() bool {
	return e.Reason != "" && e.Reason != reasonFailures && e.Reason != reasonFleet
}

// Is reports true for [ErrCircuitOpen].
func (e *CircuitOpenError) Is(target error) bool { return target == ErrCircuitOpen }

// Timeout reports false.
func (e *CircuitOpenError) Timeout() bool { return false }

// Temporary reports true, unless the breaker is isolated: it lets a probe through in time.
func (e *CircuitOpenError) Temporary() bool { return !e.isIsolated() }

// ErrPaused is found by [errors.Is] in the error of a call, or of a retry, that the pause of its origin refused.
// [errors.As] with a *[PausedError] tells which origin's, and until when.
var ErrPaused = errors.New("steadyhttp: paused")

// PausedError says that an attempt was not sent, because its origin asked all calls to wait; see
// [WithOriginPause].
//
// If it was the first attempt, nothing was sent, and this is the error; otherwise it is within an [*Error] that
// tells how many were.
type PausedError struct {
	// Origin is "https://api.example.com:443", or what [WithOriginKey] returned.
	Origin string
	// RetryAt is when the call could probably have been sent.
	RetryAt time.Time
	// Reason is why the call did not wait until then.
	Reason string
}

// Error names the origin, the time and the reason.
func (e *PausedError) Error() string {
	return fmt.Sprintf("steadyhttp: paused: %s asked to wait until %s: %s", printable(e.Origin), e.RetryAt.Format(errorTime), line(e.Reason))
}

// Is reports true for [ErrPaused].
func (e *PausedError) Is(target error) bool { return target == ErrPaused }

// Timeout reports false.
func (e *PausedError) Timeout() bool { return false }

// Temporary reports true: the pause ends.
func (e *PausedError) Temporary() bool { return true }

// Error is the error of a call that took more than one attempt, or that ended for a reason of ours.
//
// Find it with [errors.As]: an [http.Client] wraps it in a [*url.Error]. [errors.Is] and errors.As reach
// the last attempt's own error through it. There is none when the call ends with a response: then the
// caller gets the response. A [Permanent] error is returned as it is, since http.Client looks for some by their type.
type Error struct {
	Method string
	// URL is without userinfo, query and fragment.
	URL string
	// Attempts is how often the request was sent.
	Attempts int
	// Class is the last attempt's.
	Class Class
	// StatusCode is the last response's; 0 if no attempt got one.
	StatusCode int
	// Stopped is why there was no further attempt.
	Stopped StopReason
	// Err is the last attempt's error. After an interrupted wait it joins the context's error and cause
	// with it, and after a rejected retry the [*CircuitOpenError] or the [*PausedError].
	Err error
}

// Error is one line: the request without its secrets, attempts, reason, cause.
func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "steadyhttp: %s %s failed after %s (%s", line(e.Method), printable(e.URL), counted(e.Attempts), e.Stopped)
	if e.StatusCode != 0 {
		fmt.Fprintf(&text, ", last status %d", e.StatusCode)
	}
	text.WriteByte(')')
	if e.Err != nil {
		text.WriteString(": " + causeText(e.Err))
	}
	return text.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout, as [net/url.Error.Timeout] asks.
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

func isTimeout(err error) bool {
	if err == nil { // what is looked for would be allocated
		return false
	}
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Temporary reports whether sending the request later may work.
func (e *Error) Temporary() bool {
	return e.Class == Transient || e.Class == Unprocessed || e.Class == Throttled || e.Class == NotReady
}

// An interruptedError joins why a call ended before its next attempt with what the last attempt had come to.
// [errors.Is] finds each of them.
type interruptedError struct {
	cause  error // a breaker's rejection, that retries are suspended, or the context's cause
	ctxErr error // the context's error; nil if that is not why
	last   error // nil if there was a response
}

func (e *interruptedError) Error() string {
	if e.last == nil {
		return e.cause.Error()
	}
	return fmt.Sprintf("%v (last attempt: %v)", e.cause, e.last)
}

// Timeout reports whether it was the deadline that ended the call.
func (e *interruptedError) Timeout() bool { return errors.Is(e.ctxErr, context.DeadlineExceeded) }

func (e *interruptedError) Unwrap() []error {
	joined := make([]error, 0, 3)
	for _, err := range []error{e.cause, e.ctxErr, e.last} {
		if err != nil {
			joined = append(joined, err)
		}
	}
	return joined
}
