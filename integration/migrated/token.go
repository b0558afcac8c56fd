package migrated

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// A 401 that needs a fresh token, once.

// A tokenSource counts its tokens. Those of a real one come from a server, through a client of its own.
type tokenSource struct {
	mu    sync.Mutex
	count int
}

// token returns a token that is not the refused one.
func (s *tokenSource) token(_ context.Context, refused string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if current := "token " + strconv.Itoa(s.count); current != refused {
		return current, nil
	}
	s.count++
	return "token " + strconv.Itoa(s.count), nil
}

func tokenBefore(base http.RoundTripper) (caller, error) {
	var tokens tokenSource
	client := retryablehttp.NewClient()
	client.HTTPClient.Transport = base
	client.Logger = nil
	client.CheckRetry = func(ctx context.Context, response *http.Response, err error) (bool, error) {
		if err == nil && response.StatusCode == http.StatusUnauthorized {
			return true, nil // up to RetryMax times
		}
		return retryablehttp.DefaultRetryPolicy(ctx, response, err)
	}
	client.PrepareRetry = func(request *http.Request) error { // after a 503 too
		token, err := tokens.token(request.Context(), request.Header.Get("Authorization"))
		request.Header.Set("Authorization", token)
		return err
	}
	standard := client.StandardClient()
	return callFunc(func(request *http.Request) (*http.Response, error) {
		token, err := tokens.token(request.Context(), "")
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", token)
		return standard.Do(request)
	}), nil
}

// A tokenTransport gives each call a token, and a fresh one if that is refused. It is above steadyhttp: a source of tokens that
// fails says nothing about the server.
type tokenTransport struct {
	next   http.RoundTripper
	tokens *tokenSource
}

func (t tokenTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	token, err := t.tokens.token(ctx, "")
	if err != nil {
		closeBody(request)
		return nil, err
	}
	response, err := t.next.RoundTrip(withToken(request, token))
	if err != nil || response.StatusCode != http.StatusUnauthorized || request.Body != nil && request.GetBody == nil {
		return response, err
	}
	again := withToken(request, "")
	if request.GetBody != nil {
		if again.Body, err = request.GetBody(); err != nil {
			return response, nil
		}
	}
	fresh, err := t.tokens.token(ctx, token)
	if err != nil {
		closeBody(again)
		return response, nil // the 401 is worth more
	}
	again.Header.Set("Authorization", fresh)
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4<<10)) // so that the connection can be used again
	_ = response.Body.Close()
	return t.next.RoundTrip(again)
}

func withToken(request *http.Request, token string) *http.Request {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", token)
	return request
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

func tokenAfter(base http.RoundTripper) (caller, error) {
	transport, err := steadyhttp.NewTransport(base)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: tokenTransport{transport, &tokenSource{}}}, nil
}
