package steadyhttp

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// followBody stays with the attempt's response until its body has been read, as an option asks.
func (c *call) followBody() {
	a := &c.attempt
	limited := c.policy.bodyTimeout > 0 && hasContent(a.request, a.response)
	if !a.deferred && !limited {
		return
	}
	if a.deferred && c.policy.resume && !c.resuming {
		c.resumable = newResumableBody(c)
		a.response.Body = c.resumable
		return
	}
	body := &attemptBody{}
	body.follow(c)
	a.response.Body = body
}

// hasContent reports whether the response has a body of its own to read: what follows a 101, or a CONNECT, is a
// connection, and what has no content has no length to be held to (RFC 9110 §6.4.1).
func hasContent(request *http.Request, response *http.Response) bool {
	if !bringsBody(response) || request.Method == http.MethodHead || request.Method == http.MethodConnect {
		return false
	}
	code := response.StatusCode
	return code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified
}

// An attemptBody is the body of one attempt's response: it bounds each Read, and tells the origin's breaker
// and budget what became of it.
//
// Invariants. reading guards what is below it: Reads take their turns. Close does not wait for a Read, since it
// must be able to interrupt one. Whoever moves state away from bodyOpen closes the base's body, and nobody else.
type attemptBody struct {
	base     io.ReadCloser
	length   int64         // promised; -1: none
	limit    time.Duration // of a Read; 0: none
	timers   *stallTimers
	realTime bool
	outcome  bodyOutcome
	upload   *tracedBody // which may be sent still; nil: it cannot fail
	state    atomic.Uint32

	reading sync.Mutex
	read    int64
	err     error // how it ended
}

// The states of an attemptBody.
const (
	bodyOpen        = iota
	bodyClosed      // by its reader
	bodyInterrupted // by the timer
)

// follow takes the attempt's response over, and its outcome if that is the body's to tell.
func (b *attemptBody) follow(c *call) {
	response, now := c.attempt.response, time.Now()
	b.base, b.length, b.upload = response.Body, promisedLength(response), c.attempt.upload
	b.limit, b.timers, b.realTime = c.policy.bodyTimeout, &c.transport.stallTimers, isRealTime(now)
	b.outcome.begin(c, now)
}

// Read returns what the base's body does, but for two things: it does not take longer than the limit, and a body
// that is shorter than its Content-Length did not end well, whatever the base says.
func (b *attemptBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, stalled, err := b.readWithin(p)
	b.read += int64(n)
	switch {
	case stalled && err != io.EOF:
		err = b.stallError()
	case err == io.EOF && b.read < b.length:
		err = io.ErrUnexpectedEOF
	}
	b.err = errLostContent // should judge not return
	b.judge(n, err)
	b.err = err
	return n, err
}

// errLostContent ends a body of which the reader misses a part: what was read when an Observer panicked.
var errLostContent = errors.New("steadyhttp: a part of the body was lost when an Observer panicked")

// readWithin also stops the timer should the base panic.
func (b *attemptBody) readWithin(p []byte) (n int, stalled bool, err error) {
	if b.limit == 0 {
		n, err = b.base.Read(p)
		return n, false, err
	}
	timer := b.timers.start(b.limit, b)
	defer func() { stalled = b.timers.stop(timer) }()
	n, err = b.base.Read(p)
	return n, false, err
}

// stallError lets the caller's own reason count before the timer's.
func (b *attemptBody) stallError() error {
	if why := callerErr(b.outcome.request); why != nil {
		return causeOf(b.outcome.request, why)
	}
	return &bodyTimeoutError{b.limit}
}

// judge says what a Read tells of the origin. b.reading is held.
func (b *attemptBody) judge(n int, err error) {
	switch {
	case err == nil:
		b.outcome.progress(n)
	case err == io.EOF:
		b.outcome.succeed()
	case b.state.Load() == bodyClosed || callerErr(b.outcome.request) != nil:
		b.outcome.abandon()
	case isLocalError(err), isLocalFault(err), b.upload.hasFailed():
		b.outcome.abandon()
	default:
		b.outcome.fail(err)
	}
}

// interrupt is the timer's: it closes the body under a Read. timedBody.Close cancels the attempt first, as far as
// there is one: an HTTP/2 body's Close can wait for a stuck request body (golang/go#48908).
func (b *attemptBody) interrupt() { _ = b.close(bodyInterrupted) }

// Close closes the base's body, once. It looks at what was read only if nobody is reading: a Read that it interrupts
// tells nothing good. A body of which all was read has ended, though nobody has seen its EOF.
func (b *attemptBody) Close() error {
	if idle := b.reading.TryLock(); idle {
		b.outcome.close(b.read == b.length)
		b.reading.Unlock()
	}
	err := b.close(bodyClosed)
	b.outcome.abandon()
	return err
}

func (b *attemptBody) close(state uint32) error {
	if !b.state.CompareAndSwap(bodyOpen, state) {
		return nil
	}
	return b.base.Close()
}
