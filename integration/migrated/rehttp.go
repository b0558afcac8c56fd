package migrated

import (
	"net/http"
	"time"

	"github.com/PuerkitoBio/rehttp"

	"github.com/steadyhttp/steadyhttp"
)

// rehttp with a list of statuses, and a timeout for each attempt.

func rehttpBefore(base http.RoundTripper) (caller, error) {
	transport := rehttp.NewTransport(base,
		rehttp.RetryAll(
			rehttp.RetryMaxRetries(3),
			rehttp.RetryAny(rehttp.RetryTemporaryErr(), rehttp.RetryStatuses(502, 503, 504)),
		),
		rehttp.ExpJitterDelay(100*time.Millisecond, time.Second),
	)
	transport.PerAttemptTimeout = 5 * time.Second
	return &http.Client{Transport: transport}, nil
}

func rehttpAfter(base http.RoundTripper) (caller, error) {
	return steadyhttp.Wrap(&http.Client{Transport: base},
		steadyhttp.WithMaxAttempts(4),
		steadyhttp.WithBackoff(100*time.Millisecond, time.Second),
		steadyhttp.WithAttemptTimeout(5*time.Second),
		steadyhttp.WithClassifier(only502To504),
	)
}

// only502To504 has no other 5xx retried. The breaker counts them all the same.
func only502To504(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
	if response == nil || response.StatusCode < 500 {
		return steadyhttp.Unclassified
	}
	switch response.StatusCode {
	case 502, 503, 504:
		return steadyhttp.Unclassified
	default:
		return steadyhttp.ServerFault
	}
}
