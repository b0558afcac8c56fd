// Package steadyhttp makes an [http.Client] steady when the servers it calls are not.
//
// It wraps the client's transport in a chain that classifies every outcome, never retries a 4xx (except
// a 429 that carries Retry-After), retries transient 5xx and network failures with jittered backoff, and
// trips a circuit breaker on sustained server failure. It is built never to make an outage worse:
// retries draw on a budget for each origin, waits are bounded, and an open breaker sends nothing.
//
//	client, err := steadyhttp.NewClient()
//	if err != nil {
//		return err
//	}
//	response, err := client.Get("https://api.example.com/things")
//
// [NewClient] makes a client, [Wrap] gives an existing one the same steadiness, and [NewTransport] wraps
// a bare [http.RoundTripper]. The defaults are meant to be kept; options change them.
//
// What happens to an outcome is decided by its [Class], and what the caller gets is always either the
// last response, of whatever status and with its body unread, or an error. An error that took more than
// one attempt is an [*Error], unless it is [Permanent]; a call that was not sent because a breaker is open
// fails with a [*CircuitOpenError]. An error of reading the response's body comes after all that: it is
// neither retried nor counted.
//
// Only idempotent requests are sent again after a failure in which the server may have acted: GET, HEAD,
// OPTIONS, TRACE, PUT, DELETE and QUERY, requests with an Idempotency-Key, and calls marked with
// [Idempotent]. A failure in which it surely did not, such as a refused connection, allows any method.
// Where the first attempt did its work and only its answer was lost, the answer to the second may differ: a
// 404 to a DELETE, a 412 to a PUT with If-Match. [Attempts] tells.
//
// [CheckResponse] makes an error of a response that is no success: a [*ResponseError] that says whose fault
// it is, and what to do.
//
// Nothing runs in the background, nothing is logged, and by default a success costs no allocation. [WithObserver]
// and [WithReport] show what was done; [LogObserver] logs it.
package steadyhttp

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-cleanhttp"
)

// Transport is an [http.RoundTripper] that stays steady when servers are not: it classifies every
// outcome, retries what may be retried, and stops calling a server that keeps failing.
//
// Make one with [NewTransport], or let [NewClient] or [Wrap] make it. It is safe for concurrent use, and
// one Transport is meant to be shared: breakers and retry budgets live in it. It keeps to the contract
// of http.RoundTripper: the request is not modified, its body is always closed, and exactly one of
// response and error is returned. The zero Transport sends nothing, and says so in an error.
type Transport struct {
	base      http.RoundTripper
	builtIn   bool    // whether the base is
	settings  *config // for String
	send      sender
	origins   *registry
	exchanges sync.Pool // so that a call allocates none
}

// NewClient returns a client over a transport of its own, with its own connection pool.
//
// The pool is go-cleanhttp's, which shares nothing with [http.DefaultTransport]. It waits at most 30 s
// for a response's header unless [WithAttemptTimeout] says otherwise. The error names every invalid
// option; without one the client is ready, and its Transport is a [*Transport].
func NewClient(options ...Option) (*http.Client, error) {
	return Wrap(nil, options...)
}

// Wrap returns a copy of client that sends through a [Transport] over client's own.
//
// The argument is not touched. A nil client stands for a new one, and a client without a Transport gets
// a pooled one, as in [NewClient], and not [http.DefaultTransport]. The copy's Transport is a [*Transport].
// Jar, CheckRedirect and Timeout are kept; [WithTimeout] sets the copy's Timeout. The Jar sees the response
// that is returned: a cookie that only a dropped one set is lost. Do not wrap a client twice: the retries
// multiply.
func Wrap(client *http.Client, options ...Option) (*http.Client, error) {
	wrapped := &http.Client{}
	if client != nil {
		*wrapped = *client
	}
	settings, err := newConfig(options)
	if err := errors.Join(err, checkBase(wrapped.Transport)); err != nil {
		return nil, err
	}
	if settings.timeout > 0 {
		wrapped.Timeout = settings.timeout
	}
	settings.timeout = wrapped.Timeout
	wrapped.Transport = newTransport(wrapped.Transport, settings)
	return wrapped, nil
}

// NewTransport returns a Transport that sends through base.
//
// A nil base stands for a pooled transport, as in [NewClient]. The error names every invalid option.
// [WithTimeout] is one of them here: it belongs to a client, so use it with [NewClient] or [Wrap].
func NewTransport(base http.RoundTripper, options ...Option) (*Transport, error) {
	settings, err := newConfig(options)
	if err := errors.Join(err, checkBase(base), settings.checkClientless()); err != nil {
		return nil, err
	}
	return newTransport(base, settings), nil
}

// checkBase refuses a nil in disguise, which would panic at the first call.
func checkBase(base http.RoundTripper) error {
	if base != nil && isNil(base) {
		return fmt.Errorf("steadyhttp: base transport is a nil %T", base)
	}
	return nil
}

func newTransport(base http.RoundTripper, settings *config) *Transport {
	builtIn := base == nil
	if builtIn {
		base = pooledTransport(settings.policy.attemptTimeout)
	}
	policy := &settings.policy
	epoch := time.Now()
	if policy.breaker != nil {
		policy.breaker.epoch = epoch
	}
	return &Transport{
		base:      base,
		builtIn:   builtIn,
		settings:  settings,
		origins:   newRegistry(policy, epoch),
		exchanges: sync.Pool{New: func() any { return new(exchange) }},
		send: chain(
			retrying(policy),
			breaking,
			classifying(policy.classifier),
			timing(policy.attemptTimeout),
		)(sending(base, epoch)),
	}
}

// headerTimeout keeps a server that accepts and then says nothing from hanging a client for ever.
const headerTimeout = 30 * time.Second

func pooledTransport(attemptTimeout time.Duration) http.RoundTripper {
	transport := cleanhttp.DefaultPooledTransport()
	if attemptTimeout == 0 {
		transport.ResponseHeaderTimeout = headerTimeout
	}
	return transport
}

// RoundTrip sends the request, again if it may and must, and returns the last response or error.
//
// It fulfils [http.RoundTripper]; call it through an [http.Client]. A response of whatever status is
// returned with its body unread and a nil error. An error after several attempts, or for a reason of
// ours, is an [*Error], unless it is [Permanent]; a call that an open breaker rejected fails with a
// [*CircuitOpenError].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := t.check(request); err != nil {
		return nil, err
	}
	origin := t.origins.enter(request)
	defer origin.leave()
	x := t.exchanges.Get().(*exchange)
	x.request, x.original, x.origin = request, request, origin
	t.send(x)
	response, err := x.response, x.err
	*x = exchange{}
	t.exchanges.Put(x)
	return response, err
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
