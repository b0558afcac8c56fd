package steadyhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// timingCallFor is nil where calls have no limit.
func timingCallFor(policy *policy) layer {
	if policy.timeout == 0 {
		return nil
	}
	return timingCall
}

// timingCall is the layer that bounds a whole call, for [WithTimeout]: the base transport sees the deadline.
// Reading the response's body is within it, so the context lives on until the body is closed.
func timingCall(next sender) sender {
	return func(c *call) {
		limit := c.policy.timeout
		ctx, cancel := context.WithTimeoutCause(c.request.Context(), limit, &callTimeoutError{limit})
		held := false // by a body that is still to be read
		defer func() {
			if !held {
				cancel()
			}
		}()
		c.request = c.request.WithContext(ctx)
		next(c)
		if held = needsContext(c.attempt.response); held {
			holdContext(c.attempt.response, func(error) { cancel() })
		}
	}
}

// timingAttemptFor is nil where attempts have no limit.
func timingAttemptFor(policy *policy) layer {
	if policy.attemptTimeout == 0 {
		return nil
	}
	return timingAttempt
}

// timingAttempt is the layer that bounds each attempt until its response's header, for [WithAttemptTimeout].
func timingAttempt(next sender) sender {
	return func(c *call) {
		sendWithin(next, c, &attemptTimeoutError{c.policy.attemptTimeout})
	}
}

func sendWithin(next sender, c *call, timeout *attemptTimeoutError) {
	request := c.attempt.request
	ctx, cancel := context.WithCancelCause(request.Context())
	limited := request.WithContext(ctx)
	if !isReliable(limited) {
		limited.Body = &onceBody{ReadCloser: limited.Body}
	}
	timer := time.AfterFunc(timeout.limit, func() {
		cancel(timeout)
		interruptBody(limited)
	})
	held := false // by a body that is still to be read
	defer func() {
		if !held {
			timer.Stop()
			cancel(nil)
		}
	}()

	c.attempt.request, c.timed = limited, true // a response that came too late must be noticed
	next(c)
	c.attempt.request = request
	if fired := !timer.Stop(); fired {
		c.attempt.expire(timeout)
		return
	}
	if held = needsContext(c.attempt.response); held {
		holdContext(c.attempt.response, cancel)
	}
}

// interruptBody closes a body that may block: HTTP/1 waits for its Read even when the context has ended
// (golang/go#78555).
func interruptBody(request *http.Request) {
	if body, ok := request.Body.(*onceBody); ok {
		_ = body.Close()
	}
}

// expire settles an attempt whose time ran out. Its context is cancelled, so a response that came in the
// same moment could not be read to its end. HTTP/1 and HTTP/2 report that in different words, and the
// caller may have given up as well: then the caller's reason counts. Where our own side took the time, the error
// that says so does.
func (a *attempt) expire(timeout *attemptTimeoutError) {
	if isLocalError(a.err) {
		return
	}
	closeBody(a.response)
	a.response, a.err, a.status = nil, timeout, 0
	a.end = max(a.end, a.start+timeout.limit) // the time may have run out after the response came
	a.traced &^= bodyFailed                   // the body was interrupted
	if why := callerErr(a.request); why != nil {
		a.err = causeOf(a.request, why)
	}
}

// needsContext reports whether the attempt's context must outlive the response's body, or the request's: over HTTP/2
// net/http may send that still. After a 101 the context no longer controls the connection.
func needsContext(response *http.Response) bool {
	return bringsBody(response) || mayUpload(response)
}

// bringsBody reports whether the response has a body. That of a 101 must stay an io.ReadWriteCloser.
func bringsBody(response *http.Response) bool {
	return response != nil && !isEmpty(response.Body) && !isUpgrade(response)
}

// mayUpload reports whether the request's body may be on its way still, though the response has none (RFC 9113 §8.1). Over
// HTTP/1, where that is http.NoBody, net/http closes the connection then.
func mayUpload(response *http.Response) bool {
	return response != nil && response.Body != http.NoBody && !isUpgrade(response) &&
		response.Request != nil && hasBody(response.Request)
}

func isUpgrade(response *http.Response) bool {
	return response != nil && response.StatusCode == http.StatusSwitchingProtocols
}

func holdContext(response *http.Response, cancel context.CancelCauseFunc) {
	response.Body = &timedBody{ReadCloser: response.Body, cancel: cancel}
}

// A timedBody releases its context once it is read to the end or closed, and not before: cancelling it when
// RoundTrip returns would cut the body off.
type timedBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.cancel(nil)
	}
	return n, err
}

// Close cancels first: an HTTP/2 body's Close can wait for a stuck request body (golang/go#48908).
func (b *timedBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// ErrAttemptTimeout is found by [errors.Is] in the error of an attempt that [WithAttemptTimeout] ended.
// Such an error is a [context.DeadlineExceeded] as well, and its Timeout method returns true.
var ErrAttemptTimeout = errors.New("steadyhttp: attempt timed out")

type attemptTimeoutError struct{ limit time.Duration }

func (e *attemptTimeoutError) Error() string {
	return fmt.Sprintf("no response header within the attempt timeout of %v", e.limit)
}

func (e *attemptTimeoutError) Timeout() bool   { return true }
func (e *attemptTimeoutError) Temporary() bool { return true }

func (e *attemptTimeoutError) Is(target error) bool {
	return target == ErrAttemptTimeout || target == context.DeadlineExceeded
}

// A callTimeoutError is the cause of a context that [WithTimeout] ended.
type callTimeoutError struct{ limit time.Duration }

func (e *callTimeoutError) Error() string {
	return fmt.Sprintf("the call took longer than its timeout of %v", e.limit)
}

func (e *callTimeoutError) Timeout() bool        { return true }
func (e *callTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// timedOut reports whether it was [WithTimeout] that ended the call, and not the caller.
func (c *call) timedOut() bool {
	var timeout *callTimeoutError
	return errors.As(context.Cause(c.request.Context()), &timeout)
}
