package steadyhttp_test

import (
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
	"net/url"
	"os"
	"runtime/pprof"
	"strconv"
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

// What is here lets the tests provoke real outcomes: real servers on loopback, under a real
// http.Transport.

// overWire returns a Transport over base that waits next to nothing, and whose breaker forgets nothing
// while the test runs.
func overWire(t *testing.T, base *http.Transport, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	t.Cleanup(base.CloseIdleConnections)
	return newTransport(t, base, brisk(options...)...)
}

func brisk(options ...steadyhttp.Option) []steadyhttp.Option {
	return append([]steadyhttp.Option{
		steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond),
		steadyhttp.WithBreakerWindow(time.Minute),
		steadyhttp.WithBreakerConsecutiveFailures(0, 0),
	}, options...)
}

// unlimited lets a test retry as often as it likes.
func unlimited(options ...steadyhttp.Option) []steadyhttp.Option {
	return append(options, steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget())
}

// A delivery is what a call over the wire came to. Its response has been read.
type delivery struct {
	*steadyhttp.Report
	response *http.Response
	content  string
	err      error
}

func deliver(t *testing.T, transport http.RoundTripper, r *http.Request) delivery {
	t.Helper()
	ctx, report := steadyhttp.WithReport(r.Context())
	response, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		assert.Nil(t, response, "exactly one of response and error")
		return delivery{Report: report, err: err}
	}
	content, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	assert.NoError(t, response.Body.Close())
	return delivery{Report: report, response: response, content: string(content)}
}

// assertCame checks the class of each attempt, and why there was none after the last.
func (d delivery) assertCame(t *testing.T, stopped steadyhttp.StopReason, classes ...steadyhttp.Class) {
	t.Helper()
	var came []steadyhttp.Class
	for _, a := range d.Attempts {
		came = append(came, a.Class)
	}
	assert.Equal(t, classes, came, "classes of the attempts")
	assert.Equal(t, stopped, d.Stopped, "stopped for %v", d.Stopped)
}

func (d delivery) assertAnswered(t *testing.T, code int, content string) {
	t.Helper()
	if assert.NoError(t, d.err) {
		assert.Equal(t, code, d.response.StatusCode)
		assert.Equal(t, content, d.content)
	}
}

// assertFailedOnce checks that a failure was not retried, and is returned as net/http made it: what was
// wrapped would hide it from a type assertion, as http.Client makes one.
func (d delivery) assertFailedOnce(t *testing.T, class steadyhttp.Class) {
	t.Helper()
	require.Error(t, d.err)
	require.Len(t, d.Attempts, 1)
	assert.Equal(t, class, d.Attempts[0].Class)
	assert.Equal(t, d.Attempts[0].Err, d.err)
	var wrapped *steadyhttp.Error
	assert.NotErrorAs(t, d.err, &wrapped)
}

// assertCounted checks what the only breaker has counted: failures among requests.
func assertCounted(t *testing.T, transport *steadyhttp.Transport, failures, requests int) {
	t.Helper()
	breakers := transport.Breakers()
	require.Len(t, breakers, 1)
	assert.Equal(t, steadyhttp.BreakerClosed, breakers[0].State)
	assert.EqualValues(t, failures, breakers[0].Failures, "failures counted by the breaker")
	assert.EqualValues(t, requests, breakers[0].Requests, "requests counted by the breaker")
}

func wireRequest(t *testing.T, method, url, content string) *http.Request {
	t.Helper()
	var payload io.Reader
	if content != "" {
		payload = strings.NewReader(content)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, payload)
	require.NoError(t, err)
	return r
}

// A wireServer is net/http's server on loopback. Each request is for the next of its handlers, and
// those that are left over for the last.
type wireServer struct {
	*httptest.Server
	arrived     atomic.Int64
	connections atomic.Int64
}

func serveWire(t *testing.T, start func(*httptest.Server), handlers ...http.HandlerFunc) *wireServer {
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
	plainly  = (*httptest.Server).Start
	securely = (*httptest.Server).StartTLS
)

// trusting returns a client's side of TLS that accepts the server's certificate.
func trusting(s *wireServer) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots}
}

// eachProtocol runs a test over HTTP/1 and over HTTP/2, both in the clear.
func eachProtocol(t *testing.T, run func(t *testing.T, spoken *http.Protocols)) {
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

func speaking(spoken *http.Protocols) func(*httptest.Server) {
	return func(s *httptest.Server) {
		s.Config.Protocols = spoken
		s.Start()
	}
}

// echo answers with the method and the body, once it has all of it.
func echo(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, r.Method+" "+string(content))
}

// reply answers with a code, and headers given as name, value, name, value.
func reply(code int, header ...string) http.HandlerFunc {
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

// silent reads the request and says nothing until the client is gone.
func silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// reset drops the connection with a TCP RST.
func reset(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }

// serve starts a server of the test kit, which is closed with the test.
func serve(t *testing.T, start func(...step) *steadyhttptest.Server, steps ...step) *steadyhttptest.Server {
	t.Helper()
	server := start(steps...)
	t.Cleanup(server.Close)
	return server
}

// accept has each connection handled and closed, and returns the address to dial.
func accept(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			handlers.Go(func() { handleUntil(t.Context(), conn, handle) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		handlers.Wait()
	})
	return listener.Addr().String()
}

func handleUntil(ctx context.Context, conn net.Conn, handle func(net.Conn)) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	handle(conn)
}

// refusing returns an address that refuses connections, and goes on to: the local end of a connection
// has its port, and does not listen.
func refusing(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// A dialFunc is an http.Transport's DialContext.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialing returns a base whose first dials are done in these ways, and the others as usual.
func dialing(dials ...dialFunc) *http.Transport {
	var dialed atomic.Int64
	return &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if number := int(dialed.Add(1)); number <= len(dials) {
			return dials[number-1](ctx, network, address)
		}
		return asUsual(ctx, network, address)
	}}
}

func asUsual(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// dialTo dials an address of its own choice.
func dialTo(address string) dialFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return asUsual(ctx, network, address)
	}
}

// dialFailing fails as the operating system makes a dial fail.
func dialFailing(operation string, number error) dialFunc {
	return func(_ context.Context, network, _ string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError(operation, number)}
	}
}

// readSome waits for the client's first words, and readAll for its last.
func readSome(conn net.Conn) { _, _ = conn.Read(make([]byte, 16<<10)) }
func readAll(conn net.Conn)  { _, _ = io.Copy(io.Discard, conn) }

// Answers of a DNS server (RFC 1035 §4.1.1).
const (
	rcodeServerFailure = 2
	rcodeNameError     = 3
	rcodeRefused       = 5
)

// resolving dials a name for which the DNS server answers with an rcode.
func resolving(t *testing.T, rcode byte) dialFunc {
	t.Helper()
	server := serveDNS(t, rcode)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return asUsual(ctx, "udp", server)
	}}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Resolver: resolver}).DialContext(ctx, network, "steady.example:80")
	}
}

func serveDNS(t *testing.T, rcode byte) (address string) {
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

// The rest is about connections and bodies.

func TestWire_ConnectionIsReusedAcrossRetries(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		const calls, attempts = 20, 3
		var arrived atomic.Int64
		server := serveWire(t, speaking(spoken), func(w http.ResponseWriter, r *http.Request) {
			if arrived.Add(1)%attempts == 0 {
				echo(w, r)
				return
			}
			w.WriteHeader(503)
			_, _ = io.WriteString(w, strings.Repeat("sorry ", 100))
		})
		transport := overWire(t, &http.Transport{Protocols: spoken}, unlimited()...)
		for range calls {
			call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
			call.assertAnswered(t, 200, "GET ")
		}
		assert.EqualValues(t, calls*attempts, arrived.Load())
		assert.LessOrEqual(t, server.connections.Load(), int64(calls/4), "one, and another for each body that a busy machine takes longer to bring than is waited for")
	})
}

// stalling announces more of a 503's body than it sends, and tells when the client has hung up.
func stalling(hungUp chan<- struct{}) http.HandlerFunc {
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

func TestDrain_StalledBodyDelaysTheRetryLittleAndLeaksNothing(t *testing.T) {
	t.Parallel()
	for name, perHost := range map[string]int{"many connections": 0, "one connection": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
				hungUp := make(chan struct{})
				server := serveWire(t, speaking(spoken), stalling(hungUp), echo)
				transport := overWire(t, &http.Transport{Protocols: spoken, MaxConnsPerHost: perHost})
				start := time.Now()
				call := deliver(t, transport, wireRequest(t, http.MethodPut, server.URL, "payload"))
				call.assertAnswered(t, 200, "PUT payload")
				call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
				assert.Less(t, time.Since(start), 2*time.Second)
				assertClosed(t, hungUp)
			})
		})
	}
}

func assertClosed(t *testing.T, signal <-chan struct{}) {
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

func TestWire_OneConnectionPerHostIsEnoughToRetry(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, reply(503), reply(503), echo)
	transport := overWire(t, &http.Transport{MaxConnsPerHost: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	call := deliver(t, transport, wireRequest(t, http.MethodPut, server.URL, "payload").WithContext(ctx))
	call.assertAnswered(t, 200, "PUT payload")
	assert.Len(t, call.Attempts, 3)
}

// The server answers before it reads, and hangs up while the client still writes.
func TestBody_LargeUploadIsWholeOnEveryRetry(t *testing.T) {
	t.Parallel()
	content := make([]byte, 4<<20)
	for i := range content {
		content[i] = byte(i * i >> 8)
	}
	whole := fmt.Sprint(len(content), crc32.ChecksumIEEE(content))
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		const senders, calls = 5, 3
		server := serveWire(t, speaking(spoken), refusingOnce())
		transport := overWire(t, &http.Transport{Protocols: spoken}, unlimited()...)
		var uploads sync.WaitGroup
		for sender := range senders {
			uploads.Go(func() {
				for call := range calls {
					uploadTwice(t, transport, fmt.Sprintf("%s/%d/%d", server.URL, sender, call), content, whole)
				}
			})
		}
		uploads.Wait()
	})
}

// refusingOnce answers the first request for each path with a 503, body unread, and the others with the
// length and checksum of their bodies.
func refusingOnce() http.HandlerFunc {
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

func uploadTwice(t *testing.T, transport *steadyhttp.Transport, url string, content []byte, whole string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(content))
	if assert.NoError(t, err) {
		call := deliver(t, transport, r)
		call.assertAnswered(t, 200, whole)
		call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
	}
}

func TestAttemptTimeout_BodyIsReadableOnceItHasPassed(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		const limit, size = 100 * time.Millisecond, 1 << 20
		passed := make(chan struct{})
		server := serveWire(t, speaking(spoken), func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-passed:
				_, _ = w.Write(make([]byte, size))
			case <-r.Context().Done():
			}
		})
		transport := overWire(t, &http.Transport{Protocols: spoken}, patient(limit)...)
		response, err := transport.RoundTrip(wireRequest(t, http.MethodGet, server.URL, ""))
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		<-time.After(limit)
		close(passed)
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Len(t, content, size)
	})
}

// patient has attempts time out, but tries often enough for a busy machine to answer in time.
func patient(limit time.Duration) []steadyhttp.Option {
	return unlimited(steadyhttp.WithAttemptTimeout(limit), steadyhttp.WithMaxAttempts(20))
}

// upgrade switches to a protocol in which all that is said is repeated.
func upgrade(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}

func TestAttemptTimeout_UpgradedConnectionWorksOnceItHasPassed(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	for name, options := range map[string][]steadyhttp.Option{"without": unlimited(), "with": patient(limit)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, reply(503), upgrade)
			transport := overWire(t, &http.Transport{}, options...)
			r := wireRequest(t, http.MethodGet, server.URL, "")
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "echo")
			response, err := transport.RoundTrip(r)
			require.NoError(t, err)
			defer func() { _ = response.Body.Close() }()
			require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
			require.Implements(t, (*io.ReadWriteCloser)(nil), response.Body)
			<-time.After(limit)
			assertEchoes(t, response.Body.(io.ReadWriteCloser))
		})
	}
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

// Other tests run at the same time, so only goroutines are counted that bear the label of this one. A
// goroutine inherits its maker's; the servers are made without.
func TestLeak_NoGoroutineOutlivesItsCall(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		hungUp := make(chan struct{})
		server := serveWire(t, speaking(spoken), reply(503), aborting, stalling(hungUp), silent, echo)
		base := &http.Transport{Protocols: spoken}
		transport := overWire(t, base, patient(patience)...)
		label := t.Name()
		pprof.Do(t.Context(), pprof.Labels("test", label), func(ctx context.Context) {
			deliver(t, transport, wireRequest(t, http.MethodPut, server.URL, "payload")).assertAnswered(t, 200, "PUT payload")
			canceled, cancel := context.WithTimeout(ctx, 1)
			defer cancel()
			deliver(t, transport, wireRequest(t, http.MethodPut, server.URL, "payload").WithContext(canceled))
			assert.Positive(t, labelled(label), "the label is found")
		})
		gone := func() bool {
			transport.CloseIdleConnections() // a connection may have been about to become idle
			return labelled(label) == 0
		}
		assert.Eventually(t, gone, 2*time.Second, 5*time.Millisecond)
	})
}

// labelled counts the goroutines with a label, in the profile's text: each of its entries is a line with
// a count, and a line with the labels if there are any.
func labelled(label string) (count int) {
	var profile strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1)
	alike := 0
	for line := range strings.Lines(profile.String()) {
		if number, _, ok := strings.Cut(line, " @ "); ok {
			alike, _ = strconv.Atoi(number)
		}
		if strings.HasPrefix(line, "# labels:") && strings.Contains(line, strconv.Quote(label)) {
			count += alike
		}
	}
	return count
}

func TestProxy_ReasonIsShownWithoutEscapesAndSecrets(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(connection, "HTTP/1.1 503 \x1b[31mask http://me:hunter2@help/?hunter2\r\n\r\n")
			_ = connection.Close()
		}
	}))
	defer proxy.Close()
	address, err := url.Parse(strings.Replace(proxy.URL, "http://", "http://me:hunter2@", 1))
	require.NoError(t, err)
	_, err = newTransport(t, &http.Transport{Proxy: http.ProxyURL(address)}, shortWaits).RoundTrip(get(t))
	assert.EqualError(t, err, "steadyhttp: GET "+target+" failed after 4 attempts (max_attempts):  [31mask http://help/")
}
