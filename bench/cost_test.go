package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/sony/gobreaker/v2"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// noop is a base that does nothing, so that what is measured is the library.
type noop struct{ response *http.Response }

func (n noop) RoundTrip(*http.Request) (*http.Response, error) { return n.response, nil }

// breaking is how people put gobreaker under a retry layer.
type breaking struct {
	base    http.RoundTripper
	breaker *gobreaker.CircuitBreaker[*http.Response]
}

func (b breaking) RoundTrip(request *http.Request) (*http.Response, error) {
	return b.breaker.Execute(func() (*http.Response, error) { return b.base.RoundTrip(request) })
}

func BenchmarkSuccess(b *testing.B) {
	base := noop{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	steady, err := steadyhttp.NewTransport(base)
	if err != nil {
		b.Fatal(err)
	}
	retry := rehttp.RetryAll(rehttp.RetryMaxRetries(3), rehttp.RetryAny(rehttp.RetryStatuses(500, 502, 503, 504), rehttp.RetryTemporaryErr()))
	delay := rehttp.ExpJitterDelay(time.Second, 10*time.Second)
	breaker := gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{})
	for _, c := range []struct {
		name      string
		transport http.RoundTripper
	}{
		{"base", base},
		{"steadyhttp", steady},
		{"rehttp+gobreaker", rehttp.NewTransport(breaking{base, breaker}, retry, delay)},
		{"failsafehttp", failsafehttp.NewRoundTripper(base, failsafehttp.NewRetryPolicyBuilder().Build(), circuitbreaker.NewWithDefaults[*http.Response]())},
	} {
		b.Run(c.name, func(b *testing.B) {
			request, err := http.NewRequest(http.MethodGet, "https://api.example.com/things", nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.transport.RoundTrip(request)
			}
		})
	}
}

// BenchmarkLoopback is a GET and a POST with a body through a client, over a real server.
func BenchmarkLoopback(b *testing.B) {
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		}))
		server.EnableHTTP2 = http2
		name := "HTTP1"
		if http2 {
			name = "HTTP2"
			server.StartTLS()
		} else {
			server.Start()
		}
		for _, library := range append([]peers.Library{peers.Steady()}, peers.Others()...) {
			client := library.Client(server.Client().Transport)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				b.Run(name+"/"+method+"/"+library.Name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						call(b, client, method, server.URL)
					}
				})
			}
		}
		server.Close()
	}
}

func call(b *testing.B, client peers.Doer, method, url string) {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("payload")
	}
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		b.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// The allocations are stable, so they are a test: a call through steadyhttp allocates exactly what the
// transport under it does.
func TestSuccessAllocatesNothingOverTheBase(t *testing.T) {
	base := noop{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	steady, err := steadyhttp.NewTransport(base)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, "https://api.example.com/things", strings.NewReader("payload"))
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(1000, func() { _, _ = steady.RoundTrip(request) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
