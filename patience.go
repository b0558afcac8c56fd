package steadyhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// expired reports whether the deadline is past, which a dialer can notice before the context does.
func expired(ctx context.Context) bool {
	if err := ctx.Err(); err != nil {
		return errors.Is(err, context.DeadlineExceeded)
	}
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// canceled reports whether the caller gave up by [http.Request.Cancel], which http.Client.Timeout
// still uses over any RoundTripper but net/http's own.
func canceled(request *http.Request) bool {
	select {
	case <-cancelOf(request):
		return true
	default:
		return false
	}
}

func cancelOf(request *http.Request) <-chan struct{} {
	//lint:ignore SA1019 http.Client.Timeout (setRequestCancel) cancels by it.
	return request.Cancel
}

// ended says how the caller's patience ended, or nil. Over http.Client.Timeout both the deadline and
// Cancel tell, in either order.
func ended(request *http.Request) error {
	ctx := request.Context()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case expired(ctx):
		return context.DeadlineExceeded
	case canceled(request):
		return context.Canceled
	default:
		return nil
	}
}

func reasonFor(ended error) StopReason {
	if errors.Is(ended, context.DeadlineExceeded) {
		return StopDeadline
	}
	return StopCanceled
}

// causeOf is what the caller gave as the reason.
func causeOf(request *http.Request, ended error) error {
	if cause := context.Cause(request.Context()); cause != nil {
		return cause
	}
	return ended
}

// An ending joins why a call ended before its next attempt with what the last attempt had come to.
// [errors.Is] finds each of them.
type ending struct {
	why   error // a breaker's rejection, or the context's cause
	ended error // the context's error; nil for a rejection
	last  error // nil if there was a response
}

func (e *ending) Error() string {
	if e.last == nil {
		return e.why.Error()
	}
	return fmt.Sprintf("%v (last attempt: %v)", e.why, e.last)
}

// Timeout reports whether it was the deadline that ended the call.
func (e *ending) Timeout() bool { return errors.Is(e.ended, context.DeadlineExceeded) }

func (e *ending) Unwrap() []error {
	joined := make([]error, 0, 3)
	for _, err := range []error{e.why, e.ended, e.last} {
		if err != nil {
			joined = append(joined, err)
		}
	}
	return joined
}
