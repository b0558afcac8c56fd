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

// steady returns a transport over base with this policy.
func steady(t *testing.T, base *http.Transport, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	transport, err := steadyhttp.NewTransport(base, options...)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// An order is a request that can be told from every other one, and its body.
type order struct {
	method, url, id string
	content         []byte
}

var orders atomic.Int64

// newOrder makes one with a body of random bytes, unless the method has none.
func newOrder(method, url string, size int) order {
	o := order{method: method, url: url, id: strconv.FormatInt(orders.Add(1), 10)}
	if method != http.MethodGet {
		o.content = noise(size)
	}
	return o
}

func noise(size int) []byte {
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

// answer is what the application says to this order.
func (o order) answer() string { return o.method + " " + checksum(o.content) }

// A delivery is what an order came to. Its response has been read.
type delivery struct {
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

// deliver sends an order, and reads the answer to its end.
func deliver(ctx context.Context, transport http.RoundTripper, o order) (d delivery) {
	ctx, report := steadyhttp.WithReport(ctx)
	d = delivery{order: o, Report: report}
	defer func() { d.ended = time.Now() }()
	request, err := o.request(ctx)
	if err != nil {
		d.err = err
		return d
	}
	response, err := transport.RoundTrip(request)
	if (response == nil) == (err == nil) {
		panic("neither response nor error, or both")
	}
	if err != nil {
		d.err = err
		return d
	}
	defer func() { _ = response.Body.Close() }()
	d.status, d.major, d.header = response.StatusCode, response.ProtoMajor, response.Header
	d.content, d.readErr = io.ReadAll(response.Body)
	return d
}

// answered reports whether the application's answer came, and whole.
func (d delivery) answered() bool {
	return d.err == nil && d.readErr == nil && d.status == http.StatusOK && string(d.content) == d.answer()
}

func (d delivery) assertAnswered(t *testing.T) {
	t.Helper()
	assert.NoError(t, d.err)
	assert.NoError(t, d.readErr)
	assert.Equal(t, http.StatusOK, d.status)
	assert.Equal(t, d.answer(), string(d.content))
}

// assertStatuses checks what came of each attempt, 0 for no answer, and why there was none after the last.
func (d delivery) assertStatuses(t *testing.T, stopped steadyhttp.StopReason, statuses ...int) {
	t.Helper()
	var came []int
	for _, attempt := range d.Attempts {
		came = append(came, attempt.StatusCode)
	}
	assert.Equal(t, statuses, came, "statuses of the attempts")
	assert.Equal(t, stopped, d.Stopped, "stopped for %v", d.Stopped)
}

// assertClasses checks the class of each attempt, and why there was none after the last.
func (d delivery) assertClasses(t *testing.T, stopped steadyhttp.StopReason, classes ...steadyhttp.Class) {
	t.Helper()
	var came []steadyhttp.Class
	for _, attempt := range d.Attempts {
		came = append(came, attempt.Class)
	}
	assert.Equal(t, classes, came, "classes of the attempts")
	assert.Equal(t, stopped, d.Stopped, "stopped for %v", d.Stopped)
}

// assertLimitsObeyed checks that every attempt but the last was refused with a 429, and waited for as long as that
// asked, and returns how many they were.
func (d delivery) assertLimitsObeyed(t *testing.T, asked time.Duration) int {
	t.Helper()
	refusals := d.Attempts[:len(d.Attempts)-1]
	for _, refused := range refusals {
		assert.Equal(t, http.StatusTooManyRequests, refused.StatusCode)
		assert.GreaterOrEqual(t, refused.Wait, asked, "what Retry-After asks for")
	}
	return len(refusals)
}
