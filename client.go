// Package steadyhttp adds retries, retry budgets and circuit breaking to any [http.Client].
//
// It is a chain of steps around the client's transport. The chain classifies every outcome. It never retries
// a 4xx, except a 429 that carries Retry-After. It retries transient 5xx and network failures, with a jittered
// backoff, and it opens a circuit breaker while nothing works. It never makes an outage worse: each origin has a
// retry budget, waits are bounded, and an open breaker sends nothing.
//
//	client, err := steadyhttp.NewClient()
//	if err != nil {
//		return err
//	}
//	response, err := client.Get("https://api.example.com/things")
//
// [NewClient] makes a client, [Wrap] does the same for an existing one, and [NewTransport] wraps a bare
// [http.RoundTripper]. The defaults are meant to be kept; options change them.
//
// The [Class] of an outcome decides what happens next. The caller always gets either the last response,
// whatever its status and with its body unread, or an error. An error after several attempts is an [*Error],
// unless it is [Permanent]. A call that was not sent because a breaker is open fails with a
// [*CircuitOpenError]. Errors while reading the response's body are neither retried nor counted by the breaker,
// unless [WithResume] or [WithBodyTimeout] ask for it.
//
// After a failure in which the server may have acted, only idempotent requests are retried: those with an
// idempotent method (GET, HEAD, PUT, DELETE and others), those with an Idempotency-Key, and calls marked with
// [Idempotent]. After a failure in which the server surely did not act, such as a refused connection, any
// request is retried. If the first attempt did its work and only its response was lost, the response to the
// retry may differ: a 404 to a DELETE, a 412 to a PUT with If-Match. [Attempts] tells.
//
// [CheckResponse] turns a response that is no success into an error: a [*ResponseError] that says whose fault
// it is, and what to do.
//
// Nothing runs in the background, nothing is logged, and by default a success costs no allocation.
// [WithObserver] and [WithReport] show what was done; [LogObserver] logs it.
package steadyhttp

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Transport is an [http.RoundTripper] that classifies every outcome, retries what may be retried, and stops
// calling a server that keeps failing.
//
// Make one with [NewTransport], or let [NewClient] or [Wrap] make it. It is safe for concurrent use. Share
// one Transport: breakers and retry budgets live in it. It keeps the contract of http.RoundTripper: the
// request is not modified, its body is always closed, and exactly one of response and error is returned.
// The zero Transport is not usable: RoundTrip returns an error.
//
// When four attempts in a row have failed and nothing has succeeded for 600 ms, retries are suspended until
// something succeeds. When nothing that was sent in the last 5 s has succeeded, the breaker opens: calls fail at
// once, but for a probe every 700 ms. See [WithBreakerConsecutiveFailures].
type Transport struct {
	base    http.RoundTripper
	builtIn bool // whether base is the built-in transport
	known   *baseInfo
	policy  *policy
	send    sender // the chain of the policy
	origins *registry
	calls   sync.Pool // of *call, so that a call allocates none

	stallTimers stallTimers
}

// NewClient returns a client over a transport of its own, with its own connection pool.
//
// The pool is go-cleanhttp's, which shares nothing with [http.DefaultTransport], with up to 64 idle connections for
// each host. The error joins one error for each invalid option. The client's Transport is a [*Transport].
//
// No attempt hangs for ever. Making a connection may take 30 s, and a TLS handshake 10 s. While the request is
// sent, the server must take some of it in every 30 s, however slowly; what the request's own body takes does not
// count. From then on it is 30 s until the response's header; with [WithAttemptTimeout] that limit is in the place
// of the last one. An HTTP/2 connection on which nothing comes for 30 s is pinged, and closed if it does not
// answer within 15 s. Reading the response's body has no limit but the caller's, and that of [WithBodyTimeout].
func NewClient(options ...Option) (*http.Client, error) {
	return Wrap(nil, options...)
}

// Wrap returns a copy of client that sends through a [Transport] over client's own.
//
// The argument is not modified. A nil client stands for a new one. A client without a Transport gets the
// built-in one, as in [NewClient], and not [http.DefaultTransport]. The copy's Transport is a [*Transport].
// Jar, CheckRedirect and Timeout are kept: [http.Client.Timeout] bounds the whole call with its retries, not
// each attempt. The Jar sees the response that is returned: a cookie of a response that was retried is lost.
// A client that is wrapped already is an error: the retries would multiply. So is a Timeout that is shorter than
// the first wait of [WithBackoff], or than [WithAttemptTimeout]: it would end every call before they do.
func Wrap(client *http.Client, options ...Option) (*http.Client, error) {
	wrapped := &http.Client{}
	if client != nil {
		*wrapped = *client
	}
	transport, err := newTransportWithin(wrapped.Timeout, wrapped.Transport, options)
	if err != nil {
		return nil, err
	}
	wrapped.Transport = transport
	return wrapped, nil
}

// NewTransport returns a Transport that sends through base.
//
// A nil base stands for the built-in transport, as in [NewClient]. A base that is a Transport already is an
// error: the retries would multiply. The error joins one error for each invalid option.
//
// What may refuse a call without asking the server belongs above this Transport: a limiter, a cache, a source of
// tokens. What each attempt needs anew belongs below it, into base: signing, tracing. An error of base that is not the
// server's doing is to be marked with [LocalError]; others are retried, and count against the server.
func NewTransport(base http.RoundTripper, options ...Option) (*Transport, error) {
	return newTransportWithin(0, base, options)
}

// newTransportWithin is [NewTransport] for a client whose Timeout, if it is not 0, bounds every call.
func newTransportWithin(clientTimeout time.Duration, base http.RoundTripper, options []Option) (*Transport, error) {
	policy, err := newPolicy(options)
	if err := joinErrors(err, checkBase(base), policy.checkWhole("http.Client.Timeout", clientTimeout),
		policy.checkFirstWait("http.Client.Timeout", clientTimeout)); err != nil {
		return nil, err
	}
	return newTransport(base, policy), nil
}

// checkBase refuses a nil in disguise, which would panic at the first call, and a base that retries already.
func checkBase(base http.RoundTripper) error {
	if base == nil {
		return nil
	}
	if isNil(base) {
		return fmt.Errorf("steadyhttp: base transport is a nil %T", base)
	}
	if _, ok := base.(*Transport); ok {
		return errors.New("steadyhttp: base transport is a *steadyhttp.Transport already: wrapped twice, the retries would multiply")
	}
	return nil
}

func newTransport(base http.RoundTripper, policy *policy) *Transport {
	builtIn := base == nil
	if builtIn {
		base = newBuiltInTransport(policy.attemptTimeout == 0)
	}
	t := &Transport{
		base:    base,
		builtIn: builtIn,
		known:   newBaseInfo(base),
		policy:  policy,
		origins: newRegistry(policy, time.Now()),
		calls:   sync.Pool{New: func() any { return &call{kept: new(kept)} }},
	}
	t.send = t.chainFor(policy)
	return t
}

// chainFor is what calls with this policy go through. What the policy leaves out has no layer.
func (t *Transport) chainFor(policy *policy) sender {
	return chain(
		timingCallFor(policy),
		retrying,
		pausingFor(policy),
		breaking,
		classifying,
		timingAttemptFor(policy),
	)(sending(t.known.within(policy.attemptTimeout), t.origins.epoch))
}

// RoundTrip sends the request, retries it if it may and must, and returns the last response or error.
//
// It implements [http.RoundTripper]; call it through an [http.Client]. A response of whatever status is
// returned with its body unread and a nil error. An error after several attempts, or for a reason of
// steadyhttp's, is an [*Error], unless it is [Permanent]. A call that an open breaker rejected fails with a
// [*CircuitOpenError].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request == nil || request.URL == nil || t.policy == nil {
		return nil, t.refuse(request)
	}
	options := callOptionsOf(request.Context())
	policy, send, invalid := t.policy, t.send, error(nil)
	if len(options.overrides) > 0 {
		policy, invalid = policy.override(options)
		send = t.chainFor(policy)
	}
	c := t.calls.Get().(*call)
	c.transport, c.caller, c.request, c.policy, c.options, c.invalid = t, request, request, policy, options, invalid
	c.origin = t.origins.acquire(request, c.last)
	defer t.leave(c)
	send(c)
	return c.attempt.response, c.attempt.err
}

// leave counts the call out. It closes what the call holds when one of the user's functions panics or exits.
func (t *Transport) leave(c *call) {
	if !c.finished {
		defer c.origin.release()
		c.release()
		return
	}
	c.origin.release()
	t.putBack(c)
}

// putBack gives a call that has ended to the next one.
func (t *Transport) putBack(c *call) {
	left := c.kept
	left.last = c.origin
	*c = call{kept: left}
	t.calls.Put(c)
}

// refuse says why a request is not sent: no transport can send it, or no origin can be found for it, or nobody made t.
func (t *Transport) refuse(request *http.Request) error {
	if request == nil {
		return errors.New("steadyhttp: nil Request")
	}
	closeRequest(request)
	if request.URL == nil {
		return errors.New("steadyhttp: nil Request.URL")
	}
	return errors.New("steadyhttp: zero Transport: make one with NewTransport")
}

// CloseIdleConnections closes the base transport's idle connections, where it can.
func (t *Transport) CloseIdleConnections() {
	if closer, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// Breakers returns a snapshot of every breaker that is remembered, sorted by origin.
//
// It takes each breaker's lock for a moment, one after the other, so the whole is no single instant. A
// breaker advances only with traffic: one that is open stays listed as open after RetryAt, until a
// call comes that may probe. With [WithoutBreaker] there are none.
func (t *Transport) Breakers() []BreakerStatus {
	if t.origins == nil {
		return nil
	}
	return t.origins.statuses()
}
