package steadyhttp

import (
	"fmt"
	"net/http"
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

func closeRequest(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

func closeBody(response *http.Response) {
	if response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
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
