package steadyhttptest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
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

// read returns the status and the body of a response, and closes it.
func read(t testing.TB, response *http.Response, err error) (int, string) {
	t.Helper()
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, string(content)
}

// A watched body counts how often it is closed.
type watched struct {
	io.Reader
	mu     sync.Mutex
	closed int
}

func (w *watched) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed++
	return nil
}

func (w *watched) closes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// A failing is a test that can fail without failing this one.
type failing struct {
	testing.TB
	mu   sync.Mutex
	told []string
}

func (f *failing) Helper() {}

func (f *failing) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, fmt.Sprintf(format, args...))
}

func (f *failing) failures() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// A wiring is a kind of server, and what it needs around it.
type wiring struct {
	start func(...steadyhttptest.Step) *steadyhttptest.Server
	http2 bool
	run   func(*testing.T, func(*testing.T))
}

func real(t *testing.T, test func(*testing.T)) { test(t) }

var wirings = map[string]wiring{
	"HTTP1 on loopback": {steadyhttptest.NewServer, false, real},
	"HTTP2 on loopback": {steadyhttptest.NewTLSServer, true, real},
	"HTTP1 on a pipe":   {steadyhttptest.NewPipeServer, false, synctest.Test},
	"HTTP2 on a pipe":   {steadyhttptest.NewTLSPipeServer, true, synctest.Test},
}

// onEachWire runs a test with every kind of server.
func onEachWire(t *testing.T, test func(t *testing.T, w wiring)) {
	for name, w := range wirings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.run(t, func(t *testing.T) { test(t, w) })
		})
	}
}

// serve starts a server that is closed with the test.
func (w wiring) serve(t *testing.T, steps ...steadyhttptest.Step) *steadyhttptest.Server {
	t.Helper()
	server := w.start(steps...)
	t.Cleanup(server.Close)
	return server
}

// exchange sends a request, and returns the status and the body that come back.
func exchange(t testing.TB, base http.RoundTripper, r *http.Request) (int, string) {
	t.Helper()
	response, err := base.RoundTrip(r)
	return read(t, response, err)
}
