package steadyotel_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/steadyhttp/steadyhttp"
	steadyotel "github.com/steadyhttp/steadyhttp/steadyotel"
)

// A fakeFleet says what a test wants, and keeps the breakers that it may open.
type fakeFleet struct {
	status   steadyhttp.FleetStatus
	breakers map[string]*steadyhttp.FleetBreaker
}

func (f *fakeFleet) Status() steadyhttp.FleetStatus { return f.status }

func (f *fakeFleet) Add(origin string, b *steadyhttp.FleetBreaker) steadyhttp.FleetOrigin {
	f.breakers[origin] = b
	return fakeOrigin{}
}

type fakeOrigin struct{}

func (fakeOrigin) Failed()                                             {}
func (fakeOrigin) MayProbe(context.Context) (ok bool, _ time.Duration) { return true, 0 }
func (fakeOrigin) Probed(bool, time.Duration)                          {}
func (fakeOrigin) Remove()                                             {}

func TestFleetMetrics_AreDocumentedAndSayWhatTheFleetKnows(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo(), prometheusexporter.WithoutTargetInfo())
	require.NoError(t, err)
	fleet := &fakeFleet{status: steadyhttp.FleetStatus{
		Members: 200, Lag: 2500 * time.Microsecond, Alone: true,
		Advice: []steadyhttp.FleetAdvice{{Origin: "https://api.example.com:443", Phase: "down"}},
	}}
	unregister, err := steadyotel.FleetMetrics(sdk.NewMeterProvider(sdk.WithReader(exporter)), fleet)
	require.NoError(t, err)

	scraped, err := registry.Gather()
	require.NoError(t, err)
	values := make(map[string]float64)
	labels := make(map[string]string)
	for _, family := range scraped {
		values[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue()
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
	}
	want := map[string]float64{"steadyhttp_fleet_members": 200, "steadyhttp_fleet_lag_seconds": 0.0025, "steadyhttp_fleet_alone": 1, "steadyhttp_fleet_advice": 1}
	assert.Equal(t, want, values)
	assert.Equal(t, map[string]string{"steadyhttp_origin": "https://api.example.com:443", "steadyhttp_fleet_advice": "down"}, labels)
	for _, row := range documented(t, "metric of a fleet") {
		assert.Contains(t, want, row[len(row)-1])
		delete(want, row[len(row)-1])
	}
	assert.Empty(t, want, "is not documented")

	fleet.status = steadyhttp.FleetStatus{}
	scraped, err = registry.Gather()
	require.NoError(t, err)
	require.Len(t, scraped, 1, "what is not known is not said")
	assert.Equal(t, "steadyhttp_fleet_alone", scraped[0].GetName())
	require.NoError(t, unregister())
	scraped, err = registry.Gather()
	require.NoError(t, err)
	assert.Empty(t, scraped)
}

type failingGauges struct{ noop.MeterProvider }

func (failingGauges) Meter(string, ...metric.MeterOption) metric.Meter { return failingGaugeMeter{} }

type failingGaugeMeter struct{ noop.Meter }

func (failingGaugeMeter) Int64ObservableGauge(string, ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	return nil, errNoInstrument
}

func TestFleetMetrics_WrongInputIsAnError(t *testing.T) {
	t.Parallel()
	_, err := steadyotel.FleetMetrics(nil, &fakeFleet{})
	require.EqualError(t, err, "steadyotel: FleetMetrics: nil MeterProvider or Fleet")
	for _, none := range []steadyhttp.Fleet{nil, (*fakeFleet)(nil)} {
		_, err = steadyotel.FleetMetrics(noop.NewMeterProvider(), none)
		require.EqualError(t, err, "steadyotel: FleetMetrics: nil MeterProvider or Fleet")
	}
	_, err = steadyotel.FleetMetrics(failingGauges{}, &fakeFleet{})
	require.ErrorIs(t, err, errNoInstrument)
}
