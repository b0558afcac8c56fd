package steadyhttp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBase_WaitsForAHeaderUnlessTheAttemptTimeoutDoes(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 30*time.Second, pooledTransport(true).ResponseHeaderTimeout)
	assert.Zero(t, pooledTransport(false).ResponseHeaderTimeout)
}

func TestBase_PingsHTTP2AndKeepsConnectionsForABusyHost(t *testing.T) {
	t.Parallel()
	base := pooledTransport(true)
	assert.Equal(t, 30*time.Second, base.HTTP2.SendPingTimeout)
	assert.Equal(t, 15*time.Second, base.HTTP2.PingTimeout)
	assert.Zero(t, base.HTTP2.WriteByteTimeout, "a writeTimeoutConn does it better")
	assert.GreaterOrEqual(t, base.MaxIdleConnsPerHost, 64)
	assert.GreaterOrEqual(t, base.MaxIdleConns, 2*base.MaxIdleConnsPerHost)
	assert.Equal(t, 30*time.Second, newBuiltInTransport(true).writeTimeout)
}

// A uploadProtocol is a way to upload.
type uploadProtocol struct {
	secure, http2 bool
}

var uploadProtocols = map[string]uploadProtocol{"HTTP1": {}, "HTTPS1": {secure: true}, "HTTP2": {secure: true, http2: true}}

// runEachUploadProtocol runs a test with a server of each protocol and the built-in transport, whose limit is short.
func runEachUploadProtocol(t *testing.T, limit time.Duration, handle http.HandlerFunc, run func(*testing.T, *Transport, string)) {
	t.Helper()
	for name, protocol := range uploadProtocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(handle)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.EnableHTTP2 = protocol.http2
			// A server of HTTP/1 that does not read a body does not see that the client has gone.
			server.Config.BaseContext = func(net.Listener) context.Context { return t.Context() }
			start := server.Start
			if protocol.secure {
				start = server.StartTLS
			}
			start()
			t.Cleanup(func() {
				server.CloseClientConnections()
				server.Close()
			})
			run(t, newShortWriteTimeout(t, limit, server.Certificate()), server.URL)
		})
	}
}

func newShortWriteTimeout(t *testing.T, limit time.Duration, trusted *x509.Certificate) *Transport {
	t.Helper()
	pooled := pooledTransport(true)
	t.Cleanup(pooled.CloseIdleConnections)
	pooled.DialContext = dialWithWriteTimeout((&net.Dialer{}).DialContext, limit)
	if trusted != nil {
		roots := x509.NewCertPool()
		roots.AddCert(trusted)
		pooled.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	transport, err := NewTransport(&builtInTransport{RoundTripper: pooled, boundsHeader: true, writeTimeout: limit, late: newLateTrace()}, WithMaxAttempts(1))
	require.NoError(t, err)
	return transport
}

// doNothing neither reads nor responds until the test is over.
func doNothing(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func newUpload(t *testing.T, url string, size int) (*http.Request, *closedBody) {
	t.Helper()
	body := &closedBody{Reader: io.LimitReader(zeroes{}, int64(size))}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
	require.NoError(t, err)
	r.ContentLength = int64(size)
	return r, body
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A closedBody notes that it was closed.
type closedBody struct {
	io.Reader
	closed atomic.Bool
}

func (b *closedBody) Close() error { b.closed.Store(true); return nil }

// large does not fit into the buffers between client and server.
const large = 64 << 20

func TestBase_UploadThatTheServerDoesNotReadEnds(t *testing.T) {
	t.Parallel()
	const limit = 200 * time.Millisecond
	runEachUploadProtocol(t, limit, doNothing, func(t *testing.T, transport *Transport, url string) {
		r, body := newUpload(t, url, large)
		start := time.Now()
		response, err := transport.RoundTrip(r)
		assert.Nil(t, response)
		assertWriteTimeout(t, err, start, limit)
		assert.Eventually(t, body.closed.Load, time.Second, time.Millisecond)
	})
}

func assertWriteTimeout(t *testing.T, err error, start time.Time, limit time.Duration) {
	t.Helper()
	var stalled *writeTimeoutError
	require.ErrorAs(t, err, &stalled)
	assert.ErrorContains(t, err, "nothing of the request could be written for 200ms")
	assert.True(t, (&url.Error{Err: err}).Timeout())
	assert.Equal(t, Transient, Classify(nil, nil, err))
	assert.GreaterOrEqual(t, time.Since(start), limit)
	assert.Less(t, time.Since(start), 50*limit)
}

// A server that reads nothing from the connection at all lets writes block below HTTP/2, too.
func TestBase_UploadToAConnectionThatNobodyReadsEnds(t *testing.T) {
	t.Parallel()
	const limit = 200 * time.Millisecond
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	for _, protocols := range [][]string{{"http/1.1"}, {"h2"}} {
		listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: protocols})
		require.NoError(t, err)
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_ = conn.(*tls.Conn).Handshake()
				const settings = "\x00\x00\x0c\x04\x00\x00\x00\x00\x00" + "\x00\x04\x7f\xff\xff\xff" + "\x00\x05\x00\xff\xff\xff" // a window of 2 GiB
				const window = "\x00\x00\x04\x08\x00\x00\x00\x00\x00" + "\x7f\xff\x00\x00"
				if protocols[0] == "h2" {
					_, _ = io.WriteString(conn, settings+window)
				}
				accepted <- conn
			}
		}()
		r, _ := newUpload(t, "https://"+listener.Addr().String(), large)
		start := time.Now()
		_, err = newShortWriteTimeout(t, limit, certified.Certificate()).RoundTrip(r)
		assertWriteTimeout(t, err, start, limit)
		_ = (<-accepted).Close()
		_ = listener.Close()
	}
}

func TestBase_SlowUploadIsNotEnded(t *testing.T) {
	t.Parallel()
	const limit = 700 * time.Millisecond
	readSlowly := func(w http.ResponseWriter, r *http.Request) {
		for piece := make([]byte, 1<<20); ; time.Sleep(limit / 10) {
			if _, err := io.ReadFull(r.Body, piece); err != nil {
				break
			}
		}
		_, _ = io.WriteString(w, "all of it")
	}
	runEachUploadProtocol(t, limit, readSlowly, func(t *testing.T, transport *Transport, url string) {
		r, _ := newUpload(t, url, 24<<20)
		start := time.Now()
		assertResponds(t, transport, r, "all of it")
		assert.Greater(t, time.Since(start), 2*limit, "it was slow")
	})
}

func assertResponds(t *testing.T, transport http.RoundTripper, r *http.Request, want string) {
	t.Helper()
	response, err := transport.RoundTrip(r)
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	assert.NoError(t, response.Body.Close())
	assert.True(t, want == string(content), "%d octets instead of %d", len(content), len(want))
}

// What the body takes is not the server's time.
func TestBase_UploadWhoseBodyIsSlowIsNotEnded(t *testing.T) {
	t.Parallel()
	const limit = 500 * time.Millisecond
	count := func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	}
	runEachUploadProtocol(t, limit, count, func(t *testing.T, transport *Transport, url string) {
		r, _ := newUpload(t, url, 3)
		r.Body = io.NopCloser(slowReader{strings.NewReader("abc"), 2 * limit})
		assertResponds(t, transport, r, "3")
	})
}

// A slowReader brings one octet at a time.
type slowReader struct {
	io.Reader
	pause time.Duration
}

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(r.pause)
	return r.Reader.Read(p[:1])
}

// The response is the caller's to read, however long that takes, and whatever becomes of the upload.
func TestBase_ResponseThatComesBeforeTheUploadEndsIsReadable(t *testing.T) {
	t.Parallel()
	const limit = 500 * time.Millisecond
	respondEarly := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(3 * limit)
		_, _ = io.Copy(w, r.Body)
	}
	runEachUploadProtocol(t, limit, respondEarly, func(t *testing.T, transport *Transport, url string) {
		r, _ := newUpload(t, url, 100_001)
		assertResponds(t, transport, r, strings.Repeat("\x00", 100_000))
	})
}

func TestBase_ErrorOfTheCallerIsNoStall(t *testing.T) {
	t.Parallel()
	errBored := errors.New("bored")
	runEachUploadProtocol(t, time.Minute, doNothing, func(t *testing.T, transport *Transport, url string) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(errBored) })
		r, _ := newUpload(t, url, large)
		_, err := transport.RoundTrip(r.WithContext(ctx))
		require.Error(t, err)
		var stalled *writeTimeoutError
		assert.NotErrorAs(t, err, &stalled)
	})
}

// After a 101 the connection is the caller's, who may write when it pleases the other side.
func TestBase_UpgradedConnectionMayBlock(t *testing.T) {
	t.Parallel()
	const limit = 500 * time.Millisecond
	runEachUpgrade := map[string]func(*httptest.Server){"HTTP": (*httptest.Server).Start, "HTTPS": (*httptest.Server).StartTLS}
	for name, start := range runEachUpgrade {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if assert.NoError(t, err) {
					defer func() { _ = conn.Close() }()
					_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: sink\r\n\r\n")
					time.Sleep(4 * limit)
					n, _ := io.CopyN(io.Discard, conn, large)
					_, _ = fmt.Fprintln(conn, n)
				}
			}))
			start(server)
			t.Cleanup(server.Close)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			require.NoError(t, err)
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "sink")
			response, err := newShortWriteTimeout(t, limit, server.Certificate()).RoundTrip(r)
			require.NoError(t, err)
			require.Equal(t, 101, response.StatusCode)
			conn := response.Body.(io.ReadWriteCloser)
			defer func() { _ = conn.Close() }()
			_, err = io.CopyN(conn, zeroes{}, large)
			require.NoError(t, err)
			line, err := bufio.NewReader(conn).ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintln(large), line)
		})
	}
}

// newWriteTimeoutPair returns two ends of a connection, of which the first is bounded.
func newWriteTimeoutPair(t *testing.T, limit time.Duration) (*writeTimeoutConn, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	dialed, err := dialWithWriteTimeout((&net.Dialer{}).DialContext, limit)(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	accepted, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = dialed.Close(); _ = accepted.Close() })
	return dialed.(*writeTimeoutConn), accepted
}

func TestWriteTimeout_KeepsToADeadlineFromAbove(t *testing.T) {
	t.Parallel()
	content := make([]byte, large)
	for name, set := range map[string]func(*writeTimeoutConn, time.Time) error{
		"of writes": (*writeTimeoutConn).SetWriteDeadline, "of all": (*writeTimeoutConn).SetDeadline,
	} {
		conn, _ := newWriteTimeoutPair(t, time.Minute)
		require.NoError(t, set(conn, time.Now().Add(50*time.Millisecond)))
		_, err := conn.Write(content)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
		var stalled *writeTimeoutError
		require.NotErrorAs(t, err, &stalled, name)

		conn, _ = newWriteTimeoutPair(t, time.Minute)
		time.AfterFunc(50*time.Millisecond, func() { _ = set(conn, time.Now()) }) // as context.AfterFunc would
		_, err = conn.Write(content)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
	}
}

func TestWriteTimeout_HasNoDeadlineBetweenWrites(t *testing.T) {
	t.Parallel()
	const limit = 30 * time.Millisecond
	conn, other := newWriteTimeoutPair(t, limit)
	_, err := io.WriteString(conn, "a")
	require.NoError(t, err)
	time.Sleep(3 * limit)
	_, err = conn.TCPConn.Write([]byte("b")) // past the bound
	require.NoError(t, err)
	content := make([]byte, 2)
	_, err = io.ReadFull(other, content)
	require.NoError(t, err)
	assert.Equal(t, "ab", string(content))
}

// One write may take longer than the limit, as long as it gets on.
func TestWriteTimeout_EveryOctetArrivesOnceHoweverSlowly(t *testing.T) {
	t.Parallel()
	const limit, pieces = 600 * time.Millisecond, 24 // a blocked write is looked at every 20 ms
	content := make([]byte, 16<<20)
	for i := range content {
		content[i] = byte(i * i >> 8)
	}
	for name, write := range map[string]func(*writeTimeoutConn) (int64, error){
		"Write": func(conn *writeTimeoutConn) (int64, error) { n, err := conn.Write(content); return int64(n), err },
		"ReadFrom": func(conn *writeTimeoutConn) (int64, error) {
			return io.Copy(conn, io.MultiReader(bytes.NewReader(content)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, other := newWriteTimeoutPair(t, limit)
			var received []byte
			var reading sync.WaitGroup
			reading.Go(func() {
				piece := make([]byte, len(content)/pieces+1)
				for len(received) < len(content) {
					n, err := other.Read(piece)
					if err != nil {
						return
					}
					received = append(received, piece[:n]...)
					time.Sleep(limit / 10)
				}
			})
			n, err := write(conn)
			require.NoError(t, err)
			assert.EqualValues(t, len(content), n)
			reading.Wait()
			assert.True(t, bytes.Equal(content, received))
		})
	}
}

// connectTo has the built-in transport ask a proxy that answers with this status line.
func connectTo(t *testing.T, statusLine string) (*Transport, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(conn, statusLine+"\r\nContent-Length: 0\r\n\r\n")
			_ = conn.Close()
		}
	}))
	t.Cleanup(proxy.Close)
	address, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	base := newBuiltInTransport(true)
	base.RoundTripper.(*http.Transport).Proxy = http.ProxyURL(address)
	transport, err := NewTransport(base, WithBackoff(time.Millisecond, time.Millisecond))
	require.NoError(t, err)
	return transport, &asked
}

// Of the built-in transport the status is known, and no phrase needs to be.
func TestBase_ProxysStatusDecidesWhateverItsPhraseIs(t *testing.T) {
	t.Parallel()
	for line, attempts := range map[string]int64{
		"HTTP/1.1 407 Proxy Authentication Required": 1, "HTTP/1.1 407 ": 1, "HTTP/1.1 403": 1, "HTTP/1.1 499 whatever": 1,
		"HTTP/1.1 302 Found": 1, "HTTP/1.1 204 No Content": 1, "HTTP/1.1 400 Bad Gateway": 1,
		"HTTP/1.1 502 Bad Gateway": 4, "HTTP/1.1 503 ": 4, "HTTP/1.1 504": 4, "HTTP/1.1 599 Forbidden": 4,
	} {
		transport, asked := connectTo(t, line)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://steady.example/", nil)
		require.NoError(t, err)
		_, err = transport.RoundTrip(r)
		require.ErrorContains(t, err, "proxy answered CONNECT with "+strings.TrimPrefix(line, "HTTP/1.1 ")[:3], line)
		assert.Equal(t, attempts, asked.Load(), line)
		assert.Equal(t, attempts > 1, transport.Breakers()[0].Failures > 0, line)
	}
}

func TestBase_ManyCallersOfOneHostReuseTheirConnections(t *testing.T) {
	t.Parallel()
	const callers, rounds = 64, 10
	var connections atomic.Int64
	var arrived sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait() // until all of the round are there, each on a connection
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client, err := NewClient()
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	for range rounds {
		arrived.Add(callers)
		var round sync.WaitGroup
		for range callers {
			round.Go(func() {
				response, err := client.Get(server.URL)
				if assert.NoError(t, err) {
					_ = response.Body.Close()
				}
			})
		}
		round.Wait()
	}
	assert.EqualValues(t, callers, connections.Load())
}

func TestWriteTimeout_ReleaseTakesBackTheTickOfAWriteThatIsAboutToReturn(t *testing.T) {
	t.Parallel()
	conn, accepted := newWriteTimeoutPair(t, time.Minute)
	conn.setTick(time.Now().Add(-time.Second)) // as a header's write leaves it, until its goroutine goes on
	conn.release()
	_, err := conn.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(accepted, make([]byte, 1))
	require.NoError(t, err)
}

// Calls whose responses' bodies are read at the same time leave as many idle connections, though no two of them were under
// way together. Before, a GET reached the server 22 times.
func TestBase_ConnectionsOfBodiesReadTogetherDoNotExceedTheBoundOfSends(t *testing.T) {
	t.Parallel()
	var dropped atomic.Int64
	var dropping atomic.Bool
	released := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if dropping.Load() {
			dropped.Add(1)
			panic(http.ErrAbortHandler)
		}
		_ = http.NewResponseController(w).Flush()
		<-released
	}))
	t.Cleanup(server.Close)
	transport, err := NewTransport(nil, WithMaxAttempts(1))
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	send := func() (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		require.NoError(t, err)
		return transport.RoundTrip(r)
	}
	open := &transport.base.(*builtInTransport).open
	var bodies []io.ReadCloser
	for range 21 {
		response, err := send()
		require.NoError(t, err)
		bodies = append(bodies, response.Body)
	}
	assert.EqualValues(t, 1, open.many.Load())
	close(released)
	for _, body := range bodies {
		_, err := io.Copy(io.Discard, body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
	}
	dropping.Store(true)
	_, err = send()
	require.Error(t, err)
	assert.LessOrEqual(t, dropped.Load(), int64(maxSends))
	transport.CloseIdleConnections()
	assert.Eventually(t, func() bool { return open.many.Load() == 0 }, 5*time.Second, time.Millisecond)
}
