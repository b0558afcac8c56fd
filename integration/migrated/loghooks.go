package migrated

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// A RequestLogHook and a ResponseLogHook that write a line for each attempt.

func logHooksBefore(write func(line string)) program {
	return func(base http.RoundTripper) (caller, error) {
		client := retryablehttp.NewClient()
		client.HTTPClient.Transport = base
		client.Logger = nil
		client.RequestLogHook = func(_ retryablehttp.Logger, request *http.Request, retry int) {
			write(fmt.Sprintf("%s, attempt %d", request.URL.Path, retry+1))
		}
		client.ResponseLogHook = func(_ retryablehttp.Logger, response *http.Response) {
			write(fmt.Sprintf("%s: %d", response.Request.URL.Path, response.StatusCode))
		}
		return client.StandardClient(), nil
	}
}

// A hookTransport sees each attempt before it is sent, with its header, as a RequestLogHook does. It is below steadyhttp.
type hookTransport struct {
	base http.RoundTripper
	hook func(*http.Request)
}

func (h hookTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	h.hook(request)
	return h.base.RoundTrip(request)
}

func logHooksAfter(write func(line string)) program {
	return func(base http.RoundTripper) (caller, error) {
		before := func(request *http.Request) {
			write(fmt.Sprintf("%s, attempt %d", request.URL.Path, steadyhttp.AttemptFromContext(request.Context())))
		}
		after := func(_ context.Context, e steadyhttp.Event) {
			if e.Kind == steadyhttp.EventAttempt && e.Err == nil {
				write(fmt.Sprintf("%s: %d", e.Request.URL.Path, e.StatusCode))
			}
		}
		return steadyhttp.Wrap(&http.Client{Transport: hookTransport{base, before}}, steadyhttp.WithObserver(after))
	}
}
