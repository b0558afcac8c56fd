package steadyotel_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
	steadyotel "github.com/steadyhttp/steadyhttp/steadyotel"
)

// A point is one series of a metric.
type point struct {
	attribute.Set
	value any // for a histogram the number of measurements and their sum
}

// pointsOf returns the kind of instrument that made a metric, and its series.
func pointsOf(t *testing.T, m metricdata.Metrics) (kind string, points []point) {
	t.Helper()
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		assert.True(t, data.IsMonotonic)
		return "counter", numbers(data.DataPoints)
	case metricdata.Gauge[int64]:
		return "gauge", numbers(data.DataPoints)
	case metricdata.Histogram[int64]:
		return "histogram", sums(data.DataPoints)
	case metricdata.Histogram[float64]:
		return "histogram", sums(data.DataPoints)
	default:
		require.Failf(t, "unknown kind of data", "%T", data)
		return "", nil
	}
}

func numbers(data []metricdata.DataPoint[int64]) (points []point) {
	for _, d := range data {
		points = append(points, point{d.Attributes, d.Value})
	}
	return points
}

func sums[N int64 | float64](data []metricdata.HistogramDataPoint[N]) (points []point) {
	for _, d := range data {
		points = append(points, point{d.Attributes, fmt.Sprint(d.Count, " sum ", d.Sum)})
	}
	return points
}

// collect reads every series as a line: name, attributes in order, value.
func collect(t *testing.T, reader *sdk.ManualReader) (lines []string) {
	t.Helper()
	for _, m := range metricsOf(t, reader) {
		assert.NotEmpty(t, m.Description)
		_, points := pointsOf(t, m)
		for _, p := range points {
			lines = append(lines, fmt.Sprintf("%s %s= %v", strings.TrimPrefix(m.Name, "steadyhttp."), attributes(p.Set), p.value))
		}
	}
	slices.Sort(lines)
	return lines
}

func metricsOf(t *testing.T, reader *sdk.ManualReader) []metricdata.Metrics {
	t.Helper()
	var collected metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &collected))
	require.Len(t, collected.ScopeMetrics, 1)
	assert.Equal(t, "github.com/steadyhttp/steadyhttp/steadyotel", collected.ScopeMetrics[0].Scope.Name)
	return collected.ScopeMetrics[0].Metrics
}

func attributes(set attribute.Set) string {
	var text strings.Builder
	for _, attr := range set.ToSlice() {
		fmt.Fprintf(&text, "%s=%s ", attr.Key, attr.Value.String())
	}
	return text.String()
}

// newMeasured returns a transport over a base that plays steps, and a reader of its metrics.
func newMeasured(t *testing.T, steps []int, options ...steadyhttp.Option) (*steadyhttp.Transport, *sdk.ManualReader) {
	t.Helper()
	reader := sdk.NewManualReader()
	return newTransport(t, sdk.NewMeterProvider(sdk.WithReader(reader)), steps, options...), reader
}

func newTransport(t *testing.T, provider metric.MeterProvider, steps []int, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	observe, err := steadyotel.MetricObserver(provider)
	require.NoError(t, err)
	sent := 0
	base := transportFunc(func(*http.Request) (*http.Response, error) {
		sent++
		code := steps[min(sent, len(steps))-1]
		if code == 0 {
			return nil, errors.New("reset")
		}
		return &http.Response{StatusCode: code, Body: http.NoBody}, nil
	})
	constant := func() steadyhttp.Backoff { return backoff.NewConstantBackOff(2 * time.Second) }
	options = append([]steadyhttp.Option{steadyhttp.WithBackoffPolicy(constant), steadyhttp.WithObserver(observe)}, options...)
	transport, err := steadyhttp.NewTransport(base, options...)
	require.NoError(t, err)
	return transport
}

func call(t *testing.T, transport *steadyhttp.Transport, method string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "https://me:hunter@api.example.com/things?token=hunter", nil)
	require.NoError(t, err)
	request.Method = method
	if response, err := transport.RoundTrip(request); err == nil {
		require.NoError(t, response.Body.Close())
	}
}

const (
	get    = "http.request.method=GET "
	origin = "steadyhttp.origin=https://api.example.com:443 "
	class  = "steadyhttp.class="
	kind   = "steadyhttp.kind="

	notShadow = "steadyhttp.breaker.shadow=false "

	code = "http.response.status_code="
)

func TestMetrics_CountWhatTheTransportDoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps   []int
		options []steadyhttp.Option
		want    []string
	}{
		"success": {[]int{200}, nil, []string{
			"client.attempts " + get + code + "200 " + class + "success " + origin + "= 1",
			"client.call.retries " + get + class + "success " + origin + "= 1 sum 0",
			"client.calls " + get + code + "200 " + class + "success " + kind + "successful_without_retry " + origin + "steadyhttp.stopped=success = 1",
		}},
		"client fault": {[]int{404}, nil, []string{
			"client.attempts " + get + code + "404 " + class + "client_fault " + origin + "= 1",
			"client.call.retries " + get + class + "client_fault " + origin + "= 1 sum 0",
			"client.calls " + get + code + "404 " + class + "client_fault " + kind + "failed_without_retry " + origin + "steadyhttp.stopped=not_retryable = 1",
		}},
		"retried": {[]int{503, 0, 200}, nil, []string{
			"client.attempts " + get + code + "200 " + class + "success " + origin + "= 1",
			"client.attempts " + get + code + "503 " + class + "transient " + origin + "= 1",
			"client.attempts " + get + class + "transient " + origin + "= 1",
			"client.call.retries " + get + class + "success " + origin + "= 1 sum 2",
			"client.calls " + get + code + "200 " + class + "success " + kind + "successful_with_retry " + origin + "steadyhttp.stopped=success = 1",
			"client.retry.wait " + get + class + "transient " + origin + "= 2 sum 4",
		}},
		"budget exhausted": {[]int{503}, []steadyhttp.Option{steadyhttp.WithRetryBudget(0, 1), steadyhttp.WithoutBreaker()}, []string{
			"client.attempts " + get + code + "503 " + class + "transient " + origin + "= 2",
			"client.budget.exhaustions " + origin + "= 1",
			"client.call.retries " + get + class + "transient " + origin + "= 1 sum 1",
			"client.calls " + get + code + "503 " + class + "transient " + kind + "failed_with_retry " + origin + "steadyhttp.stopped=budget_exhausted = 1",
			"client.retry.wait " + get + class + "transient " + origin + "= 1 sum 2",
		}},
		"breaker opens and closes": {[]int{503, 200}, []steadyhttp.Option{steadyhttp.WithBreakerConsecutiveFailures(1, 0)}, []string{
			"breaker.state " + notShadow + "steadyhttp.breaker.state=closed " + origin + "= 1",
			"breaker.state " + notShadow + "steadyhttp.breaker.state=half_open " + origin + "= 0",
			"breaker.state " + notShadow + "steadyhttp.breaker.state=open " + origin + "= 0",
			"breaker.transitions steadyhttp.breaker.from=closed steadyhttp.breaker.reason=failures " + notShadow + "steadyhttp.breaker.to=open " + origin + "= 1",
			"breaker.transitions steadyhttp.breaker.from=half_open steadyhttp.breaker.reason=probe " + notShadow + "steadyhttp.breaker.to=closed " + origin + "= 1",
			"breaker.transitions steadyhttp.breaker.from=open steadyhttp.breaker.reason=probe " + notShadow + "steadyhttp.breaker.to=half_open " + origin + "= 1",
			"client.attempts " + get + code + "200 " + class + "success " + origin + "= 1",
			"client.attempts " + get + code + "503 " + class + "transient " + origin + "= 1",
			"client.call.retries " + get + class + "success " + origin + "= 1 sum 1",
			"client.calls " + get + code + "200 " + class + "success " + kind + "successful_with_retry " + origin + "steadyhttp.stopped=success = 1",
			"client.retry.wait " + get + class + "transient " + origin + "= 1 sum 2",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, reader := newMeasured(t, c.steps, c.options...)
				call(t, transport, http.MethodGet)
				assert.Equal(t, c.want, collect(t, reader))
			})
		})
	}
}

func TestMetrics_ShowAnOpenBreakerAndTheCallsItRejects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, reader := newMeasured(t, []int{503}, steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0))
		call(t, transport, http.MethodGet)
		call(t, transport, http.MethodGet)
		lines := collect(t, reader)
		assert.Contains(t, lines, "breaker.state "+notShadow+"steadyhttp.breaker.state=open "+origin+"= 1")
		assert.Contains(t, lines, "breaker.state "+notShadow+"steadyhttp.breaker.state=closed "+origin+"= 0")
		assert.Contains(t, lines, "client.calls "+get+class+"unprocessed "+kind+"failed_without_retry "+origin+"steadyhttp.stopped=circuit_open = 1")
		assert.Contains(t, lines, "client.call.retries "+get+class+"unprocessed "+origin+"= 1 sum 0", "not -1")
	})
}

func TestMetrics_ErrorThatAClassifierCallsASuccessIsOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, reader := newMeasured(t, []int{0}, steadyhttp.WithClassifier(func(*http.Request, *http.Response, error) steadyhttp.Class {
			return steadyhttp.Success
		}))
		call(t, transport, http.MethodGet)
		lines := collect(t, reader)
		assert.Contains(t, lines, "client.call.retries "+get+class+"success "+origin+"= 1 sum 0")
		assert.Contains(t, lines, "client.calls "+get+class+"success "+kind+"successful_without_retry "+origin+"steadyhttp.stopped=not_retryable = 1")
	})
}

func TestMetrics_MethodsAreFewWhateverIsSent(t *testing.T) {
	t.Parallel()
	transport, reader := newMeasured(t, []int{200})
	for _, method := range []string{"", "GET", "QUERY", "get", "X1", "X2", "_OTHER"} {
		call(t, transport, method)
	}
	lines := strings.Join(collect(t, reader), "\n")
	for want, times := range map[string]int{"GET": 2, "QUERY": 1, "_OTHER": 4} {
		assert.Contains(t, lines, fmt.Sprintf("client.attempts http.request.method=%s %s200 %ssuccess %s= %d", want, code, class, origin, times))
	}
	assert.NotContains(t, lines, "X1")
	assert.NotContains(t, lines, "hunter")
	assert.NotContains(t, lines, "things")
}

// documented returns the rows of a table in docs/observability.md, by their first column.
func documented(t *testing.T, heading string) map[string][]string {
	t.Helper()
	content, err := os.ReadFile("../docs/observability.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(content), "\n| "+heading+" |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	rows := make(map[string][]string)
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, "`", ""), "| "), " | ")
		rows[cells[0]] = cells[1:]
	}
	return rows
}

// pauseOnce has an origin say "wait" until it is paused, and then lets one call through.
func pauseOnce(t *testing.T, provider metric.MeterProvider) {
	t.Helper()
	aSecond := func(*http.Response) (time.Duration, bool) { return time.Second, true }
	transport := newTransport(t, provider, []int{429, 429, 429, 200}, steadyhttp.WithMaxAttempts(1),
		steadyhttp.WithOriginPause(1), steadyhttp.WithHints(aSecond))
	for range 4 {
		call(t, transport, http.MethodGet)
		time.Sleep(150 * time.Millisecond)
	}
}

func TestMetrics_CountPausesAndWhatTheyHoldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := sdk.NewManualReader()
		pauseOnce(t, sdk.NewMeterProvider(sdk.WithReader(reader)))
		lines := strings.Join(collect(t, reader), "\n")
		held := regexp.MustCompile(`client.pause.wait ` + get + class + "success " + origin + `= 1 sum (\S+)`).FindStringSubmatch(lines)
		require.NotNil(t, held, lines)
		seconds, err := strconv.ParseFloat(held[1], 64)
		require.NoError(t, err)
		assert.InDelta(t, 0.85+0.25, seconds, 0.25, "what remained of the second, and jitter of up to half of it")
		for _, change := range []string{"from=idle steadyhttp.pause.to=paused", "from=paused steadyhttp.pause.to=probing", "from=probing steadyhttp.pause.to=releasing"} {
			assert.Contains(t, lines, "pause.transitions "+origin+"steadyhttp.pause."+change+" = 1")
		}
	})
}

// recordEverything makes each metric have a series. It takes a minute of a bubble's time.
func recordEverything(t *testing.T, provider metric.MeterProvider) {
	t.Helper()
	failing := newTransport(t, provider, []int{503}, steadyhttp.WithRetryBudget(0, 1), steadyhttp.WithBreakerConsecutiveFailures(2, 0))
	for range 3 {
		call(t, failing, http.MethodGet)
		time.Sleep(10 * time.Second)
	}
	shadowed := newTransport(t, provider, []int{503}, steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithShadowBreaker())
	for range 2 {
		call(t, shadowed, http.MethodGet)
	}
	pauseOnce(t, provider)
	download(t, provider, cutFile, otherFile)
	observe, err := steadyotel.MetricObserver(provider)
	require.NoError(t, err)
	observe(t.Context(), resent(1))
}

// The file breaks; the other one is not the same.
var (
	wholeFile = steadyhttptest.NewFile(strings.Repeat("steady ", 100))
	cutFile   = wholeFile.CutAfter(200)
	otherFile = steadyhttptest.NewFile("other")
)

// download reads a body that may be resumed.
func download(t *testing.T, provider metric.MeterProvider, steps ...steadyhttptest.Step) {
	t.Helper()
	observe, err := steadyotel.MetricObserver(provider)
	require.NoError(t, err)
	transport, err := steadyhttp.NewTransport(steadyhttptest.NewTransport(steps...), steadyhttp.WithObserver(observe), steadyhttp.WithResume())
	require.NoError(t, err)
	response, err := (&http.Client{Transport: transport}).Get("https://api.example.com/file")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, response.Body)
	require.NoError(t, response.Body.Close())
}

// resent is an attempt that net/http sent again by itself. integration/ has it do that.
func resent(times int) steadyhttp.Event {
	return steadyhttp.Event{
		Kind: steadyhttp.EventAttempt, Request: &http.Request{}, Origin: "https://api.example.com:443",
		Attempt: 1, Class: steadyhttp.Success, StatusCode: 200, Resends: times,
	}
}

func TestMetrics_CountWhatTheBaseResends(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	observe, err := steadyotel.MetricObserver(sdk.NewMeterProvider(sdk.WithReader(reader)))
	require.NoError(t, err)
	for _, times := range []int{0, 2, 1} {
		observe(t.Context(), resent(times))
	}
	lines := collect(t, reader)
	assert.Contains(t, lines, "client.resends "+get+origin+"= 3")
	assert.Contains(t, lines, "client.attempts "+get+code+"200 "+class+"success "+origin+"= 3", "they are no attempts")
}

func TestMetrics_TellBodiesThatWereResumedFromThoseThatWereNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps []steadyhttptest.Step
		want  []string
	}{
		"whole":   {[]steadyhttptest.Step{wholeFile}, nil},
		"resumed": {[]steadyhttptest.Step{cutFile, wholeFile}, []string{"client.resumes " + origin + "= 1"}},
		"changed": {[]steadyhttptest.Step{cutFile, otherFile}, []string{
			"client.resume.failures " + origin + "steadyhttp.stopped=changed = 1", "client.resumes " + origin + "= 1",
		}},
		"no ranges": {[]steadyhttptest.Step{steadyhttptest.Status(200).Body("steady").CutAfter(2)}, []string{
			"client.resume.failures " + origin + "steadyhttp.stopped=not_resumable = 1",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reader := sdk.NewManualReader()
				download(t, sdk.NewMeterProvider(sdk.WithReader(reader)), c.steps...)
				var lines []string
				for _, line := range collect(t, reader) {
					if strings.HasPrefix(line, "client.resume") {
						lines = append(lines, line)
					}
				}
				assert.Equal(t, c.want, lines)
			})
		})
	}
}

func TestMetrics_TellRetriesThatHelpedFromThoseThatDidNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps []int
		want  string
	}{
		"success":             {[]int{200}, "successful_without_retry"},
		"success at last":     {[]int{503, 503, 200}, "successful_with_retry"},
		"client fault":        {[]int{404}, "failed_without_retry"},
		"client fault, later": {[]int{503, 404}, "failed_with_retry"},
		"not retried":         {[]int{501}, "failed_without_retry"},
		"failure":             {[]int{503}, "failed_with_retry"},
		"no response":         {[]int{0}, "failed_with_retry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, reader := newMeasured(t, c.steps, steadyhttp.WithMaxAttempts(3))
				call(t, transport, http.MethodGet)
				assert.Regexp(t, "client.calls .*"+kind+c.want+" .*= 1", strings.Join(collect(t, reader), "\n"))
			})
		})
	}
}

// Somebody may give a reason of his own each time.
func TestMetrics_ReasonsOfBreakersAreFewWhateverIsGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := &fakeFleet{breakers: map[string]*steadyhttp.FleetBreaker{}}
		transport, reader := newMeasured(t, []int{503, 200}, steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithFleet(fleet))
		call(t, transport, http.MethodGet)
		time.Sleep(10 * time.Second)
		call(t, transport, http.MethodGet)
		for _, b := range fleet.breakers {
			b.Open(0)
			b.Close()
		}
		breaker := transport.Breaker("https://api.example.com")
		for i := range 5 {
			breaker.Trip(time.Minute, fmt.Sprint("ticket ", i))
		}
		breaker.Trip(time.Minute, "")
		breaker.Reset()
		var reasons []string
		for _, line := range collect(t, reader) {
			if changed, found := strings.CutPrefix(line, "breaker.transitions "); found {
				reasons = append(reasons, strings.NewReplacer(notShadow, "", origin, "", "steadyhttp.breaker.", "").Replace(changed))
			}
		}
		assert.Equal(t, []string{
			"from=closed reason=by_hand to=open = 1",
			"from=closed reason=failures to=open = 1",
			"from=closed reason=fleet to=open = 1",
			"from=half_open reason=probe to=closed = 1",
			"from=open reason=by_hand to=closed = 1",
			"from=open reason=by_hand to=open = 5",
			"from=open reason=fleet to=closed = 1",
			"from=open reason=probe to=half_open = 1",
		}, reasons)
	})
}

func TestMetrics_ShadowBreakerIsToldFromOneThatRejects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, reader := newMeasured(t, []int{503}, steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithShadowBreaker())
		for range 3 {
			call(t, transport, http.MethodGet)
		}
		lines := collect(t, reader)
		assert.Contains(t, lines, "breaker.shadow.rejections "+origin+"= 2")
		assert.Contains(t, lines, "breaker.state steadyhttp.breaker.shadow=true steadyhttp.breaker.state=open "+origin+"= 1")
		assert.Contains(t, lines, "breaker.transitions steadyhttp.breaker.from=closed steadyhttp.breaker.reason=failures steadyhttp.breaker.shadow=true steadyhttp.breaker.to=open "+origin+"= 1")
		assert.Contains(t, lines, "client.attempts "+get+code+"503 "+class+"transient "+origin+"= 3", "nothing was rejected")
	})
}

func TestMetrics_AreDocumentedAsTheyAre(t *testing.T) {
	t.Parallel()
	keys := make(map[string]string) // of the attributes, as the document calls them
	for name, row := range documented(t, "attribute | key") {
		for i, key := range strings.Split(row[0], ", ") {
			keys[key] = strings.Split(name, ", ")[i]
		}
	}
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo(), prometheusexporter.WithoutTargetInfo())
		require.NoError(t, err)
		reader := sdk.NewManualReader()
		recordEverything(t, sdk.NewMeterProvider(sdk.WithReader(reader), sdk.WithReader(exporter)))
		measured := make(map[string][]string)
		for _, m := range metricsOf(t, reader) {
			kind, points := pointsOf(t, m)
			var names []string
			for _, p := range points {
				for _, attr := range p.ToSlice() {
					require.Contains(t, keys, string(attr.Key))
					names = append(names, keys[string(attr.Key)])
				}
			}
			slices.Sort(names)
			names = slices.Compact(names)
			measured[m.Name] = []string{kind, m.Unit, strings.Join(names, ", ")}
		}
		written := make(map[string][]string)
		var families []string
		for name, row := range documented(t, "metric") {
			names := strings.Split(row[2], ", ")
			slices.Sort(names)
			written[name] = []string{row[0], row[1], strings.Join(names, ", ")}
			families = append(families, row[3])
		}
		assert.Equal(t, written, measured)

		scraped, err := registry.Gather()
		require.NoError(t, err)
		var exported []string
		for _, family := range scraped {
			exported = append(exported, family.GetName())
		}
		assert.ElementsMatch(t, families, exported)
	})
}

// One name that is not UTF-8 must not keep all other metrics of the program from being scraped.
func TestMetrics_NamesThatAreNotTextHideNothingElse(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry))
	require.NoError(t, err)
	provider := sdk.NewMeterProvider(sdk.WithReader(exporter))
	observe, err := steadyotel.MetricObserver(provider)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com", nil)
	require.NoError(t, err)
	for kind := steadyhttp.EventAttempt; kind <= steadyhttp.EventResume; kind++ {
		for _, stopped := range []steadyhttp.StopReason{0, steadyhttp.StopBudgetExhausted} {
			observe(t.Context(), steadyhttp.Event{Kind: kind, Request: request, Origin: "a\xff", Resends: 1, Held: 1, Shadow: true, Stopped: stopped})
		}
	}
	_, err = steadyotel.FleetMetrics(provider, &fakeFleet{status: steadyhttp.FleetStatus{
		Members: 1, Advice: []steadyhttp.FleetAdvice{{Origin: "a\xff", Phase: "down\xff"}},
	}})
	require.NoError(t, err)
	scraped, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range scraped {
		for _, label := range family.GetMetric()[0].GetLabel() {
			if label.GetName() == "steadyhttp_origin" {
				assert.Equal(t, "a\uFFFD", label.GetValue(), family.GetName())
			}
		}
	}
}

func TestMetrics_BucketsSeparateRetriesAndWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, reader := newMeasured(t, []int{503, 200})
		call(t, transport, http.MethodGet)
		bounds := make(map[string][]float64)
		for _, m := range metricsOf(t, reader) {
			switch data := m.Data.(type) {
			case metricdata.Histogram[int64]:
				bounds[m.Name] = data.DataPoints[0].Bounds
			case metricdata.Histogram[float64]:
				bounds[m.Name] = data.DataPoints[0].Bounds
			}
		}
		assert.Equal(t, map[string][]float64{
			"steadyhttp.client.call.retries": {0, 1, 2, 3, 4, 5, 10},
			"steadyhttp.client.retry.wait":   {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
		}, bounds)
	})
}

func TestMetrics_NilProviderIsAnError(t *testing.T) {
	t.Parallel()
	for _, none := range []metric.MeterProvider{nil, (*sdk.MeterProvider)(nil)} {
		observe, err := steadyotel.MetricObserver(none)
		assert.Nil(t, observe)
		assert.EqualError(t, err, "steadyotel: MetricObserver: nil MeterProvider; use otel.GetMeterProvider for the global one")
	}
}

// failingProvider has a meter that cannot make a gauge.
type failingProvider struct{ noop.MeterProvider }

func (failingProvider) Meter(string, ...metric.MeterOption) metric.Meter { return failingMeter{} }

type failingMeter struct{ noop.Meter }

var errNoInstrument = errors.New("no instrument")

func (failingMeter) Int64Gauge(string, ...metric.Int64GaugeOption) (metric.Int64Gauge, error) {
	return nil, errNoInstrument
}

func TestMetrics_InstrumentThatCannotBeMadeIsAnError(t *testing.T) {
	t.Parallel()
	observe, err := steadyotel.MetricObserver(failingProvider{})
	assert.Nil(t, observe)
	assert.ErrorIs(t, err, errNoInstrument)
	assert.EqualError(t, err, "steadyotel: MetricObserver: no instrument")
}
