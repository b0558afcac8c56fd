// Package steadyotel shows what a [steadyhttp.Transport] does by OpenTelemetry: metrics, and what belongs on
// the span of each attempt.
//
// It makes no spans of its own, since a span for each attempt is what the semantic conventions ask for, and
// otelhttp makes it, as the base of the Transport:
//
//	observe, err := steadyotel.MetricObserver(otel.GetMeterProvider())
//	if err != nil {
//		return err
//	}
//	attempts := otelhttp.NewTransport(
//		steadyotel.Annotate(http.DefaultTransport),
//		otelhttp.WithSpanNameFormatter(steadyotel.SpanName),
//	)
//	transport, err := steadyhttp.NewTransport(attempts, steadyhttp.WithObserver(observe))
//
// [Annotate] goes below otelhttp, where the span is, and the Transport above it, so that it sends each
// attempt through it. docs/observability.md lists every metric and attribute. The keys are those of the
// semantic conventions v1.44.0, where they have one.
package steadyotel

import (
	"net/http"
	"net/url"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/steadyhttp/steadyhttp"
)

// Annotate returns a RoundTripper that completes the span of each attempt, and sends the request through
// base.
//
// On the span in the request's context it sets http.request.resend_count, from 1 for the first resend,
// whether a retry or a redirect was the cause; and url.full without userinfo, query and fragment, in which
// secrets tend to be. A span that is known to be of another kind than CLIENT is not the attempt's, and
// left alone. A nil base stands for [http.DefaultTransport], as for otelhttp.
func Annotate(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return annotator{base}
}

// SpanName names a span by the request's method, as the conventions ask for where there is no template of
// the URL, or "HTTP" for a method that they do not know. It is for otelhttp.WithSpanNameFormatter.
func SpanName(_ string, request *http.Request) string {
	if method := methodOf(request); method != semconv.HTTPRequestMethodOther.Value.AsString() {
		return method
	}
	return "HTTP"
}

type annotator struct{ base http.RoundTripper }

func (a annotator) RoundTrip(request *http.Request) (*http.Response, error) {
	if span := trace.SpanFromContext(request.Context()); span.IsRecording() && mayBeClient(span) {
		span.SetAttributes(semconv.URLFull(bare(request.URL)))
		if resends := resendsOf(request); resends > 0 {
			span.SetAttributes(semconv.HTTPRequestResendCount(resends))
		}
	}
	return a.base.RoundTrip(request)
}

// CloseIdleConnections closes the base's idle connections, where it can.
func (a annotator) CloseIdleConnections() {
	if closer, ok := a.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// mayBeClient reports whether the span can be an attempt's. Where a filter of otelhttp leaves a request
// out, the span in its context is the caller's. The SDK's spans tell their kind, others may not.
func mayBeClient(span trace.Span) bool {
	known, ok := span.(interface{ SpanKind() trace.SpanKind })
	return !ok || known.SpanKind() == trace.SpanKindClient
}

// resendsOf counts how often the request was sent before: by its own call, and by those that a redirect
// answered. An http.Client gives each hop the response that led to it.
func resendsOf(request *http.Request) int {
	resends := steadyhttp.AttemptFromContext(request.Context()) - 1
	for hops := 0; request != nil && request.Response != nil && hops < hopLimit; hops++ {
		resends += steadyhttp.Attempts(request.Response)
		request = request.Response.Request
	}
	return resends
}

// hopLimit keeps requests that are set by hand from leading round in a circle for ever. An http.Client
// stops after 10 redirects, unless told otherwise.
const hopLimit = 100

// bare is a URL without what may be secret in it.
func bare(target *url.URL) string {
	if target == nil { // which the base refuses
		return ""
	}
	shown := url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path, RawPath: target.RawPath}
	return shown.String()
}
