package steadyhttp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// HTTP/2 frame types and error codes (RFC 9113 §6, §7).
const (
	frameHeaders, frameReset, frameSettings, frameGoAway = 1, 3, 4, 7

	codeNo, codeProtocol, codeRefused = 0, 1, 7
)

// An http2Server counts requests, and does with each what react writes.
type http2Server struct {
	url      string
	trust    *tls.Config
	requests atomic.Int64
	dials    atomic.Int64
}

// newHTTP2Server speaks just enough HTTP/2 over TLS to misbehave. react is called with each request's number,
// from 1, and its stream; it returns false to hang up.
func newHTTP2Server(t *testing.T, react func(w io.Writer, request int64, stream uint32) bool) *http2Server {
	t.Helper()
	template := httptest.NewUnstartedServer(nil)
	template.EnableHTTP2 = true
	template.StartTLS()
	certificates := template.TLS.Certificates
	trust := template.Client().Transport.(*http.Transport).TLSClientConfig
	template.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificates, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	return serveHTTP2(t, &http2Server{url: "https://" + listener.Addr().String(), trust: trust}, listener, react)
}

// newClearHTTP2Server does so without TLS, with prior knowledge (RFC 9113 §3.3).
func newClearHTTP2Server(t *testing.T, react func(w io.Writer, request int64, stream uint32) bool) *http2Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serveHTTP2(t, &http2Server{url: "http://" + listener.Addr().String()}, listener, react)
}

func serveHTTP2(t *testing.T, s *http2Server, listener net.Listener, react func(io.Writer, int64, uint32) bool) *http2Server {
	t.Helper()
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	ctx := t.Context()
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.dials.Add(1)
			serving.Go(func() { s.serve(ctx, conn, react) })
		}
	})
	return s
}

func (s *http2Server) serve(ctx context.Context, conn net.Conn, react func(io.Writer, int64, uint32) bool) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	reader := bufio.NewReader(conn)
	if _, err := io.CopyN(io.Discard, reader, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	_, _ = conn.Write(frame(frameSettings, 0, 0))
	for {
		var header [9]byte
		if _, err := io.ReadFull(reader, header[:]); err != nil {
			return
		}
		length := int64(header[0])<<16 | int64(header[1])<<8 | int64(header[2])
		if _, err := io.CopyN(io.Discard, reader, length); err != nil {
			return
		}
		if header[3] == frameHeaders && !react(conn, s.requests.Add(1), binary.BigEndian.Uint32(header[5:])) {
			return
		}
	}
}

func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	f := []byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(f[5:], stream)
	return append(f, payload...)
}

func resetFrame(stream uint32, code byte) []byte { return frame(frameReset, 0, stream, 0, 0, 0, code) }

func goAwayFrame(last uint32, code byte) []byte {
	payload := binary.BigEndian.AppendUint32(nil, last)
	return frame(frameGoAway, 0, 0, append(payload, 0, 0, 0, code)...)
}

// okFrame is a response of ":status: 200" (RFC 7541 §6.1, static table index 8), without a body.
func okFrame(stream uint32) []byte { return frame(frameHeaders, 0x5, stream, 0x88) }

// misbehaviors are ways of HTTP/2 servers to go away that make net/http resend without end.
var misbehaviors = map[string]func(w io.Writer, stream uint32) bool{
	"RST_STREAM with PROTOCOL_ERROR": func(w io.Writer, stream uint32) bool {
		_, _ = w.Write(resetFrame(stream, codeProtocol))
		return true
	},
	"GOAWAY that counts nothing in": func(w io.Writer, _ uint32) bool {
		_, _ = w.Write(goAwayFrame(0, codeNo))
		return true
	},
	"GOAWAY and the end": func(w io.Writer, _ uint32) bool {
		_, _ = w.Write(goAwayFrame(0, codeNo))
		return false
	},
	"nginx's 444": func(w io.Writer, stream uint32) bool {
		_, _ = w.Write(append(resetFrame(stream, codeProtocol), goAwayFrame(stream, codeNo)...))
		return false
	},
}

func (s *http2Server) newBase() *http.Transport {
	return &http.Transport{TLSClientConfig: s.trust.Clone(), ForceAttemptHTTP2: true}
}

func TestResend_OneAttemptReachesTheServerAtMostEightTimes(t *testing.T) {
	t.Parallel()
	for name, misbehave := range misbehaviors {
		for _, c := range []struct {
			method, content string
			most            int64
		}{{http.MethodGet, "", 8}, {http.MethodPut, "payload", 8}, {http.MethodPost, "", 1}, {http.MethodPost, "payload", 2}} {
			for _, warm := range []int64{0, 1} {
				t.Run(strings.Join([]string{name, c.method, c.content}, " "), func(t *testing.T) {
					t.Parallel()
					server := newHTTP2Server(t, func(w io.Writer, request int64, stream uint32) bool {
						if request <= warm {
							_, _ = w.Write(okFrame(stream))
							return true
						}
						return misbehave(w, stream)
					})
					transport := newWireTransport(t, server.newBase(), steadyhttp.WithMaxAttempts(1))
					for range warm {
						sendWire(t, transport, newWireRequest(t, http.MethodGet, server.url, "")).assertResponse(t, 200, "")
					}
					call := sendWire(t, transport, newWireRequest(t, c.method, server.url, c.content))
					require.Error(t, call.err)
					sent := server.requests.Load() - warm
					assert.LessOrEqual(t, sent, c.most)
					if strings.Contains(name, "RST") || strings.Contains(name, "444") {
						if c.method == http.MethodPost {
							assert.EqualValues(t, 1, sent, "the server may have acted on it")
						}
					}
					require.Len(t, call.Attempts, 1)
					assert.EqualValues(t, sent-1, call.Attempts[0].Resends)
					assert.LessOrEqual(t, server.dials.Load(), int64(9))
				})
			}
		}
	}
}

func TestResend_PostIsSentAgainAfterOneGoAwayThatDidNotCountItIn(t *testing.T) {
	t.Parallel()
	server := newHTTP2Server(t, func(w io.Writer, request int64, stream uint32) bool {
		if request == 2 {
			_, _ = w.Write(goAwayFrame(1, codeNo))
			return true
		}
		_, _ = w.Write(okFrame(stream))
		return true
	})
	transport := newWireTransport(t, server.newBase())
	sendWire(t, transport, newWireRequest(t, http.MethodGet, server.url, "")).assertResponse(t, 200, "")
	call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.url, "payload"))
	call.assertResponse(t, 200, "")
	call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
	assert.Equal(t, 1, call.Attempts[0].Resends)
}

func TestResend_PostIsNotRetriedAfterAGoAwayThatCountsItInWhateverItsCode(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "payload"} {
		server := newHTTP2Server(t, func(w io.Writer, _ int64, stream uint32) bool {
			_, _ = w.Write(goAwayFrame(stream, codeRefused))
			return false
		})
		call := sendWire(t, newWireTransport(t, server.newBase()), newWireRequest(t, http.MethodPost, server.url, content))
		require.Error(t, call.err)
		call.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assert.EqualValues(t, 1, server.requests.Load())
	}
}

// newRefusingServer refuses the first stream. It speaks HTTP/2 in the clear, so nothing tells that before its first response.
func newRefusingServer(t *testing.T) (*http2Server, *http.Transport) {
	t.Helper()
	server := newClearHTTP2Server(t, func(w io.Writer, request int64, stream uint32) bool {
		reaction := resetFrame(stream, codeRefused)
		if request > 1 {
			reaction = okFrame(stream)
		}
		_, _ = w.Write(reaction)
		return true
	})
	base := &http.Transport{Protocols: new(http.Protocols)}
	base.Protocols.SetUnencryptedHTTP2(true)
	return server, base
}

func TestResend_RefusedStreamOfAFirstRequestInTheClearIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, content := range []string{"", "payload"} {
			t.Run(method+" "+content, func(t *testing.T) {
				t.Parallel()
				server, base := newRefusingServer(t)
				call := sendWire(t, newWireTransport(t, base), newWireRequest(t, method, server.url, content))
				call.assertResponse(t, 200, "")
				call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
				assert.Equal(t, 1, call.Attempts[0].Resends)
				assert.EqualValues(t, 1, server.dials.Load(), "the connection is left open, since other requests use it too")
			})
		}
	}
}

func TestResend_ConnectionOfATypeThatIsNotComparableDoesNotPanic(t *testing.T) {
	t.Parallel()
	server, base := newRefusingServer(t)
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialDefault(ctx, network, address)
		return uncomparableConn{conn, nil}, err
	}
	transport := newWireTransport(t, base)
	sendWire(t, transport, newWireRequest(t, http.MethodGet, server.url, "")).assertResponse(t, 200, "")
	server.requests.Store(0) // so that it refuses again, now that the origin is known to speak HTTP/2
	sendWire(t, transport, newWireRequest(t, http.MethodGet, server.url, "")).assertResponse(t, 200, "")
}

type uncomparableConn struct {
	net.Conn
	_ []byte
}

func TestResend_AttemptTimeoutAmongRefusedStreamsIsUnprocessed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sends := 0
		refusing := stepFunc(func(r *http.Request) (*http.Response, error) {
			if sends++; sends > 3 {
				return status(200).RoundTrip(r)
			}
			_ = r.Body.Close()
			return nil, errors.New("http2: Transport: cannot retry err [stream error: stream ID 1; REFUSED_STREAM; received from peer] " +
				"after Request.Body was written; define Request.GetBody to avoid this error")
		})
		transport := newTransport(t, refusing, steadyhttp.WithAttemptTimeout(1500*time.Millisecond))
		ctx, report := steadyhttp.WithReport(t.Context())
		response, err := transport.RoundTrip(newPost(t).WithContext(ctx))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Len(t, report.Attempts, 2)
		assert.Equal(t, steadyhttp.Unprocessed, report.Attempts[0].Class)
		assert.ErrorIs(t, report.Attempts[0].Err, steadyhttp.ErrAttemptTimeout)
		assert.Equal(t, 2, report.Attempts[0].Resends, "at once, after 1 s, and it was to be after 2 s more")
		assert.Equal(t, 4, sends)
	})
}

// Over HTTP/1 there are as many resends as idle connections, whichever key the calls had that left them.
func TestResend_IdleConnectionsThatAreDroppedOneAfterTheOtherAreBounded(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]steadyhttp.Option{
		"one origin":          nil,
		"a key for each path": {steadyhttp.WithOriginKey(func(r *http.Request) string { return r.URL.Path })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const idle = 21
			server, drop := newDroppingServer(t, idle)
			transport := newWireTransport(t, &http.Transport{MaxIdleConnsPerHost: idle}, append(options, steadyhttp.WithMaxAttempts(1))...)
			var calls sync.WaitGroup
			for i := range idle {
				calls.Go(func() {
					path := []string{"/a", "/b", "/c"}[i%3]
					sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL+path, "")).assertResponse(t, 200, "")
				})
			}
			calls.Wait()
			drop()
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL+"/a", ""))
			require.Error(t, call.err)
			assert.LessOrEqual(t, server.arrived.Load(), int64(idle+8))
			call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient)
		})
	}
}

// newDroppingServer responds to so many requests once all are there, and drops each connection after drop.
func newDroppingServer(t *testing.T, requests int) (server *wireServer, drop func()) {
	t.Helper()
	var dropping atomic.Bool
	var arrived sync.WaitGroup
	arrived.Add(requests)
	server = newWireServer(t, startPlain, func(http.ResponseWriter, *http.Request) {
		if dropping.Load() {
			panic(http.ErrAbortHandler)
		}
		arrived.Done()
		arrived.Wait()
	})
	return server, func() { dropping.Store(true) }
}

// A base may make its responses itself, or take them from a cache: then they do not tell what the server speaks.
func TestResend_BaseWhoseResponsesHideTheProtocolIsBounded(t *testing.T) {
	t.Parallel()
	bare := func(r *http.Request) *http.Response {
		return &http.Response{StatusCode: 204, Body: http.NoBody, Request: r}
	}
	for name, respond := range map[string]func(call int64, base *http.Transport, r *http.Request) (*http.Response, error){
		"its own": func(_ int64, base *http.Transport, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			return bare(r), response.Body.Close()
		},
		"a cache's": func(call int64, base *http.Transport, r *http.Request) (*http.Response, error) {
			if call == 2 {
				return bare(r), nil
			}
			return base.RoundTrip(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newHTTP2Server(t, func(w io.Writer, request int64, stream uint32) bool {
				reaction := resetFrame(stream, codeProtocol)
				if request == 1 {
					reaction = okFrame(stream)
				}
				_, _ = w.Write(reaction)
				return true
			})
			base := server.newBase()
			t.Cleanup(base.CloseIdleConnections)
			var calls atomic.Int64
			hiding := baseFunc{func(r *http.Request) (*http.Response, error) { return respond(calls.Add(1), base, r) }}
			transport := newTransport(t, hiding, fastRetryOptions(steadyhttp.WithMaxAttempts(1), steadyhttp.WithTimeout(5*time.Second))...)
			require.NoError(t, sendWire(t, transport, newWireRequest(t, http.MethodGet, server.url, "")).err)
			if name == "a cache's" {
				require.NoError(t, sendWire(t, transport, newWireRequest(t, http.MethodGet, server.url, "")).err)
			}
			before := server.requests.Load()
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.url, ""))
			require.Error(t, call.err)
			assert.EqualValues(t, 1, server.requests.Load()-before)
		})
	}
}

// What one host of a key is like says nothing of another.
func TestResend_KeyOfSeveralHostsIsBounded(t *testing.T) {
	t.Parallel()
	plain := newWireServer(t, startPlain, replyHandler(204))
	for name, misbehave := range misbehaviors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newHTTP2Server(t, func(w io.Writer, _ int64, stream uint32) bool { return misbehave(w, stream) })
			transport := newWireTransport(t, server.newBase(), steadyhttp.WithMaxAttempts(1), steadyhttp.WithTimeout(5*time.Second),
				steadyhttp.WithOriginKey(func(*http.Request) string { return "all" }))
			sendWire(t, transport, newWireRequest(t, http.MethodGet, plain.URL, "")).assertResponse(t, 204, "")
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.url, ""))
			require.Error(t, call.err)
			assert.EqualValues(t, 1, server.requests.Load())
			require.Len(t, call.Attempts, 1)
			assert.Zero(t, call.Attempts[0].Resends)
		})
	}
}

// A base may send requests of its own with the attempt's context: for a token, once more with credentials after a 401, or a
// second one where the first is slow.
func TestResend_BaseThatSendsRequestsOfItsOwnIsNotStopped(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(base *http.Transport, r *http.Request) (*http.Response, error){
		"after a 401": func(base *http.Transport, r *http.Request) (*http.Response, error) {
			content, _ := io.ReadAll(r.Body)
			first, again := r.Clone(r.Context()), r.Clone(r.Context())
			first.Body, again.Body = io.NopCloser(bytes.NewReader(content)), io.NopCloser(bytes.NewReader(content))
			response, err := base.RoundTrip(first)
			if err != nil {
				return nil, err
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			return base.RoundTrip(again)
		},
		"for a token of another host": func(base *http.Transport, r *http.Request) (*http.Response, error) {
			token := r.Clone(r.Context())
			token.Method, token.Body, token.ContentLength = http.MethodGet, nil, 0
			token.URL.Host = strings.Replace(token.URL.Host, "127.0.0.1", "localhost", 1)
			response, err := base.RoundTrip(token)
			if err != nil {
				return nil, err
			}
			_ = response.Body.Close()
			return base.RoundTrip(r)
		},
	} {
		for protocol, start := range map[string]func(*httptest.Server){"plain": startPlain, "TLS": startTLS, "HTTP/2": startHTTP2} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				t.Run(strings.Join([]string{name, protocol, method}, " "), func(t *testing.T) {
					t.Parallel()
					server := newWireServer(t, start, echoHandler)
					transport := newTransport(t, newOwnBase(t, send), steadyhttp.WithMaxAttempts(1))
					for range 3 {
						call := sendWire(t, transport, newWireRequest(t, method, server.URL, "payload"))
						call.assertResponse(t, 200, method+" payload")
						assert.Zero(t, call.Attempts[0].Resends)
					}
				})
			}
		}
	}
}

// An attempt over HTTP/1 need not end to be stopped, since each connection that it must not go over can be closed. But in a
// large pool those are other users' connections.
func TestResend_StoppedAttemptLeavesALargePoolItsConnections(t *testing.T) {
	t.Parallel()
	const idle = 40
	var together sync.WaitGroup
	together.Add(idle)
	var responded atomic.Bool // once, by a 503, so that the origin is known
	server := newWireServer(t, startPlain, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/together":
			together.Done()
			together.Wait()
		case responded.CompareAndSwap(false, true):
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			panic(http.ErrAbortHandler)
		}
	})
	base := &http.Transport{MaxIdleConnsPerHost: idle}
	t.Cleanup(base.CloseIdleConnections)
	callTogether := func() {
		var group sync.WaitGroup
		for range idle {
			group.Go(func() {
				sendWire(t, base, newWireRequest(t, http.MethodGet, server.URL+"/together", "")).assertResponse(t, 200, "")
			})
		}
		group.Wait()
	}
	callTogether()
	call := sendWire(t, newTransport(t, base, fastRetryOptions(steadyhttp.WithMaxAttempts(2))...), newWireRequest(t, http.MethodGet, server.URL, ""))
	require.Error(t, call.err)
	assert.Equal(t, 7, call.Attempts[1].Resends)

	before := server.connections.Load()
	together.Add(idle)
	callTogether()
	assert.LessOrEqual(t, server.connections.Load()-before, int64(10), "the others are still there")
}

// A base may also set GetBody itself, since it has read the body: to sign it, to compress it, or to send it with credentials.
func TestResend_PostWithTheBasesOwnGetBodyIsSentOnce(t *testing.T) {
	t.Parallel()
	for name, misbehave := range misbehaviors {
		for _, warm := range []int64{0, 1} {
			t.Run(fmt.Sprint(name, warm), func(t *testing.T) {
				t.Parallel()
				server := newHTTP2Server(t, func(w io.Writer, request int64, stream uint32) bool {
					if request <= warm {
						_, _ = w.Write(okFrame(stream))
						return true
					}
					return misbehave(w, stream)
				})
				own := server.newBase()
				t.Cleanup(own.CloseIdleConnections)
				buffering := baseFunc{func(r *http.Request) (*http.Response, error) {
					content, _ := io.ReadAll(r.Body)
					r = r.Clone(r.Context())
					r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
					r.Body, _ = r.GetBody()
					return own.RoundTrip(r)
				}}
				transport := newTransport(t, buffering, steadyhttp.WithMaxAttempts(1), steadyhttp.WithTimeout(10*time.Second))
				for range warm {
					sendWire(t, transport, newWireRequest(t, http.MethodPost, server.url, "payload")).assertResponse(t, 200, "")
				}
				call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.url, "payload"))
				require.Error(t, call.err)
				assert.EqualValues(t, 1, server.requests.Load()-warm)
				call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient)
			})
		}
	}
}

// What was surely not processed is sent again over a wrapped base too.
func TestResend_RefusedPostIsResentOverAWrappedBase(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(w io.Writer, stream uint32) bool{
		"REFUSED_STREAM": func(w io.Writer, stream uint32) bool {
			_, _ = w.Write(resetFrame(stream, codeRefused))
			return true
		},
		"GOAWAY": misbehaviors["GOAWAY that counts nothing in"],
	} {
		for _, content := range []string{"", "payload"} {
			if name == "GOAWAY" && content == "" {
				continue // net/http does not tell what made it send again
			}
			for _, warm := range []int64{0, 1} {
				t.Run(fmt.Sprint(name, content, warm), func(t *testing.T) {
					t.Parallel()
					server := newHTTP2Server(t, func(w io.Writer, request int64, stream uint32) bool {
						if request == warm+1 {
							return refuse(w, stream)
						}
						_, _ = w.Write(okFrame(stream))
						return true
					})
					transport := newTransport(t, hiddenBase{server.newBase(), new(atomic.Int64)}, steadyhttp.WithMaxAttempts(1))
					for range warm + 1 {
						sendWire(t, transport, newWireRequest(t, http.MethodPost, server.url, content)).assertResponse(t, 200, "")
					}
					assert.Equal(t, warm+2, server.requests.Load())
				})
			}
		}
	}
}

func TestResend_BaseThatFallsBackToASecondHostIsNotStopped(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"GET plain": startPlain, "GET TLS": startTLS, "POST TLS": startTLS, "GET HTTP/2": startHTTP2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := newWireServer(t, start, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			server := newWireServer(t, start, replyHandler(200))
			base := newOwnBase(t, func(base *http.Transport, r *http.Request) (*http.Response, error) {
				first := r.Clone(r.Context())
				first.URL.Host = broken.Listener.Addr().String()
				if response, err := base.RoundTrip(first); err == nil {
					return response, nil
				}
				return base.RoundTrip(r)
			})
			method, _, _ := strings.Cut(name, " ")
			call := sendWire(t, newTransport(t, base, steadyhttp.WithMaxAttempts(1)), newWireRequest(t, method, server.URL, ""))
			call.assertResponse(t, 200, "answer")
		})
	}
}

func startHTTP2(s *httptest.Server) {
	s.EnableHTTP2 = true
	s.StartTLS()
}

func newOwnBase(t *testing.T, send func(*http.Transport, *http.Request) (*http.Response, error)) http.RoundTripper {
	t.Helper()
	base := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(base.CloseIdleConnections)
	return baseFunc{func(r *http.Request) (*http.Response, error) { return send(base, r) }}
}

func TestResend_BaseThatHedgesIsNotStopped(t *testing.T) {
	t.Parallel()
	for protocol, start := range map[string]func(*httptest.Server){"plain": startPlain, "TLS": startTLS, "HTTP/2": startHTTP2} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			arrived := make(chan struct{}, 2)
			var both sync.WaitGroup
			both.Add(2)
			server := newWireServer(t, start, func(http.ResponseWriter, *http.Request) {
				arrived <- struct{}{}
				both.Done()
				both.Wait() // the first response comes once both requests are there
			})
			hedging := newOwnBase(t, func(base *http.Transport, r *http.Request) (*http.Response, error) {
				first := make(chan error, 1)
				go func() {
					response, err := base.RoundTrip(r.Clone(r.Context()))
					if err == nil {
						_ = response.Body.Close()
					}
					first <- err
				}()
				<-arrived
				response, err := base.RoundTrip(r)
				return response, errors.Join(err, <-first)
			})
			call := sendWire(t, newTransport(t, hedging, steadyhttp.WithMaxAttempts(1)), newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertResponse(t, 200, "")
		})
	}
}

// A response ends a request, but an informational one does not.
func TestResend_WrappedBaseIsBoundedWhateverComesBefore(t *testing.T) {
	t.Parallel()
	for name, misbehave := range misbehaviors {
		for _, hint := range []bool{false, true} {
			for method, most := range map[string]int64{http.MethodGet: 8, http.MethodPost: 1} {
				t.Run(fmt.Sprint(name, method, hint), func(t *testing.T) {
					t.Parallel()
					server := newHTTP2Server(t, func(w io.Writer, _ int64, stream uint32) bool {
						if hint {
							_, _ = w.Write(frame(frameHeaders, 0x4, stream, 0x08, 3, '1', '0', '3'))
						}
						return misbehave(w, stream)
					})
					transport := newTransport(t, hiddenBase{server.newBase(), new(atomic.Int64)}, steadyhttp.WithMaxAttempts(1), steadyhttp.WithTimeout(10*time.Second))
					call := sendWire(t, transport, newWireRequest(t, method, server.url, ""))
					require.Error(t, call.err)
					assert.LessOrEqual(t, server.requests.Load(), most)
					assert.EqualValues(t, server.requests.Load()-1, call.Attempts[0].Resends)
				})
			}
		}
	}
}

func TestResend_CallersCancelEndsATracedAttempt(t *testing.T) {
	t.Parallel()
	http1 := newWireServer(t, (*httptest.Server).Start, silentHandler)
	http2 := newHTTP2Server(t, func(io.Writer, int64, uint32) bool { return true })
	for url, base := range map[string]*http.Transport{http1.URL: {}, http2.url: http2.newBase()} {
		ctx, cancel := context.WithCancelCause(t.Context())
		transport := newWireTransport(t, base)
		mine := errors.New("mine")
		time.AfterFunc(20*time.Millisecond, func() { cancel(mine) })
		_, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, url, "").WithContext(ctx))
		assert.True(t, errors.Is(err, mine) || errors.Is(err, context.Canceled), "%v", err) // HTTP/2 may drop the cause
	}
}

// A request with Close ends its HTTP/2 connection for the requests that wait to be written to it.
func TestResend_ConnectionThatAnotherRequestEndedIsNoSend(t *testing.T) {
	t.Parallel()
	server := newHTTP2Server(t, func(w io.Writer, _ int64, stream uint32) bool {
		_, _ = w.Write(okFrame(stream))
		return true
	})
	transport := newWireTransport(t, server.newBase(), unlimitedRetryOptions(steadyhttp.WithMaxAttempts(1))...)
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for i := range 80 {
				r := newWireRequest(t, http.MethodPost, server.url, "payload")
				r.Close = i%10 == 0
				call := sendWire(t, transport, r)
				call.assertResponse(t, 200, "")
				call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
			}
		})
	}
	callers.Wait()
	assert.EqualValues(t, 4*80, server.requests.Load(), "none is sent twice")
}
