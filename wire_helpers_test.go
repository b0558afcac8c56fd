package steadyhttp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// Real outcomes are provoked by real servers on loopback, under a real http.Transport.

// Transports and calls.

// newWireTransport returns a Transport over base that waits next to nothing, and whose breaker forgets nothing
// while the test runs.
func newWireTransport(t *testing.T, base *http.Transport, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	t.Cleanup(base.CloseIdleConnections)
	return newTransport(t, base, fastRetryOptions(options...)...)
}

// fastRetryOptions waits next to nothing between attempts.
func fastRetryOptions(options ...steadyhttp.Option) []steadyhttp.Option {
	return append([]steadyhttp.Option{
		steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond),
		steadyhttp.WithBreakerWindow(time.Minute),
		steadyhttp.WithBreakerConsecutiveFailures(0, 0),
	}, options...)
}

// unlimitedRetryOptions has neither breaker nor budget.
func unlimitedRetryOptions(options ...steadyhttp.Option) []steadyhttp.Option {
	return append(options, steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget())
}

// attemptTimeoutOptions has attempts time out, but tries often enough for a busy machine to answer in time.
func attemptTimeoutOptions(limit time.Duration) []steadyhttp.Option {
	return unlimitedRetryOptions(steadyhttp.WithAttemptTimeout(limit), steadyhttp.WithMaxAttempts(20))
}

// shortTimeout is how long a test waits for a server that will not respond.
const shortTimeout = 30 * time.Millisecond

func newWireRequest(t *testing.T, method, url, content string) *http.Request {
	t.Helper()
	var payload io.Reader
	if content != "" {
		payload = strings.NewReader(content)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, payload)
	require.NoError(t, err)
	return r
}

// A wireCall is what a call over the wire came to. Its response has been read.
type wireCall struct {
	*steadyhttp.Report
	response *http.Response
	content  string
	err      error
}

// sendWire makes a call and reads its response.
func sendWire(t *testing.T, transport http.RoundTripper, r *http.Request) wireCall {
	t.Helper()
	ctx, report := steadyhttp.WithReport(r.Context())
	response, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		assert.Nil(t, response, "exactly one of response and error")
		return wireCall{Report: report, err: err}
	}
	content, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	assert.NoError(t, response.Body.Close())
	return wireCall{Report: report, response: response, content: string(content)}
}

// assertClasses checks the class of each attempt, and why there was none after the last.
func (c wireCall) assertClasses(t *testing.T, stopped steadyhttp.StopReason, classes ...steadyhttp.Class) {
	t.Helper()
	var came []steadyhttp.Class
	for _, a := range c.Attempts {
		came = append(came, a.Class)
	}
	assert.Equal(t, classes, came, "classes of the attempts %v", c.Report)
	assert.Equal(t, stopped, c.Stopped, "stopped for %v", c.Stopped)
}

func (c wireCall) assertResponse(t *testing.T, code int, content string) {
	t.Helper()
	if assert.NoError(t, c.err) {
		assert.Equal(t, code, c.response.StatusCode)
		assert.Equal(t, content, c.content)
	}
}

// assertFailedOnce checks that a failure was not retried, and is returned as net/http made it: what was
// wrapped would hide it from a type assertion, as http.Client makes one.
func (c wireCall) assertFailedOnce(t *testing.T, class steadyhttp.Class) {
	t.Helper()
	require.Error(t, c.err)
	require.Len(t, c.Attempts, 1)
	assert.Equal(t, class, c.Attempts[0].Class)
	assert.Equal(t, c.Attempts[0].Err, c.err)
	var wrapped *steadyhttp.Error
	assert.NotErrorAs(t, c.err, &wrapped)
}

// A breakerCount is what a closed breaker has counted: failures among requests.
type breakerCount struct{ failures, requests int }

// assertBreakerCount checks what the only breaker has counted.
func assertBreakerCount(t *testing.T, transport *steadyhttp.Transport, want breakerCount) {
	t.Helper()
	breaker := onlyBreaker(t, transport)
	assert.Equal(t, steadyhttp.BreakerClosed, breaker.State)
	assert.EqualValues(t, want.failures, breaker.Failures, "failures counted by the breaker")
	assert.EqualValues(t, want.requests, breaker.Requests, "requests counted by the breaker")
}

// Servers.

// A wireServer is net/http's server on loopback. Each request is for the next of its handlers, and
// those that are left over for the last.
type wireServer struct {
	*httptest.Server
	arrived     atomic.Int64
	connections atomic.Int64
}

// newWireServer starts a server, which is closed with the test.
func newWireServer(t *testing.T, start func(*httptest.Server), handlers ...http.HandlerFunc) *wireServer {
	t.Helper()
	s := &wireServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number := int(s.arrived.Add(1))
		handlers[min(number, len(handlers))-1](w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

var (
	startPlain = (*httptest.Server).Start
	startTLS   = (*httptest.Server).StartTLS
)

// newClientTLS returns a client's side of TLS that accepts the server's certificate.
func newClientTLS(s *wireServer) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots}
}

func farFuture() time.Time { return time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) }

// runEachProtocol runs a test over HTTP/1 and over HTTP/2, both in the clear.
func runEachProtocol(t *testing.T, run func(t *testing.T, spoken *http.Protocols)) {
	t.Helper()
	for name, choose := range map[string]func(*http.Protocols, bool){
		"HTTP1": (*http.Protocols).SetHTTP1,
		"HTTP2": (*http.Protocols).SetUnencryptedHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spoken := &http.Protocols{}
			choose(spoken, true)
			run(t, spoken)
		})
	}
}

// startProtocols starts a server that speaks these protocols in the clear.
func startProtocols(spoken *http.Protocols) func(*httptest.Server) {
	return func(s *httptest.Server) {
		s.Config.Protocols = spoken
		s.Start()
	}
}

// startKitServer starts a server of the test kit, which is closed with the test.
func startKitServer(t *testing.T, start func(...step) *steadyhttptest.Server, steps ...step) *steadyhttptest.Server {
	t.Helper()
	server := start(steps...)
	t.Cleanup(server.Close)
	return server
}

// newTCPServer has each connection handled and closed, and returns the address to dial.
func newTCPServer(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			handlers.Go(func() { handleConn(t.Context(), conn, handle) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		handlers.Wait()
	})
	return listener.Addr().String()
}

// handleConn closes the connection when it is handled, or the test is over.
func handleConn(ctx context.Context, conn net.Conn, handle func(net.Conn)) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	handle(conn)
}

// newRefusingAddress returns an address that refuses connections, and goes on to: the local end of a connection
// has its port, and does not listen.
func newRefusingAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// Handlers.

// echoHandler answers with the method and the body, once it has all of it.
func echoHandler(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, r.Method+" "+string(content))
}

// replyHandler answers with a code, and headers given as name, value, name, value.
func replyHandler(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(code)
		if code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified {
			_, _ = io.WriteString(w, "answer")
		}
	}
}

// silentHandler reads the request and says nothing until the client is gone.
func silentHandler(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// abortHandler drops the connection over HTTP/1, and the stream over HTTP/2.
func abortHandler(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// stallHandler announces more of a 503's body than it sends, and tells when the client has hung up.
func stallHandler(hungUp chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "abc")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(hungUp)
	}
}

// upgradeHandler switches to a protocol in which all that is said is repeated.
func upgradeHandler(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}

// refuseOnceHandler answers the first request for each path with a 503, body unread, and the others with the
// length and checksum of their bodies.
func refuseOnceHandler() http.HandlerFunc {
	var refused sync.Map
	return func(w http.ResponseWriter, r *http.Request) {
		if _, again := refused.LoadOrStore(r.URL.Path, true); !again {
			w.WriteHeader(503)
			return
		}
		checksum := crc32.NewIEEE()
		length, _ := io.Copy(checksum, r.Body)
		_, _ = fmt.Fprint(w, length, checksum.Sum32())
	}
}

// Connections and dials.

// resetConn drops the connection with a TCP RST.
func resetConn(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }

// readSome waits for the first bytes of a request.
func readSome(conn net.Conn) { _, _ = conn.Read(make([]byte, 16<<10)) }

// readAll waits for the client to hang up.
func readAll(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// A dialFunc is an http.Transport's DialContext.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newDialingBase returns a base whose first dials are done in these ways, and the others as usual.
func newDialingBase(dials ...dialFunc) *http.Transport {
	var dialed atomic.Int64
	return &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if number := int(dialed.Add(1)); number <= len(dials) {
			return dials[number-1](ctx, network, address)
		}
		return dialDefault(ctx, network, address)
	}}
}

func dialDefault(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// dialTo dials an address of its own choice.
func dialTo(address string) dialFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialDefault(ctx, network, address)
	}
}

// dialFailing fails as the operating system makes a dial fail.
func dialFailing(operation string, number error) dialFunc {
	return func(_ context.Context, network, _ string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError(operation, number)}
	}
}

// A notifyingConn tells when it is closed.
type notifyingConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *notifyingConn) Close() error {
	defer c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// newNotifyingBase returns a base that tells when it closes a connection.
func newNotifyingBase() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialDefault(ctx, network, address)
		return &notifyingConn{Conn: conn, closed: make(chan struct{})}, err
	}}
}

// withIdleClose has the server close a used connection at the worst moment: once the client has picked it
// for a request, and before it knows.
func withIdleClose(ctx context.Context, server *wireServer) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		if got.Reused {
			server.CloseClientConnections()
			<-got.Conn.(*notifyingConn).closed
		}
	}})
}

// An unknownErrorConn fails as no library knows.
type unknownErrorConn struct{ net.Conn }

func (c unknownErrorConn) Read([]byte) (int, error) {
	_, _ = c.Conn.Read(make([]byte, 1))
	return 0, errUnknown
}

func dialUnknownError(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dialDefault(ctx, network, address)
	return unknownErrorConn{conn}, err
}

func assertSignaled(t *testing.T, signal <-chan struct{}) {
	t.Helper()
	closed := func() bool {
		select {
		case <-signal:
			return true
		default:
			return false
		}
	}
	assert.Eventually(t, closed, 2*time.Second, time.Millisecond)
}

func assertEchoes(t *testing.T, conn io.ReadWriter) {
	t.Helper()
	_, err := io.WriteString(conn, "hello")
	require.NoError(t, err)
	heard := make([]byte, len("hello"))
	_, err = io.ReadFull(conn, heard)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(heard))
}

// Names: what a DNS server responds (RFC 1035 §4.1.1).

const (
	rcodeServerFailure = 2
	rcodeNameError     = 3
	rcodeRefused       = 5
)

// dialResolving dials a name for which the DNS server answers with an rcode.
func dialResolving(t *testing.T, rcode byte) dialFunc {
	t.Helper()
	server := newDNSServer(t, rcode)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialDefault(ctx, "udp", server)
	}}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Resolver: resolver}).DialContext(ctx, network, "steady.example:80")
	}
}

func newDNSServer(t *testing.T, rcode byte) (address string) {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		query := make([]byte, 1<<10)
		for n, client, err := socket.ReadFrom(query); err == nil; n, client, err = socket.ReadFrom(query) {
			_, _ = socket.WriteTo(dnsReply(query[:n], rcode), client)
		}
	})
	t.Cleanup(func() {
		_ = socket.Close()
		serving.Wait()
	})
	return socket.LocalAddr().String()
}

// dnsReply repeats the query's header and question, and answers nothing.
func dnsReply(query []byte, rcode byte) []byte {
	const header, typeAndClass = 12, 4
	question := bytes.IndexByte(query[header:], 0) + 1 + typeAndClass
	reply := bytes.Clone(query[:header+question])
	reply[2] |= 0x80                                // a response
	reply[3] = 0x80 | rcode                         // recursion available
	copy(reply[6:header], []byte{0, 0, 0, 0, 0, 0}) // no records
	return reply
}

// Proxies.

// A connectProxy answers each CONNECT with the same status line, or leads to where it is asked to if that is empty.
type connectProxy struct {
	url   *url.URL
	asked atomic.Int64 // for a tunnel
}

// newConnectProxy starts a proxy that is spoken to by TLS if it has a certificate.
func newConnectProxy(t *testing.T, statusLine string, secured ...tls.Certificate) *connectProxy {
	t.Helper()
	p := &connectProxy{url: &url.URL{Scheme: "http"}}
	if len(secured) > 0 {
		p.url.Scheme = "https"
	}
	p.url.Host = newTCPServer(t, func(conn net.Conn) {
		if len(secured) > 0 {
			conn = tls.Server(conn, &tls.Config{Certificates: secured})
		}
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		p.asked.Add(1)
		if statusLine != "" {
			_, _ = io.WriteString(conn, statusLine+"\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		if there, err := net.Dial("tcp", r.Host); err == nil {
			joinConns(conn, there)
		}
	})
	return p
}

// withPassword returns the proxy's address with credentials.
func (p *connectProxy) withPassword() *url.URL {
	withPassword := *p.url
	withPassword.User = url.UserPassword("me", "hunter2")
	return &withPassword
}

// joinConns copies between two connections until both directions have ended.
func joinConns(here, there net.Conn) {
	defer func() { _ = there.Close() }()
	var directions sync.WaitGroup
	directions.Go(func() { _, _ = io.Copy(there, here); _ = there.(*net.TCPConn).CloseWrite() })
	directions.Go(func() { _, _ = io.Copy(here, there) })
	directions.Wait()
}

// newSOCKSProxy starts a SOCKS5 proxy (RFC 1928, RFC 1929) that writes these replies, one after each thing that the
// client says.
func newSOCKSProxy(t *testing.T, replies ...string) (proxy *url.URL, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	address := newTCPServer(t, func(conn net.Conn) {
		asked.Add(1)
		for _, reply := range replies {
			readSome(conn)
			_, _ = io.WriteString(conn, reply)
		}
		readSome(conn)
	})
	return &url.URL{Scheme: "socks5", User: url.UserPassword("me", "hunter2"), Host: address}, asked
}
