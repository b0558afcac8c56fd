package steadyotel

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/steadyhttp/steadyhttp"
)

const adviceKey = attribute.Key("steadyhttp.fleet.advice")

// FleetMetrics records what a fleet knows, whenever the provider's metrics are read: how many processes share, the lag,
// whether this one is on its own, and the advice in force; see [steadyhttp.FleetStatus].
//
// Call unregister before the fleet is closed, or let it be: a closed fleet is on its own. It is an error if the
// provider or the fleet is nil, or if the provider cannot make an instrument. Nothing in the metrics tells two fleets apart:
// with one provider, the numbers of one of them hide those of the other.
func FleetMetrics(provider metric.MeterProvider, fleet steadyhttp.Fleet) (unregister func() error, err error) {
	if isNil(provider) || isNil(fleet) {
		return nil, errors.New("steadyotel: FleetMetrics: nil MeterProvider or Fleet")
	}
	m, err := newFleetMetrics(provider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)))
	if err != nil {
		return nil, fmt.Errorf("steadyotel: FleetMetrics: %w", err)
	}
	registration, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.observe(o, fleet.Status())
		return nil
	}, m.members, m.lag, m.alone, m.advice)
	if err != nil {
		return nil, fmt.Errorf("steadyotel: FleetMetrics: %w", err)
	}
	return registration.Unregister, nil
}

// isNil sees through an interface: a fleet that could not be joined is a nil pointer.
func isNil(value any) bool {
	v := reflect.ValueOf(value)
	return value == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

type fleetMetrics struct {
	meter   metric.Meter
	members metric.Int64ObservableGauge
	lag     metric.Float64ObservableGauge
	alone   metric.Int64ObservableGauge
	advice  metric.Int64ObservableGauge
}

func newFleetMetrics(meter metric.Meter) (*fleetMetrics, error) {
	m := fleetMetrics{meter: meter}
	var errs [4]error
	m.members, errs[0] = meter.Int64ObservableGauge("steadyhttp.fleet.members",
		metric.WithUnit("{process}"), metric.WithDescription("Processes that share what they see, this one included."))
	m.lag, errs[1] = meter.Float64ObservableGauge("steadyhttp.fleet.lag",
		metric.WithUnit("s"), metric.WithDescription("How long the others' word took to come lately."))
	m.alone, errs[2] = meter.Int64ObservableGauge("steadyhttp.fleet.alone",
		metric.WithUnit("{process}"), metric.WithDescription("1 if the others cannot be reached, else 0."))
	m.advice, errs[3] = meter.Int64ObservableGauge("steadyhttp.fleet.advice",
		metric.WithUnit("{origin}"), metric.WithDescription("1 for each origin on which the fleet has a word in force."))
	return &m, errors.Join(errs[:]...)
}

func (m *fleetMetrics) observe(o metric.Observer, s steadyhttp.FleetStatus) {
	alone := int64(0)
	if s.Alone {
		alone = 1
	}
	o.ObserveInt64(m.alone, alone)
	if s.Members > 0 {
		o.ObserveInt64(m.members, int64(s.Members))
		o.ObserveFloat64(m.lag, s.Lag.Seconds())
	}
	for _, a := range s.Advice {
		o.ObserveInt64(m.advice, 1, metric.WithAttributes(originOf(a.Origin), adviceKey.String(strings.ToValidUTF8(a.Phase, "\uFFFD"))))
	}
}
