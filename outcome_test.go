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

func TestWire_ResponseBelow400IsASuccess(t *testing.T) {
	t.Parallel()
	for _, code := range []int{200, 201, 202, 203, 204, 206, 226, 299, 300, 301, 302, 303, 304, 307, 308, 399} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startPlain, replyHandler(code, "Location", "/elsewhere", "Retry-After", "0"))
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			require.NoError(t, call.err)
			assert.Equal(t, code, call.response.StatusCode)
			call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 1})
		})
	}
}

func TestWire_InformationalResponseComesBeforeTheFinalOne(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "final")
		})
		transport := newWireTransport(t, &http.Transport{Protocols: spoken})
		var hints []int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints = append(hints, code); return nil },
		})
		call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload").WithContext(ctx))
		call.assertResponse(t, 200, "final")
		call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
		assert.Equal(t, []int{103}, hints)
		assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 1})
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
			server := newWireServer(t, startPlain, replyHandler(code, "Retry-After", "0"))
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertResponse(t, code, "answer")
			call.assertClasses(t, steadyhttp.StopNotRetryable, steadyhttp.ClientFault)
			assert.EqualValues(t, 1, server.arrived.Load())
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 1})
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
			server := newWireServer(t, startPlain, replyHandler(429, "Retry-After", asked.header), echoHandler)
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertResponse(t, 200, "POST payload")
			call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Throttled, steadyhttp.Success)
			assert.GreaterOrEqual(t, call.Attempts[0].Wait, asked.wait)
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 1})
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
			server := newWireServer(t, startPlain, replyHandler(429, header...))
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertResponse(t, 429, "answer")
			call.assertClasses(t, steadyhttp.StopNotRetryable, steadyhttp.Throttled)
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 0})
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
			server := newWireServer(t, startPlain, replyHandler(code), replyHandler(code), echoHandler)
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodPut, server.URL, "payload"))
			call.assertResponse(t, 200, "PUT payload")
			call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Success)
			assert.Equal(t, 3, steadyhttp.Attempts(call.response))
			assertBreakerCount(t, transport, breakerCount{failures: 2, requests: 3})
		})
	}
}

func TestWire_TransientResponseToAPostIsReturned(t *testing.T) {
	t.Parallel()
	for _, code := range []int{500, 502, 503, 504, 529} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startPlain, replyHandler(code, "Retry-After", "0"))
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertResponse(t, code, "answer")
			call.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
			assert.EqualValues(t, 1, server.arrived.Load())
			assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 1})
		})
	}
}

func TestWire_LastTransientResponseIsReturnedUnread(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), replyHandler(503))
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, steadyhttp.WithMaxAttempts(3))
		call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
		call.assertResponse(t, 503, "answer")
		call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Transient)
		assertBreakerCount(t, transport, breakerCount{failures: 3, requests: 3})
	})
}

// RFC 9110 §15 asks to treat a code outside 100–599 as a 5xx.
func TestWire_StatusBelow100IsTransient(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"000", "042", "099"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			server := startKitServer(t, steadyhttptest.NewServer, steadyhttptest.Raw("HTTP/1.1 "+code+" Odd\r\nContent-Length: 0\r\n\r\n"), status(200).Body("fine"))
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertResponse(t, 200, "fine")
			call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
			assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 2})
		})
	}
}

func TestWire_PermanentResponseIsReturnedAtOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []int{501, 505, 506, 507, 508, 510, 511, 526} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startPlain, replyHandler(code, "Retry-After", "0"))
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertResponse(t, code, "answer")
			call.assertClasses(t, steadyhttp.StopNotRetryable, steadyhttp.Permanent)
			assert.EqualValues(t, 1, server.arrived.Load())
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 1})
		})
	}
}

func TestWire_PostIsRetriedAfterAFailedDial(t *testing.T) {
	t.Parallel()
	for name, otherwise := range map[string]func(*testing.T) dialFunc{
		"refused": func(t *testing.T) dialFunc {
			return startKitServer(t, steadyhttptest.NewServer, steadyhttptest.Refused).DialContext
		},
		"timeout":     func(*testing.T) dialFunc { return (&net.Dialer{Timeout: 1}).DialContext },
		"unreachable": func(*testing.T) dialFunc { return dialFailing("connect", syscall.EHOSTUNREACH) },
		"SERVFAIL":    func(t *testing.T) dialFunc { return dialResolving(t, rcodeServerFailure) },
		"REFUSED":     func(t *testing.T) dialFunc { return dialResolving(t, rcodeRefused) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startPlain, echoHandler)
			wrong := otherwise(t)
			transport := newWireTransport(t, newDialingBase(wrong, wrong))
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertResponse(t, 200, "POST payload")
			call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Success)
			assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, call.Attempts[0].Err))
			assert.EqualValues(t, 1, server.arrived.Load())
			assertBreakerCount(t, transport, breakerCount{failures: 2, requests: 3})
		})
	}
}

func TestProxy_PostIsRetriedIfTheProxyRefusesTheConnection(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	proxy := &url.URL{Scheme: "http", Host: newRefusingAddress(t)}
	transport := newWireTransport(t, &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
		taken := proxy
		proxy = nil
		return taken, nil
	}})
	call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
	call.assertResponse(t, 200, "POST payload")
	call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
	require.ErrorIs(t, call.Attempts[0].Err, syscall.ECONNREFUSED)
	assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, call.Attempts[0].Err))
}

func TestWire_RefusedDialIsInTheErrorAfterTheLastAttempt(t *testing.T) {
	t.Parallel()
	transport := newWireTransport(t, &http.Transport{}, steadyhttp.WithMaxAttempts(3))
	call := sendWire(t, transport, newWireRequest(t, http.MethodPost, "http://"+newRefusingAddress(t), "payload"))
	var failed *steadyhttp.Error
	require.ErrorAs(t, call.err, &failed)
	require.ErrorIs(t, call.err, syscall.ECONNREFUSED)
	assert.Equal(t, 3, failed.Attempts)
	assert.Equal(t, steadyhttp.Unprocessed, failed.Class)
	assertBreakerCount(t, transport, breakerCount{failures: 3, requests: 3})
}

// cutOffs are ways to hang up on a ClientHello, as a server does that is being restarted.
var cutOffs = map[string]func(net.Conn){"FIN": readSome, "RST": resetConn}

func TestTLS_PostIsRetriedIfTheHandshakeIsCutOff(t *testing.T) {
	t.Parallel()
	for name, hangUp := range cutOffs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startTLS, echoHandler)
			wrong := dialTo(newTCPServer(t, hangUp))
			base := newDialingBase(wrong, wrong)
			base.TLSClientConfig = newClientTLS(server)
			transport := newWireTransport(t, base)
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertResponse(t, 200, "POST payload")
			call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Success)
			assert.EqualValues(t, 1, server.arrived.Load())
			assertBreakerCount(t, transport, breakerCount{failures: 2, requests: 3})
		})
	}
}

func TestTLS_PostIsRetriedIfTheHandshakeIsCutOffOnAUsedOrigin(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startTLS, echoHandler)
	hangUp := newTCPServer(t, readSome)
	base := newDialingBase(dialDefault, dialTo(hangUp), dialTo(hangUp))
	base.TLSClientConfig, base.DisableKeepAlives = newClientTLS(server), true
	transport := newWireTransport(t, base)
	sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "first")).assertResponse(t, 200, "POST first")
	call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "second"))
	call.assertResponse(t, 200, "POST second")
	call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Success)
	assert.EqualValues(t, 2, server.arrived.Load())
}

func TestTLS_PostIsRetriedIfTheHandshakeTimesOut(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startTLS, echoHandler)
	base := newDialingBase(dialTo(newTCPServer(t, readAll)))
	base.TLSClientConfig, base.TLSHandshakeTimeout = newClientTLS(server), 100*time.Millisecond
	transport := newWireTransport(t, base)
	call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
	call.assertResponse(t, 200, "POST payload")
	assert.Equal(t, steadyhttp.Unprocessed, call.Attempts[0].Class)
	assert.EqualValues(t, 1, server.arrived.Load())
}

const idleClosedText = "http: server closed idle connection"

func TestWire_PostIsRetriedIfTheServerClosedItsIdleConnection(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	transport := newWireTransport(t, newNotifyingBase())
	ctx := withIdleClose(t.Context(), server)
	sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "first").WithContext(ctx)).assertResponse(t, 200, "POST first")
	call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "second").WithContext(ctx))
	call.assertResponse(t, 200, "POST second")
	call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
	require.EqualError(t, call.Attempts[0].Err, idleClosedText)
	assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 3})
}

func TestWire_PostIsProcessedOnceIfTheServerClosesIdleConnections(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	transport := newWireTransport(t, newNotifyingBase(), unlimitedRetryOptions()...)
	ctx := withIdleClose(t.Context(), server)
	const calls = 30
	for i := range calls {
		payload := strconv.Itoa(i)
		call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, payload).WithContext(ctx))
		call.assertResponse(t, 200, "POST "+payload)
	}
	assert.EqualValues(t, calls, server.arrived.Load())
	assert.EqualValues(t, calls, server.connections.Load(), "each call but the first found its connection closed")
}

// The error has no type, so Classify goes by its text: this fails when a new Go changes it.
func TestWire_NetHTTPStillReportsAClosedIdleConnection(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	base := newNotifyingBase()
	t.Cleanup(base.CloseIdleConnections)
	ctx := withIdleClose(t.Context(), server)
	sendWire(t, base, newWireRequest(t, http.MethodPost, server.URL, "first").WithContext(ctx)).assertResponse(t, 200, "POST first")
	call := sendWire(t, base, newWireRequest(t, http.MethodPost, server.URL, "second").WithContext(ctx))
	require.EqualError(t, call.err, idleClosedText)
	assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, call.err))
	assert.EqualValues(t, 1, server.arrived.Load())
}

// net/http resends to a server that refuses streams for 65 s before it gives up, so the time is
// virtual, and the wire a pipe.
func TestHTTP2_PostIsRetriedAfterARefusedStream(t *testing.T) {
	t.Parallel()
	skipWithoutHTTP2BodiesInBubbles(t)
	synctest.Test(t, func(t *testing.T) {
		const netHTTP = 8 // times that net/http sends by itself
		refusals := slices.Repeat([]step{steadyhttptest.RefusedStream}, netHTTP)
		server := startKitServer(t, steadyhttptest.NewTLSPipeServer, append(refusals, status(200))...)
		transport := newTransport(t, server.Client().Transport, steadyhttp.WithBreakerWindow(time.Hour))
		call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
		call.assertResponse(t, 200, "OK")
		call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
		assert.ErrorContains(t, call.Attempts[0].Err, "REFUSED_STREAM")
		assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, call.Attempts[0].Err))
		server.AssertAttempts(t, netHTTP+1)
		assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 2})
	})
}

// Without GetBody, net/http gives up at once.
func TestHTTP2_RefusedStreamIsReturnedIfTheBodyIsNotReplayable(t *testing.T) {
	t.Parallel()
	server := startKitServer(t, steadyhttptest.NewTLSServer, steadyhttptest.RefusedStream)
	transport := newWireTransport(t, server.Client().Transport.(*http.Transport))
	r := newWireRequest(t, http.MethodPut, server.URL, "payload")
	r.GetBody = nil
	call := sendWire(t, transport, r)
	require.ErrorContains(t, call.err, "REFUSED_STREAM")
	assert.Len(t, call.Attempts, 1)
	assert.Equal(t, steadyhttp.StopBodyNotReplayable, call.Stopped)
	server.AssertAttempts(t, 1)
	assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 1})
}

// brokenResponses are what a failing server leaves on the wire once it has read the request, and how
// net/http tells of it.
var brokenResponses = map[string]struct {
	step step
	tell func(*testing.T, error)
}{
	"reset":             {steadyhttptest.Reset, wrapsError(syscall.ECONNRESET)},
	"EOF":               {steadyhttptest.EOF, wrapsError(io.EOF)},
	"malformed":         {steadyhttptest.Raw("steady\r\n\r\n"), hasText("malformed HTTP response")},
	"malformed status":  {steadyhttptest.Raw("HTTP/1.1 wat OK\r\n\r\n"), hasText("malformed HTTP status code")},
	"truncated status":  {steadyhttptest.Raw("HTTP/1.1 20"), hasText("malformed HTTP status code")},
	"truncated header":  {steadyhttptest.HalfHeader, hasText("malformed MIME header")},
	"four-digit status": {steadyhttptest.Raw("HTTP/1.1 2000 OK\r\n\r\n"), hasText("malformed HTTP status code")},
	"bad length":        {steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n"), hasText("bad Content-Length")},
	"contradictory":     {steadyhttptest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"), hasText("Content-Length")},
	"an SSH banner":     {steadyhttptest.Raw("SSH-2.0-OpenSSH_9.6\r\n"), hasText("malformed HTTP response")},
}

func wrapsError(want error) func(*testing.T, error) {
	return func(t *testing.T, err error) { assert.ErrorIs(t, err, want) }
}

func hasText(want string) func(*testing.T, error) {
	return func(t *testing.T, err error) { assert.ErrorContains(t, err, want) }
}

func TestWire_BrokenResponseToAGetIsRetried(t *testing.T) {
	t.Parallel()
	for name, broken := range brokenResponses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startKitServer(t, steadyhttptest.NewServer, broken.step, broken.step, status(200).Body("fine"))
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertResponse(t, 200, "fine")
			call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Success)
			broken.tell(t, call.Attempts[0].Err)
			server.AssertAttempts(t, 3)
			assertBreakerCount(t, transport, breakerCount{failures: 2, requests: 3})
		})
	}
}

func TestWire_BrokenResponseToAPostIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	for name, broken := range brokenResponses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startKitServer(t, steadyhttptest.NewServer, broken.step)
			transport := newWireTransport(t, &http.Transport{})
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
			broken.tell(t, call.err)
			call.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
			var failed *steadyhttp.Error
			require.ErrorAs(t, call.err, &failed)
			assert.Equal(t, steadyhttp.StopNotIdempotent, failed.Stopped)
			server.AssertAttempts(t, 1)
			server.AssertBody(t, "payload")
			assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 1})
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
			server := newWireServer(t, startPlain, echoHandler, abortHandler, echoHandler)
			transport := newWireTransport(t, &http.Transport{})
			sendWire(t, transport, newWireRequest(t, method, server.URL, "first")).assertResponse(t, 200, method+" first")
			call := sendWire(t, transport, newWireRequest(t, method, server.URL, "second"))
			assert.EqualValues(t, 1+len(classes), server.arrived.Load())
			require.ErrorIs(t, call.Attempts[0].Err, io.EOF)
			require.Len(t, call.Attempts, len(classes))
			assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 1 + len(classes)})
		})
	}
}

func TestWire_AbortedExchangeIsRetriedForGetAndNotForPost(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), abortHandler, replyHandler(200), abortHandler)
		transport := newWireTransport(t, &http.Transport{Protocols: spoken})
		call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
		call.assertResponse(t, 200, "answer")
		call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		call = sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
		require.Error(t, call.err)
		call.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assert.EqualValues(t, 3, server.arrived.Load())
		assertBreakerCount(t, transport, breakerCount{failures: 2, requests: 3})
	})
}

var errUnknown = errors.New("nobody knows this error")

func TestWire_UnknownErrorIsRetriedForGetAndNotForPost(t *testing.T) {
	t.Parallel()
	for method, attempts := range map[string]int{http.MethodGet: 2, http.MethodPost: 1} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startPlain, echoHandler)
			transport := newWireTransport(t, newDialingBase(dialUnknownError))
			call := sendWire(t, transport, newWireRequest(t, method, server.URL, ""))
			require.Len(t, call.Attempts, attempts)
			require.ErrorIs(t, call.Attempts[0].Err, errUnknown)
			assert.Equal(t, steadyhttp.Transient, call.Attempts[0].Class)
			assertBreakerCount(t, transport, breakerCount{failures: 1, requests: attempts})
		})
	}
}

func TestAttemptTimeout_SilentServerIsRetriedForGet(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), silentHandler)
		transport := newWireTransport(t, &http.Transport{Protocols: spoken},
			steadyhttp.WithAttemptTimeout(shortTimeout), steadyhttp.WithMaxAttempts(2))
		call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
		call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient, steadyhttp.Transient)
		for _, attempt := range call.Attempts {
			require.ErrorIs(t, attempt.Err, steadyhttp.ErrAttemptTimeout)
		}
		assertTimedOut(t, call.err)
		assertBreakerCount(t, transport, breakerCount{failures: 2, requests: 2})
	})
}

func TestAttemptTimeout_SilentServerIsNotRetriedForPost(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), silentHandler)
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, steadyhttp.WithAttemptTimeout(shortTimeout))
		call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
		call.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assertTimedOut(t, call.err)
		assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 1})
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
	server := newWireServer(t, startPlain, silentHandler)
	client, err := steadyhttp.NewClient(fastRetryOptions(steadyhttp.WithAttemptTimeout(shortTimeout), steadyhttp.WithMaxAttempts(2))...)
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
	server := newWireServer(t, startPlain, silentHandler, replyHandler(200))
	transport := newWireTransport(t, &http.Transport{ResponseHeaderTimeout: 100 * time.Millisecond})
	call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
	require.NoError(t, call.err)
	assert.Equal(t, steadyhttp.Transient, call.Attempts[0].Class)
	assert.ErrorContains(t, call.Attempts[0].Err, "timeout awaiting response headers")
}

func TestTimeout_CallersShortDeadlineIsNoOutage(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		for name, options := range attemptTimeoutOnOff {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				server := newWireServer(t, startProtocols(spoken), silentHandler)
				transport := newWireTransport(t, &http.Transport{Protocols: spoken}, options...)
				ctx, cancel := context.WithTimeout(t.Context(), shortTimeout)
				defer cancel()
				call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "").WithContext(ctx))
				require.ErrorIs(t, call.err, context.DeadlineExceeded)
				require.NotErrorIs(t, call.err, steadyhttp.ErrAttemptTimeout)
				call.assertFailedOnce(t, steadyhttp.Transient)
				assert.Equal(t, steadyhttp.StopDeadline, call.Stopped)
				assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 0})
			})
		}
	})
}

// attemptTimeoutOnOff: an attempt timeout gives each attempt a context of its own.
var attemptTimeoutOnOff = map[string][]steadyhttp.Option{
	"untimed": nil,
	"timed":   {steadyhttp.WithAttemptTimeout(time.Minute)},
}

func TestTimeout_OfTheClientIsNoOutage(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, silentHandler)
	client, err := steadyhttp.NewClient(fastRetryOptions(steadyhttp.WithTimeout(shortTimeout))...)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	_, err = client.Get(server.URL)
	var wrapped *url.Error
	require.ErrorAs(t, err, &wrapped)
	assert.True(t, wrapped.Timeout())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assertBreakerCount(t, client.Transport.(*steadyhttp.Transport), breakerCount{failures: 0, requests: 0})
}

func TestTimeout_CallersDeadlineCountsAfterASecond(t *testing.T) {
	t.Parallel()
	for waited, failures := range map[time.Duration]int{time.Second - 1: 0, time.Second: 1} {
		t.Run(waited.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := startKitServer(t, steadyhttptest.NewPipeServer, hang)
				transport := newTransport(t, server.Client().Transport)
				ctx, cancel := context.WithTimeout(t.Context(), waited)
				defer cancel()
				call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "").WithContext(ctx))
				require.ErrorIs(t, call.err, context.DeadlineExceeded)
				call.assertClasses(t, steadyhttp.StopDeadline, steadyhttp.Transient)
				assertBreakerCount(t, transport, breakerCount{failures: failures, requests: failures})
			})
		})
	}
}

var errCallerCancel = errors.New("the caller has better things to do")

func TestCancel_IsReturnedAndNotCounted(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		for name, options := range attemptTimeoutOnOff {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancelCause(t.Context())
				server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, r *http.Request) {
					cancel(errCallerCancel)
					silentHandler(w, r)
				})
				transport := newWireTransport(t, &http.Transport{Protocols: spoken}, options...)
				call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "").WithContext(ctx))
				call.assertFailedOnce(t, steadyhttp.Canceled)
				assert.Equal(t, steadyhttp.StopCanceled, call.Stopped)
				require.ErrorIs(t, call.err, netHTTPCancelError(spoken))
				assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 0})
			})
		}
	})
}

// netHTTPCancelError is what net/http makes of a cancel with errBored as its cause.
func netHTTPCancelError(spoken *http.Protocols) error {
	if spoken.HTTP1() {
		return errCallerCancel // bare: it is no context.Canceled
	}
	return context.Canceled
}

func TestTLS_RefusedCertificateIsPermanent(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]struct {
		distrust func(*tls.Config)
		tell     func(error) bool
	}{
		"unknown CA":     {func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, isErrorType[x509.UnknownAuthorityError]},
		"wrong hostname": {func(c *tls.Config) { c.ServerName = "steady.invalid" }, isErrorType[x509.HostnameError]},
		"expired":        {func(c *tls.Config) { c.Time = farFuture }, isErrorType[x509.CertificateInvalidError]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startTLS, echoHandler)
			config := newClientTLS(server)
			refused.distrust(config)
			transport := newWireTransport(t, &http.Transport{TLSClientConfig: config})
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertFailedOnce(t, steadyhttp.Permanent)
			assert.True(t, refused.tell(call.err), "%T", call.err)
			assert.True(t, isErrorType[*tls.CertificateVerificationError](call.err))
			assert.EqualValues(t, 1, server.connections.Load())
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 0})
		})
	}
}

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
			server := newWireServer(t, startTLS, echoHandler)
			refusing.Certificates = server.TLS.Certificates
			var refused atomic.Int64
			address := newTCPServer(t, func(conn net.Conn) {
				refused.Add(1)
				assert.Error(t, tls.Server(conn, refusing).Handshake())
				readAll(conn) // hanging up at once could reset the connection before the alert is read
			})
			config := newClientTLS(server)
			if refusing.MinVersion == tls.VersionTLS13 {
				config.MaxVersion = tls.VersionTLS12
			}
			transport := newWireTransport(t, &http.Transport{TLSClientConfig: config})
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://"+address, ""))
			call.assertFailedOnce(t, steadyhttp.Permanent)
			assert.ErrorContains(t, call.err, "remote error: tls: ")
			assert.EqualValues(t, 1, refused.Load())
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 0})
		})
	}
}

func TestWire_UnknownNameIsPermanent(t *testing.T) {
	t.Parallel()
	transport := newWireTransport(t, &http.Transport{DialContext: dialResolving(t, rcodeNameError)})
	call := sendWire(t, transport, newWireRequest(t, http.MethodPost, "http://steady.example", "payload"))
	call.assertFailedOnce(t, steadyhttp.Permanent)
	var name *net.DNSError
	require.ErrorAs(t, call.err, &name)
	assert.True(t, name.IsNotFound)
	assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 0})
}

func TestTLS_PlainHTTPFromAnHTTPSPortIsASchemeMismatch(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, fastRetryOptions()...)
	require.NoError(t, err)
	_, err = client.Get(strings.Replace(server.URL, "http:", "https:", 1))
	require.ErrorIs(t, err, http.ErrSchemeMismatch)
	assert.EqualValues(t, 1, server.connections.Load())
	assertBreakerCount(t, client.Transport.(*steadyhttp.Transport), breakerCount{failures: 0, requests: 0})
}

func TestTLS_SchemeMismatchIsFoundAfterARetryToo(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	base := newDialingBase(dialTo(newRefusingAddress(t)))
	t.Cleanup(base.CloseIdleConnections)
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, fastRetryOptions()...)
	require.NoError(t, err)
	_, err = client.Get(strings.Replace(server.URL, "http:", "https:", 1))
	require.ErrorIs(t, err, http.ErrSchemeMismatch)
	assertBreakerCount(t, client.Transport.(*steadyhttp.Transport), breakerCount{failures: 1, requests: 1}) // the refused dial
}

func TestTLS_PlainHTTPFromAnHTTPSPortIsPermanent(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	transport := newWireTransport(t, &http.Transport{})
	call := sendWire(t, transport, newWireRequest(t, http.MethodGet, strings.Replace(server.URL, "http:", "https:", 1), ""))
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
			server := newWireServer(t, startPlain, echoHandler)
			transport := newWireTransport(t, &http.Transport{})
			r := newWireRequest(t, http.MethodPut, server.URL, "payload")
			closed := &closeCounter{ReadCloser: r.Body}
			r.Body = closed
			spoil(r)
			call := sendWire(t, transport, r)
			call.assertFailedOnce(t, steadyhttp.Permanent)
			assert.Equal(t, steadyhttp.StopNotRetryable, call.Stopped)
			assert.EqualValues(t, 1, closed.times.Load(), "times that the body was closed")
			assert.Zero(t, server.arrived.Load())
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 0})
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
			server := newWireServer(t, func(s *httptest.Server) {
				s.Config.MaxHeaderBytes = 1000
				s.EnableHTTP2 = true
				s.StartTLS()
			}, echoHandler)
			transport := newWireTransport(t, server.Client().Transport.(*http.Transport))
			sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "")).assertResponse(t, 200, "GET ") // and told its limit
			r := newWireRequest(t, http.MethodPut, server.URL, "payload")
			spoil(r)
			call := sendWire(t, transport, r)
			call.assertFailedOnce(t, steadyhttp.Permanent)
			assert.ErrorContains(t, call.err, "http2: ", "net/http's own words")
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 1})
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
	transport := newWireTransport(t, &http.Transport{})
	_, err := transport.RoundTrip(&http.Request{Method: http.MethodGet})
	require.Error(t, err)
	assert.Empty(t, transport.Breakers())
}

var errBrokenBody = errors.New("the disk is on fire")

func TestBody_UnreadableIsPermanent(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{false, true} {
		for _, readable := range []int{0, 1, 64 << 10} {
			t.Run(fmt.Sprintf("warm %v after %d bytes", warm, readable), func(t *testing.T) {
				t.Parallel()
				runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
					server := newWireServer(t, startProtocols(spoken), echoHandler)
					transport := newWireTransport(t, &http.Transport{Protocols: spoken})
					answered := 0
					if warm {
						answered = 1
						sendWire(t, transport, newWireRequest(t, http.MethodPut, server.URL, "")).assertResponse(t, 200, "PUT ")
					}
					call := sendWire(t, transport, newBrokenUpload(t, server.URL, readable))
					call.assertFailedOnce(t, steadyhttp.Permanent)
					require.ErrorIs(t, call.err, errBrokenBody)
					assertBreakerCount(t, transport, breakerCount{failures: 0, requests: answered})
				})
			})
		}
	}
}

// newBrokenUpload could be sent again, as far as its method and GetBody go.
func newBrokenUpload(t *testing.T, url string, readable int) *http.Request {
	t.Helper()
	r := newWireRequest(t, http.MethodPut, url, "")
	r.GetBody = func() (io.ReadCloser, error) {
		content := strings.NewReader(strings.Repeat("x", readable))
		return io.NopCloser(io.MultiReader(content, iotest.ErrReader(errBrokenBody))), nil
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
			runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
				server := newWireServer(t, startProtocols(spoken), echoHandler)
				transport := newWireTransport(t, &http.Transport{Protocols: spoken})
				r := newWireRequest(t, http.MethodPut, server.URL, "")
				r.ContentLength = length
				r.GetBody = func() (io.ReadCloser, error) { return os.OpenFile(name, os.O_WRONLY, 0) }
				r.Body, _ = r.GetBody()
				call := sendWire(t, transport, r)
				call.assertFailedOnce(t, steadyhttp.Permanent)
				assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 0})
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
			server := newWireServer(t, startPlain, echoHandler)
			transport := newWireTransport(t, newDialingBase(exhausted.otherwise, exhausted.otherwise))
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
			call.assertResponse(t, 200, "POST payload")
			call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Success)
			require.ErrorIs(t, call.Attempts[0].Err, exhausted.number)
			assertBreakerCount(t, transport, breakerCount{failures: 0, requests: 1})
		})
	}
}
