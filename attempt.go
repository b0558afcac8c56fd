package steadyhttp

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// An exchange is one attempt: on its way in a request, on its way out also what it came to. A pointer to
// it is passed through the chain, and nobody keeps it.
type exchange struct {
	request  *http.Request // what is sent; never modified
	original *http.Request // what the caller gave us
	origin   *origin
	attempt  int  // 1 is the first
	timed    bool // whether anyone wants to know how long a success takes
	unsent   bool // whether the request's body is still ours to close
	outcome
}

// An outcome is what one attempt came to.
type outcome struct {
	response *http.Response // nil, or
	err      error          // nil
	class    Class
	verdict  verdict
	seen     evidence
	status   int           // of the response, also once that is gone
	rejected bool          // by an open breaker: nothing was sent
	start    time.Duration // since the transport's epoch
	at       time.Duration // when it ended; the start, if it went well and is not timed
	began    time.Time     // the start of a timed attempt
}

// sending is the rim: the base transport, the clock, and the evidence of what happened.
func sending(base http.RoundTripper, epoch time.Time) sender {
	return func(x *exchange) {
		x.begin(epoch)
		x.unsent = false
		if x.needsWitness() {
			x.response, x.seen, x.err = watch(base, x)
		} else {
			x.response, x.err = roundTrip(base, x.request)
		}
		if x.response != nil {
			x.response.Request = x.original
			x.status = x.response.StatusCode
		}
		x.origin.note(x.err == nil)
		x.end(epoch)
	}
}

func (x *exchange) begin(epoch time.Time) {
	if x.timed {
		x.began = time.Now()
		x.start = x.began.Sub(epoch)
		return
	}
	x.start = time.Since(epoch)
}

// end reads the clock again only where it matters: to do so is a fifth of what a success costs. The
// status of an error is 0.
func (x *exchange) end(epoch time.Time) {
	x.at = x.start
	if x.timed || x.status < http.StatusContinue || x.status >= http.StatusBadRequest {
		x.at = time.Since(epoch)
	}
}

// took is how long it was until the response's header or the error.
func (o *outcome) took() time.Duration { return o.at - o.start }

// silence is for how long the attempt had no answer, if it timed out. An answer, or a connection that
// breaks, tells only of the moment at which it came: a restart breaks many long calls at once.
func (o *outcome) silence() time.Duration {
	if !isTimeout(o.err) {
		return 0
	}
	return o.took()
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

// needsWitness reports whether the attempt must be watched to be judged rightly. A body that can fail
// always must. The connection is watched only where trouble is likely, on a resend and after an error,
// so that a healthy origin costs nothing: there a TLS handshake that is cut off counts as [Transient],
// which is the safe side, the first time.
func (x *exchange) needsWitness() bool {
	return x.attempt > 1 || !x.origin.answers.Load() || !isReliable(x.request)
}

// expire settles an attempt whose time ran out. Its context is cancelled, so a response that came in the
// same moment could not be read to its end. HTTP/1 and HTTP/2 report that in different words, and the
// caller may have given up as well: then the caller's reason counts.
func (x *exchange) expire(timeout *attemptTimeoutError) {
	closeBody(x.response)
	x.response, x.err, x.status = nil, timeout, 0
	x.at = max(x.at, x.start+timeout.limit) // the time may have run out after the answer came
	x.seen &^= bodyFailed                   // it was interrupted
	if why := ended(x.request); why != nil {
		x.err = causeOf(x.request, why)
	}
}

// classifying is the layer that gives every outcome its class, once, and its verdict.
func classifying(classifier Classifier) layer {
	return func(next sender) sender {
		return func(x *exchange) {
			next(x)
			x.class = classify(x.request, x.response, x.err, x.seen)
			if classifier != nil {
				x.overrule(classifier)
			}
			x.verdict = x.judge()
		}
	}
}

// overrule asks the user's classifier.
func (x *exchange) overrule(classifier Classifier) {
	opinion := classifier(x.request, x.response, x.err)
	if opinion != Unclassified && opinion <= Canceled {
		x.class = opinion
	}
}

// A verdict is what an outcome tells about the health of its origin.
type verdict uint8

const (
	neutral verdict = iota // tells nothing: the breaker does not count it
	healthy
	failing
)

// impatience is how long an attempt must have waited for the caller's own deadline to count against
// the server: a caller's impatience is no outage.
const impatience = time.Second

// judge decides what an outcome tells about its origin.
func (x *exchange) judge() verdict {
	switch x.class {
	case Success, ClientFault:
		return healthy
	case Permanent:
		if x.response != nil {
			return healthy
		}
		return neutral
	case Transient:
		if x.response == nil && expired(x.request.Context()) && !x.outlastedPatience() {
			return neutral
		}
		return failing
	case Unprocessed:
		if isLocalExhaustion(x.err) {
			return neutral
		}
		return failing
	default: // Throttled, Canceled
		return neutral
	}
}

// outlastedPatience reports whether the attempt took so long that the server is to blame.
func (x *exchange) outlastedPatience() bool { return x.took() >= impatience }

// A sender carries an exchange to its outcome.
type sender func(*exchange)

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
