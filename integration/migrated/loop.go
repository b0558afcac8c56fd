package migrated

import (
	"net/http"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// The loop that people write by hand.

func loopBefore(base http.RoundTripper) (caller, error) {
	client := &http.Client{Transport: base}
	return callFunc(func(request *http.Request) (response *http.Response, err error) {
		wait := 100 * time.Millisecond
		for range 4 {
			response, err = client.Do(request)
			if err == nil && response.StatusCode < http.StatusInternalServerError {
				return response, nil
			}
			time.Sleep(wait)
			wait *= 2
		}
		return response, err
	}), nil
}

func loopAfter(base http.RoundTripper) (caller, error) {
	return steadyhttp.Wrap(&http.Client{Transport: base}, steadyhttp.WithBackoff(100*time.Millisecond, 10*time.Second))
}
