package steadyhttp

import (
	"context"
	"errors"
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

// callerErr says how the caller gave up, or nil: by a deadline or a cancel. Over http.Client.Timeout both the
// deadline and Cancel tell, in either order.
func callerErr(request *http.Request) error {
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

// causeOf is what the caller gave as the reason.
func causeOf(request *http.Request, callerErr error) error {
	if cause := context.Cause(request.Context()); cause != nil {
		return cause
	}
	return callerErr
}

// sleep waits, but not longer than the caller does. Both may be over at once, so the caller must be
// asked again after it.
func (c *call) sleep(request *http.Request, wait time.Duration) {
	if wait <= 0 {
		return
	}
	over := c.timer.start(wait)
	defer c.timer.stop()
	select {
	case <-over:
	case <-request.Context().Done():
	case <-cancelOf(request):
	}
}
