package steadyhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxResumes bounds how often one body is resumed, whatever progress it makes.
const maxResumes = 100

// resume goes on with the call, for the rest of the body. It returns io.EOF if nothing is missing. b.reading is held.
func (b *resumableBody) resume() error {
	ctx, cancel := context.WithCancel(b.request.Context())
	if !b.leaveBroken(cancel) {
		return http.ErrBodyReadAfterClose
	}
	origin := b.transport.origins.acquireAgain(b.origin)
	defer origin.release()
	c := b.transport.calls.Get().(*call)
	b.begin(c, ctx, origin)
	reason, err := b.reopen(c)
	b.attempts, b.fresh, b.status = c.attempt.number, c.attempt.fresh, c.lastStatus
	b.backoff, b.reported, c.exponential = c.backoff, c.reported, nil // which goes on with them
	switch {
	case err == errComplete:
		err = io.EOF
	case err != nil:
		err = b.failure(c, reason, err)
	}
	b.transport.putBack(c)
	return err
}

// leaveBroken closes what broke, and reports whether its reader still wants the rest.
func (b *resumableBody) leaveBroken(cancel context.CancelFunc) bool {
	b.mu.Lock()
	before, closed := b.cancel, b.closed
	b.cancel = cancel
	b.mu.Unlock()
	if before != nil {
		before()
	}
	if closed {
		cancel()
		return false
	}
	_ = b.currentBody().Close()
	return true
}

// begin makes the call what it was when its body broke, with a request for what is missing.
func (b *resumableBody) begin(c *call, ctx context.Context, origin *origin) {
	c.transport, c.next, c.policy, c.options, c.origin = b.transport, b.next, b.policy, b.options, origin
	c.caller, c.request = b.caller, b.whole.request(b.request.WithContext(ctx), b.got)
	c.offset = b.got
	c.resuming, c.renewed, c.backoff, c.reported, c.lastStatus = true, b.renewed, b.backoff, b.reported, b.status
	c.timed = c.isWatched()
	now := b.first.outcome.now()
	c.attempt = attempt{
		number: b.attempts, request: c.request, status: b.status, err: b.broken, class: Transient, broken: true,
		sends: 1, fresh: b.fresh, start: now - silenceOf(b.broken), end: now,
	}
	for i, index := range c.reported {
		c.options.reporters[i].setBodyErr(index, b.broken)
	}
}

// reopen makes attempts until there is a response, and goes on with its body if that is the rest of this one.
func (b *resumableBody) reopen(c *call) (StopReason, error) {
	switch {
	case callerErr(c.request) != nil:
		return c.interrupt(), c.attempt.err
	case b.whyNot() != nil:
		return StopNotResumable, fmt.Errorf("%w: %w", b.whyNot(), b.broken)
	case b.count.Load() >= maxResumes:
		return StopMaxAttempts, b.broken
	}
	defer c.release()
	reason := c.retry()
	c.conclude()
	response := c.attempt.response
	if response == nil {
		return reason, c.attempt.err
	}
	rest, err := b.whole.resume(c.request, response, b.got)
	if err != nil {
		c.discard(response.Body)
		return b.judge(c, reason, err)
	}
	if !b.goOn(response.Body, rest) {
		return StopCanceled, http.ErrBodyReadAfterClose
	}
	return reason, nil
}

// judge says why a response is not the rest of the body. b.reading is held.
func (b *resumableBody) judge(c *call, reason StopReason, err error) (StopReason, error) {
	var changed *ChangedError
	switch {
	case err == errComplete:
		return StopSuccess, err
	case err == errOtherStatus:
		if reason == StopSuccess { // of a retry, which is none of a resume
			reason = StopNotResumable
		}
		failed := newResponseError(c.attempt.response, c.attempt.class)
		failed.Stopped = reason
		return reason, fmt.Errorf("%w, after %w", failed, b.broken)
	case errors.As(err, &changed):
		return StopChanged, fmt.Errorf("%w, after %w", err, b.broken)
	default:
		return StopNotResumable, fmt.Errorf("%w: %w", err, b.broken)
	}
}

// goOn puts the new body in the place of the one that broke, unless the reader has closed that. b.reading is held.
func (b *resumableBody) goOn(body io.ReadCloser, rest continuation) bool {
	b.mu.Lock()
	b.current = body
	closed := b.closed
	b.mu.Unlock()
	if closed {
		_ = body.Close()
		return false
	}
	b.broken, b.rest = nil, rest
	b.count.Add(1)
	return true
}

// failure tells everybody that the body is not resumed, and why.
func (b *resumableBody) failure(c *call, reason StopReason, err error) error {
	for _, r := range c.options.reporters {
		r.setStopped(reason)
	}
	c.attempt.err = err
	c.observe(Event{Kind: EventResume, Offset: b.got, Stopped: reason})
	return &ResumeError{
		Method: methodOf(b.caller), URL: redact(b.caller.URL), Offset: b.got, Resumes: int(b.count.Load()),
		Attempts: c.attempt.number, Stopped: reason, Err: err,
	}
}
