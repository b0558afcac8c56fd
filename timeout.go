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
		return func(x *exchange) { sendWithin(next, x, timeout) }
	}
}

func sendWithin(next sender, x *exchange, timeout *attemptTimeoutError) {
	request := x.request
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

	x.request, x.timed = limited, true // when an answer came too late must be known
	next(x)
	x.request = request
	if fired := !timer.Stop(); fired {
		x.expire(timeout)
		return
	}
	if held = needsContext(x.response); held {
		x.response.Body = &timedBody{ReadCloser: x.response.Body, cancel: cancel}
	}
}

// interruptBody closes a body that may block: HTTP/1 waits for its Read even when the context has ended
// (golang/go#78555).
func interruptBody(request *http.Request) {
	if body, ok := request.Body.(*onceBody); ok {
		_ = body.Close()
	}
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
