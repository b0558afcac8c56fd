package migrated

import (
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"

	"github.com/steadyhttp/steadyhttp"
)

// failsafehttp with its HTTP retry policy around a circuit breaker.

func failsafeBefore(base http.RoundTripper) (caller, error) {
	retry := failsafehttp.NewRetryPolicyBuilder().
		WithBackoff(100*time.Millisecond, time.Second).
		WithMaxRetries(3).
		Build()
	breaker := circuitbreaker.NewBuilder[*http.Response]().
		WithFailureThreshold(3).
		WithDelay(10 * time.Second).
		Build()
	return &http.Client{Transport: failsafehttp.NewRoundTripper(base, retry, breaker)}, nil
}

func failsafeAfter(base http.RoundTripper) (caller, error) {
	return steadyhttp.Wrap(&http.Client{Transport: base},
		steadyhttp.WithBackoff(100*time.Millisecond, time.Second),
		steadyhttp.WithMaxAttempts(4),
		steadyhttp.WithBreakerConsecutiveFailures(3, 0), // quick, as it was there; the default waits for proof
		steadyhttp.WithBreakerOpenFor(10*time.Second),
	)
}
