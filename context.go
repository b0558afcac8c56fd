package steadyhttp

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// callOptions are what a context says about one call: what the caller asks for, and what the Transport
// notes for those below and above it.
type callOptions struct {
	idempotent bool
	noRetry    bool
	reporters  []*reporter
	overrides  []Option

	attempt int        // in a sent request's context: which attempt it is; in a response's: how many led to it
	class   Class      // of a response that a Classifier judged otherwise than by its status
	stopped StopReason // why the response was returned and its request not retried

	retryAfter time.Duration  // of a response that said it by a hint
	resumed    *resumableBody // of a response whose body can be resumed
}

type callOptionsKey struct{}

// noCallOptions is shared by all calls without options. It must never be written to.
var noCallOptions callOptions

// callOptionsOf returns what the context says, not to be modified.
func callOptionsOf(ctx context.Context) *callOptions {
	if given, ok := ctx.Value(callOptionsKey{}).(*callOptions); ok {
		return given
	}
	return &noCallOptions
}

func (o callOptions) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, callOptionsKey{}, &o)
}

// forAttempt returns what the context of an attempt's request says: the number is found by [AttemptFromContext].
func (o callOptions) forAttempt(attempt int) callOptions {
	o.attempt, o.class, o.stopped, o.retryAfter, o.resumed = attempt, Unclassified, 0, 0, nil
	return o
}

// requestOf returns a shallow copy of the request, with a context that says what the options do.
func (o callOptions) requestOf(request *http.Request) *http.Request {
	return new(annotatedRequest).set(request, o)
}

// An annotatedRequest is a shallow copy of a request, and its context, in one allocation.
type annotatedRequest struct {
	context.Context // the original's
	options         callOptions
	request         http.Request
}

func (r *annotatedRequest) Value(key any) any {
	if key == (callOptionsKey{}) {
		return &r.options
	}
	return r.Context.Value(key)
}

// set makes the copy by WithContext, so that trailers which are set while the body is read still arrive: Clone would
// cut them off.
func (r *annotatedRequest) set(original *http.Request, options callOptions) *http.Request {
	r.Context, r.options = original.Context(), options
	r.request = *original.WithContext(r)
	return &r.request
}

// Idempotent marks a call as one that may safely be sent more than once, whatever its method.
//
// Use it for a POST that the server recognises when it comes twice. It changes nothing for methods that
// are idempotent anyway, and nothing about the body: a body that cannot be replayed is not sent again.
func Idempotent(ctx context.Context) context.Context {
	o := *callOptionsOf(ctx)
	o.idempotent = true
	return o.in(ctx)
}

// NoRetry marks a call that makes one attempt only.
//
// The attempt is still classified, the breaker counts it and may reject it, and an attempt timeout bounds it.
func NoRetry(ctx context.Context) context.Context {
	o := *callOptionsOf(ctx)
	o.noRetry = true
	return o.in(ctx)
}

// WithReport returns a context for one call, and the [Report] that is filled in while it runs.
//
// Read the report after the call has returned, and with [WithResume] after the response's body has been read. When a client follows redirects, the report appends hop
// after hop. What the base transport calls with the request's context, to fetch a token for example, is in it
// too. Nested reports are all filled in.
func WithReport(ctx context.Context) (context.Context, *Report) {
	r := &reporter{}
	o := *callOptionsOf(ctx)
	o.reporters = append(slices.Clip(o.reporters), r)
	return o.in(ctx), &r.report
}

// AttemptFromContext returns which attempt of its call a request belongs to: 1 for the first.
//
// Use it with the context of the request that a base transport, a [Classifier] or a hook is given. It is 1
// outside of a call as well. A request that is made with such a context by another kind of client
// inherits the number.
func AttemptFromContext(ctx context.Context) int {
	return max(1, callOptionsOf(ctx).attempt)
}

// Attempts returns how many attempts led to this response.
//
// It is 1 for a response that came at once, and for one that no [Transport] returned; 0 for nil. The
// number is in the context of resp.Request.
func Attempts(resp *http.Response) int {
	if resp == nil {
		return 0
	}
	if resp.Request == nil {
		return 1
	}
	return AttemptFromContext(resp.Request.Context())
}
