package sdk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A service is a loopback server over TLS. Each request gets the next of its responses, and further ones get the last.
type service struct {
	*httptest.Server
	mu       sync.Mutex
	received []receivedRequest
}

// A receivedRequest is what the service records of a request.
type receivedRequest struct {
	line   string // method, host and path
	header http.Header
	body   string
}

func newService(t *testing.T, responses ...http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		number := s.record(receivedRequest{fmt.Sprintf("%s %s%s", r.Method, r.Host, r.URL.Path), r.Header.Clone(), string(body)})
		responses[min(number, len(responses)-1)](w, r)
	}))
	return s
}

// newServiceOf returns a service with this handler, which records nothing.
func newServiceOf(t *testing.T, handler http.Handler) *service {
	t.Helper()
	s := &service{}
	s.start(t, handler)
	return s
}

func (s *service) start(t *testing.T, handler http.Handler) {
	t.Helper()
	s.Server = httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
}

// record returns how many requests were received before.
func (s *service) record(a receivedRequest) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, a)
	return len(s.received) - 1
}

func (s *service) requests() []receivedRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

// assertLines checks which requests were received.
func (s *service) assertLines(t *testing.T, want ...string) {
	t.Helper()
	var lines []string
	for _, a := range s.requests() {
		lines = append(lines, a.line)
	}
	assert.Equal(t, want, lines, "requests that were received")
}

// assertSameBodies checks that each request had this body.
func (s *service) assertSameBodies(t *testing.T, want string) {
	t.Helper()
	for i, a := range s.requests() {
		assert.Equal(t, want, a.body, "body of request %d", i+1)
	}
}

// status responds with a status code, and with headers given as name, value, name, value.
func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// respond responds with a body.
func respond(contentType, content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, content)
	}
}

func respondJSON(content string) http.HandlerFunc { return respond("application/json", content) }

// base returns a pooled base transport for which every host is this service.
func (s *service) base() *http.Transport {
	base := cleanhttp.DefaultPooledTransport()
	base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	base.TLSClientConfig = s.trust()
	return base
}

func (s *service) trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots, ServerName: serverName}
}

// serverName is one that httptest's certificate is valid for.
const serverName = "example.com"

// steadyClient returns a client for which every host is this service. Its waits are very short, which changes no decision.
func (s *service) steadyClient(t *testing.T, options ...steadyhttp.Option) *http.Client {
	t.Helper()
	options = append([]steadyhttp.Option{steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond)}, options...)
	client, err := steadyhttp.Wrap(&http.Client{Transport: s.base()}, options...)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// newReport returns a context for one call, and a check of the statuses of its attempts.
func newReport(t *testing.T) (context.Context, func(statuses ...int)) {
	t.Helper()
	ctx, report := steadyhttp.WithReport(t.Context())
	return ctx, func(want ...int) {
		t.Helper()
		var statuses []int
		for _, attempt := range report.Attempts {
			statuses = append(statuses, attempt.StatusCode)
		}
		assert.Equal(t, want, statuses, "statuses of the attempts")
	}
}

// certificatePEM is the service's certificate.
func certificatePEM(s *service) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}
