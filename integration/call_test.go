package integration

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// newTransport returns a steadyhttp transport over base.
func newTransport(t *testing.T, base *http.Transport, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	transport, err := steadyhttp.NewTransport(base, options...)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// An order is a request that differs from every other one, and its body.
type order struct {
	method, url, id string
	content         []byte
}

var orders atomic.Int64

// newOrder returns one with a random body, unless it is a GET.
func newOrder(method, url string, size int) order {
	o := order{method: method, url: url, id: strconv.FormatInt(orders.Add(1), 10)}
	if method != http.MethodGet {
		o.content = randomBytes(size)
	}
	return o
}

func randomBytes(size int) []byte {
	content := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(rand.Uint32()), byte(rand.Uint32())})
	_, _ = source.Read(content) // never fails
	return content
}

func (o order) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if o.content != nil {
		body = bytes.NewReader(o.content)
	}
	r, err := http.NewRequestWithContext(ctx, o.method, o.url, body)
	if err == nil {
		r.Header.Set(orderID, o.id)
	}
	return r, err
}

// wantBody is the body of the application's response to this order.
func (o order) wantBody() string { return o.method + " " + checksum(o.content) }

// A result is what came of an order. Its response has been read.
type result struct {
	order
	*steadyhttp.Report
	status  int
	major   int // of the HTTP version
	header  http.Header
	content []byte
	err     error // of RoundTrip
	readErr error // of the response's body
	ended   time.Time
}

// send sends an order, and reads the response to its end.
func send(ctx context.Context, transport http.RoundTripper, o order) (r result) {
	ctx, report := steadyhttp.WithReport(ctx)
	r = result{order: o, Report: report}
	defer func() { r.ended = time.Now() }()
	request, err := o.request(ctx)
	if err != nil {
		r.err = err
		return r
	}
	response, err := transport.RoundTrip(request)
	if (response == nil) == (err == nil) {
		panic("neither response nor error, or both")
	}
	if err != nil {
		r.err = err
		return r
	}
	defer func() { _ = response.Body.Close() }()
	r.status, r.major, r.header = response.StatusCode, response.ProtoMajor, response.Header
	r.content, r.readErr = io.ReadAll(response.Body)
	return r
}

// succeeded reports whether the whole response of the application came.
func (r result) succeeded() bool {
	return r.err == nil && r.readErr == nil && r.status == http.StatusOK && string(r.content) == r.wantBody()
}

func (r result) assertSuccess(t *testing.T) {
	t.Helper()
	assert.NoError(t, r.err)
	assert.NoError(t, r.readErr)
	assert.Equal(t, http.StatusOK, r.status)
	assert.Equal(t, r.wantBody(), string(r.content))
}

// assertStatuses checks the status of each attempt, 0 if it has none, and why the call stopped.
func (r result) assertStatuses(t *testing.T, stopped steadyhttp.StopReason, statuses ...int) {
	t.Helper()
	var got []int
	for _, attempt := range r.Attempts {
		got = append(got, attempt.StatusCode)
	}
	assert.Equal(t, statuses, got, "statuses of the attempts")
	assert.Equal(t, stopped, r.Stopped, "stopped for %v", r.Stopped)
}

// assertClasses checks the class of each attempt, and why the call stopped.
func (r result) assertClasses(t *testing.T, stopped steadyhttp.StopReason, classes ...steadyhttp.Class) {
	t.Helper()
	var got []steadyhttp.Class
	for _, attempt := range r.Attempts {
		got = append(got, attempt.Class)
	}
	assert.Equal(t, classes, got, "classes of the attempts")
	assert.Equal(t, stopped, r.Stopped, "stopped for %v", r.Stopped)
}

// assertRetryAfterObeyed checks that every attempt but the last got a 429, and that the wait after it was as long as the
// server asked. It returns how many they were.
func (r result) assertRetryAfterObeyed(t *testing.T, retryAfter time.Duration) int {
	t.Helper()
	throttled := r.Attempts[:len(r.Attempts)-1]
	for _, attempt := range throttled {
		assert.Equal(t, http.StatusTooManyRequests, attempt.StatusCode)
		assert.GreaterOrEqual(t, attempt.Wait, retryAfter, "what Retry-After asks for")
	}
	return len(throttled)
}
