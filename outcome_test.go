package steadyhttp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// These tests go through the outcome table row by row, and provoke each outcome for real.

// patience is what the tests give a server that will not answer.
const patience = 30 * time.Millisecond

func TestWire_ResponseBelow400IsASuccess(t *testing.T) {
	t.Parallel()
	for _, code := range []int{200, 201, 202, 203, 204, 206, 226, 299, 300, 301, 302, 303, 304, 307, 308, 399} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, reply(code, "Location", "/elsewhere", "Retry-After", "0"))
			transport := overWire(t, &http.Transport{})
			call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
			require.NoError(t, call.err)
			assert.Equal(t, code, call.response.StatusCode)
			call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Success)
			assertCounted(t, transport, 0, 1)
		})
	}
}

func TestWire_InformationalResponseComesBeforeTheFinalOne(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := serveWire(t, speaking(spoken), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "final")
		})
		transport := overWire(t, &http.Transport{Protocols: spoken})
		var hints []int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints = append(hints, code); return nil },
		})
		call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload").WithContext(ctx))
		call.assertAnswered(t, 200, "final")
		call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Success)
		assert.Equal(t, []int{103}, hints)
		assertCounted(t, transport, 0, 1)
	})
}

func TestWire_ClientFaultIsNeverRetried(t *testing.T) {
	t.Parallel()
	for _, code := range []int{
		400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
		421, 422, 423, 424, 425, 426, 428, 431, 451, 499,
	} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, reply(code, "Retry-After", "0"))
			transport := overWire(t, &http.Transport{})
			call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
			call.assertAnswered(t, code, "answer")
			call.assertCame(t, steadyhttp.StopNotRetryable, steadyhttp.ClientFault)
			assert.EqualValues(t, 1, server.arrived.Load())
			assertCounted(t, transport, 0, 1)
		})
	}
}

func TestRetryAfter_ThrottledPostIsRetriedAfterIt(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string]struct {
		header string
		wait   time.Duration
	}{
		"zero":     {"0", 0},
		"fraction": {"0.02", 20 * time.Millisecond},
		"past":     {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, reply(429, "Retry-After", asked.header), echo)
			transport := overWire(t, &http.Transport{})
			call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertAnswered(t, 200, "POST payload")
			call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Throttled, steadyhttp.Success)
			assert.GreaterOrEqual(t, call.Attempts[0].Wait, asked.wait)
			assertCounted(t, transport, 0, 1)
		})
	}
}

func TestRetryAfter_ThrottledWithoutAUsableOneIsReturned(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{
		"absent":   nil,
		"junk":     {"Retry-After", "soon"},
		"negative": {"Retry-After", "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, reply(429, header...))
			transport := overWire(t, &http.Transport{})
			call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
			call.assertAnswered(t, 429, "answer")
			call.assertCame(t, steadyhttp.StopNotRetryable, steadyhttp.Throttled)
			assertCounted(t, transport, 0, 0)
		})
	}
}

func TestWire_TransientResponseIsRetriedIfIdempotent(t *testing.T) {
	t.Parallel()
	for _, code := range []int{
		500, 502, 503, 504, 509, 512, 520, 521, 522, 523, 524, 525, 527, 529, 530, 598, 599, 600, 999,
	} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, reply(code), reply(code), echo)
			transport := overWire(t, &http.Transport{})
			call := deliver(t, transport, wireRequest(t, http.MethodPut, server.URL, "payload"))
			call.assertAnswered(t, 200, "PUT payload")
			call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Success)
			assert.Equal(t, 3, steadyhttp.Attempts(call.response))
			assertCounted(t, transport, 2, 3)
		})
	}
}

func TestWire_TransientResponseToAPostIsReturned(t *testing.T) {
	t.Parallel()
	for _, code := range []int{500, 502, 503, 504, 529} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, reply(code, "Retry-After", "0"))
			transport := overWire(t, &http.Transport{})
			call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertAnswered(t, code, "answer")
			call.assertCame(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
			assert.EqualValues(t, 1, server.arrived.Load())
			assertCounted(t, transport, 1, 1)
		})
	}
}

func TestWire_LastTransientResponseIsReturnedUnread(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := serveWire(t, speaking(spoken), reply(503))
		transport := overWire(t, &http.Transport{Protocols: spoken}, steadyhttp.WithMaxAttempts(3))
		call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
		call.assertAnswered(t, 503, "answer")
		call.assertCame(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Transient)
		assertCounted(t, transport, 3, 3)
	})
}

// RFC 9110 §15 asks to treat a code outside 100–599 as a 5xx.
func TestWire_StatusBelow100IsTransient(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"000", "042", "099"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			server := serve(t, steadyhttptest.NewServer, steadyhttptest.Raw("HTTP/1.1 "+code+" Odd\r\nContent-Length: 0\r\n\r\n"), status(200).Body("fine"))
			transport := overWire(t, &http.Transport{})
			call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
			call.assertAnswered(t, 200, "fine")
			call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
			assertCounted(t, transport, 1, 2)
		})
	}
}

func TestWire_PermanentResponseIsReturnedAtOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []int{501, 505, 506, 507, 508, 510, 511, 526} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, reply(code, "Retry-After", "0"))
			transport := overWire(t, &http.Transport{})
			call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
			call.assertAnswered(t, code, "answer")
			call.assertCame(t, steadyhttp.StopNotRetryable, steadyhttp.Permanent)
			assert.EqualValues(t, 1, server.arrived.Load())
			assertCounted(t, transport, 0, 1)
		})
	}
}

func TestWire_PostIsRetriedAfterAFailedDial(t *testing.T) {
	t.Parallel()
	for name, otherwise := range map[string]func(*testing.T) dialFunc{
		"refused": func(t *testing.T) dialFunc {
			return serve(t, steadyhttptest.NewServer, steadyhttptest.Refused).DialContext
		},
		"timeout":     func(*testing.T) dialFunc { return (&net.Dialer{Timeout: 1}).DialContext },
		"unreachable": func(*testing.T) dialFunc { return dialFailing("connect", syscall.EHOSTUNREACH) },
		"SERVFAIL":    func(t *testing.T) dialFunc { return resolving(t, rcodeServerFailure) },
		"REFUSED":     func(t *testing.T) dialFunc { return resolving(t, rcodeRefused) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, echo)
			wrong := otherwise(t)
			transport := overWire(t, dialing(wrong, wrong))
			call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertAnswered(t, 200, "POST payload")
			call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Success)
			assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, call.Attempts[0].Err))
			assert.EqualValues(t, 1, server.arrived.Load())
			assertCounted(t, transport, 2, 3)
		})
	}
}

func TestProxy_PostIsRetriedIfTheProxyRefusesTheConnection(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, echo)
	proxy := &url.URL{Scheme: "http", Host: refusing(t)}
	transport := overWire(t, &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
		taken := proxy
		proxy = nil
		return taken, nil
	}})
	call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
	call.assertAnswered(t, 200, "POST payload")
	call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
	require.ErrorIs(t, call.Attempts[0].Err, syscall.ECONNREFUSED)
	assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, call.Attempts[0].Err))
}

func TestWire_RefusedDialIsInTheErrorAfterTheLastAttempt(t *testing.T) {
	t.Parallel()
	transport := overWire(t, &http.Transport{}, steadyhttp.WithMaxAttempts(3))
	call := deliver(t, transport, wireRequest(t, http.MethodPost, "http://"+refusing(t), "payload"))
	var failed *steadyhttp.Error
	require.ErrorAs(t, call.err, &failed)
	require.ErrorIs(t, call.err, syscall.ECONNREFUSED)
	assert.Equal(t, 3, failed.Attempts)
	assert.Equal(t, steadyhttp.Unprocessed, failed.Class)
	assertCounted(t, transport, 3, 3)
}

// cutOffs are ways to hang up on a ClientHello, as a server does that is being restarted.
var cutOffs = map[string]func(net.Conn){"FIN": readSome, "RST": reset}

func TestTLS_PostIsRetriedIfTheHandshakeIsCutOff(t *testing.T) {
	t.Parallel()
	for name, hangUp := range cutOffs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, securely, echo)
			wrong := dialTo(accept(t, hangUp))
			base := dialing(wrong, wrong)
			base.TLSClientConfig = trusting(server)
			transport := overWire(t, base)
			call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertAnswered(t, 200, "POST payload")
			call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Success)
			assert.EqualValues(t, 1, server.arrived.Load())
			assertCounted(t, transport, 2, 3)
		})
	}
}

// A warm origin is not watched, so that it costs nothing. That errs on the safe side, and only once.
func TestTLS_HandshakeCutOffOnAUsedOriginIsMistakenOnlyOnce(t *testing.T) {
	t.Parallel()
	server := serveWire(t, securely, echo)
	hangUp := accept(t, readSome)
	base := dialing(asUsual, dialTo(hangUp), dialTo(hangUp))
	base.TLSClientConfig, base.DisableKeepAlives = trusting(server), true
	transport := overWire(t, base)
	deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "first")).assertAnswered(t, 200, "POST first")
	deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "second")).assertCame(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
	call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "third"))
	call.assertAnswered(t, 200, "POST third")
	call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
	assert.EqualValues(t, 2, server.arrived.Load())
}

func TestTLS_PostIsRetriedIfTheHandshakeTimesOut(t *testing.T) {
	t.Parallel()
	server := serveWire(t, securely, echo)
	base := dialing(dialTo(accept(t, readAll)))
	base.TLSClientConfig, base.TLSHandshakeTimeout = trusting(server), 100*time.Millisecond
	transport := overWire(t, base)
	call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
	call.assertAnswered(t, 200, "POST payload")
	assert.Equal(t, steadyhttp.Unprocessed, call.Attempts[0].Class)
	assert.EqualValues(t, 1, server.arrived.Load())
}

const closedIdle = "http: server closed idle connection"

func TestWire_PostIsRetriedIfTheServerClosedItsIdleConnection(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, echo)
	transport := overWire(t, closingAloud())
	ctx := hangingUp(t.Context(), server)
	deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "first").WithContext(ctx)).assertAnswered(t, 200, "POST first")
	call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "second").WithContext(ctx))
	call.assertAnswered(t, 200, "POST second")
	call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
	require.EqualError(t, call.Attempts[0].Err, closedIdle)
	assertCounted(t, transport, 1, 3)
}

func TestWire_PostIsProcessedOnceIfTheServerClosesIdleConnections(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, echo)
	transport := overWire(t, closingAloud(), unlimited()...)
	ctx := hangingUp(t.Context(), server)
	const calls = 30
	for i := range calls {
		payload := strconv.Itoa(i)
		call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, payload).WithContext(ctx))
		call.assertAnswered(t, 200, "POST "+payload)
	}
	assert.EqualValues(t, calls, server.arrived.Load())
	assert.EqualValues(t, calls, server.connections.Load(), "each call but the first found its connection closed")
}

// The error has no type, so Classify goes by its text: this fails when a new Go changes it.
func TestWire_NetHTTPStillReportsAClosedIdleConnection(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, echo)
	base := closingAloud()
	t.Cleanup(base.CloseIdleConnections)
	ctx := hangingUp(t.Context(), server)
	deliver(t, base, wireRequest(t, http.MethodPost, server.URL, "first").WithContext(ctx)).assertAnswered(t, 200, "POST first")
	call := deliver(t, base, wireRequest(t, http.MethodPost, server.URL, "second").WithContext(ctx))
	require.EqualError(t, call.err, closedIdle)
	assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, call.err))
	assert.EqualValues(t, 1, server.arrived.Load())
}

// hangingUp has the server close a used connection at the worst moment: once the client has picked it
// for a request, and before it knows.
func hangingUp(ctx context.Context, server *wireServer) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		if got.Reused {
			server.CloseClientConnections()
			<-got.Conn.(*loudConn).closed
		}
	}})
}

// closingAloud returns a base that tells when it closes a connection.
func closingAloud() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := asUsual(ctx, network, address)
		return &loudConn{Conn: conn, closed: make(chan struct{})}, err
	}}
}

type loudConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *loudConn) Close() error {
	defer c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// net/http resends to a server that refuses streams for 65 s before it gives up, so the time is
// virtual, and the wire a pipe.
func TestHTTP2_PostIsRetriedAfterARefusedStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const netHTTP = 8 // times that net/http sends by itself
		refusals := slices.Repeat([]step{steadyhttptest.RefusedStream}, netHTTP)
		server := serve(t, steadyhttptest.NewTLSPipeServer, append(refusals, status(200))...)
		transport := newTransport(t, server.Client().Transport, steadyhttp.WithBreakerWindow(time.Hour))
		call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
		call.assertAnswered(t, 200, "OK")
		call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
		assert.ErrorContains(t, call.Attempts[0].Err, "REFUSED_STREAM")
		assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, call.Attempts[0].Err))
		server.AssertAttempts(t, netHTTP+1)
		assertCounted(t, transport, 1, 2)
	})
}

// Without GetBody, net/http gives up at once.
func TestHTTP2_RefusedStreamIsReturnedIfTheBodyIsNotReplayable(t *testing.T) {
	t.Parallel()
	server := serve(t, steadyhttptest.NewTLSServer, steadyhttptest.RefusedStream)
	transport := overWire(t, server.Client().Transport.(*http.Transport))
	r := wireRequest(t, http.MethodPut, server.URL, "payload")
	r.GetBody = nil
	call := deliver(t, transport, r)
	require.ErrorContains(t, call.err, "REFUSED_STREAM")
	assert.Len(t, call.Attempts, 1)
	assert.Equal(t, steadyhttp.StopBodyNotReplayable, call.Stopped)
	server.AssertAttempts(t, 1)
	assertCounted(t, transport, 1, 1)
}

// brokenAnswers are what a failing server leaves on the wire once it has read the request, and how
// net/http tells of it.
var brokenAnswers = map[string]struct {
	step step
	tell func(*testing.T, error)
}{
	"reset":              {steadyhttptest.Reset, wraps(syscall.ECONNRESET)},
	"EOF":                {steadyhttptest.EOF, wraps(io.EOF)},
	"malformed":          {steadyhttptest.Raw("steady\r\n\r\n"), says("malformed HTTP response")},
	"malformed status":   {steadyhttptest.Raw("HTTP/1.1 wat OK\r\n\r\n"), says("malformed HTTP status code")},
	"truncated status":   {steadyhttptest.Raw("HTTP/1.1 20"), says("malformed HTTP status code")},
	"truncated header":   {steadyhttptest.HalfHeader, says("malformed MIME header")},
	"four-digit status":  {steadyhttptest.Raw("HTTP/1.1 2000 OK\r\n\r\n"), says("malformed HTTP status code")},
	"bad length":         {steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n"), says("bad Content-Length")},
	"contradictory":      {steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"), says("Content-Length")},
	"HTTP/2 on HTTP/1":   {steadyhttptest.Raw("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), says("malformed HTTP response")},
	"header without end": {steadyhttptest.Raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10)), says("server response headers exceeded")},
}

func wraps(want error) func(*testing.T, error) {
	return func(t *testing.T, err error) { assert.ErrorIs(t, err, want) }
}

func says(want string) func(*testing.T, error) {
	return func(t *testing.T, err error) { assert.ErrorContains(t, err, want) }
}

func TestWire_BrokenResponseToAGetIsRetried(t *testing.T) {
	t.Parallel()
	for name, broken := range brokenAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, steadyhttptest.NewServer, broken.step, broken.step, status(200).Body("fine"))
			transport := overWire(t, &http.Transport{MaxResponseHeaderBytes: 1 << 10})
			call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
			call.assertAnswered(t, 200, "fine")
			call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Success)
			broken.tell(t, call.Attempts[0].Err)
			server.AssertAttempts(t, 3)
			assertCounted(t, transport, 2, 3)
		})
	}
}

func TestWire_BrokenResponseToAPostIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	for name, broken := range brokenAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, steadyhttptest.NewServer, broken.step)
			transport := overWire(t, &http.Transport{MaxResponseHeaderBytes: 1 << 10})
			call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
			broken.tell(t, call.err)
			call.assertCame(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
			var failed *steadyhttp.Error
			require.ErrorAs(t, call.err, &failed)
			assert.Equal(t, steadyhttp.StopNotIdempotent, failed.Stopped)
			server.AssertAttempts(t, 1)
			server.AssertBody(t, "payload")
			assertCounted(t, transport, 1, 1)
		})
	}
}

// The connection was used before, so net/http may know that it is stale, but not that the request was.
func TestWire_BrokenResponseOnAUsedConnectionIsRetriedForPutOnly(t *testing.T) {
	t.Parallel()
	for method, classes := range map[string][]steadyhttp.Class{
		http.MethodPut:  {steadyhttp.Transient, steadyhttp.Success},
		http.MethodPost: {steadyhttp.Transient},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, echo, aborting, echo)
			transport := overWire(t, &http.Transport{})
			deliver(t, transport, wireRequest(t, method, server.URL, "first")).assertAnswered(t, 200, method+" first")
			call := deliver(t, transport, wireRequest(t, method, server.URL, "second"))
			assert.EqualValues(t, 1+len(classes), server.arrived.Load())
			require.ErrorIs(t, call.Attempts[0].Err, io.EOF)
			require.Len(t, call.Attempts, len(classes))
			assertCounted(t, transport, 1, 1+len(classes))
		})
	}
}

// aborting drops the connection over HTTP/1, and the stream over HTTP/2.
func aborting(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

func TestWire_AbortedExchangeIsRetriedForGetAndNotForPost(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := serveWire(t, speaking(spoken), aborting, reply(200), aborting)
		transport := overWire(t, &http.Transport{Protocols: spoken})
		call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
		call.assertAnswered(t, 200, "answer")
		call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		call = deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
		require.Error(t, call.err)
		call.assertCame(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assert.EqualValues(t, 3, server.arrived.Load())
		assertCounted(t, transport, 2, 3)
	})
}

var errMystery = errors.New("nobody knows this error")

// A mysteriousConn fails as no library knows.
type mysteriousConn struct{ net.Conn }

func (c mysteriousConn) Read([]byte) (int, error) {
	_, _ = c.Conn.Read(make([]byte, 1))
	return 0, errMystery
}

func dialMysteriously(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := asUsual(ctx, network, address)
	return mysteriousConn{conn}, err
}

func TestWire_UnknownErrorIsRetriedForGetAndNotForPost(t *testing.T) {
	t.Parallel()
	for method, attempts := range map[string]int{http.MethodGet: 2, http.MethodPost: 1} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, echo)
			transport := overWire(t, dialing(dialMysteriously))
			call := deliver(t, transport, wireRequest(t, method, server.URL, ""))
			require.Len(t, call.Attempts, attempts)
			require.ErrorIs(t, call.Attempts[0].Err, errMystery)
			assert.Equal(t, steadyhttp.Transient, call.Attempts[0].Class)
			assertCounted(t, transport, 1, attempts)
		})
	}
}

func TestAttemptTimeout_SilentServerIsRetriedForGet(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := serveWire(t, speaking(spoken), silent)
		transport := overWire(t, &http.Transport{Protocols: spoken},
			steadyhttp.WithAttemptTimeout(patience), steadyhttp.WithMaxAttempts(2))
		call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
		call.assertCame(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient, steadyhttp.Transient)
		for _, attempt := range call.Attempts {
			require.ErrorIs(t, attempt.Err, steadyhttp.ErrAttemptTimeout)
		}
		assertTimedOut(t, call.err)
		assertCounted(t, transport, 2, 2)
	})
}

func TestAttemptTimeout_SilentServerIsNotRetriedForPost(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := serveWire(t, speaking(spoken), silent)
		transport := overWire(t, &http.Transport{Protocols: spoken}, steadyhttp.WithAttemptTimeout(patience))
		call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
		call.assertCame(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assertTimedOut(t, call.err)
		assertCounted(t, transport, 1, 1)
	})
}

// assertTimedOut checks an attempt timeout, also as http.Client wraps it.
func assertTimedOut(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, (&url.Error{Op: "Get", URL: "/", Err: err}).Timeout(), "Timeout")
}

func TestAttemptTimeout_IsATimeoutToTheClient(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, silent)
	client, err := steadyhttp.NewClient(brisk(steadyhttp.WithAttemptTimeout(patience), steadyhttp.WithMaxAttempts(2))...)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	_, err = client.Get(server.URL)
	var wrapped *url.Error
	require.ErrorAs(t, err, &wrapped)
	assert.True(t, wrapped.Timeout())
	assertTimedOut(t, err)
}

func TestTimeout_OfTheResponseHeaderIsTransient(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, silent, reply(200))
	transport := overWire(t, &http.Transport{ResponseHeaderTimeout: 100 * time.Millisecond})
	call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
	require.NoError(t, call.err)
	assert.Equal(t, steadyhttp.Transient, call.Attempts[0].Class)
	assert.ErrorContains(t, call.Attempts[0].Err, "timeout awaiting response headers")
}

func TestTimeout_CallersShortDeadlineIsNoOutage(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		for name, options := range timedOrNot {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				server := serveWire(t, speaking(spoken), silent)
				transport := overWire(t, &http.Transport{Protocols: spoken}, options...)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, "").WithContext(ctx))
				require.ErrorIs(t, call.err, context.DeadlineExceeded)
				require.NotErrorIs(t, call.err, steadyhttp.ErrAttemptTimeout)
				call.assertFailedOnce(t, steadyhttp.Transient)
				assert.Equal(t, steadyhttp.StopDeadline, call.Stopped)
				assertCounted(t, transport, 0, 0)
			})
		}
	})
}

// timedOrNot: an attempt timeout gives each attempt a context of its own.
var timedOrNot = map[string][]steadyhttp.Option{
	"untimed": nil,
	"timed":   {steadyhttp.WithAttemptTimeout(time.Minute)},
}

func TestTimeout_OfTheClientIsNoOutage(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, silent)
	client, err := steadyhttp.NewClient(brisk(steadyhttp.WithTimeout(patience))...)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	_, err = client.Get(server.URL)
	var wrapped *url.Error
	require.ErrorAs(t, err, &wrapped)
	assert.True(t, wrapped.Timeout())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assertCounted(t, client.Transport.(*steadyhttp.Transport), 0, 0)
}

func TestTimeout_CallersDeadlineCountsAfterASecond(t *testing.T) {
	t.Parallel()
	for waited, failures := range map[time.Duration]int{time.Second - 1: 0, time.Second: 1} {
		t.Run(waited.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := serve(t, steadyhttptest.NewPipeServer, hang)
				transport := newTransport(t, server.Client().Transport)
				ctx, cancel := context.WithTimeout(t.Context(), waited)
				defer cancel()
				call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, "").WithContext(ctx))
				require.ErrorIs(t, call.err, context.DeadlineExceeded)
				call.assertCame(t, steadyhttp.StopDeadline, steadyhttp.Transient)
				assertCounted(t, transport, failures, failures)
			})
		})
	}
}

var errBored = errors.New("the caller has better things to do")

func TestCancel_IsReturnedAndNotCounted(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		for name, options := range timedOrNot {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancelCause(t.Context())
				server := serveWire(t, speaking(spoken), func(w http.ResponseWriter, r *http.Request) {
					cancel(errBored)
					silent(w, r)
				})
				transport := overWire(t, &http.Transport{Protocols: spoken}, options...)
				call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, "").WithContext(ctx))
				call.assertFailedOnce(t, steadyhttp.Canceled)
				assert.Equal(t, steadyhttp.StopCanceled, call.Stopped)
				require.ErrorIs(t, call.err, toldByNetHTTP(spoken))
				assertCounted(t, transport, 0, 0)
			})
		}
	})
}

// toldByNetHTTP is what net/http makes of a cancel with errBored as its cause.
func toldByNetHTTP(spoken *http.Protocols) error {
	if spoken.HTTP1() {
		return errBored // bare: it is no context.Canceled
	}
	return context.Canceled
}

func TestTLS_RefusedCertificateIsPermanent(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]struct {
		distrust func(*tls.Config)
		tell     func(error) bool
	}{
		"unknown CA":     {func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, isA[x509.UnknownAuthorityError]},
		"wrong hostname": {func(c *tls.Config) { c.ServerName = "steady.invalid" }, isA[x509.HostnameError]},
		"expired":        {func(c *tls.Config) { c.Time = farFuture }, isA[x509.CertificateInvalidError]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, securely, echo)
			config := trusting(server)
			refused.distrust(config)
			transport := overWire(t, &http.Transport{TLSClientConfig: config})
			call := deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, ""))
			call.assertFailedOnce(t, steadyhttp.Permanent)
			assert.True(t, refused.tell(call.err), "%T", call.err)
			assert.True(t, isA[*tls.CertificateVerificationError](call.err))
			assert.EqualValues(t, 1, server.connections.Load())
			assertCounted(t, transport, 0, 0)
		})
	}
}

func isA[E error](err error) bool {
	var found E
	return errors.As(err, &found)
}

func farFuture() time.Time { return time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) }

// In TLS 1.3 the server refuses the client's certificate only after the client has sent its request.
func TestTLS_AlertIsPermanent(t *testing.T) {
	t.Parallel()
	for name, refusing := range map[string]*tls.Config{
		"no common version":         {MinVersion: tls.VersionTLS13},
		"client certificate in 1.2": {MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert},
		"client certificate in 1.3": {ClientAuth: tls.RequireAnyClientCert},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, securely, echo)
			refusing.Certificates = server.TLS.Certificates
			var refused atomic.Int64
			address := accept(t, func(conn net.Conn) {
				refused.Add(1)
				assert.Error(t, tls.Server(conn, refusing).Handshake())
				readAll(conn) // hanging up at once could reset the connection before the alert is read
			})
			config := trusting(server)
			if refusing.MinVersion == tls.VersionTLS13 {
				config.MaxVersion = tls.VersionTLS12
			}
			transport := overWire(t, &http.Transport{TLSClientConfig: config})
			call := deliver(t, transport, wireRequest(t, http.MethodGet, "https://"+address, ""))
			call.assertFailedOnce(t, steadyhttp.Permanent)
			assert.ErrorContains(t, call.err, "remote error: tls: ")
			assert.EqualValues(t, 1, refused.Load())
			assertCounted(t, transport, 0, 0)
		})
	}
}

func TestWire_UnknownNameIsPermanent(t *testing.T) {
	t.Parallel()
	transport := overWire(t, &http.Transport{DialContext: resolving(t, rcodeNameError)})
	call := deliver(t, transport, wireRequest(t, http.MethodPost, "http://steady.example", "payload"))
	call.assertFailedOnce(t, steadyhttp.Permanent)
	var name *net.DNSError
	require.ErrorAs(t, call.err, &name)
	assert.True(t, name.IsNotFound)
	assertCounted(t, transport, 0, 0)
}

func TestTLS_PlainHTTPFromAnHTTPSPortIsASchemeMismatch(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, echo)
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, brisk()...)
	require.NoError(t, err)
	_, err = client.Get(strings.Replace(server.URL, "http:", "https:", 1))
	require.ErrorIs(t, err, http.ErrSchemeMismatch)
	assert.EqualValues(t, 1, server.connections.Load())
	assertCounted(t, client.Transport.(*steadyhttp.Transport), 0, 0)
}

func TestTLS_SchemeMismatchIsFoundAfterARetryToo(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, echo)
	base := dialing(dialTo(refusing(t)))
	t.Cleanup(base.CloseIdleConnections)
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, brisk()...)
	require.NoError(t, err)
	_, err = client.Get(strings.Replace(server.URL, "http:", "https:", 1))
	require.ErrorIs(t, err, http.ErrSchemeMismatch)
	assertCounted(t, client.Transport.(*steadyhttp.Transport), 1, 1) // the refused dial
}

func TestTLS_PlainHTTPFromAnHTTPSPortIsPermanent(t *testing.T) {
	t.Parallel()
	server := serveWire(t, plainly, echo)
	transport := overWire(t, &http.Transport{})
	call := deliver(t, transport, wireRequest(t, http.MethodGet, strings.Replace(server.URL, "http:", "https:", 1), ""))
	call.assertFailedOnce(t, steadyhttp.Permanent)
	require.IsType(t, tls.RecordHeaderError{}, call.err)
}

func TestValidate_RequestThatNetHTTPRefusesIsPermanent(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*http.Request){
		"method":        func(r *http.Request) { r.Method = "BAD METHOD" },
		"header name":   func(r *http.Request) { r.Header["Bad Name"] = []string{"x"} },
		"header value":  func(r *http.Request) { r.Header["X-Bad"] = []string{"line\nbreak"} },
		"trailer name":  func(r *http.Request) { r.Trailer = http.Header{"Bad Name": nil} },
		"trailer value": func(r *http.Request) { r.Trailer = http.Header{"X-Bad": {"line\nbreak"}} },
		"scheme":        func(r *http.Request) { r.URL.Scheme = "gopher" },
		"no scheme":     func(r *http.Request) { r.URL.Scheme = "" },
		"no host":       func(r *http.Request) { r.URL.Host = "" },
		"port":          func(r *http.Request) { r.URL.Host = "127.0.0.1:99999" },
		"no header":     func(r *http.Request) { r.Header = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, echo)
			transport := overWire(t, &http.Transport{})
			r := wireRequest(t, http.MethodPut, server.URL, "payload")
			closed := &closeCounter{ReadCloser: r.Body}
			r.Body = closed
			spoil(r)
			call := deliver(t, transport, r)
			call.assertFailedOnce(t, steadyhttp.Permanent)
			assert.Equal(t, steadyhttp.StopNotRetryable, call.Stopped)
			assert.EqualValues(t, 1, closed.times.Load(), "times that the body was closed")
			assert.Zero(t, server.arrived.Load())
			assertCounted(t, transport, 0, 0)
		})
	}
}

// What HTTP/1 sends, or the server answers with a 431, HTTP/2 refuses by errors without a type. One caller's
// header must not open the breaker for all.
func TestValidate_RequestThatOnlyHTTP2RefusesIsPermanent(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*http.Request){
		"large header":      func(r *http.Request) { r.Header.Set("X-Large", strings.Repeat("x", 100_000)) },
		"Connection":        func(r *http.Request) { r.Header.Set("Connection", "keep-alive, X-Hop") },
		"two Connections":   func(r *http.Request) { r.Header["Connection"] = []string{"close", "close"} },
		"Upgrade":           func(r *http.Request) { r.Header.Set("Upgrade", "h2c") },
		"Transfer-Encoding": func(r *http.Request) { r.Header.Set("Transfer-Encoding", "gzip") },
		"Host":              func(r *http.Request) { r.Host = "two words" },
		"control in Host":   func(r *http.Request) { r.Host = "line\nbreak" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, func(s *httptest.Server) {
				s.Config.MaxHeaderBytes = 1000
				s.EnableHTTP2 = true
				s.StartTLS()
			}, echo)
			transport := overWire(t, server.Client().Transport.(*http.Transport))
			deliver(t, transport, wireRequest(t, http.MethodGet, server.URL, "")).assertAnswered(t, 200, "GET ") // and told its limit
			r := wireRequest(t, http.MethodPut, server.URL, "payload")
			spoil(r)
			call := deliver(t, transport, r)
			call.assertFailedOnce(t, steadyhttp.Permanent)
			assert.ErrorContains(t, call.err, "http2: ", "net/http's own words")
			assertCounted(t, transport, 0, 1)
		})
	}
}

type closeCounter struct {
	io.ReadCloser
	times atomic.Int64
}

func (c *closeCounter) Close() error {
	c.times.Add(1)
	return c.ReadCloser.Close()
}

func TestValidate_RequestWithoutURLIsRefused(t *testing.T) {
	t.Parallel()
	transport := overWire(t, &http.Transport{})
	_, err := transport.RoundTrip(&http.Request{Method: http.MethodGet})
	require.Error(t, err)
	assert.Empty(t, transport.Breakers())
}

var errBroken = errors.New("the disk is on fire")

func TestBody_UnreadableIsPermanent(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{false, true} {
		for _, readable := range []int{0, 1, 64 << 10} {
			t.Run(fmt.Sprintf("warm %v after %d bytes", warm, readable), func(t *testing.T) {
				t.Parallel()
				eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
					server := serveWire(t, speaking(spoken), echo)
					transport := overWire(t, &http.Transport{Protocols: spoken})
					answered := 0
					if warm {
						answered = 1
						deliver(t, transport, wireRequest(t, http.MethodPut, server.URL, "")).assertAnswered(t, 200, "PUT ")
					}
					call := deliver(t, transport, brokenUpload(t, server.URL, readable))
					call.assertFailedOnce(t, steadyhttp.Permanent)
					require.ErrorIs(t, call.err, errBroken)
					assertCounted(t, transport, 0, answered)
				})
			})
		}
	}
}

// brokenUpload could be sent again, as far as its method and GetBody go.
func brokenUpload(t *testing.T, url string, readable int) *http.Request {
	t.Helper()
	r := wireRequest(t, http.MethodPut, url, "")
	r.GetBody = func() (io.ReadCloser, error) {
		content := strings.NewReader(strings.Repeat("x", readable))
		return io.NopCloser(io.MultiReader(content, iotest.ErrReader(errBroken))), nil
	}
	r.Body, _ = r.GetBody()
	return r
}

func TestBody_UnreadableFileIsPermanent(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "upload")
	require.NoError(t, os.WriteFile(name, []byte("payload"), 0o600))
	for title, length := range map[string]int64{"chunked": -1, "with a length": 7} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			eachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
				server := serveWire(t, speaking(spoken), echo)
				transport := overWire(t, &http.Transport{Protocols: spoken})
				r := wireRequest(t, http.MethodPut, server.URL, "")
				r.ContentLength = length
				r.GetBody = func() (io.ReadCloser, error) { return os.OpenFile(name, os.O_WRONLY, 0) }
				r.Body, _ = r.GetBody()
				call := deliver(t, transport, r)
				call.assertFailedOnce(t, steadyhttp.Permanent)
				assertCounted(t, transport, 0, 0)
			})
		})
	}
}

func TestWire_PostIsRetriedAfterLocalExhaustionAndNotCounted(t *testing.T) {
	t.Parallel()
	elsewhere := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}} // RFC 5737: nobody's
	for name, exhausted := range map[string]struct {
		otherwise dialFunc
		number    syscall.Errno
	}{
		"no local address":    {elsewhere.DialContext, syscall.EADDRNOTAVAIL},
		"address in use":      {dialFailing("bind", syscall.EADDRINUSE), syscall.EADDRINUSE},
		"out of files":        {dialFailing("socket", syscall.EMFILE), syscall.EMFILE},
		"out of system files": {dialFailing("socket", syscall.ENFILE), syscall.ENFILE},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveWire(t, plainly, echo)
			transport := overWire(t, dialing(exhausted.otherwise, exhausted.otherwise))
			call := deliver(t, transport, wireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertAnswered(t, 200, "POST payload")
			call.assertCame(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Success)
			require.ErrorIs(t, call.Attempts[0].Err, exhausted.number)
			assertCounted(t, transport, 0, 1)
		})
	}
}
