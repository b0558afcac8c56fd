package integration

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/steadyhttp/steadyhttp"
)

// golang.org/x/net/http2 as the base transport: its errors are of other types than net/http's, and it dials itself.
// It is deprecated, but in use.

//lint:file-ignore SA1019 the deprecated transport is what is tested

// startFrameServer speaks just enough HTTP/2 to react to each request with a frame.
func startFrameServer(t *testing.T, react func(framer *http2.Framer, stream uint32)) (url string, base *http2.Transport, requests *atomic.Int64) {
	t.Helper()
	requests = &atomic.Int64{}
	certified := httptest.NewTLSServer(nil)
	t.Cleanup(certified.Close)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{http2.NextProtoTLS}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			go serveFrames(conn, requests, react)
		}
	}()
	base = &http2.Transport{TLSClientConfig: certified.Client().Transport.(*http.Transport).TLSClientConfig.Clone()}
	t.Cleanup(base.CloseIdleConnections)
	return "https://" + listener.Addr().String(), base, requests
}

func serveFrames(conn net.Conn, requests *atomic.Int64, react func(*http2.Framer, uint32)) {
	defer func() { _ = conn.Close() }()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	for frame, err := framer.ReadFrame(); err == nil; frame, err = framer.ReadFrame() {
		if headers, ok := frame.(*http2.HeadersFrame); ok {
			requests.Add(1)
			react(framer, headers.StreamID)
		}
	}
}

// callOnce makes a POST over the base, and returns its only attempt.
func callOnce(t *testing.T, base http.RoundTripper, url string) steadyhttp.Attempt {
	t.Helper()
	transport, err := steadyhttp.NewTransport(base, steadyhttp.WithBackoff(time.Millisecond, time.Millisecond))
	require.NoError(t, err)
	ctx, report := steadyhttp.WithReport(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	require.NoError(t, err)
	_, err = transport.RoundTrip(r)
	require.Error(t, err)
	require.Len(t, report.Attempts, 1, "%v", err)
	assert.Zero(t, transport.Breakers()[0].Failures, "%v", err)
	return report.Attempts[0]
}

func TestXNet_ServerThatDemandsHTTP1IsPermanent(t *testing.T) {
	t.Parallel()
	for _, code := range []http2.ErrCode{http2.ErrCodeHTTP11Required, http2.ErrCodeInadequateSecurity} {
		url, base, requests := startFrameServer(t, func(framer *http2.Framer, stream uint32) { _ = framer.WriteRSTStream(stream, code) })
		attempt := callOnce(t, base, url)
		assert.Equal(t, steadyhttp.Permanent, attempt.Class)
		var reset http2.StreamError
		require.ErrorAs(t, attempt.Err, &reset)
		assert.Equal(t, code, reset.Code)
		assert.EqualValues(t, 1, requests.Load())
	}
}

func TestXNet_ServerWithoutHTTP2IsPermanent(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.TLS.NextProtos = []string{"http/1.1"}
	base := &http2.Transport{TLSClientConfig: server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()}
	defer base.CloseIdleConnections()
	attempt := callOnce(t, base, server.URL)
	assert.Equal(t, steadyhttp.Permanent, attempt.Class)
}

func TestXNet_RefusalsOfOurOwnSideArePermanent(t *testing.T) {
	t.Parallel()
	url, base, requests := startFrameServer(t, func(*http2.Framer, uint32) {})
	base.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error { return io.ErrShortBuffer } // says nothing of a connection
	assert.Equal(t, steadyhttp.Permanent, callOnce(t, base, url).Class)
	assert.Zero(t, requests.Load())
}

// This base dials for each request with Close, and marks no connection by one. How long it takes is held in virtual time.
func TestXNet_DeadConnectionIsLeft(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			p := protocols[2]
			app := startDirectApplication(t, p)
			relay := startRelay(t, app.address)
			base := &http2.Transport{TLSClientConfig: p.base().TLSClientConfig}
			t.Cleanup(base.CloseIdleConnections)
			transport, err := steadyhttp.NewTransport(base, steadyhttp.WithAttemptTimeout(2*time.Second))
			require.NoError(t, err)
			sendTogether(t, transport, p, relay.address, 1)
			relay.swallow()
			took, sent := untilSuccess(t, time.Second, func(ctx context.Context) result {
				return send(ctx, transport, newOrder(method, p.scheme()+relay.address+"/", 1000))
			})
			t.Log("the first success came after", took, "over", relay.count(), "connections")
			require.NotZero(t, took, "no success at all")
			assert.LessOrEqual(t, relay.count(), 3+len(sent), "three of them show what the base does")
			for _, r := range sent {
				assert.LessOrEqual(t, app.timesProcessed(r.id), 1)
			}
		})
	}
}
