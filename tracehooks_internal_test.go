package steadyhttp

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newTestTracer(t *testing.T, ctx context.Context) *tracer {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/", nil)
	require.NoError(t, err)
	c := &call{request: request, origin: &origin{}, options: &noCallOptions, policy: defaultPolicy(), base: newBaseInfo(http.DefaultTransport)}
	c.attempt.request = request
	return newTracer(c)
}

func TestTraceHooks_AreMadeOnceForWhoAsks(t *testing.T) {
	t.Parallel()
	require.NotNil(t, clientTraceKey)
	tracer := newTestTracer(t, t.Context())
	ctx := tracer.request.Context()
	assert.Nil(t, ctx.Value("another key"))
	assert.False(t, tracer.hooks.made)
	trace := httptrace.ContextClientTrace(ctx)
	require.NotNil(t, trace)
	assert.Same(t, trace, httptrace.ContextClientTrace(ctx))
	trace.GetConn("api.example.com:443")
	assert.True(t, tracer.connect.hasAsked())
}

func TestTraceHooks_CallTheCallersToo(t *testing.T) {
	t.Parallel()
	var asked string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(address string) { asked = address }})
	tracer := newTestTracer(t, ctx)
	httptrace.ContextClientTrace(tracer.request.Context()).GetConn("api.example.com:443")
	assert.Equal(t, "api.example.com:443", asked)
	assert.True(t, tracer.connect.hasAsked())
}

// net/http makes a context of the request's, and looks at its own before it writes the request.
func TestTraceHooks_WhatIsMadeOfTheContextHasEndedOnceItIsCancelled(t *testing.T) {
	t.Parallel()
	tracer := newTestTracer(t, t.Context())
	assert.NotNil(t, httptrace.ContextClientTrace(tracer.request.Context()))
	ctx, cancel := context.WithCancelCause(tracer.request.Context())
	defer cancel(nil)
	require.NoError(t, ctx.Err())
	tracer.cancel(context.Canceled)
	assert.Error(t, ctx.Err(), "at once, and not after a goroutine")
}

type panickingContext struct {
	context.Context
	panics bool
}

func (c *panickingContext) Value(any) any {
	if c.panics {
		panic("of the user's")
	}
	return nil
}

// Whoever still asks afterwards, as a connection that is being made does, must not wait for ever.
func TestTraceHooks_PanicOfTheCallersContextLocksNobodyOut(t *testing.T) {
	t.Parallel()
	caller := &panickingContext{Context: context.Background()}
	tracer := newTestTracer(t, caller)
	caller.panics = true
	assert.Panics(t, func() { httptrace.ContextClientTrace(tracer) })
	caller.panics = false
	require.True(t, tracer.hooks.mu.TryLock())
	tracer.hooks.mu.Unlock()
	assert.NotNil(t, httptrace.ContextClientTrace(tracer))
}
