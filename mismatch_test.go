package steadyhttp_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// Client and server do not fit together, today or tomorrow.

// writing reacts to each request with a frame, and hangs up after a GOAWAY.
func writing(response func(stream uint32) []byte) func(io.Writer, int64, uint32) bool {
	return func(w io.Writer, _ int64, stream uint32) bool {
		said := response(stream)
		_, _ = w.Write(said)
		return said[3] != frameGoAway
	}
}

func newHTTP2Protocols() *http.Protocols {
	var spoken http.Protocols
	spoken.SetUnencryptedHTTP2(true)
	return &spoken
}

func TestMismatch_ServerThatDemandsHTTP1IsPermanent(t *testing.T) {
	t.Parallel()
	const inadequateSecurity, http11Required = 12, 13
	for name, refuse := range map[string]func(stream uint32, code byte) []byte{
		"RST_STREAM":            resetFrame,
		"GOAWAY, not looked at": func(_ uint32, code byte) []byte { return goAwayFrame(0, code) },
		"GOAWAY, looked at":     goAwayFrame,
	} {
		for code, word := range map[byte]string{inadequateSecurity: "INADEQUATE_SECURITY", http11Required: "HTTP_1_1_REQUIRED"} {
			t.Run(name+" "+word, func(t *testing.T) {
				t.Parallel()
				runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
					server := newHTTP2Server(t, writing(func(stream uint32) []byte { return refuse(stream, code) }))
					err := assertRefused(t, wrap(server.newBase()), newWireRequest(t, method, server.url, ""))
					require.ErrorContains(t, err, word)
					assert.EqualValues(t, 1, server.requests.Load())
				})
			})
		}
	}
}

// The same frames with codes that say no such thing.
func TestMismatch_OtherHTTP2CodesStayTransient(t *testing.T) {
	t.Parallel()
	for _, code := range []byte{2, 3, 8, 11} {
		for name, fail := range map[string]func(uint32, byte) []byte{"RST_STREAM": resetFrame, "GOAWAY": goAwayFrame} {
			server := newHTTP2Server(t, writing(func(stream uint32) []byte { return fail(stream, code) }))
			transport := newWireTransport(t, server.newBase(), steadyhttp.WithMaxAttempts(2))
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.url, ""))
			call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient, steadyhttp.Transient)
			assert.EqualValues(t, 2, server.requests.Load(), "%s %d", name, code)
			assertBreakerCount(t, transport, breakerCount{2, 2})
		}
	}
}

// A GOAWAY's debug data is the server's to choose.
func TestMismatch_DebugDataDecidesNothing(t *testing.T) {
	t.Parallel()
	const debug = "ErrCode=HTTP_1_1_REQUIRED, "
	server := newHTTP2Server(t, writing(func(stream uint32) []byte {
		payload := binary.BigEndian.AppendUint32(nil, stream)
		return frame(frameGoAway, 0, 0, append(payload, "\x00\x00\x00\x02"+debug...)...)
	}))
	transport := newWireTransport(t, server.newBase(), steadyhttp.WithMaxAttempts(1))
	call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.url, ""))
	require.ErrorContains(t, call.err, "HTTP_1_1_REQUIRED")
	call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient)
}

// HTTP/2 tells of it in three ways: by a stream's error, by a connection's COMPRESSION_ERROR where one field alone is too
// large, and by its PROTOCOL_ERROR where there is more than twice as much as the client takes.
func TestMismatch_TooLargeResponseHeaderIsPermanent(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{
		"many fields":  {"A", strings.Repeat("x", 2000), "B", strings.Repeat("x", 2000), "C", strings.Repeat("x", 2000)},
		"one field":    {"A", strings.Repeat("x", 6000)},
		"far too many": slices.Repeat([]string{"A", strings.Repeat("x", 2000)}, 30),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
				server := newWireServer(t, startProtocols(spoken), replyHandler(200, header...))
				runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
					assertRefused(t, wrap(&http.Transport{Protocols: spoken, MaxResponseHeaderBytes: 5000}), newWireRequest(t, method, server.URL, ""))
				})
			})
		})
	}
}

// A connection's error is that of all its streams: who was not alone on it may be innocent, and is retried.
func TestMismatch_NeighbourOfATooLargeResponseHeaderIsRetried(t *testing.T) {
	t.Parallel()
	arrived, large := make(chan struct{}), replyHandler(200, "A", strings.Repeat("x", 6000))
	var interrupted atomic.Bool
	server := newWireServer(t, startProtocols(newHTTP2Protocols()), func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/large":
			<-arrived
			large(w, r)
		case r.URL.Path == "/innocent" && interrupted.CompareAndSwap(false, true):
			close(arrived)
			<-r.Context().Done()
		default:
			echoHandler(w, r)
		}
	})
	transport := newWireTransport(t, &http.Transport{Protocols: newHTTP2Protocols(), MaxResponseHeaderBytes: 5000}, unlimitedRetryOptions()...)
	sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "")) // so that both share its connection
	var calls sync.WaitGroup
	calls.Go(func() {
		call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL+"/innocent", ""))
		call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
	})
	calls.Go(func() { sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL+"/large", "")) })
	calls.Wait()
}

func TestMismatch_HeaderWithoutEndIsPermanent(t *testing.T) {
	t.Parallel()
	server := startKitServer(t, steadyhttptest.NewServer, steadyhttptest.Raw("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 64<<10)))
	assertRefused(t, &http.Transport{MaxResponseHeaderBytes: 1 << 10}, newWireRequest(t, http.MethodGet, server.URL, ""))
	server.AssertAttempts(t, 1)
}

// Informational responses count as well (http2clientConnReadLoop.handleResponse, persistConn.readResponse).
func TestMismatch_TooManyInformationalResponsesArePermanent(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Hint", strings.Repeat("x", 1000)) // once: HTTP/2 writes it while the handler goes on
			for range 10 {
				w.WriteHeader(http.StatusEarlyHints)
			}
		})
		assertRefused(t, &http.Transport{Protocols: spoken, MaxResponseHeaderBytes: 5000}, newWireRequest(t, http.MethodGet, server.URL, ""))
	})
}

func TestMismatch_OtherProtocolIsPermanent(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"a TLS alert":                "\x15\x03\x01\x00\x02\x02\x46",
		"a TLS 1.2 alert":            "\x15\x03\x03\x00\x02\x02\x28",
		"a TLS handshake":            "\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03",
		"HTTP/2 SETTINGS":            string(frame(frameSettings, 0, 0)),
		"HTTP/2 SETTINGS, six":       "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00\x00\x05\x00\xff\xff\xff",
		"HTTP/2 SETTINGS and GOAWAY": string(frame(frameSettings, 0, 0)) + string(goAwayFrame(0, 1)),
		"HTTP/2 GOAWAY":              string(goAwayFrame(0, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
				server := startKitServer(t, steadyhttptest.NewServer, steadyhttptest.Raw(said))
				err := assertRefused(t, wrap(&http.Transport{}), newWireRequest(t, method, server.URL, ""))
				require.ErrorContains(t, err, "malformed HTTP response")
				server.AssertAttempts(t, 1)
			})
		})
	}
}

// Garbage is no other protocol, however it begins.
func TestMismatch_GarbageStaysTransient(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"SSH":                    "SSH-2.0-OpenSSH_9.6\r\n",
		"SMTP":                   "220-mail.example.com\r\n",
		"a record of no version": "\x15\x02\x00\x00\x02\x02\x46",
		"a record of no type":    "\x18\x03\x03\x00\x02\x02\x46",
		"two octets":             "\x15\x03",
		"DATA":                   "\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"SETTINGS of a stream":   "\x00\x00\x00\x04\x00\x00\x00\x00\x01",
		"half a frame's header":  "\x00\x00\x00\x04\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startKitServer(t, steadyhttptest.NewServer, steadyhttptest.Raw(said))
			transport := newWireTransport(t, &http.Transport{}, steadyhttp.WithMaxAttempts(2))
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient, steadyhttp.Transient)
			assertBreakerCount(t, transport, breakerCount{2, 2})
		})
	}
}

func TestMismatch_HTTP1FromAnHTTP2PortIsPermanent(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, echoHandler)
	runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
		transport := newTransport(t, wrap(&http.Transport{Protocols: newHTTP2Protocols()}), fastRetryOptions(unlimitedRetryOptions(steadyhttp.WithMaxAttempts(50))...)...)
		call := sendWire(t, transport, newWireRequest(t, method, server.URL, ""))
		require.ErrorContains(t, call.err, "looked like an HTTP/1.1 header")
		assert.Equal(t, steadyhttp.StopNotRetryable, call.Stopped)
		last := len(call.Attempts) - 1
		assert.Equal(t, steadyhttp.Permanent, call.Attempts[last].Class)
		for _, attempt := range call.Attempts[:last] { // net/http loses what comes before the first request
			assert.EqualError(t, attempt.Err, "http2: client conn could not be established")
			assert.Equal(t, steadyhttp.Unprocessed, attempt.Class)
		}
	})
}

// A port that speaks TLS to who speaks plain HTTP, for real: what it says is for net/http's server to decide.
func TestMismatch_HTTPToAnHTTPSPortIsNotRetried(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }, echoHandler)
	transport := newWireTransport(t, &http.Transport{})
	call := sendWire(t, transport, newWireRequest(t, http.MethodGet, strings.Replace(server.URL, "https:", "http:", 1), ""))
	assert.Len(t, call.Attempts, 1)
	require.NoError(t, call.err)
	assert.Equal(t, 400, call.response.StatusCode)
}

// The types that net/http and golang.org/x/net/http2 have for what a server sent differ, but not in these fields.
type (
	resetError struct {
		StreamID uint32
		Code     errorCode
		Cause    error
	}
	goAwayError struct {
		LastStreamID uint32
		ErrCode      errorCode
		DebugData    string
	}
	errorCode uint32
)

func (resetError) Error() string  { return "a RST_STREAM frame" }
func (goAwayError) Error() string { return "a GOAWAY frame" }

func TestMismatch_CodeDecidesWhateverPackageTellsIt(t *testing.T) {
	t.Parallel()
	for code := errorCode(0); code < 20; code++ {
		want := steadyhttp.Transient
		switch code {
		case 7:
			want = steadyhttp.Unprocessed
		case 12, 13:
			want = steadyhttp.Permanent
		}
		goAway := want
		if code == 7 { // the error is that of a stream which the GOAWAY counts in: the server may have acted on it
			goAway = steadyhttp.Transient
		}
		for err, want := range map[error]steadyhttp.Class{
			resetError{StreamID: 1, Code: code}: want, goAwayError{LastStreamID: 1, ErrCode: code}: goAway,
		} {
			assert.Equal(t, want, steadyhttp.Classify(nil, nil, err), "%v %d", err, code)
			assert.Equal(t, want, steadyhttp.Classify(newGet(t), nil, fmt.Errorf("wrapped: %w", err)), "%v %d", err, code)
		}
	}
	assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(nil, nil, codeOnlyError{13}), "of something else")
}

// A codeOnlyError has a code of its own.
type codeOnlyError struct{ Code uint32 }

func (codeOnlyError) Error() string { return "an error with a code" }
