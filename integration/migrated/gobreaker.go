package migrated

import (
	"errors"
	"net/http"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/steadyhttp/steadyhttp"
)

// gobreaker around a client, without retries.

var errServer = errors.New("the server failed")

func gobreakerBefore(base http.RoundTripper) (caller, error) {
	client := &http.Client{Transport: base}
	breaker := gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		Timeout:     10 * time.Second,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= 5 },
	})
	return callFunc(func(request *http.Request) (*http.Response, error) {
		return breaker.Execute(func() (*http.Response, error) {
			response, err := client.Do(request)
			if err == nil && response.StatusCode >= http.StatusInternalServerError {
				_ = response.Body.Close()
				return nil, errServer // else gobreaker takes it for a success
			}
			return response, err
		})
	}), nil
}

func gobreakerAfter(base http.RoundTripper) (caller, error) {
	return steadyhttp.Wrap(&http.Client{Transport: base},
		steadyhttp.WithMaxAttempts(1),
		steadyhttp.WithBreakerConsecutiveFailures(5, 0),
		steadyhttp.WithBreakerOpenFor(10*time.Second),
	)
}
