package steadyotel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/steadyhttp/steadyhttp"
	steadyotel "github.com/steadyhttp/steadyhttp/otel"
)

// collect reads every series as a line: name, attributes in order, value. Of a histogram the value is the
// number of measurements, and their sum.
func collect(t *testing.T, reader *sdk.ManualReader) (lines []string) {
	t.Helper()
	var collected metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &collected))
	line := func(name string, set attribute.Set, value any) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s= %v", name, attributes(set), value)))
	}
	for _, scope := range collected.ScopeMetrics {
		assert.Equal(t, "github.com/steadyhttp/steadyhttp/otel", scope.Scope.Name)
		for _, m := range scope.Metrics {
			name := strings.TrimPrefix(m.Name, "steadyhttp.")
			require.NotEqual(t, m.Name, name)
			assert.NotEmpty(t, m.Description)
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					line(name, point.Attributes, point.Value)
				}
			case metricdata.Gauge[int64]:
				for _, point := range data.DataPoints {
					line(name, point.Attributes, point.Value)
				}
			case metricdata.Histogram[int64]:
				for _, point := range data.DataPoints {
					line(name, point.Attributes, fmt.Sprint(point.Count, " sum ", point.Sum))
				}
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					line(name, point.Attributes, fmt.Sprint(point.Count, " sum ", point.Sum))
				}
			default:
				require.Failf(t, "unknown", "%T", data)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func attributes(set attribute.Set) string {
	var text strings.Builder
	for _, attr := range set.ToSlice() {
		fmt.Fprintf(&text, "%s=%s ", attr.Key, attr.Value.Emit())
	}
	return text.String()
}

// measured is a transport over a base that plays steps, and a reader of what is measured of it.
func measured(t *testing.T, steps []int, options ...steadyhttp.Option) (*steadyhttp.Transport, *sdk.ManualReader) {
	t.Helper()
	reader := sdk.NewManualReader()
	observe, err := steadyotel.MetricObserver(sdk.NewMeterProvider(sdk.WithReader(reader)))
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
	constant := func() backoff.BackOff { return backoff.NewConstantBackOff(2 * time.Second) }
	options = append([]steadyhttp.Option{steadyhttp.WithBackoffPolicy(constant), steadyhttp.WithObserver(observe)}, options...)
	transport, err := steadyhttp.NewTransport(base, options...)
	require.NoError(t, err)
	return transport, reader
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
	code   = "http.response.status_code="
)

func TestMetricsCountWhatTheTransportDoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps   []int
		options []steadyhttp.Option
		want    []string
	}{
		"success": {[]int{200}, nil, []string{
			"client.attempts " + get + code + "200 " + class + "success " + origin + "= 1",
			"client.call.retries " + get + class + "success " + origin + "= 1 sum 0",
		}},
		"client fault": {[]int{404}, nil, []string{
			"client.attempts " + get + code + "404 " + class + "client_fault " + origin + "= 1",
			"client.call.retries " + get + class + "client_fault " + origin + "= 1 sum 0",
			"client.give_ups " + get + code + "404 " + class + "client_fault " + origin + "steadyhttp.reason=not_retryable = 1",
		}},
		"resent": {[]int{503, 0, 200}, nil, []string{
			"client.attempts " + get + code + "200 " + class + "success " + origin + "= 1",
			"client.attempts " + get + code + "503 " + class + "transient " + origin + "= 1",
			"client.attempts " + get + class + "transient " + origin + "= 1",
			"client.call.retries " + get + class + "success " + origin + "= 1 sum 2",
			"client.retry.wait " + get + class + "transient " + origin + "= 2 sum 4",
		}},
		"budget spent": {[]int{503}, []steadyhttp.Option{steadyhttp.WithRetryBudget(0, 1), steadyhttp.WithoutBreaker()}, []string{
			"client.attempts " + get + code + "503 " + class + "transient " + origin + "= 2",
			"client.budget.exhaustions " + origin + "= 1",
			"client.call.retries " + get + class + "transient " + origin + "= 1 sum 1",
			"client.give_ups " + get + code + "503 " + class + "transient " + origin + "steadyhttp.reason=budget = 1",
			"client.retry.wait " + get + class + "transient " + origin + "= 1 sum 2",
		}},
		"breaker opens and closes": {[]int{503, 200}, []steadyhttp.Option{steadyhttp.WithBreakerConsecutive(1, 0)}, []string{
			"breaker.state steadyhttp.breaker.state=closed " + origin + "= 1",
			"breaker.state steadyhttp.breaker.state=half_open " + origin + "= 0",
			"breaker.state steadyhttp.breaker.state=open " + origin + "= 0",
			"breaker.transitions steadyhttp.breaker.from=closed steadyhttp.breaker.to=open " + origin + "= 1",
			"breaker.transitions steadyhttp.breaker.from=half_open steadyhttp.breaker.to=closed " + origin + "= 1",
			"breaker.transitions steadyhttp.breaker.from=open steadyhttp.breaker.to=half_open " + origin + "= 1",
			"client.attempts " + get + code + "200 " + class + "success " + origin + "= 1",
			"client.attempts " + get + code + "503 " + class + "transient " + origin + "= 1",
			"client.call.retries " + get + class + "success " + origin + "= 1 sum 1",
			"client.retry.wait " + get + class + "transient " + origin + "= 1 sum 2",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, reader := measured(t, c.steps, c.options...)
				call(t, transport, http.MethodGet)
				assert.Equal(t, c.want, collect(t, reader))
			})
		})
	}
}

func TestOpenBreakerAndItsRejectionsAreSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, reader := measured(t, []int{503}, steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutive(1, 0))
		call(t, transport, http.MethodGet)
		call(t, transport, http.MethodGet)
		lines := collect(t, reader)
		assert.Contains(t, lines, "breaker.state steadyhttp.breaker.state=open "+origin+"= 1")
		assert.Contains(t, lines, "breaker.state steadyhttp.breaker.state=closed "+origin+"= 0")
		assert.Contains(t, lines, "client.give_ups "+get+class+"unprocessed "+origin+"steadyhttp.reason=circuit_open = 1")
		assert.Contains(t, lines, "client.call.retries "+get+class+"unprocessed "+origin+"= 1 sum 0", "not -1")
	})
}

func TestSuccessThatIsAnErrorIsOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, reader := measured(t, []int{0}, steadyhttp.WithClassifier(func(*http.Request, *http.Response, error) steadyhttp.Class {
			return steadyhttp.Success
		}))
		call(t, transport, http.MethodGet)
		assert.Contains(t, collect(t, reader), "client.call.retries "+get+class+"success "+origin+"= 1 sum 0")
	})
}

func TestMethodsAreFewWhateverIsSent(t *testing.T) {
	t.Parallel()
	transport, reader := measured(t, []int{200})
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

func TestMetricsHaveTheirUnits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, reader := measured(t, []int{503}, steadyhttp.WithRetryBudget(0, 1), steadyhttp.WithBreakerConsecutive(2, 0))
		for range 3 {
			call(t, transport, http.MethodGet)
			time.Sleep(10 * time.Second)
		}
		var collected metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &collected))
		units := make(map[string]string)
		for _, m := range collected.ScopeMetrics[0].Metrics {
			units[m.Name] = m.Unit
		}
		assert.Equal(t, map[string]string{
			"steadyhttp.client.attempts": "{attempt}", "steadyhttp.client.call.retries": "{retry}",
			"steadyhttp.client.retry.wait": "s", "steadyhttp.client.give_ups": "{call}",
			"steadyhttp.client.budget.exhaustions": "{call}", "steadyhttp.breaker.transitions": "{transition}",
			"steadyhttp.breaker.state": "{breaker}",
		}, units)
	})
}

func TestNilProviderIsRefused(t *testing.T) {
	t.Parallel()
	observe, err := steadyotel.MetricObserver(nil)
	assert.Nil(t, observe)
	assert.EqualError(t, err, "steadyotel: MetricObserver: nil MeterProvider; use otel.GetMeterProvider for the global one")
}

// broken makes a meter that makes not every instrument.
type broken struct{ noop.MeterProvider }

func (broken) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{} }

type brokenMeter struct{ noop.Meter }

var errBroken = errors.New("no instrument")

func (brokenMeter) Int64Gauge(string, ...metric.Int64GaugeOption) (metric.Int64Gauge, error) {
	return nil, errBroken
}

func TestInstrumentThatCannotBeMadeIsAnError(t *testing.T) {
	t.Parallel()
	observe, err := steadyotel.MetricObserver(broken{})
	assert.Nil(t, observe)
	assert.ErrorIs(t, err, errBroken)
}
