package steadyhttp

import (
	"context"
	"net/http"
	"slices"
)

// directives are what a caller says about one call, by its context.
type directives struct {
	idempotent bool
	noRetry    bool
	reporters  []*reporter
	sent       int   // in the context of a request that is sent: which attempt it is; of a response's: how many led to it
	overruled  Class // of a response that a Classifier judged otherwise than by its status
}

type directivesKey struct{}

var noDirectives directives

// directivesOf returns what the context says, not to be modified.
func directivesOf(ctx context.Context) *directives {
	if given, ok := ctx.Value(directivesKey{}).(*directives); ok {
		return given
	}
	return &noDirectives
}

func (d directives) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, directivesKey{}, &d)
}

// marked returns the caller's context with what the Transport notes for those below and above it.
func (d directives) marked(ctx context.Context, sent int, overruled Class) context.Context {
	d.sent, d.overruled = sent, overruled
	return d.in(ctx)
}

// Idempotent marks a call as one that may safely be sent more than once, whatever its method.
//
// Use it for a POST that the server recognises when it comes twice. It changes nothing for methods that
// are idempotent anyway, and nothing about the body: one that cannot be replayed is not sent again.
func Idempotent(ctx context.Context) context.Context {
	d := *directivesOf(ctx)
	d.idempotent = true
	return d.in(ctx)
}

// NoRetry marks a call that is sent once.
//
// It is still classified, the breaker counts it and may reject it, and an attempt timeout bounds it.
func NoRetry(ctx context.Context) context.Context {
	d := *directivesOf(ctx)
	d.noRetry = true
	return d.in(ctx)
}

// WithReport returns a context for one call, and the [Report] that is filled in while it runs.
//
// Read the report after the call has returned. When a client follows redirects, the report appends hop
// after hop, and what the base transport calls with the request's context, to fetch a token for example, is in
// it too. Of nested reports each is filled in.
func WithReport(ctx context.Context) (context.Context, *Report) {
	r := &reporter{}
	d := *directivesOf(ctx)
	d.reporters = append(slices.Clip(d.reporters), r)
	return d.in(ctx), &r.report
}

// Attempts returns how many attempts led to this response.
//
// It is 1 for a response that came at once, and for one that no [Transport] returned; 0 for nil. The
// count is in the context of resp.Request: a request made with that context by another kind of client
// inherits it. So a base transport finds there which attempt it is given, as
// Attempts(&http.Response{Request: request}).
func Attempts(resp *http.Response) int {
	if resp == nil {
		return 0
	}
	if resp.Request == nil {
		return 1
	}
	return max(1, directivesOf(resp.Request.Context()).sent)
}
