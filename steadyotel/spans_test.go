package steadyotel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/steadyhttp/steadyhttp"
	steadyotel "github.com/steadyhttp/steadyhttp/steadyotel"
)

// A tracedClient is a client with tracing, as the package documentation makes it, and the exporter of its spans.
type tracedClient struct {
	*http.Client
	exporter *tracetest.InMemoryExporter
	provider *trace.TracerProvider
}

func newTraced(t *testing.T, base http.RoundTripper, options ...steadyhttp.Option) tracedClient {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(exporter))
	attempts := otelhttp.NewTransport(steadyotel.Annotate(base),
		otelhttp.WithSpanNameFormatter(steadyotel.SpanName),
		otelhttp.WithTracerProvider(provider),
		otelhttp.WithPropagators(propagation.TraceContext{}),
	)
	options = append([]steadyhttp.Option{steadyhttp.WithBackoff(time.Millisecond, time.Millisecond)}, options...)
	transport, err := steadyhttp.NewTransport(attempts, options...)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	return tracedClient{&http.Client{Transport: transport}, exporter, provider}
}

// get calls within a span of the caller's, and reads the response, which ends otelhttp's span.
func (c tracedClient) get(t *testing.T, address string) {
	t.Helper()
	ctx, span := c.provider.Tracer("test").Start(t.Context(), "caller")
	defer span.End()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	require.NoError(t, err)
	response, err := c.Do(request)
	if err != nil {
		return
	}
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
}

// spans returns those of the attempts, and the caller's.
func (c tracedClient) spans(t *testing.T) (attempts []tracetest.SpanStub, caller tracetest.SpanStub) {
	t.Helper()
	for _, span := range c.exporter.GetSpans() {
		if span.Name == "caller" {
			caller = span
			continue
		}
		attempts = append(attempts, span)
	}
	return attempts, caller
}

func valueOf(span tracetest.SpanStub, key attribute.Key) any {
	for _, attr := range span.Attributes {
		if attr.Key == key {
			return attr.Value.AsInterface()
		}
	}
	return nil
}

func valuesOf(spans []tracetest.SpanStub, key attribute.Key) []any {
	var values []any
	for _, span := range spans {
		values = append(values, valueOf(span, key))
	}
	return values
}

// newServer responds with the status codes in order, repeats the last one, and keeps the trace headers that it gets.
func newServer(t *testing.T, codes ...int) (*httptest.Server, *[]string) {
	t.Helper()
	var (
		mu      sync.Mutex
		parents []string
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		parents = append(parents, r.Header.Get("Traceparent"))
		code := codes[min(len(parents), len(codes))-1]
		if code == http.StatusFound {
			w.Header().Set("Location", "/moved")
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(server.Close)
	return server, &parents
}

func TestSpans_EachAttemptIsOneClientSpan(t *testing.T) {
	t.Parallel()
	server, parents := newServer(t, 503, 502, 200)
	client := newTraced(t, http.DefaultTransport)
	client.get(t, server.URL+"/things")

	spans, caller := client.spans(t)
	require.Len(t, spans, 3)
	for i, span := range spans {
		assert.Equal(t, oteltrace.SpanKindClient, span.SpanKind)
		assert.Equal(t, "GET", span.Name)
		assert.Equal(t, caller.SpanContext.SpanID(), span.Parent.SpanID(), "no other span is between")
		assert.Equal(t, caller.SpanContext.TraceID(), span.SpanContext.TraceID())
		assert.Contains(t, (*parents)[i], span.SpanContext.SpanID().String(), "the server sees the span of its attempt")
		assert.Equal(t, server.URL+"/things", valueOf(span, "url.full"))
		assert.Equal(t, "GET", valueOf(span, "http.request.method"))
		assert.Equal(t, "127.0.0.1", valueOf(span, "server.address"))
	}
	assert.Equal(t, []any{nil, int64(1), int64(2)}, valuesOf(spans, "http.request.resend_count"))
	assert.Equal(t, []any{int64(503), int64(502), int64(200)}, valuesOf(spans, "http.response.status_code"))
	assert.Equal(t, []any{"503", "502", nil}, valuesOf(spans, "error.type"))
	assert.Equal(t, []codes.Code{codes.Error, codes.Error, codes.Unset}, []codes.Code{spans[0].Status.Code, spans[1].Status.Code, spans[2].Status.Code})
	assert.Nil(t, valueOf(caller, "url.full"))
}

func TestSpans_ResendCountContinuesOverRedirects(t *testing.T) {
	t.Parallel()
	server, _ := newServer(t, 503, 302, 302, 503, 200)
	client := newTraced(t, http.DefaultTransport)
	client.get(t, server.URL)
	spans, _ := client.spans(t)
	assert.Equal(t, []any{nil, int64(1), int64(2), int64(3), int64(4)}, valuesOf(spans, "http.request.resend_count"))
}

func TestSpans_EachCallCountsItsOwnRetries(t *testing.T) {
	t.Parallel()
	server, _ := newServer(t, 503, 200, 200)
	client := newTraced(t, http.DefaultTransport)
	client.get(t, server.URL)
	client.get(t, server.URL)
	spans, _ := client.spans(t)
	assert.Equal(t, []any{nil, int64(1), nil}, valuesOf(spans, "http.request.resend_count"))
}

func TestSpans_RejectedCallHasNone(t *testing.T) {
	t.Parallel()
	server, _ := newServer(t, 503)
	client := newTraced(t, http.DefaultTransport, steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0))
	client.get(t, server.URL)
	client.get(t, server.URL)
	spans, _ := client.spans(t)
	assert.Len(t, spans, 1)
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func TestSpans_FailedAttemptsHaveThemToo(t *testing.T) {
	t.Parallel()
	client := newTraced(t, transportFunc(func(*http.Request) (*http.Response, error) { return nil, errors.New("reset") }))
	client.get(t, "https://api.example.com")
	spans, _ := client.spans(t)
	require.Len(t, spans, 4)
	for _, span := range spans {
		assert.Equal(t, codes.Error, span.Status.Code)
	}
	assert.Equal(t, []any{nil, int64(1), int64(2), int64(3)}, valuesOf(spans, "http.request.resend_count"))
}

// A filter makes otelhttp leave a request alone, and the span in its context is somebody else's.
func TestSpans_OfTheCallerAreLeftAlone(t *testing.T) {
	t.Parallel()
	server, _ := newServer(t, 503, 200)
	exporter := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(exporter))
	attempts := otelhttp.NewTransport(steadyotel.Annotate(nil), otelhttp.WithFilter(func(*http.Request) bool { return false }))
	transport, err := steadyhttp.NewTransport(attempts, steadyhttp.WithBackoff(time.Millisecond, time.Millisecond))
	require.NoError(t, err)
	tracedClient{&http.Client{Transport: transport}, exporter, provider}.get(t, server.URL)
	require.Len(t, exporter.GetSpans(), 1)
	assert.Empty(t, exporter.GetSpans()[0].Attributes)
}

// foreignSpan is not the SDK's, and does not say its kind.
type foreignSpan struct {
	oteltrace.Span
	recording bool
	set       *[]attribute.KeyValue
}

func (f foreignSpan) IsRecording() bool                         { return f.recording }
func (f foreignSpan) SetAttributes(attrs ...attribute.KeyValue) { *f.set = append(*f.set, attrs...) }

func TestSpans_OfUnknownKindAreTakenForTheAttempts(t *testing.T) {
	t.Parallel()
	for _, recording := range []bool{true, false} {
		var set []attribute.KeyValue
		ctx := oteltrace.ContextWithSpan(t.Context(), foreignSpan{oteltrace.SpanFromContext(context.Background()), recording, &set})
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://me:secret@api.example.com/a%2Fb?secret#secret", nil)
		require.NoError(t, err)
		base := transportFunc(func(r *http.Request) (*http.Response, error) {
			assert.Same(t, request, r)
			return nil, http.ErrServerClosed
		})
		_, err = steadyotel.Annotate(base).RoundTrip(request)
		assert.ErrorIs(t, err, http.ErrServerClosed)
		if recording {
			assert.Equal(t, []attribute.KeyValue{attribute.String("url.full", "https://api.example.com/a%2Fb")}, set)
		} else {
			assert.Empty(t, set, "nobody keeps it")
		}
	}
}

// annotated returns what Annotate sets on the span of a request made by hand.
func annotated(t *testing.T, request *http.Request) (set []attribute.KeyValue) {
	t.Helper()
	request = request.WithContext(oteltrace.ContextWithSpan(t.Context(), foreignSpan{oteltrace.SpanFromContext(context.Background()), true, &set}))
	if request.Response != nil {
		request.Response.Request = request
	}
	_, err := steadyotel.Annotate(transportFunc(func(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed })).RoundTrip(request)
	assert.ErrorIs(t, err, http.ErrServerClosed)
	return set
}

func TestSpans_RequestsMadeByHandDoNoHarm(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []attribute.KeyValue{attribute.String("url.full", "")}, annotated(t, &http.Request{}))
	circle := annotated(t, &http.Request{Response: &http.Response{}})
	assert.Equal(t, []attribute.KeyValue{attribute.String("url.full", ""), attribute.Int("http.request.resend_count", 100)}, circle)
}

func TestSpans_AreNamedByTheMethod(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{"GET": "GET", "": "GET", "QUERY": "QUERY", "get": "HTTP", "PROPFIND": "HTTP", "_OTHER": "HTTP"} {
		assert.Equal(t, want, steadyotel.SpanName("", &http.Request{Method: method}))
	}
}

type closer struct {
	http.RoundTripper
	closed *bool
}

func (c closer) CloseIdleConnections() { *c.closed = true }

func TestAnnotate_ClosesTheIdleConnectionsOfItsBase(t *testing.T) {
	t.Parallel()
	closed := false
	(&http.Client{Transport: steadyotel.Annotate(closer{nil, &closed})}).CloseIdleConnections()
	assert.True(t, closed)
	(&http.Client{Transport: steadyotel.Annotate(transportFunc(nil))}).CloseIdleConnections() // has none
}

func TestSpans_HoldNoSecrets(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		w.Header().Set("Set-Cookie", "hunter")
		if r.URL.Path == "/things" {
			w.Header().Set("Location", "/moved?hunter#hunter")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, "%s hunter", content)
	}))
	defer server.Close()
	client := newTraced(t, http.DefaultTransport)
	for _, address := range []string{server.URL, "http://127.0.0.1:1"} {
		address = strings.Replace(address, "http://", "http://me:hunter@", 1) + "/things?token=hunter#hunter"
		request, err := http.NewRequest(http.MethodPut, address, strings.NewReader("hunter"))
		require.NoError(t, err)
		request.Header.Set("Authorization", "hunter")
		request.Header.Set("Cookie", "hunter")
		response, err := client.Do(request)
		if err == nil {
			require.NoError(t, response.Body.Close())
		}
	}
	spans := client.exporter.GetSpans()
	require.Len(t, spans, 9, "307, 4 times 503, 4 times refused")
	for _, span := range spans {
		for _, attr := range span.Attributes {
			assert.NotContains(t, attr.Value.String(), "hunter", attr.Key)
		}
		assert.NotContains(t, fmt.Sprintf("%+v", span), "hunter")
	}
}

// The rule what of a URL may be shown is also in the root module.
func TestSpans_ShowTheURLAsLogsDo(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"https://me:secret@api.example.com:8443/a%2Fb/c d?secret#secret", "https://api.example.com", "https://api.example.com/?",
		"mailto:secret@example.com", "//api.example.com/a", "/a?b", "https://[::1%25en0]/ü%C3%BC", "",
	} {
		target, err := url.Parse(address)
		require.NoError(t, err)
		request := &http.Request{URL: target}
		logged := steadyhttp.Event{Kind: steadyhttp.EventAttempt, Request: request}.LogValue().Group()
		i := slices.IndexFunc(logged, func(attr slog.Attr) bool { return attr.Key == "url" })
		require.GreaterOrEqual(t, i, 0)
		assert.Equal(t, []attribute.KeyValue{attribute.String("url.full", logged[i].Value.String())}, annotated(t, request), address)
	}
}
