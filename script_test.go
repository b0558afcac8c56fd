package steadyhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// The words of the test kit, shorter: a test is mostly script.
type (
	step     = steadyhttptest.Step
	function = steadyhttptest.Func
)

const hang = steadyhttptest.Hang

var (
	scripted = steadyhttptest.NewTransport
	after    = steadyhttptest.Delay
	fail     = steadyhttptest.Fail
)

// status answers with a code, and headers given as name, value, name, value.
func status(code int, header ...string) steadyhttptest.Answer {
	answer := steadyhttptest.Status(code)
	for i := 0; i+1 < len(header); i += 2 {
		answer = answer.Header(header[i], header[i+1])
	}
	return answer
}

// assertClosedOnce checks that every response was closed exactly once, but the one returned, if any, not
// yet. It closes that.
func assertClosedOnce(t *testing.T, server *steadyhttptest.Transport, returned *http.Response) {
	t.Helper()
	if returned != nil {
		attempts := server.Attempts()
		assert.Zero(t, attempts[len(attempts)-1].Closed, "closes of the body of the response returned")
		assert.NoError(t, returned.Body.Close())
	}
	server.AssertClosed(t)
	for i, sent := range server.Attempts() {
		assert.LessOrEqual(t, sent.Closed, 1, "closes of the body of response %d", i+1)
	}
}

// A body counts how often it is closed.
type body struct {
	io.Reader
	mu     sync.Mutex
	closed int
}

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

func (b *body) closes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

func text(content string) *body { return &body{Reader: strings.NewReader(content)} }

var errReset = errors.New("connection reset by a test")

// quiet is a base that leaves the request's body to its function, and remembers nothing.
type quiet struct {
	answer func(*http.Request) (*http.Response, error)
}

func (q quiet) RoundTrip(r *http.Request) (*http.Response, error) { return q.answer(r) }

func newTransport(t *testing.T, base http.RoundTripper, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	label(t.Name()) // for what the test starts
	transport, err := steadyhttp.NewTransport(base, options...)
	require.NoError(t, err)
	return transport
}

const target = "https://api.example.com/things"

func request(t *testing.T, ctx context.Context, method, content string) *http.Request {
	t.Helper()
	var reader io.Reader
	if content != "" {
		reader = strings.NewReader(content)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, reader)
	require.NoError(t, err)
	return r
}

func get(t *testing.T) *http.Request { return request(t, t.Context(), http.MethodGet, "") }

func post(t *testing.T) *http.Request { return request(t, t.Context(), http.MethodPost, "payload") }

func constantly(d time.Duration) steadyhttp.Option {
	return steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return backoff.NewConstantBackOff(d) })
}

// A play is a script, and what must come of it.
type play struct {
	name     string
	options  []steadyhttp.Option
	request  func(*testing.T, context.Context) *http.Request // nil: a GET
	steps    []step
	attempts int
	status   int // 0: an error
	stopped  steadyhttp.StopReason
}

func (p play) run(t *testing.T) {
	server := scripted(p.steps...)
	transport := newTransport(t, server, append([]steadyhttp.Option{steadyhttp.WithoutBreaker()}, p.options...)...)
	ctx, report := steadyhttp.WithReport(t.Context())
	make := p.request
	if make == nil {
		make = method(http.MethodGet)
	}
	response, err := transport.RoundTrip(make(t, ctx))

	assert.Len(t, server.Attempts(), p.attempts, "attempts at the server")
	assert.Len(t, report.Attempts, p.attempts, "attempts in the report")
	assert.Equal(t, p.stopped, report.Stopped)
	if p.status == 0 {
		require.Error(t, err)
		assert.Nil(t, response)
		assertClosedOnce(t, server, nil)
		return
	}
	require.NoError(t, err)
	assert.Equal(t, p.status, response.StatusCode)
	assert.Equal(t, p.attempts, steadyhttp.Attempts(response))
	content, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	assert.Equal(t, http.StatusText(p.status), string(content), "the body must be unread")
	assertClosedOnce(t, server, response)
}

func runPlays(t *testing.T, plays []play) {
	for _, p := range plays {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, p.run)
		})
	}
}

func method(name string) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request { return request(t, ctx, name, "") }
}

func payload(name string, header ...string) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		r := request(t, ctx, name, "payload")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header[header[i]] = []string{header[i+1]}
		}
		return r
	}
}

// stream is a body that cannot be replayed.
func stream(name string, marks ...func(context.Context) context.Context) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		for _, mark := range marks {
			ctx = mark(ctx)
		}
		r := request(t, ctx, name, "payload")
		r.GetBody = nil
		return r
	}
}

func marked(name string, marks ...func(context.Context) context.Context) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		for _, mark := range marks {
			ctx = mark(ctx)
		}
		return request(t, ctx, name, "payload")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type panickingReader struct{}

func (panickingReader) Read([]byte) (int, error) { panic("a test's") }
