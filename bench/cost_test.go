package bench

import (
	"net/http"
	"testing"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/sony/gobreaker/v2"

	"github.com/steadyhttp/steadyhttp"
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
