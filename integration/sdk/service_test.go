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

// A service is a loopback server over TLS. Each request is for the next of its answers, and those that are left
// over for the last.
type service struct {
	*httptest.Server
	mu      sync.Mutex
	arrived []arrival
}

// An arrival is what the service notes of a request.
type arrival struct {
	line   string // method, host and path
	header http.Header
	body   string
}

func serve(t *testing.T, answers ...http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		number := s.note(arrival{fmt.Sprintf("%s %s%s", r.Method, r.Host, r.URL.Path), r.Header.Clone(), string(body)})
		answers[min(number, len(answers)-1)](w, r)
	}))
	return s
}

// serveHandler leaves all to a handler, and notes nothing.
func serveHandler(t *testing.T, handler http.Handler) *service {
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

// note returns how many arrived before.
func (s *service) note(a arrival) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, a)
	return len(s.arrived) - 1
}

func (s *service) arrivals() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived
}

// assertLines checks which requests arrived.
func (s *service) assertLines(t *testing.T, want ...string) {
	t.Helper()
	var lines []string
	for _, a := range s.arrivals() {
		lines = append(lines, a.line)
	}
	assert.Equal(t, want, lines, "requests that arrived")
}

// assertSameBodies checks that each request had this body.
func (s *service) assertSameBodies(t *testing.T, want string) {
	t.Helper()
	for i, a := range s.arrivals() {
		assert.Equal(t, want, a.body, "body of request %d", i+1)
	}
}

// fail answers with a code, and headers given as name, value, name, value.
func fail(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// answer answers well.
func answer(contentType, content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, content)
	}
}

func answerJSON(content string) http.HandlerFunc { return answer("application/json", content) }

// base returns a pooled transport for which every host is this service, by whatever name.
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

// steady returns a client for which every host is this service. It waits next to nothing, which changes no
// decision.
func (s *service) steady(t *testing.T, options ...steadyhttp.Option) *http.Client {
	t.Helper()
	options = append([]steadyhttp.Option{steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond)}, options...)
	client, err := steadyhttp.Wrap(&http.Client{Transport: s.base()}, options...)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// reported returns a context for one call, and a check of the statuses that its attempts came to.
func reported(t *testing.T) (context.Context, func(statuses ...int)) {
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

// authority is the service's certificate in PEM.
func authority(s *service) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}
