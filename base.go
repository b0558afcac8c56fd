package steadyhttp

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-cleanhttp"
)

const (
	// headerTimeout keeps a server that takes the request and then says nothing from hanging a client for ever.
	headerTimeout = 30 * time.Second
	// writeTimeout does so for a server that does not take the request: headerTimeout begins once it is written.
	writeTimeout = 30 * time.Second
	// An HTTP/2 connection on which nothing was received for pingAfter is pinged, and left without an answer
	// within pingTimeout.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// idlePerHost is sized for a client of one busy host, and idleTotal for eight of them.
	idlePerHost = 64
	idleTotal   = 8 * idlePerHost
)

// pooledTransport returns net/http's part of the built-in transport.
func pooledTransport(boundsHeader bool) *http.Transport {
	transport := cleanhttp.DefaultPooledTransport()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = idlePerHost, idleTotal
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	transport.OnProxyConnectResponse = checkConnect
	transport.DialContext = dialWithWriteTimeout(transport.DialContext, writeTimeout)
	if boundsHeader {
		transport.ResponseHeaderTimeout = headerTimeout
	}
	return transport
}

// checkConnect keeps a proxy's status, of which net/http returns only the reason phrase.
func checkConnect(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{response.StatusCode}
}

// dialWithWriteTimeout bounds the writes of each connection. It does not leave that to http.HTTP2Config.WriteByteTimeout:
// above TLS, which cannot go on after a write that timed out, that bounds a whole frame, and half a MiB may well
// take 30 s.
func dialWithWriteTimeout(dial dialFunc, limit time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
			return &writeTimeoutConn{TCPConn: tcp, limit: limit}, nil
		}
		return conn, err
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// A builtInTransport is the base transport of a client that was given none.
type builtInTransport struct {
	http.RoundTripper
	boundsHeader bool // whether it bounds the wait for a response's header itself
	writeTimeout time.Duration
	late         *lateTrace
	open         openConnections

	mu   sync.Mutex        // held to use twin
	twin *builtInTransport // of an other boundsHeader; nil until [Override] needs it
}

func newBuiltInTransport(boundsHeader bool) *builtInTransport {
	transport, late := pooledTransport(boundsHeader), newLateTrace()
	transport.Proxy = late.before(transport.Proxy)
	t := &builtInTransport{RoundTripper: transport, boundsHeader: boundsHeader, writeTimeout: writeTimeout, late: late}
	transport.DialContext = t.counting(transport.DialContext)
	return t
}

// counting counts the connections that are open.
func (t *builtInTransport) counting(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if bounded, ok := conn.(*writeTimeoutConn); ok && err == nil {
			t.open.add(address, 1)
			bounded.onClose = sync.OnceFunc(func() { t.open.add(address, -1) })
		}
		return conn, err
	}
}

// openConnections counts connections by the address that was dialed.
type openConnections struct {
	many atomic.Int32 // addresses with [maxSends] or more

	mu        sync.Mutex
	byAddress map[string]int
}

func (o *openConnections) add(address string, difference int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byAddress == nil {
		o.byAddress = map[string]int{}
	}
	before := o.byAddress[address]
	after := before + difference
	o.byAddress[address] = after
	if after == 0 {
		delete(o.byAddress, address)
	}
	if (before >= maxSends) != (after >= maxSends) {
		o.many.Add(int32(difference))
	}
}

// makeTwin makes the transport for calls whose attempts are bounded, if this one is for others, or the other way round.
// http.Transport has one ResponseHeaderTimeout for all requests.
func (t *builtInTransport) makeTwin() *builtInTransport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.twin == nil {
		t.twin = newBuiltInTransport(!t.boundsHeader)
	}
	return t.twin
}

// RoundTrip bounds an upload over TLS also by what is read of the body: over HTTP/2 a server that does not read it
// lets no write block, since nothing may be written (RFC 9113 §5.2).
func (t *builtInTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	switch {
	case request.Header["Upgrade"] != nil:
		return upgrade(t.RoundTripper, request)
	case request.URL.Scheme == "https" && hasBody(request):
		return sendWithWriteTimeout(t.RoundTripper, request, t.writeTimeout)
	default:
		return t.RoundTripper.RoundTrip(request)
	}
}

// CloseIdleConnections closes those of net/http's transports.
func (t *builtInTransport) CloseIdleConnections() {
	t.RoundTripper.(*http.Transport).CloseIdleConnections()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.twin != nil {
		t.twin.CloseIdleConnections()
	}
}
