package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A haproxy is a server from Debian's package, before an application.
type haproxy struct {
	*daemon
	endpoint
	Admin, Directory, Identity, Application string
}

const haproxyFrame = `
global
	stats socket ipv4@{{.Admin}} level admin
	log stderr format raw local0 alert
	tune.ssl.default-dh-param 2048
defaults
	mode http
	timeout connect 1s
	timeout client 1m
	timeout server 1m
frontend all
	bind {{.Plain}}
	bind {{.Secure}} ssl crt {{.Identity}} alpn h2,http/1.1
	default_backend shop
backend shop
	server shop1 {{.Application}}
`

// startHaproxy starts one with these changes to the frame: what is to be replaced, by what, and so on.
func startHaproxy(t *testing.T, application string, changes ...string) *haproxy {
	t.Helper()
	h := &haproxy{endpoint: newEndpoint(t), Admin: freeAddress(t), Directory: t.TempDir(), Application: application}
	h.Identity = writeIdentity(t, h.Directory)
	frame := strings.NewReplacer(changes...).Replace(haproxyFrame)
	var text bytes.Buffer
	require.NoError(t, template.Must(template.New("haproxy.cfg").Parse(frame)).Execute(&text, h))
	path := filepath.Join(h.Directory, "haproxy.cfg")
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
	h.daemon = serve(t, h.endpoint, h.Directory, "haproxy", "-db", "-q", "-f", path)
	return h
}

// administer gives a command to its runtime interface.
func (h *haproxy) administer(t *testing.T, command string) {
	t.Helper()
	conn, err := net.Dial("tcp", h.Admin)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintln(conn, command)
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Empty(t, strings.TrimSpace(string(answer)), command)
}

// twiceInWindow is the size of a body that fits twice into the 64 KiB which an HTTP/2 connection may have under way at
// first. Debian 12's haproxy (2.6) never gives back what a body took of them that it refused, though RFC 9113 §5.1
// asks for it: on that connection a larger body is not sent to its end, now or later.
const twiceInWindow = 20_000

func TestHaproxyWithoutAServerIsA503UntilThereIsOne(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		server := startHaproxy(t, shop.address, "server shop1 {{.Application}}", "server shop1 {{.Application}} disabled")
		transport := steady(t, p.base(), onRetry(func() { server.administer(t, "set server shop/shop1 state ready") }))

		ordered := deliver(t.Context(), transport, newOrder(http.MethodPost, p.url(server.endpoint, "/"), 1000))
		ordered.assertStatuses(t, steadyhttp.StopNotIdempotent, http.StatusServiceUnavailable)
		assert.Zero(t, shop.times(ordered.id))

		replaced := deliver(t.Context(), transport, newOrder(http.MethodPut, p.url(server.endpoint, "/"), twiceInWindow))
		replaced.assertAnswered(t)
		assert.Len(t, replaced.Attempts, 2, "the first came to a 503, or to a reset: haproxy does not wait for the body")
		assert.Equal(t, 1, shop.times(replaced.id))
	})
}

func TestHaproxyBeforeADeadServerIsA503UntilItLives(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := build(t)
		server := startHaproxy(t, shop.address, "mode http", "mode http\n\tretries 0")
		transport := steady(t, p.base(), onRetry(func() { shop.start(t) }))

		got := deliver(t.Context(), transport, newOrder(http.MethodGet, p.url(server.endpoint, "/"), 0))
		got.assertAnswered(t)
		got.assertStatuses(t, steadyhttp.StopSuccess, http.StatusServiceUnavailable, http.StatusOK)
	})
}

func TestHaproxyBeforeASlowServerIsA504UntilItIsFaster(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		slow(shop)
		server := startHaproxy(t, shop.address, "timeout server 1m", "timeout server 250ms")
		transport := steady(t, p.base(), onRetry(func() { shop.firstly(func(http.ResponseWriter, *http.Request) {}) }))

		ordered := deliver(t.Context(), transport, newOrder(http.MethodPost, p.url(server.endpoint, "/"), 1000))
		ordered.assertStatuses(t, steadyhttp.StopNotIdempotent, http.StatusGatewayTimeout)
		assert.Eventually(t, func() bool { return shop.times(ordered.id) == 1 }, patience, time.Millisecond,
			"the application worked on, and did not get the order again")

		got := deliver(t.Context(), transport, newOrder(http.MethodGet, p.url(server.endpoint, "/"), 0))
		got.assertAnswered(t)
		assert.Equal(t, http.StatusGatewayTimeout, got.Attempts[0].StatusCode)
	})
}

func TestHaproxyRateLimitIsWaitedOut(t *testing.T) {
	t.Parallel()
	const limiting = `default_backend shop
	stick-table type ip size 1k expire 1m store http_req_rate(2900ms)
	http-request track-sc0 src
	http-request return status 429 hdr Retry-After 3 if { sc_http_req_rate(0) gt 2 }`
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		server := startHaproxy(t, shop.address, "default_backend shop", limiting)
		transport := steady(t, p.base())
		for range 2 {
			deliver(t.Context(), transport, newOrder(http.MethodGet, p.url(server.endpoint, "/"), 0)).assertAnswered(t)
		}
		ordered := deliver(t.Context(), transport, newOrder(http.MethodPost, p.url(server.endpoint, "/"), 1000))
		ordered.assertAnswered(t)
		assert.Positive(t, ordered.assertLimitsObeyed(t, 3*time.Second), "refusals")
		assert.Equal(t, 1, shop.times(ordered.id))
	})
}

func TestHaproxyKeepAliveRacesFailNoPostThatHasAKey(t *testing.T) {
	t.Parallel()
	shop := deploy(t)
	server := startHaproxy(t, shop.address, "timeout client 1m", "timeout client 1m\n\ttimeout http-keep-alive 5ms")
	transport := steady(t, protocols[0].base(), forRaces...)
	load := &race{transport: transport, url: "http://" + server.Plain, workers: 8, idle: aroundTimeout}
	load.assertNothingFails(t, shop)
}
