package migrated

import (
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// RetryMax 15, of a job that has time.

func batchBefore(base http.RoundTripper) (caller, error) {
	client := retryablehttp.NewClient()
	client.HTTPClient.Transport = base
	client.Logger = nil
	client.RetryMax = 15
	client.RetryWaitMin = time.Second
	client.RetryWaitMax = 30 * time.Second
	return client.StandardClient(), nil
}

func batchAfter(base http.RoundTripper) (caller, error) {
	return steadyhttp.Wrap(&http.Client{Transport: base},
		steadyhttp.WithMaxAttempts(16), // RetryMax does not count the first
		steadyhttp.WithBackoff(time.Second, 30*time.Second),
		steadyhttp.WithRetryBudget(1, 100), // a new client has 5 retries
		steadyhttp.WithoutBreaker(),        // no rejections: one job that waits is no storm
	)
}

// What most write first.
func batchWithAttemptsAlone(base http.RoundTripper) (caller, error) {
	return steadyhttp.Wrap(&http.Client{Transport: base}, steadyhttp.WithMaxAttempts(16))
}
