package migrated

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// An ErrorHandler that makes an error of the program's own.

// A failedError is what this program's users know.
type failedError struct{ status, attempts int }

func (e *failedError) Error() string {
	return fmt.Sprintf("the shop responded %d after %d attempts", e.status, e.attempts)
}

func errorHandlerBefore(base http.RoundTripper) (caller, error) {
	client := retryablehttp.NewClient()
	client.HTTPClient.Transport = base
	client.Logger = nil
	client.RetryMax = 3
	client.ErrorHandler = func(response *http.Response, err error, attempts int) (*http.Response, error) {
		if err != nil {
			return nil, err
		}
		_ = response.Body.Close()
		return nil, &failedError{response.StatusCode, attempts}
	}
	return client.StandardClient(), nil
}

func errorHandlerAfter(base http.RoundTripper) (caller, error) {
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, steadyhttp.WithMaxAttempts(4))
	if err != nil {
		return nil, err
	}
	return callFunc(func(request *http.Request) (*http.Response, error) {
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		var failed *steadyhttp.ResponseError
		if errors.As(steadyhttp.CheckResponse(response), &failed) && failed.StatusCode >= http.StatusInternalServerError {
			_ = response.Body.Close()
			return nil, &failedError{failed.StatusCode, failed.Attempts}
		}
		return response, nil
	}), nil
}
