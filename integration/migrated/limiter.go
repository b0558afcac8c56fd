package migrated

import (
	"errors"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// A limiter of one's own below the retries: each attempt takes from it. When it refuses, nothing is sent.

var errLimit = errors.New("no more requests today")

// A limiter lets so many requests through, and counts those that asked.
type limiter struct{ left, asked int }

func (l *limiter) take() error {
	l.asked++
	if l.left == 0 {
		return errLimit
	}
	l.left--
	return nil
}

// A limitedTransport asks the limiter before each attempt.
type limitedTransport struct {
	base http.RoundTripper
	take func() error
}

func (l limitedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := l.take(); err != nil {
		closeBody(request)
		return nil, err
	}
	return l.base.RoundTrip(request)
}

func limiterBefore(l *limiter) program {
	return func(base http.RoundTripper) (caller, error) {
		client := retryablehttp.NewClient()
		client.HTTPClient.Transport = limitedTransport{base, l.take}
		client.Logger = nil
		return client.StandardClient(), nil
	}
}

func limiterAfter(l *limiter) program {
	return func(base http.RoundTripper) (caller, error) {
		take := func() error {
			if err := l.take(); err != nil {
				return steadyhttp.LocalError(err) // it is not the server's doing
			}
			return nil
		}
		return steadyhttp.Wrap(&http.Client{Transport: limitedTransport{base, take}})
	}
}
