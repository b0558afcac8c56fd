package integration

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// An nginx is a server from Debian's package, before an application.
type nginx struct {
	*daemon
	endpoint
	Directory, Identity, Application string
}

// nginxFrame is what every configuration needs to run out of one directory.
const nginxFrame = `
daemon off;
user root;
worker_processes 2;
pid {{.Directory}}/pid;
error_log stderr error;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path {{.Directory}}/body;
	proxy_temp_path {{.Directory}}/proxy;
	fastcgi_temp_path {{.Directory}}/fastcgi;
	uwsgi_temp_path {{.Directory}}/uwsgi;
	scgi_temp_path {{.Directory}}/scgi;
	ssl_certificate {{.Identity}};
	ssl_certificate_key {{.Identity}};
	proxy_http_version 1.1;
	SITE
}
`

// listening is the beginning of a server block.
const listening = `
		listen {{.Plain}};
		listen {{.Secure}} ssl http2;
`

// startNginx starts one with this site, the inside of the http block.
func startNginx(t *testing.T, application, site string) *nginx {
	t.Helper()
	n := &nginx{endpoint: newEndpoint(t), Directory: t.TempDir(), Application: application}
	n.Identity = writeIdentity(t, n.Directory)
	n.configure(t, site)
	n.start(t)
	return n
}

func (n *nginx) start(t *testing.T) {
	t.Helper()
	n.daemon = serve(t, n.endpoint, n.Directory, "nginx", "-c", filepath.Join(n.Directory, "nginx.conf"))
}

func (n *nginx) configure(t *testing.T, site string) {
	t.Helper()
	frame := strings.Replace(nginxFrame, "SITE", site, 1)
	var text bytes.Buffer
	require.NoError(t, template.Must(template.New("nginx.conf").Parse(frame)).Execute(&text, n))
	require.NoError(t, os.WriteFile(filepath.Join(n.Directory, "nginx.conf"), text.Bytes(), 0o600))
}

// reload makes it take on another site, without a connection lost.
func (n *nginx) reload(t *testing.T, site string) {
	t.Helper()
	n.configure(t, site)
	n.signal(t, syscall.SIGHUP)
}

const forwarding = `server {` + listening + `
		location / { proxy_pass http://{{.Application}}; }
	}`

// onRetry is an observer that acts once, before the first resend.
func onRetry(act func()) steadyhttp.Option {
	var once sync.Once
	return steadyhttp.WithObserver(func(_ context.Context, event steadyhttp.Event) {
		if event.Kind == steadyhttp.EventRetry {
			once.Do(act)
		}
	})
}

func TestNginxRateLimitIsWaitedOut(t *testing.T) {
	t.Parallel()
	const limiting = `
	limit_req_zone $binary_remote_addr zone=all:1m rate=40r/m; # one in 1.5 s
	server {` + listening + `
		location / {
			limit_req zone=all;
			limit_req_status 429;
			error_page 429 @limited;
			proxy_pass http://{{.Application}};
		}
		location @limited {
			add_header Retry-After 1 always;
			return 429;
		}
	}`
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		server := startNginx(t, shop.address, limiting)
		transport := steady(t, p.base())
		limited := 0
		for i := range 3 {
			method := []string{http.MethodPost, http.MethodGet}[i%2]
			d := deliver(t.Context(), transport, newOrder(method, p.url(server.endpoint, "/"), 1000))
			d.assertAnswered(t)
			assert.Equal(t, 1, shop.times(d.id))
			limited += d.assertLimitsObeyed(t, time.Second)
		}
		assert.Positive(t, limited, "refusals of calls that came too soon")
	})
}

func TestNginxMaintenanceIsWaitedOut(t *testing.T) {
	t.Parallel()
	const maintenance = `server {` + listening + `
		location / {
			add_header Retry-After 1 always;
			return 503;
		}
	}`
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		server := startNginx(t, shop.address, maintenance)
		transport := steady(t, p.base(), onRetry(func() { server.reload(t, forwarding) }))

		ordered := deliver(t.Context(), transport, newOrder(http.MethodPost, p.url(server.endpoint, "/"), 1000))
		ordered.assertStatuses(t, steadyhttp.StopNotIdempotent, http.StatusServiceUnavailable)
		assert.Zero(t, shop.times(ordered.id))

		got := deliver(t.Context(), transport, newOrder(http.MethodGet, p.url(server.endpoint, "/"), 0))
		got.assertAnswered(t)
		assert.GreaterOrEqual(t, len(got.Attempts), 2)
		assert.GreaterOrEqual(t, got.Attempts[0].Wait, time.Second, "what Retry-After asks for")
	})
}

func TestNginxWithADeadUpstreamIsA502UntilItLives(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := build(t)
		server := startNginx(t, shop.address, forwarding)
		transport := steady(t, p.base(), onRetry(func() { shop.start(t) }))

		ordered := deliver(t.Context(), transport, newOrder(http.MethodPost, p.url(server.endpoint, "/"), 1000))
		ordered.assertStatuses(t, steadyhttp.StopNotIdempotent, http.StatusBadGateway)

		replaced := deliver(t.Context(), transport, newOrder(http.MethodPut, p.url(server.endpoint, "/"), 100_000))
		replaced.assertAnswered(t)
		replaced.assertStatuses(t, steadyhttp.StopSuccess, http.StatusBadGateway, http.StatusOK)
		assert.Equal(t, 1, shop.times(replaced.id))
	})
}

func TestNginxWithASlowUpstreamIsA504UntilItIsFaster(t *testing.T) {
	t.Parallel()
	const hasty = `server {` + listening + `
		location / {
			proxy_read_timeout 250ms;
			proxy_pass http://{{.Application}};
		}
	}`
	eachProtocol(t, func(t *testing.T, p protocol) {
		shop := deploy(t)
		slow(shop)
		server := startNginx(t, shop.address, hasty)
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

// slow makes the application take so long that its proxies give up.
func slow(a *application) {
	a.firstly(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) })
}
