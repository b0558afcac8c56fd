package steadyhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// An attempt is one sending of the request: on its way down the chain it is a request, on its way up it
// is also what came of it.
type attempt struct {
	number  int           // 1 is the first; 0 before it
	request *http.Request // what is sent; never modified
	held    time.Duration // by a pause, before it was sent
	unsent  bool          // whether the request's body is still ours to close; sending hands it on
	upload  *tracedBody   // the request's body as it is sent, if that can fail; nil if not, or if nothing was sent

	probe     bool      // of a breaker
	phase     uint64    // the breaker's, in which the probe was let through
	reconnect reconnect // which connection it may go over
	spare     net.Conn  // one of HTTP/2 that was dialed for it before it was sent; nil: none
	silence   bool      // whether it was to keep off the pool since attempts had timed out there,
	moved     bool      // and whether it was kept off any connection

	response   *http.Response // nil, or
	err        error          // nil
	class      Class
	health     health
	deferred   bool // whether the response's body tells the outcome; see bodyOutcome
	broken     bool // whether the response's body broke, so that the next attempt resumes it
	traced     traceFlags
	status     int           // of the response, also once that is gone; 0 for an error
	asked      bool          // whether it is known what the response, unless it is a Success, says of
	saysWhen   bool          // when to retry,
	retryAfter time.Duration // and after how long that is
	conn       net.Conn      // the last one, as far as that is known
	fresh      bool          // whether that was dialed for it
	rejected   StopReason    // by an open breaker or a pause: nothing was sent; 0 if it was
	shadowed   bool          // whether only a shadow breaker let it through
	late       bool          // whether it was traced late, and may have been sent before that
	sends      int           // how often the base sent the request; 0: it got no connection
	start      time.Duration // since the transport's epoch
	end        time.Duration // equal to start unless it is measured
	body       time.Duration // how much of that the response's body took, if that told the outcome
	measured   bool          // whether end and took are right; see sending
	started    time.Time     // the start by the wall clock; only if the call is timed
}

// A result is what is left of an attempt while the next one is made.
type result struct {
	number int
	err    error
	class  Class
	status int
}

func (a *attempt) result() result { return result{a.number, a.err, a.class, a.status} }

// A sender carries a call's attempt to its outcome.
type sender func(*call)

// A layer puts a step around a sender.
type layer func(next sender) sender

// chain makes one layer of several, outermost first. A nil layer is left out.
func chain(layers ...layer) layer {
	return func(next sender) sender {
		for _, around := range slices.Backward(layers) {
			if around != nil {
				next = around(next)
			}
		}
		return next
	}
}

// sending is the end of the chain: the base transport, the clock, and what the trace shows.
//
// It reads the clock a second time only where the result matters, since that is a fifth of what a success
// costs: see measures.
func sending(base *baseInfo, epoch time.Time) sender {
	return func(c *call) {
		a := &c.attempt
		c.base = base
		a.begin(c.timed, epoch)
		c.send()
		if a.response != nil {
			a.response.Request = a.request
			a.status = a.response.StatusCode
		}
		c.origin.setAnswered(a)
		a.end, a.measured = a.start, c.measures()
		if a.measured {
			a.end = time.Since(epoch)
		}
		switch {
		case a.err != nil:
			c.base.learnFrom(c)
		case c.base.late != nil:
			c.base.late.learn(a)
		}
	}
}

// send traces the attempt if it must be, at once or once that shows.
func (c *call) send() {
	a := &c.attempt
	if !needsTrace(c) || c.base.late.mayTraceLate(c) {
		a.response, a.err = roundTrip(c.base.RoundTripper, a.request)
		a.sends = 1
		if a.err != errNeedsTrace {
			a.traced = garbledRecord(a.err) // over TLS, an attempt is not traced that has an established connection
			return
		}
		a.sends, a.late = 0, true
	}
	a.response, a.traced, a.err = sendTraced(c.base.RoundTripper, c)
}

// measures reports whether the end of the attempt matters: for a failure, for whoever is told of it, for a retry, and
// now and then for the pace of the origin.
func (c *call) measures() bool {
	a := &c.attempt
	return c.timed || a.status < http.StatusContinue || a.status >= http.StatusBadRequest ||
		a.number > 1 || c.origin.pace.due(a.start)
}

func (a *attempt) begin(timed bool, epoch time.Time) {
	a.unsent = false
	if timed {
		a.started = time.Now()
		a.start = a.started.Sub(epoch)
		return
	}
	a.start = time.Since(epoch)
}

// roundTrip guards against a base that breaks http.RoundTripper's contract: a response beside an error
// is closed, and neither of the two becomes an error.
func roundTrip(base http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := base.RoundTrip(request)
	if err != nil {
		closeBody(response)
		return nil, err
	}
	if response == nil {
		return nil, fmt.Errorf("steadyhttp: base transport %T returned neither response nor error", base)
	}
	if response.Body == nil {
		response.Body = http.NoBody
	}
	return response, nil
}

// sendsLeft is how often the request may still be sent within the attempt. Before an attempt was traced late, net/http may
// have sent it up to seven times over connections of its pool, which had refused its stream, or were lost.
func (a *attempt) sendsLeft() int {
	if a.late {
		return 1 - a.sends
	}
	return maxSends - a.sends
}

// resends is how often the base sent the request after the first time.
func (a *attempt) resends() int { return max(0, a.sends-1) }

// took is how long it was until the response's header or the error; 0 unless it is measured.
func (a *attempt) took() time.Duration { return a.end - a.start }

// timeoutAfter is how long the attempt took, if it timed out. A response, or a connection that breaks, tells
// only of the moment at which it came: a restart breaks many long calls at once.
func (a *attempt) timeoutAfter() time.Duration {
	if !a.timedOut() {
		return 0
	}
	return a.took()
}

// timedOut need not show in the error: past the caller's deadline HTTP/1 returns the bare cause of [context.WithTimeoutCause], or
// that the request was canceled, which http.Client.Timeout does over this transport. What else comes then is no timeout.
func (a *attempt) timedOut() bool {
	switch {
	case a.err == nil:
		return false
	case isTimeout(a.err):
		return true
	default:
		return a.ranOut() && (canceled(a.request) || errors.Is(a.err, context.Cause(a.request.Context())))
	}
}

// ranOut reports whether the caller's deadline has ended the attempt.
func (a *attempt) ranOut() bool { return a.class == Transient && expired(a.request.Context()) }

// classifying is the layer that gives every outcome its class, once, and says what it tells of the origin.
func classifying(next sender) sender {
	return func(c *call) {
		next(c)
		a := &c.attempt
		a.class = classify(a.request, a.response, a.err, a.traced)
		if a.readRetryAfter(c.policy.hints) && a.class == ClientFault {
			a.class = Throttled // a 4xx for which a hint says when is a limit
		}
		if c.policy.classifier != nil {
			a.overrule(c.policy.classifier)
			a.readRetryAfter(c.policy.hints) // of what only the user's Classifier takes for no Success
		}
		a.health = a.judge()
		a.deferred = c.policy.followsBodies() && c.defersOutcome()
	}
}

// overrule asks the user's classifier.
func (a *attempt) overrule(classifier Classifier) {
	opinion := classifier(a.request, a.response, a.err)
	if opinion != Unclassified && opinion <= Canceled { // the last one
		a.class = opinion
	}
}

// retryable reports whether the outcome allows another attempt.
func (a *attempt) retryable() bool {
	switch a.class {
	case NotReady, Transient, Unprocessed:
		return true
	case Throttled:
		return a.saysWhen
	default:
		return false
	}
}

// A health is what an outcome tells about its origin. The zero value must stay neutral: it is the health
// of an attempt that panicked and has no outcome.
type health uint8

const (
	neutral health = iota // tells nothing: the breaker does not count it
	healthy
	failing
)

// minBlameableWait is how long an attempt must have waited before the caller's own deadline counts against
// the server: a caller in a hurry is no outage.
const minBlameableWait = time.Second

// judge decides what an outcome tells about its origin.
func (a *attempt) judge() health {
	switch a.class {
	case Success, ClientFault:
		return healthy
	case NotReady, Permanent:
		if a.response != nil {
			return healthy
		}
		return neutral
	case ServerFault:
		return failing
	case Transient, Unprocessed:
		if a.response == nil && a.isBlameless() {
			return neutral
		}
		return failing
	default: // Throttled, Canceled
		return neutral
	}
}

// letIn reports whether no limit kept the request out. A 429 is one, whatever a Classifier calls it.
func (a *attempt) letIn() bool { return a.health == healthy && a.status != http.StatusTooManyRequests }

// isBlameless reports whether an error says nothing against the server: the caller's own deadline came too soon, or
// this machine or the client's own pool of connections failed.
func (a *attempt) isBlameless() bool {
	if a.ranOut() {
		return a.took() < minBlameableWait
	}
	return a.traced&queued != 0 || isLocalFault(a.err)
}
