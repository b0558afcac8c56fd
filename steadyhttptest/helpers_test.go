package steadyhttptest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

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

// read reads and closes a response, and returns its status and body.
func read(t testing.TB, response *http.Response, err error) (int, string) {
	t.Helper()
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, string(content)
}

// exchange sends a request, reads and closes the response, and returns its status and body.
func exchange(t testing.TB, base http.RoundTripper, r *http.Request) (int, string) {
	t.Helper()
	response, err := base.RoundTrip(r)
	return read(t, response, err)
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

// A recordingTB is a testing.TB that records its failures, so that it can fail without failing this test.
type recordingTB struct {
	testing.TB
	mu       sync.Mutex
	messages []string
}

func (r *recordingTB) Helper() {}

func (r *recordingTB) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recordingTB) failures() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages
}

func closeBodyTwice(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close()
	_ = r.Body.Close()
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

// ignoreBody leaves the body unread.
func ignoreBody(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: &countingBody{Reader: strings.NewReader("")}}, nil
}

func wraps(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func errorAs[E any](err error) (found E) {
	errors.As(err, &found)
	return found
}

func timesOut(err error) bool {
	return errorAs[net.Error](err) != nil && errorAs[net.Error](err).Timeout() && errors.Is(err, context.DeadlineExceeded)
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// transportAfterTwoAttempts returns a Transport with two attempts, 2 s apart. The first response is still open.
func transportAfterTwoAttempts(t *testing.T) *steadyhttptest.Transport {
	t.Helper()
	base := steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Reset)
	_, err := base.RoundTrip(put(t, "payload"))
	require.NoError(t, err)
	time.Sleep(2 * time.Second)
	_, err = base.RoundTrip(get(t))
	require.Error(t, err)
	return base
}
