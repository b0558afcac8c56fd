package migrated

import (
	"net/http"
	"time"

	"github.com/gojek/heimdall/v7"
	"github.com/gojek/heimdall/v7/httpclient"

	"github.com/steadyhttp/steadyhttp"
)

// heimdall with an exponential backoff.

func heimdallBefore(base http.RoundTripper) (caller, error) {
	return httpclient.NewClient(
		httpclient.WithHTTPClient(&http.Client{Transport: base, Timeout: 5 * time.Second}), // for each attempt
		httpclient.WithRetryCount(3),
		httpclient.WithRetrier(heimdall.NewRetrier(
			heimdall.NewExponentialBackoff(100*time.Millisecond, time.Second, 2, 50*time.Millisecond))),
	), nil
}

func heimdallAfter(base http.RoundTripper) (caller, error) {
	return steadyhttp.Wrap(&http.Client{Transport: base},
		steadyhttp.WithAttemptTimeout(5*time.Second),
		steadyhttp.WithMaxAttempts(4),
		steadyhttp.WithBackoff(100*time.Millisecond, time.Second),
	)
}
