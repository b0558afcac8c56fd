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

// An nginx is a server from Debian's package, in front of an application.
type nginx struct {
	*daemon
	endpoint
	Directory, Identity, Application string
}

// nginxConfig is what every configuration needs so that all files are in one directory.
const nginxConfig = `
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

// listenDirectives are the beginning of a server block.
const listenDirectives = `
		listen {{.Plain}};
		listen {{.Secure}} ssl http2;
`

// startNginx starts one with this site, which is a part of the http block.
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
	n.daemon = startServer(t, n.endpoint, n.Directory, "nginx", "-c", filepath.Join(n.Directory, "nginx.conf"))
}

func (n *nginx) configure(t *testing.T, site string) {
	t.Helper()
	config := strings.Replace(nginxConfig, "SITE", site, 1)
	var text bytes.Buffer
	require.NoError(t, template.Must(template.New("nginx.conf").Parse(config)).Execute(&text, n))
	require.NoError(t, os.WriteFile(filepath.Join(n.Directory, "nginx.conf"), text.Bytes(), 0o600))
}

// reload changes the site, without losing a connection.
func (n *nginx) reload(t *testing.T, site string) {
	t.Helper()
	n.configure(t, site)
	n.signal(t, syscall.SIGHUP)
}

const proxySite = `server {` + listenDirectives + `
		location / { proxy_pass http://{{.Application}}; }
	}`

// onRetry is an observer that calls a function once, before the first retry.
func onRetry(act func()) steadyhttp.Option {
	var once sync.Once
	return steadyhttp.WithObserver(func(_ context.Context, event steadyhttp.Event) {
		if event.Kind == steadyhttp.EventRetry {
			once.Do(act)
		}
	})
}

func TestNginx_RateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	const rateLimit = `
	limit_req_zone $binary_remote_addr zone=all:1m rate=40r/m; # one in 1.5 s
	server {` + listenDirectives + `
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
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startApplication(t)
		server := startNginx(t, app.address, rateLimit)
		transport := newTransport(t, p.base())
		limited := 0
		for i := range 3 {
			method := []string{http.MethodPost, http.MethodGet}[i%2]
			got := send(t.Context(), transport, newOrder(method, p.url(server.endpoint, "/"), 1000))
			got.assertSuccess(t)
			assert.Equal(t, 1, app.timesProcessed(got.id))
			limited += got.assertRetryAfterObeyed(t, time.Second)
		}
		assert.Positive(t, limited, "attempts that got a 429")
	})
}

func TestNginx_MaintenanceIsWaitedFor(t *testing.T) {
	t.Parallel()
	const maintenance = `server {` + listenDirectives + `
		location / {
			add_header Retry-After 1 always;
			return 503;
		}
	}`
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startApplication(t)
		server := startNginx(t, app.address, maintenance)
		transport := newTransport(t, p.base(), onRetry(func() { server.reload(t, proxySite) }))

		post := send(t.Context(), transport, newOrder(http.MethodPost, p.url(server.endpoint, "/"), 1000))
		post.assertStatuses(t, steadyhttp.StopNotIdempotent, http.StatusServiceUnavailable)
		assert.Zero(t, app.timesProcessed(post.id))

		got := send(t.Context(), transport, newOrder(http.MethodGet, p.url(server.endpoint, "/"), 0))
		got.assertSuccess(t)
		assert.GreaterOrEqual(t, len(got.Attempts), 2)
		assert.GreaterOrEqual(t, got.Attempts[0].Wait, time.Second, "what Retry-After asks for")
	})
}

func TestNginx_DeadUpstreamIsA502UntilItIsBack(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := newApplication(t)
		server := startNginx(t, app.address, proxySite)
		transport := newTransport(t, p.base(), onRetry(func() { app.start(t) }))

		post := send(t.Context(), transport, newOrder(http.MethodPost, p.url(server.endpoint, "/"), 1000))
		post.assertStatuses(t, steadyhttp.StopNotIdempotent, http.StatusBadGateway)

		put := send(t.Context(), transport, newOrder(http.MethodPut, p.url(server.endpoint, "/"), 100_000))
		put.assertSuccess(t)
		put.assertStatuses(t, steadyhttp.StopSuccess, http.StatusBadGateway, http.StatusOK)
		assert.Equal(t, 1, app.timesProcessed(put.id))
	})
}

func TestNginx_SlowUpstreamIsA504UntilItIsFaster(t *testing.T) {
	t.Parallel()
	const shortTimeout = `server {` + listenDirectives + `
		location / {
			proxy_read_timeout 250ms;
			proxy_pass http://{{.Application}};
		}
	}`
	runEachProtocol(t, func(t *testing.T, p protocol) {
		app := startApplication(t)
		makeSlow(app)
		server := startNginx(t, app.address, shortTimeout)
		transport := newTransport(t, p.base(), onRetry(func() { app.setHook(func(http.ResponseWriter, *http.Request) {}) }))

		post := send(t.Context(), transport, newOrder(http.MethodPost, p.url(server.endpoint, "/"), 1000))
		post.assertStatuses(t, steadyhttp.StopNotIdempotent, http.StatusGatewayTimeout)
		assert.Eventually(t, func() bool { return app.timesProcessed(post.id) == 1 }, timeLimit, time.Millisecond,
			"the application finished the order, and did not get it again")

		got := send(t.Context(), transport, newOrder(http.MethodGet, p.url(server.endpoint, "/"), 0))
		got.assertSuccess(t)
		assert.Equal(t, http.StatusGatewayTimeout, got.Attempts[0].StatusCode)
	})
}

// makeSlow makes the application so slow that its proxies time out.
func makeSlow(a *application) {
	a.setHook(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) })
}
