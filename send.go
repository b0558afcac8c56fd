package steadyhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
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

// check refuses what no transport can send, what no origin can be found for, and all of it if nobody made t.
func (t *Transport) check(request *http.Request) error {
	switch {
	case request == nil:
		return errors.New("steadyhttp: nil Request")
	case request.URL == nil:
		closeRequest(request)
		return errors.New("steadyhttp: nil Request.URL")
	case t.settings == nil:
		closeRequest(request)
		return errors.New("steadyhttp: zero Transport: make one with NewTransport")
	default:
		return nil
	}
}

// checkURL refuses what net/http's HTTP/1 reports with an error that has no type, and what makes its
// HTTP/2 dial for ever: a control character where unescaped input was put into the URL.
func checkURL(target *url.URL) error {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if strings.ContainsFunc(target.RawQuery, control) || strings.ContainsFunc(target.Opaque, control) {
		return errors.New("steadyhttp: control character in RawQuery or Opaque of Request.URL; escape it with url.QueryEscape")
	}
	return nil
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
		x.origin.reached(x.err == nil)
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

func watch(base http.RoundTripper, x *exchange) (*http.Response, evidence, error) {
	request, witness := witnessed(x)
	response, err := roundTrip(base, request)
	return response, witness.evidence(), err
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
	return x.attempt > 1 || !x.origin.settled() || !isReliable(x.request)
}

// witnessed returns the request to send in x's place, and the witness that watches it.
func witnessed(x *exchange) (*http.Request, *witness) {
	seen := &witness{}
	ctx := x.request.Context()
	if x.attempt > 1 || !x.origin.settled() {
		ctx = httptrace.WithClientTrace(ctx, seen.trace())
	}
	request := x.request.WithContext(ctx)
	if !isReliable(request) {
		seen.body = watchedBody{onceBody: onceBody{ReadCloser: request.Body}, length: request.ContentLength}
		request.Body = &seen.body
	}
	return request, seen
}

// A witness notes what no error type tells. Its hooks may run after RoundTrip has returned.
type witness struct {
	asked atomic.Bool // for a connection,
	got   atomic.Bool // and got one
	body  watchedBody
}

func (w *witness) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.got.Store(true) },
	}
}

func (w *witness) evidence() evidence {
	var seen evidence
	if w.body.failed.Load() {
		seen |= bodyFailed
	}
	if w.asked.Load() && !w.got.Load() {
		seen |= neverConnected
	}
	return seen
}

// A watchedBody notes an error of the caller's body, to tell it from an error of the connection. Not to
// be as long as was promised is one.
type watchedBody struct {
	onceBody
	failed atomic.Bool
	length int64 // promised; less than 1: none
	read   int64
}

// Read does not blame the body for what it says once it is closed, an early EOF for example: net/http closes
// it under a blocked Read when the connection fails.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	broken := err != nil && err != io.EOF
	short := err == io.EOF && b.read < b.length
	long := b.length > 0 && b.read > b.length
	if (broken || short || long) && !b.closed.Load() {
		b.failed.Store(true)
	}
	return n, err
}

// isReliable reports whether the request's body is sure to be read as promised. A file's may not be:
// with sendfile its error looks like one of the connection.
func isReliable(request *http.Request) bool {
	return !hasBody(request) || isInMemory(request.Body, request.ContentLength)
}

// nopCloser is what http.NewRequest puts around readers that can write themselves, as those in memory do.
var nopCloser = reflect.TypeOf(io.NopCloser((*bytes.Reader)(nil)))

// isInMemory knows the bodies that http.NewRequest makes of a bytes.Buffer, bytes.Reader or
// strings.Reader, as net/http's isKnownInMemoryReader does, if they have the length promised.
func isInMemory(body io.ReadCloser, length int64) bool {
	if reflect.TypeOf(body) != nopCloser {
		return false
	}
	switch reader := reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader:
		return length < 1 || int64(reader.(interface{ Len() int }).Len()) == length
	default:
		return false
	}
}
