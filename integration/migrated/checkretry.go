package migrated

import (
	"context"
	"net/http"
	"strings"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// A CheckRetry by status and path: what is locked is free again in a while.

func checkRetryBefore(base http.RoundTripper) (caller, error) {
	client := retryablehttp.NewClient()
	client.HTTPClient.Transport = base
	client.Logger = nil
	client.CheckRetry = func(ctx context.Context, response *http.Response, err error) (bool, error) {
		if err == nil && response.StatusCode == http.StatusConflict && strings.HasPrefix(response.Request.URL.Path, "/locks/") {
			return true, nil
		}
		return retryablehttp.DefaultRetryPolicy(ctx, response, err)
	}
	return client.StandardClient(), nil
}

func checkRetryAfter(base http.RoundTripper) (caller, error) {
	locked := func(request *http.Request, response *http.Response, _ error) steadyhttp.Class {
		if response != nil && response.StatusCode == http.StatusConflict && strings.HasPrefix(request.URL.Path, "/locks/") {
			return steadyhttp.NotReady
		}
		return steadyhttp.Unclassified // as ever
	}
	return steadyhttp.Wrap(&http.Client{Transport: base}, steadyhttp.WithClassifier(locked))
}
