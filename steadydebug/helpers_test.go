package steadydebug_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errRefused = errors.New("refused by a test")

func failing(*http.Request) (*http.Response, error) { return nil, errRefused }

func answering(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
}

func newTransport(t *testing.T, base baseFunc, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	transport, err := steadyhttp.NewTransport(base, options...)
	require.NoError(t, err)
	return transport
}

// call makes a call whose outcome does not matter.
func call(t *testing.T, transport *steadyhttp.Transport, address string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	if response, err := transport.RoundTrip(r); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		require.NoError(t, response.Body.Close())
	}
}

const origin = "https://api.example.com:443"

func get(handler http.Handler, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/debug/steadyhttp", nil)
	r.Header.Set("Accept", accept)
	return serve(handler, r)
}

func serve(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func newPost(form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/debug/steadyhttp", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// formOf has the names and values in turn.
func formOf(fields ...string) url.Values {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return form
}

func assertContainsAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		assert.Contains(t, text, part)
	}
}
