package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyotel"
)

func TestPrometheus_AcceptsTheAlertsAndTheyFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		promtool := exec.CommandContext(t.Context(), "promtool", arguments...)
		promtool.Dir = "../docs"
		output, err := promtool.CombinedOutput()
		require.NoError(t, err, "promtool %v: %s (integration/run installs it)", arguments, output)
	}
}

// A prometheusServer is one from Debian's package. It scrapes this process every 2 s: half a second is not enough on a
// busy machine, and a scrape that timed out hides every gauge.
type prometheusServer struct {
	*daemon
	address string
}

func startPrometheus(t *testing.T, scraped http.Handler) *prometheusServer {
	t.Helper()
	exporter := httptest.NewServer(scraped)
	t.Cleanup(exporter.Close)
	alerts, err := filepath.Abs("../docs/alerts.yml")
	require.NoError(t, err)
	directory := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: shop
    static_configs: [{targets: [%q]}]
`, alerts, exporter.Listener.Addr())
	path := filepath.Join(directory, "prometheus.yml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	address := freeAddress(t)
	return &prometheusServer{
		startServer(t, endpoint{address, address}, directory, "prometheus", "--config.file="+path, "--log.level=warn",
			"--storage.tsdb.path="+filepath.Join(directory, "data"), "--web.listen-address="+address),
		address,
	}
}

// get reads what the API says. It responds before it is ready, so a 503 is no error.
func (p *prometheusServer) get(t *testing.T, path string, query url.Values, data any) (ready bool) {
	t.Helper()
	response, err := http.Get("http://" + p.address + "/api/v1/" + path + "?" + query.Encode())
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if response.StatusCode == http.StatusServiceUnavailable {
		return false
	}
	require.Equal(t, http.StatusOK, response.StatusCode, "%s: %s", query, content)
	require.NoError(t, json.Unmarshal(content, &struct{ Data any }{data}))
	return true
}

// positive reports whether a query has a result above 0.
func (p *prometheusServer) positive(t *testing.T, query string) bool {
	t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	if !p.get(t, "query", url.Values{"query": {query}}, &data) {
		return false
	}
	for _, series := range data.Result {
		value, err := strconv.ParseFloat(series.Value[1].(string), 64)
		require.NoError(t, err)
		if value > 0 { // which NaN is not
			return true
		}
	}
	return false
}

// queriesOfDashboard are those of docs/grafana.json, with its variables set as Grafana does, by the panel's title and number.
func queriesOfDashboard(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile("../docs/grafana.json")
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(content, &board))
	queries := make(map[string]string)
	for _, panel := range board.Panels {
		for i, target := range panel.Targets {
			query := strings.NewReplacer("$job", ".+", "$origin", ".+", "$__rate_interval", "10s").Replace(target.Expr)
			assert.NotContains(t, query, "$")
			queries[fmt.Sprint(panel.Title, " ", i+1)] = query
		}
	}
	require.Greater(t, len(queries), 20)
	return queries
}

// A trouble is an origin of its own, how its server fails, and what its callers set.
type trouble struct {
	origin  string
	secure  bool // whether it speaks TLS
	serve   http.HandlerFunc
	callers int
	method  string
	options []steadyhttp.Option
}

// since is the time in a cycle of this length.
func since(start time.Time, cycle time.Duration) time.Duration { return time.Since(start) % cycle }

func troubles() []trouble {
	start := time.Now()
	var flaky, closing, files atomic.Int64
	down := func(w http.ResponseWriter, _ *http.Request) {
		if since(start, 6*time.Second) < 4*time.Second {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	thresholds := steadyhttp.WithBreakerConsecutiveFailures(6, 2*time.Second)
	return []trouble{
		{origin: "flaky", method: http.MethodGet, serve: func(w http.ResponseWriter, _ *http.Request) {
			if flaky.Add(1)%3 == 1 {
				w.WriteHeader(http.StatusBadGateway)
			}
		}},
		{origin: "down", method: http.MethodGet, serve: down, options: []steadyhttp.Option{thresholds}},
		{origin: "down-budget", method: http.MethodGet, serve: down, options: []steadyhttp.Option{steadyhttp.WithoutBreaker(), steadyhttp.WithRetryBudget(0.5, 2)}},
		{origin: "down-shadow", method: http.MethodGet, serve: down, options: []steadyhttp.Option{thresholds, steadyhttp.WithShadowBreaker()}},
		{origin: "orders", method: http.MethodPost, serve: down},
		{origin: "limited", method: http.MethodGet, callers: 4, options: []steadyhttp.Option{steadyhttp.WithOriginPause(1)},
			serve: func(w http.ResponseWriter, _ *http.Request) {
				if since(start, 5*time.Second) < 2*time.Second {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusTooManyRequests)
				}
			}},
		{origin: "closing", secure: true, method: http.MethodGet, serve: func(w http.ResponseWriter, _ *http.Request) {
			if closing.Add(1)%2 == 0 { // the client sends it again over another connection
				panic(http.ErrAbortHandler)
			}
		}},
		{origin: "files", method: http.MethodGet, options: []steadyhttp.Option{steadyhttp.WithResume()},
			serve: func(w http.ResponseWriter, r *http.Request) { serveBreakingFile(w, r, files.Add(1)) }},
	}
}

// serveBreakingFile breaks each body that is asked for from its start, and has another version for every tenth request.
func serveBreakingFile(w http.ResponseWriter, r *http.Request, number int64) {
	content := strings.Repeat("steady ", 1000)
	w.Header().Set("Etag", `"`+strconv.FormatInt(number/10, 10)+`"`)
	if r.Header.Get("Range") == "" {
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = io.WriteString(w, content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
}

// playTroubles has callers call until the test ends.
func playTroubles(t *testing.T, provider *metric.MeterProvider) {
	t.Helper()
	observe, err := steadyotel.MetricObserver(provider)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		callers.Wait()
	})
	for _, trouble := range troubles() {
		server := startTrouble(trouble)
		t.Cleanup(server.Close)
		base := server.Client().Transport.(*http.Transport)
		transport, err := steadyhttp.NewTransport(otelhttp.NewTransport(steadyotel.Annotate(base), otelhttp.WithMeterProvider(provider)),
			append(trouble.options, steadyhttp.WithObserver(observe), steadyhttp.WithBackoff(20*time.Millisecond, 200*time.Millisecond),
				steadyhttp.WithOriginKey(func(*http.Request) string { return trouble.origin }))...)
		require.NoError(t, err)
		for range max(1, trouble.callers) {
			callers.Go(func() { callUntil(ctx, transport, trouble.method, server.URL) })
		}
	}
}

func startTrouble(trouble trouble) *httptest.Server {
	server := httptest.NewUnstartedServer(trouble.serve)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if trouble.secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	return server
}

func callUntil(ctx context.Context, transport http.RoundTripper, method, target string) {
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, method, target, nil)
		if err != nil {
			panic(err) // the address of a server of ours
		}
		if response, err := transport.RoundTrip(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Each query of the dashboard shows something while servers fail, and each alert can be evaluated.
func TestPrometheus_DashboardShowsAnOutage(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo())
	require.NoError(t, err)
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	server := startPrometheus(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	playTroubles(t, provider)

	unseen := queriesOfDashboard(t)
	for deadline := time.Now().Add(time.Minute); len(unseen) > 0 && time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		for title, query := range unseen {
			if server.positive(t, query) {
				delete(unseen, title)
			}
		}
	}
	assert.Empty(t, unseen, "these queries have shown nothing")
	server.assertRulesAreEvaluated(t)
}

func (p *prometheusServer) assertRulesAreEvaluated(t *testing.T) {
	t.Helper()
	type rule struct{ Name, Health, LastError, State string }
	var data struct {
		Groups []struct{ Rules []rule }
	}
	require.True(t, p.get(t, "rules", nil, &data))
	require.Len(t, data.Groups, 1)
	pending := 0
	for _, rule := range data.Groups[0].Rules {
		assert.Equal(t, "ok", rule.Health, "%s: %s", rule.Name, rule.LastError)
		if rule.State != "inactive" {
			pending++
		}
	}
	assert.Positive(t, pending, "servers fail, and no alert is pending")
}
