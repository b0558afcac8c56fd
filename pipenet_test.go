package steadyhttp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A pipeNetwork has a server and a way to it in memory, so that both fit into a synctest bubble: hours pass in
// milliseconds. It can swallow all that comes on the connections that there are, as a dead NAT entry does, while
// new ones work.
type pipeNetwork struct {
	server   http.Server
	accept   chan net.Conn
	closed   chan struct{}
	trust    *tls.Config
	dials    atomic.Int64
	requests atomic.Int64

	mu   sync.Mutex
	live []*pipeRelay
}

// skipWithoutHTTP2BodiesInBubbles skips a test with Go 1.25, whose net/http reuses the channels by which an HTTP/2 handler's
// headers and bodies are written, those of a bubble outside of it, too (https://go.dev/issue/75674). Connections of any test
// of this process would break. A handler that writes no more than a status needs none.
func skipWithoutHTTP2BodiesInBubbles(t *testing.T) {
	t.Helper()
	if strings.HasPrefix(runtime.Version(), "go1.25") {
		t.Skip("go.dev/issue/75674: HTTP/2 handlers that write bodies in bubbles need Go 1.26")
	}
}

// newPipeNetwork serves over TLS, or "HTTP/1.1 in the clear". It is to be called within the bubble.
func newPipeNetwork(t *testing.T, protocol string, handler http.HandlerFunc, configure ...func(*http.Server)) *pipeNetwork {
	t.Helper()
	n := &pipeNetwork{accept: make(chan net.Conn), closed: make(chan struct{})}
	n.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.requests.Add(1)
		handler(w, r)
	})
	n.server.ErrorLog = log.New(io.Discard, "", 0)
	n.server.Protocols = &http.Protocols{}
	n.server.Protocols.SetHTTP1(protocol != "HTTP/2.0")
	n.server.Protocols.SetHTTP2(protocol == "HTTP/2.0")
	certificate, trust := testCertificate()
	n.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	n.trust = &tls.Config{RootCAs: trust, ServerName: "example.com"}
	for _, set := range configure {
		set(&n.server)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if protocol == "HTTP/1.1 in the clear" {
			_ = n.server.Serve(n)
			return
		}
		_ = n.server.ServeTLS(n, "", "")
	})
	t.Cleanup(func() {
		_ = n.server.Close()
		n.mu.Lock()
		for _, relay := range n.live {
			relay.close()
		}
		n.mu.Unlock()
		serving.Wait()
	})
	return n
}

// testCertificate is httptest's for example.com.
var testCertificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	template := httptest.NewUnstartedServer(nil)
	template.StartTLS()
	defer template.Close()
	trust := x509.NewCertPool()
	trust.AddCert(template.Certificate())
	return template.TLS.Certificates[0], trust
})

// base returns a transport like the built-in one, that dials over the network.
func (n *pipeNetwork) base(t *testing.T) *http.Transport {
	t.Helper()
	base := cleanhttp.DefaultPooledTransport()
	base.Proxy, base.DialContext, base.TLSClientConfig = nil, n.dial, n.trust.Clone()
	base.MaxIdleConnsPerHost = 64
	t.Cleanup(base.CloseIdleConnections)
	return base
}

func (n *pipeNetwork) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, near := net.Pipe()
	far, server := net.Pipe()
	select {
	case n.accept <- server:
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	relay := &pipeRelay{near: near, far: far}
	n.mu.Lock()
	n.live = append(n.live, relay)
	n.mu.Unlock()
	n.dials.Add(1)
	go relay.pass(far, near)
	go relay.pass(near, far)
	return client, nil
}

// swallow lets the connections that there are die.
func (n *pipeNetwork) swallow() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, relay := range n.live {
		relay.dead.Store(true)
	}
}

func (n *pipeNetwork) Accept() (net.Conn, error) {
	select {
	case conn := <-n.accept:
		return conn, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *pipeNetwork) Close() error {
	close(n.closed)
	return nil
}

func (n *pipeNetwork) Addr() net.Addr { return &net.TCPAddr{} }

type pipeRelay struct {
	near, far net.Conn
	dead      atomic.Bool
}

// pass tells nobody of an end once it is dead.
func (r *pipeRelay) pass(to, from net.Conn) {
	_, _ = io.Copy(swallowing{to, &r.dead}, from)
	if !r.dead.Load() {
		r.close()
	}
}

func (r *pipeRelay) close() {
	_ = r.near.Close()
	_ = r.far.Close()
}

// warm makes so many calls at the same time. The server must hold them together.
func (n *pipeNetwork) warm(t *testing.T, transport http.RoundTripper, calls int) {
	t.Helper()
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			got := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://example.com/warm", ""))
			require.NoError(t, got.err)
		})
	}
	all.Wait()
}

// fail makes so many calls at the same time, which all fail.
func (n *pipeNetwork) fail(t *testing.T, transport http.RoundTripper, calls int) {
	t.Helper()
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			got := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://example.com/", ""))
			assert.Error(t, got.err)
		})
	}
	all.Wait()
}

// swallowing writes nothing once it is dead.
type swallowing struct {
	io.Writer
	dead *atomic.Bool
}

func (s swallowing) Write(p []byte) (int, error) {
	if s.dead.Load() {
		return len(p), nil
	}
	return s.Writer.Write(p)
}
