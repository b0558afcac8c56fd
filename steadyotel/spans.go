// Package steadyotel shows by OpenTelemetry what a [steadyhttp.Transport] does: metrics of calls and breakers,
// and one span for each attempt.
//
// The spans are otelhttp's. [Annotate] completes them, and [MetricObserver] records the metrics. Put otelhttp
// below the Transport, which then sends each attempt through it, and Annotate below otelhttp, where the
// attempt's span is in the request's context:
//
//	base := cleanhttp.DefaultPooledTransport()    // of github.com/hashicorp/go-cleanhttp, as in steadyhttp.NewClient
//	base.ResponseHeaderTimeout = 30 * time.Second // or steadyhttp.WithAttemptTimeout
//	attempts := otelhttp.NewTransport(
//		steadyotel.Annotate(base),
//		otelhttp.WithSpanNameFormatter(steadyotel.SpanName),
//	)
//	metrics, err := steadyotel.MetricObserver(otel.GetMeterProvider())
//	if err != nil {
//		return err
//	}
//	transport, err := steadyhttp.NewTransport(attempts, steadyhttp.WithObserver(metrics))
//	if err != nil {
//		return err
//	}
//	client := &http.Client{Transport: transport}
//
// The base is yours, so its timeouts are yours too. [http.DefaultTransport] is no good base: it shares its
// connections with the whole program, and waits for ever for a response's header.
//
// docs/observability.md lists every metric and attribute. Where the OpenTelemetry semantic conventions v1.44.0
// have a key, it is used.
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
// On the span in the request's context it sets two attributes. http.request.resend_count is 1 for the first
// retry, and so on; redirects count too. url.full is the URL without userinfo, query and fragment, which may
// hold secrets. A span that says it is of another kind than CLIENT is not the attempt's, and is left alone.
//
// Give it a base that bounds how long it waits for a response; the package documentation shows one. A nil base
// is [http.DefaultTransport], as it is for otelhttp, and that does not.
func Annotate(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return annotator{base}
}

// SpanName names a span by the request's method, for otelhttp.WithSpanNameFormatter.
//
// The semantic conventions ask for that if there is no template of the URL. A method that they do not know gives
// "HTTP". The first argument is not used.
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
		if resends := resendCount(request); resends > 0 {
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

// mayBeClient reports whether the span can be an attempt's. If a filter of otelhttp leaves a request out, the
// span in its context is the caller's. The SDK's spans say their kind, others need not.
func mayBeClient(span trace.Span) bool {
	known, ok := span.(interface{ SpanKind() trace.SpanKind })
	return !ok || known.SpanKind() == trace.SpanKindClient
}

// resendCount returns how many requests were sent before this one: earlier attempts of its call, and all those
// of the calls that were redirected to it. An http.Client gives each hop the response that led to it.
func resendCount(request *http.Request) int {
	count := steadyhttp.AttemptFromContext(request.Context()) - 1
	for hops := 0; request != nil && request.Response != nil && hops < hopLimit; hops++ {
		count += steadyhttp.Attempts(request.Response)
		request = request.Response.Request
	}
	return count
}

// hopLimit ends the loop over requests that are made by hand and lead to each other in a circle. An http.Client
// stops after 10 redirects by default.
const hopLimit = 100

// bare returns a URL without what may be secret in it, as steadyhttp's own errors and logs show it.
func bare(target *url.URL) string {
	if target == nil { // which the base refuses
		return ""
	}
	shown := url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path, RawPath: target.RawPath}
	return shown.String()
}
