package steadyhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A step is what a scripted server does with one attempt.
type step func(*http.Request) (*http.Response, error)

// A script is a base transport that plays its steps in order, and repeats the last one.
type script struct {
	mu     sync.Mutex
	steps  []step
	sent   []attempt
	bodies []*body
}

// An attempt is what arrived at the scripted server.
type attempt struct {
	at      time.Time
	request *http.Request
	body    string
}

func scripted(steps ...step) *script { return &script{steps: steps} }

// RoundTrip reads and closes the request's body, as http.Transport does, and plays the next step.
func (s *script) RoundTrip(request *http.Request) (*http.Response, error) {
	arrived := attempt{at: time.Now(), request: request}
	if request.Body != nil {
		content, err := io.ReadAll(request.Body)
		_ = request.Body.Close()
		if err != nil {
			return nil, err
		}
		arrived.body = string(content)
	}
	response, err := s.next(arrived)(request)
	if response != nil {
		response.Request = request
		if b, ok := response.Body.(*body); ok {
			s.mu.Lock()
			s.bodies = append(s.bodies, b)
			s.mu.Unlock()
		}
	}
	return response, err
}

func (s *script) next(arrived attempt) step {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, arrived)
	return s.steps[min(len(s.sent), len(s.steps))-1]
}

func (s *script) attempts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

// waits are the times between the attempts.
func (s *script) waits() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var waits []time.Duration
	for i := 1; i < len(s.sent); i++ {
		waits = append(waits, s.sent[i].at.Sub(s.sent[i-1].at))
	}
	return waits
}

// assertClosed checks that every response's body but those excepted was closed exactly once.
func (s *script) assertClosed(t *testing.T, except ...*http.Response) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, b := range s.bodies {
		want := 1
		for _, response := range except {
			if response != nil && response.Body == b {
				want = 0
			}
		}
		assert.Equal(t, want, b.closes(), "closes of the body of response %d", i+1)
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

// status answers with a code, and headers given as name, value, name, value.
func status(code int, header ...string) step {
	return func(*http.Request) (*http.Response, error) {
		response := &http.Response{StatusCode: code, Header: http.Header{}, Body: text(http.StatusText(code))}
		for i := 0; i+1 < len(header); i += 2 {
			response.Header.Add(header[i], header[i+1])
		}
		return response, nil
	}
}

// fail ends the attempt with an error.
func fail(err error) step {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// after lets time pass before a step, unless the caller gives up.
func after(d time.Duration, then step) step {
	return func(request *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return then(request)
		case <-request.Context().Done():
			return nil, context.Cause(request.Context())
		}
	}
}

// hang says nothing until the caller gives up.
func hang(request *http.Request) (*http.Response, error) {
	<-request.Context().Done()
	return nil, context.Cause(request.Context())
}

var errReset = errors.New("connection reset by a test")

func newTransport(t *testing.T, base http.RoundTripper, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
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
