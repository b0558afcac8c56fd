package fault_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
	"github.com/steadyhttp/steadyhttp/steadyhttptest/fault"
)

const target = "https://api.example.com/things"

func request(t testing.TB, ctx context.Context, method, url, content string) *http.Request {
	t.Helper()
	var body io.Reader
	if content != "" {
		body = strings.NewReader(content)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	require.NoError(t, err)
	return r
}

func get(t testing.TB) *http.Request {
	return request(t, context.Background(), http.MethodGet, target, "")
}

func put(t testing.TB, content string) *http.Request {
	return request(t, context.Background(), http.MethodPut, target, content)
}

// exchange sends a request, reads and closes the response, and returns its status and body.
func exchange(t testing.TB, base http.RoundTripper, r *http.Request) (int, string) {
	t.Helper()
	response, err := base.RoundTrip(r)
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, string(content)
}

// startInjector returns an Injector over a Transport that responds with 200.
func startInjector(t *testing.T, injection fault.Injection) (*fault.Injector, *steadyhttptest.Transport) {
	t.Helper()
	base := steadyhttptest.NewTransport()
	injector := &fault.Injector{Base: base}
	require.NoError(t, injector.Start(injection))
	return injector, base
}

// statuses sends requests and returns the status of each response, or 0 for an error.
func statuses(t *testing.T, base http.RoundTripper, requests int) []int {
	t.Helper()
	codes := make([]int, requests)
	for i := range codes {
		response, err := base.RoundTrip(get(t))
		if err == nil {
			codes[i] = response.StatusCode
			require.NoError(t, response.Body.Close())
		}
	}
	return codes
}

func count(codes []int, code int) (n int) {
	for _, c := range codes {
		if c == code {
			n++
		}
	}
	return n
}

// A countingBody counts how often it is closed.
type countingBody struct {
	io.Reader
	mu     sync.Mutex
	closed int
}

func (b *countingBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

func (b *countingBody) closes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
