package migrated

import (
	"fmt"
	"io"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// A StandardClient inside an SDK, which makes errors of the server's own words, and sends bodies that have no GetBody.

// A vaultError is an SDK's error.
type vaultError struct{ said string }

func (e *vaultError) Error() string { return "vault: " + e.said }

// A vaultSDK takes the client that it is to use, as SDKs do.
type vaultSDK struct{ client *http.Client }

func (v vaultSDK) Do(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		request.Body, request.GetBody = struct{ io.ReadCloser }{request.Body}, nil
	}
	response, err := v.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		defer response.Body.Close()
		said, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		return nil, &vaultError{string(said)}
	}
	return response, nil
}

func sdkBefore(base http.RoundTripper) (caller, error) {
	client := retryablehttp.NewClient()
	client.HTTPClient.Transport = base
	client.Logger = nil
	return vaultSDK{client.StandardClient()}, nil
}

func sdkAfter(base http.RoundTripper) (caller, error) {
	client, err := steadyhttp.Wrap(&http.Client{Transport: base},
		steadyhttp.WithReplayBuffer(1<<20), // larger bodies are streamed, and not retried
	)
	return vaultSDK{client}, err
}
