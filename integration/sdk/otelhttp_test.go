package sdk

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/steadyhttp/steadyhttp"
)

// traced returns a transport with a span for each call, and in it one for each attempt.
func traced(base http.RoundTripper, policy []steadyhttp.Option, options ...otelhttp.Option) (http.RoundTripper, error) {
	transport, err := steadyhttp.NewTransport(otelhttp.NewTransport(base, options...), policy...)
	if err != nil {
		return nil, err
	}
	return otelhttp.NewTransport(transport, options...), nil
}

// newTracedClient returns a client of the service, and a recorder of its spans.
func newTracedClient(t *testing.T, server *service) (*http.Client, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
	policy := []steadyhttp.Option{steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond)}
	transport, err := traced(server.base(), policy, otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{}))
	require.NoError(t, err)
	return &http.Client{Transport: transport}, spans
}

func send(t *testing.T, client *http.Client, method string) (*http.Response, func(statuses ...int)) {
	t.Helper()
	ctx, assertStatuses := newReport(t)
	request, err := http.NewRequestWithContext(ctx, method, "https://api.example.com/cats", strings.NewReader("a cat"))
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close()) // ends the spans
	return response, assertStatuses
}

func TestOtelhttp_AboveAndBelowTracesCallAndAttempts(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable), status(http.StatusBadGateway), status(http.StatusOK))
	client, spans := newTracedClient(t, server)
	response, assertStatuses := send(t, client, http.MethodPut)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assertStatuses(503, 502, 200)
	server.assertSameBodies(t, "a cat")

	started := spans.Started()
	require.Len(t, started, 4, "the call and three attempts")
	assert.Len(t, spans.Ended(), 4)
	call := started[0].SpanContext()
	for i, attempt := range started[1:] {
		assert.Equal(t, call.SpanID(), attempt.Parent().SpanID(), "attempt %d is part of the call", i+1)
		assert.Contains(t, server.requests()[i].header.Get("Traceparent"), attempt.SpanContext().SpanID().String(), "attempt %d", i+1)
	}
}

func TestOtelhttp_AboveAndBelowRetriesNoUnsafeCall(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusInternalServerError))
	client, spans := newTracedClient(t, server)
	response, assertStatuses := send(t, client, http.MethodPost)
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	assertStatuses(500)
	assert.Len(t, spans.Ended(), 2, "an attempt and the call")
}
