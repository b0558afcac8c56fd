package steadyhttp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newTestTracer(t *testing.T, ctx context.Context) *tracer {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/", nil)
	require.NoError(t, err)
	return newTracer(newTestCall(request))
}

func newTestCall(request *http.Request) *call {
	c := &call{request: request, origin: &origin{}, options: &noCallOptions, policy: defaultPolicy(), base: newBaseInfo(http.DefaultTransport)}
	c.attempt.request = request
	return c
}

func TestTraceHooks_AreMadeOnceForWhoAsks(t *testing.T) {
	t.Parallel()
	require.NotNil(t, clientTraceKey)
	tracer := newTestTracer(t, t.Context())
	ctx := tracer.sent.Context()
	assert.Nil(t, ctx.Value("another key"))
	assert.Nil(t, tracer.heard())
	trace := httptrace.ContextClientTrace(ctx)
	require.NotNil(t, trace)
	assert.Same(t, trace, httptrace.ContextClientTrace(ctx))
	trace.GetConn("api.example.com:443")
	assert.True(t, tracer.heard().connect.hasAsked())
}

func TestTraceHooks_CallTheCallersToo(t *testing.T) {
	t.Parallel()
	var asked string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(address string) { asked = address }})
	tracer := newTestTracer(t, ctx)
	httptrace.ContextClientTrace(tracer.sent.Context()).GetConn("api.example.com:443")
	assert.Equal(t, "api.example.com:443", asked)
	assert.True(t, tracer.heard().connect.hasAsked())
}

// net/http makes a context of the request's, and looks at its own before it writes the request.
func TestTraceHooks_WhatIsMadeOfTheContextHasEndedOnceItIsCancelled(t *testing.T) {
	t.Parallel()
	tracer := newTestTracer(t, t.Context())
	assert.NotNil(t, httptrace.ContextClientTrace(tracer.sent.Context()))
	ctx, cancel := context.WithCancelCause(tracer.sent.Context())
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
	require.True(t, tracer.asking.TryLock())
	tracer.asking.Unlock()
	assert.NotNil(t, httptrace.ContextClientTrace(tracer))
}

// Each context that net/http makes of one that can be cancelled costs it four allocations.
func TestTraceHooks_OverHTTP1TheContextEndsWithTheCallersAlone(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://api.example.com/", "https://api.example.com/"} {
		for _, spoken := range []uint32{0, answered, answered | crowded, answered | http2Spoken} {
			caller, giveUp := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(caller, http.MethodGet, url, nil)
			require.NoError(t, err)
			c := newTestCall(request)
			c.origin.set(spoken, spoken)
			tracer := newTracer(c)
			bound := request.URL.Scheme == "http" && spoken == answered
			assert.Equal(t, bound, tracer.Done() == caller.Done(), "%s %b", url, spoken)
			assert.Equal(t, bound, httptrace.ContextClientTrace(tracer).WroteHeaders == nil, "it counts HTTP/2's sends")
			child, stop := context.WithCancel(tracer)
			tracer.release(nil)
			if bound {
				require.NoError(t, tracer.Err())
				require.NoError(t, child.Err())
			}
			giveUp()
			assert.Equal(t, context.Canceled, tracer.Err())
			<-child.Done()
			stop()
		}
	}
}

func TestTraceHooks_HaveTheirRoomInTheTracerOfABaseThatAsks(t *testing.T) {
	t.Parallel()
	c := newTestCall(httptest.NewRequest(http.MethodGet, "http://api.example.com/", nil))
	assert.Nil(t, newTracer(c).trace)
	first := newTracer(c)
	assert.NotNil(t, httptrace.ContextClientTrace(first))
	next := newTracer(c)
	assert.NotNil(t, next.trace)
	assert.Nil(t, next.heard(), "not made before it is asked for")
	assert.Same(t, &next.trace.hooks, httptrace.ContextClientTrace(next))
}

// What an origin speaks may change at any time, where several share a key. A plan that took a connection for one of HTTP/2
// under a context that cannot end would neither cancel a request nor close its connection; with GetBody, net/http would resend.
func TestTraceHooks_BoundToTheCallersContextIsNeverAnHTTP2Plan(t *testing.T) {
	t.Parallel()
	request := httptest.NewRequest(http.MethodPost, "http://api.example.com/", strings.NewReader("content"))
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("content")), nil }
	c := newTestCall(request)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				c.origin.setAnswered(&attempt{response: &http.Response{ProtoMajor: 1}})
				c.origin.setAnswered(&attempt{response: &http.Response{ProtoMajor: 2}})
			}
		}
	}()
	for range 50_000 {
		tracer := newTracer(c)
		plan := &tracer.plan
		if plan.knownHTTP2 && (tracer.bound || tracer.sent.GetBody != nil) {
			t.Errorf("bound %v, GetBody %v", tracer.bound, tracer.sent.GetBody != nil)
			break
		}
	}
	close(stop)
	<-stopped
}
