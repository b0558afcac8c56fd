package steadyhttp

import (
	"context"
	"io"
	"net/http"
	"time"
)

// timing is the layer that bounds each attempt until its response's header; nil for no limit.
func timing(limit time.Duration) layer {
	if limit <= 0 {
		return nil
	}
	timeout := &attemptTimeoutError{limit}
	return func(next sender) sender {
		return func(x exchange) outcome { return sendWithin(next, x, timeout) }
	}
}

func sendWithin(next sender, x exchange, timeout *attemptTimeoutError) outcome {
	parent := x.request.Context()
	ctx, cancel := context.WithCancelCause(parent)
	timer := time.AfterFunc(timeout.limit, func() { cancel(timeout) })
	held := false // by a body that is still to be read
	defer func() {
		if !held {
			timer.Stop()
			cancel(nil)
		}
	}()

	attempt := x
	attempt.request = x.request.WithContext(ctx)
	o := next(attempt)
	if fired := !timer.Stop(); fired {
		return late(o, parent, timeout)
	}
	if held = needsContext(o.response); held {
		o.response.Body = &timedBody{ReadCloser: o.response.Body, cancel: cancel}
	}
	return o
}

// late settles an attempt whose time ran out. Its context is cancelled, so a response that came in the
// same moment could not be read to its end. HTTP/1 and HTTP/2 report that in different words, and the
// caller may have given up as well: then the caller's reason counts.
func late(o outcome, parent context.Context, timeout *attemptTimeoutError) outcome {
	closeBody(o.response)
	o.response, o.err = nil, timeout
	if parent.Err() != nil {
		o.err = context.Cause(parent)
	}
	return o
}

// needsContext reports whether the response has a body that the attempt's context must outlive. After
// a 101 the context no longer controls the connection, and its body must stay an io.ReadWriteCloser.
func needsContext(response *http.Response) bool {
	return response != nil && response.Body != http.NoBody && response.StatusCode != http.StatusSwitchingProtocols
}

// A timedBody releases its attempt's context once it is read or closed, and not before: cancelling it
// when RoundTrip returns would cut the body off.
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
