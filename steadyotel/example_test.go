package steadyotel_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/steadyhttp/steadyhttp"
	steadyotel "github.com/steadyhttp/steadyhttp/steadyotel"
)

// newFlakyServer fails every first of two requests.
func newFlakyServer() *httptest.Server {
	var requests atomic.Int64
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
}

// shortWaits keep the examples short.
var shortWaits = steadyhttp.WithBackoff(time.Millisecond, 2*time.Millisecond)

// The base of the examples is set up as NewClient sets up its own: DefaultTransport would share its connections,
// and wait for ever for a response's header.
func newBase() http.RoundTripper {
	base := cleanhttp.DefaultPooledTransport()
	base.ResponseHeaderTimeout = 30 * time.Second
	return base
}

// Each attempt is one client span if otelhttp is the base of the Transport.
func ExampleAnnotate() {
	server := newFlakyServer()
	defer server.Close()
	exporter := tracetest.NewInMemoryExporter() // yours sends them somewhere
	provider := trace.NewTracerProvider(trace.WithSyncer(exporter))

	attempts := otelhttp.NewTransport(
		steadyotel.Annotate(newBase()),
		otelhttp.WithTracerProvider(provider),
		otelhttp.WithSpanNameFormatter(steadyotel.SpanName),
	)
	transport, err := steadyhttp.NewTransport(attempts, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	response, err := client.Get(server.URL + "/things?token=secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close() // which ends the last span

	for _, span := range exporter.GetSpans() {
		fmt.Println(span.SpanKind, span.Name)
		for _, attr := range span.Attributes {
			switch attr.Key {
			case "http.response.status_code", "http.request.resend_count", "error.type":
				fmt.Println(" ", attr.Key, attr.Value.AsInterface())
			case "url.full":
				fmt.Println(" ", attr.Key, strings.Replace(attr.Value.AsString(), server.URL, "https://api.example.com", 1))
			}
		}
	}
	// Output:
	// client GET
	//   url.full https://api.example.com/things
	//   http.response.status_code 503
	//   error.type 503
	// client GET
	//   url.full https://api.example.com/things
	//   http.request.resend_count 1
	//   http.response.status_code 200
}

// The metrics reach Prometheus through OpenTelemetry's exporter, together with otelhttp's durations.
func ExampleMetricObserver() {
	server := newFlakyServer()
	defer server.Close()

	// What a service with OpenTelemetry and Prometheus has anyway.
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo())
	if err != nil {
		fmt.Println(err)
		return
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	defer provider.Shutdown(context.Background())
	metrics := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer metrics.Close()

	recordMetrics, err := steadyotel.MetricObserver(provider)
	if err != nil {
		fmt.Println(err)
		return
	}
	transport, err := steadyhttp.NewTransport(
		otelhttp.NewTransport(steadyotel.Annotate(newBase()), otelhttp.WithMeterProvider(provider)),
		steadyhttp.WithObserver(recordMetrics),
		steadyhttp.WithOriginKey(func(*http.Request) string { return "inventory" }),
		shortWaits,
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	for range 3 {
		response, err := client.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
	}

	scrape, err := http.Get(metrics.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer scrape.Body.Close()
	for lines := bufio.NewScanner(scrape.Body); lines.Scan(); {
		line := lines.Text()
		ours := strings.HasPrefix(line, "steadyhttp_") && !strings.Contains(line, "_bucket") && !strings.Contains(line, "_wait_")
		if ours || strings.HasPrefix(line, "http_client_request_duration_seconds_count") && strings.Contains(line, "503") {
			fmt.Println(strings.NewReplacer(strings.TrimPrefix(server.URL, "http://127.0.0.1:"), "443").Replace(line))
		}
	}
	// Output:
	// http_client_request_duration_seconds_count{http_request_method="GET",http_response_status_code="503",network_protocol_name="http",network_protocol_version="1.1",server_address="127.0.0.1",server_port="443",url_scheme="http"} 3
	// steadyhttp_client_attempts_total{http_request_method="GET",http_response_status_code="200",steadyhttp_class="success",steadyhttp_origin="inventory"} 3
	// steadyhttp_client_attempts_total{http_request_method="GET",http_response_status_code="503",steadyhttp_class="transient",steadyhttp_origin="inventory"} 3
	// steadyhttp_client_call_retries_sum{http_request_method="GET",steadyhttp_class="success",steadyhttp_origin="inventory"} 3
	// steadyhttp_client_call_retries_count{http_request_method="GET",steadyhttp_class="success",steadyhttp_origin="inventory"} 3
	// steadyhttp_client_calls_total{http_request_method="GET",http_response_status_code="200",steadyhttp_class="success",steadyhttp_kind="successful_with_retry",steadyhttp_origin="inventory",steadyhttp_stopped="success"} 3
}
