package steadyotel

import (
	"context"
	"errors"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/steadyhttp/steadyhttp"
)

// The attributes that the semantic conventions have no key for.
const (
	originKey = attribute.Key("steadyhttp.origin")
	classKey  = attribute.Key("steadyhttp.class")
	reasonKey = attribute.Key("steadyhttp.reason")
	stateKey  = attribute.Key("steadyhttp.breaker.state")
	fromKey   = attribute.Key("steadyhttp.breaker.from")
	toKey     = attribute.Key("steadyhttp.breaker.to")
)

// MetricObserver returns an observer for [steadyhttp.WithObserver] that keeps metrics with the provider's
// meter "github.com/steadyhttp/steadyhttp/steadyotel".
//
// Their names begin with "steadyhttp."; docs/observability.md lists them. There are as many series as
// there are origins, classes, methods and statuses: a client that calls hosts without number should be
// given a [steadyhttp.WithOriginKey]. What the metrics cost is paid by each call, some microseconds. The
// provider must not be nil; the error is also that of an instrument that it cannot make. One observer may
// serve several Transports.
func MetricObserver(provider metric.MeterProvider) (func(context.Context, steadyhttp.Event), error) {
	if provider == nil {
		return nil, errors.New("steadyotel: MetricObserver: nil MeterProvider; use otel.GetMeterProvider for the global one")
	}
	m, err := newMetrics(provider.Meter("github.com/steadyhttp/steadyhttp/steadyotel", metric.WithSchemaURL(semconv.SchemaURL)))
	if err != nil {
		return nil, err
	}
	return m.observe, nil
}

// metrics are the instruments. Durations of attempts are otelhttp's http.client.request.duration.
type metrics struct {
	attempts    metric.Int64Counter
	retries     metric.Int64Histogram
	wait        metric.Float64Histogram
	giveUps     metric.Int64Counter
	exhaustions metric.Int64Counter
	transitions metric.Int64Counter
	state       metric.Int64Gauge
}

func newMetrics(meter metric.Meter) (*metrics, error) {
	var (
		m    metrics
		errs [7]error
	)
	m.attempts, errs[0] = meter.Int64Counter("steadyhttp.client.attempts",
		metric.WithUnit("{attempt}"), metric.WithDescription("Requests sent, each resend counted."))
	m.retries, errs[1] = meter.Int64Histogram("steadyhttp.client.call.retries",
		metric.WithUnit("{retry}"), metric.WithDescription("Resends of a call, 0 included."),
		metric.WithExplicitBucketBoundaries(0, 1, 2, 3, 4, 5, 10))
	m.wait, errs[2] = meter.Float64Histogram("steadyhttp.client.retry.wait",
		metric.WithUnit("s"), metric.WithDescription("Waits before resends."),
		metric.WithExplicitBucketBoundaries(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60))
	m.giveUps, errs[3] = meter.Int64Counter("steadyhttp.client.give_ups",
		metric.WithUnit("{call}"), metric.WithDescription("Calls that ended otherwise than with a success."))
	m.exhaustions, errs[4] = meter.Int64Counter("steadyhttp.client.budget.exhaustions",
		metric.WithUnit("{call}"), metric.WithDescription("Calls that ended because the retry budget was spent."))
	m.transitions, errs[5] = meter.Int64Counter("steadyhttp.breaker.transitions",
		metric.WithUnit("{transition}"), metric.WithDescription("Changes of a breaker's state."))
	m.state, errs[6] = meter.Int64Gauge("steadyhttp.breaker.state",
		metric.WithUnit("{breaker}"), metric.WithDescription("1 for the state that a breaker changed to last, 0 for the others."))
	return &m, errors.Join(errs[:]...)
}

func (m *metrics) observe(ctx context.Context, e steadyhttp.Event) {
	switch e.Kind {
	case steadyhttp.EventAttempt:
		m.attempts.Add(ctx, 1, with(outcome(e)...))
		if e.Class == steadyhttp.Success && e.Err == nil { // of which no event follows
			m.ended(ctx, e)
		}
	case steadyhttp.EventRetry:
		m.wait.Record(ctx, e.Wait.Seconds(), with(call(e)...))
	case steadyhttp.EventEnd:
		m.giveUps.Add(ctx, 1, with(append(outcome(e), reasonKey.String(e.Stopped.String()))...))
		if e.Stopped == steadyhttp.StopBudgetExhausted {
			m.exhaustions.Add(ctx, 1, with(originKey.String(e.Origin)))
		}
		m.ended(ctx, e)
	case steadyhttp.EventBreaker:
		m.changed(ctx, e)
	}
}

// ended counts a call's resends. One that a breaker rejected was not even sent once.
func (m *metrics) ended(ctx context.Context, e steadyhttp.Event) {
	m.retries.Record(ctx, int64(max(0, e.Attempt-1)), with(call(e)...))
}

func (m *metrics) changed(ctx context.Context, e steadyhttp.Event) {
	origin := originKey.String(e.Origin)
	m.transitions.Add(ctx, 1, with(origin, fromKey.String(e.From.String()), toKey.String(e.To.String())))
	for state := steadyhttp.BreakerClosed; state <= steadyhttp.BreakerOpen; state++ {
		is := int64(0)
		if state == e.To {
			is = 1
		}
		m.state.Record(ctx, is, with(origin, stateKey.String(state.String())))
	}
}

func with(attributes ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

// call is what every event of a call has.
func call(e steadyhttp.Event) []attribute.KeyValue {
	return []attribute.KeyValue{
		originKey.String(e.Origin), classKey.String(e.Class.String()),
		semconv.HTTPRequestMethodKey.String(methodOf(e.Request)),
	}
}

// outcome adds the status, where there is a response.
func outcome(e steadyhttp.Event) []attribute.KeyValue {
	attributes := call(e)
	if e.StatusCode != 0 {
		attributes = append(attributes, semconv.HTTPResponseStatusCode(e.StatusCode))
	}
	return attributes
}

// methods are those that the semantic conventions know. All others are one to them.
var methods = map[string]bool{
	http.MethodConnect: true, http.MethodDelete: true, http.MethodGet: true, http.MethodHead: true,
	http.MethodOptions: true, http.MethodPatch: true, http.MethodPost: true, http.MethodPut: true,
	http.MethodTrace: true, "QUERY": true,
}

// methodOf takes an empty method for GET, as net/http does.
func methodOf(request *http.Request) string {
	switch {
	case request.Method == "":
		return http.MethodGet
	case methods[request.Method]:
		return request.Method
	default:
		return semconv.HTTPRequestMethodOther.Value.AsString()
	}
}
