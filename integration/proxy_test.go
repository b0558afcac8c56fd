package integration

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// startReverseProxy starts a reverse proxy of net/http over this transport, in front of a server.
func startReverseProxy(t *testing.T, transport http.RoundTripper, target string) *httptest.Server {
	t.Helper()
	address, err := url.Parse(target)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(address) },
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server
}

func TestProxy_HidesFailuresOfAGetAndShowsThoseOfAPost(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startDirectApplication(t, p)
		app.failNext(2)
		gateway := startReverseProxy(t, newTransport(t, p.base()), p.scheme()+app.address)
		got := send(t.Context(), http.DefaultTransport, newOrder(http.MethodGet, gateway.URL, 0))
		assert.True(t, got.succeeded(), "%d %v", got.status, got.err)

		app.failNext(1)
		post := newOrder(http.MethodPost, gateway.URL, 1000)
		assert.Equal(t, http.StatusServiceUnavailable, send(t.Context(), http.DefaultTransport, post).status)
		assert.Zero(t, app.timesProcessed(post.id))
		again := send(t.Context(), http.DefaultTransport, post)
		assert.True(t, again.succeeded(), "%d %v", again.status, again.err)
		assert.Equal(t, 1, app.timesProcessed(post.id))
	})
}

func TestProxy_RespondsForADeadServerAndForAnOpenBreaker(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, protocols[0].base(), steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(3, 0),
		steadyhttp.WithBreakerOpenFor(time.Hour))
	gateway := startReverseProxy(t, transport, "http://"+freeAddress(t))
	for range 5 {
		got := send(t.Context(), http.DefaultTransport, newOrder(http.MethodGet, gateway.URL, 0))
		require.NoError(t, got.err)
		assert.Equal(t, http.StatusBadGateway, got.status)
	}
	assert.Equal(t, steadyhttp.BreakerOpen, transport.Breakers()[0].State)
}

// startEchoServer starts a WebSocket server that sends back what it receives.
func startEchoServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // Accept has responded
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(-1)
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestWebSocket_ThroughTheReverseProxyOutlivesTheAttemptTimeout(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]steadyhttp.Option{
		"default policy":       nil,
		"with attempt timeout": {steadyhttp.WithAttemptTimeout(2 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gateway := startReverseProxy(t, newTransport(t, protocols[0].base(), options...), startEchoServer(t).URL)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			conn, _, err := websocket.Dial(ctx, strings.Replace(gateway.URL, "http", "ws", 1), nil)
			require.NoError(t, err)
			defer func() { _ = conn.CloseNow() }()
			conn.SetReadLimit(-1)
			for i := range 4 {
				message := randomBytes(1 << (6 * i)) // from a byte to 256 KiB
				require.NoError(t, conn.Write(ctx, websocket.MessageBinary, message))
				_, echo, err := conn.Read(ctx)
				require.NoError(t, err)
				assert.Equal(t, checksum(message), checksum(echo))
				time.Sleep(time.Second)
			}
			require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
		})
	}
}

func TestWebSocket_DialedThroughTheTransportIsWritable(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, protocols[0].base(), steadyhttp.WithAttemptTimeout(timeLimit))
	conn, response, err := websocket.Dial(t.Context(), startEchoServer(t).URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	assert.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte("hello")))
	_, echo, err := conn.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "hello", string(echo))
	require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
}
