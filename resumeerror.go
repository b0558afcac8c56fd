package steadyhttp

import (
	"errors"
	"fmt"
)

// ErrChanged is found by [errors.Is] in the error of a Read whose body was not resumed because the resource changed
// while it was read. [errors.As] with a *[ChangedError] tells by what that was seen.
var ErrChanged = errors.New("steadyhttp: the resource changed")

// ChangedError says that a body broke, and that the resource is another one now: what was read of it is the start
// of a representation that there is no more.
type ChangedError struct {
	// What differs: "ETag", "Last-Modified" or "length".
	What string
}

// Error says what differs.
func (e *ChangedError) Error() string {
	return "the resource changed while its body was read (another " + e.What + ")"
}

// Is reports true for [ErrChanged].
func (e *ChangedError) Is(target error) bool { return target == ErrChanged }

// ResumeError says that a response's body broke, and why it was not resumed, or not again; see [WithResume].
//
// The body's Read returns it; find it with [errors.As]. [errors.Is] and errors.As reach through it what broke the body,
// or the last attempt's own error, and a [*ChangedError] or a [*ResponseError] if that was the reason, or the
// [*CircuitOpenError] that rejected a retry.
type ResumeError struct {
	Method string
	// URL is without userinfo, query and fragment.
	URL string
	// Offset is how much of the body was read.
	Offset int64
	// Resumes is how often it was resumed before.
	Resumes int
	// Attempts is how often the call sent the request, from its beginning.
	Attempts int
	// Stopped is why it was not resumed: [StopNotResumable], [StopChanged], or a reason that any retry has.
	Stopped StopReason
	Err     error
}

// Error is one line: the request without its secrets, how far it came, reason, cause.
func (e *ResumeError) Error() string {
	return fmt.Sprintf("steadyhttp: %s %s: the body broke after %d bytes and %s, and was not resumed (%s): %s",
		line(e.Method), printable(e.URL), e.Offset, counted(e.Attempts), e.Stopped, causeText(e.Err))
}

// Unwrap returns Err.
func (e *ResumeError) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout.
func (e *ResumeError) Timeout() bool { return isTimeout(e.Err) }

// Temporary reports whether reading the resource again, from its start, may work.
func (e *ResumeError) Temporary() bool { return e.Stopped != StopCanceled }

// Advice says in one short sentence what to do next. It is meant for people: its words may change.
func (e *ResumeError) Advice() string {
	switch e.Stopped {
	case StopChanged:
		return "The resource changed while it was read: read it again from the start."
	case StopNotResumable:
		return "What came of the body is not enough, and the rest cannot be asked for: read it again from the start."
	case StopCanceled:
		return errorCauses[Canceled] + "."
	default:
		advice := "The server or the way to it failed: ask for the rest later, or read it again from the start"
		if fix := e.Stopped.fix(); fix != "" {
			advice += "; " + fix
		}
		return advice + "."
	}
}
