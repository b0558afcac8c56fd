package steadyotel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/steadyhttp/steadyhttp"
)

// The attributes that the semantic conventions have no key for.
const (
	originKey  = attribute.Key("steadyhttp.origin")
	classKey   = attribute.Key("steadyhttp.class")
	stoppedKey = attribute.Key("steadyhttp.stopped")
	kindKey    = attribute.Key("steadyhttp.kind")
	stateKey   = attribute.Key("steadyhttp.breaker.state")
	fromKey    = attribute.Key("steadyhttp.breaker.from")
	toKey      = attribute.Key("steadyhttp.breaker.to")
	reasonKey  = attribute.Key("steadyhttp.breaker.reason")
	shadowKey  = attribute.Key("steadyhttp.breaker.shadow")

	pauseFromKey = attribute.Key("steadyhttp.pause.from")
	pauseToKey   = attribute.Key("steadyhttp.pause.to")
)

const scope = "github.com/steadyhttp/steadyhttp/steadyotel"

// MetricObserver returns an observer for [steadyhttp.WithObserver] that records metrics with the provider's
// meter "github.com/steadyhttp/steadyhttp/steadyotel".
//
// The names of the metrics begin with "steadyhttp."; docs/observability.md lists them. There is one series for
// each combination of origin, class, method, status, kind and reason, so give a client that calls very many hosts a
// [steadyhttp.WithOriginKey]. Recording takes some microseconds of each call. One observer may serve
// several Transports, and is safe for concurrent use. It is an error if the provider is nil or cannot make
// an instrument.
func MetricObserver(provider metric.MeterProvider) (steadyhttp.Observer, error) {
	if isNil(provider) {
		return nil, errors.New("steadyotel: MetricObserver: nil MeterProvider; use otel.GetMeterProvider for the global one")
	}
	m, err := newMetrics(provider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)))
	if err != nil {
		return nil, fmt.Errorf("steadyotel: MetricObserver: %w", err)
	}
	return m.observe, nil
}

// metrics are the instruments. The durations of attempts are otelhttp's http.client.request.duration.
type metrics struct {
	attempts    metric.Int64Counter
	resends     metric.Int64Counter
	calls       metric.Int64Counter
	retries     metric.Int64Histogram
	wait        metric.Float64Histogram
	exhaustions metric.Int64Counter
	resumes     metric.Int64Counter
	breaks      metric.Int64Counter
	transitions metric.Int64Counter
	state       metric.Int64Gauge
	shadowed    metric.Int64Counter
	held        metric.Float64Histogram
	pauses      metric.Int64Counter
}

// waits separates the waits, in seconds.
var waits = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

func newMetrics(meter metric.Meter) (*metrics, error) {
	var (
		m    metrics
		errs [13]error
	)
	m.attempts, errs[0] = meter.Int64Counter("steadyhttp.client.attempts",
		metric.WithUnit("{attempt}"), metric.WithDescription("Requests sent, retries included."))
	m.calls, errs[1] = meter.Int64Counter("steadyhttp.client.calls",
		metric.WithUnit("{call}"), metric.WithDescription("Calls that ended, by the reason why there was no further attempt."))
	m.retries, errs[2] = meter.Int64Histogram("steadyhttp.client.call.retries",
		metric.WithUnit("{retry}"), metric.WithDescription("Retries of a call, 0 included."),
		metric.WithExplicitBucketBoundaries(0, 1, 2, 3, 4, 5, 10))
	m.wait, errs[3] = meter.Float64Histogram("steadyhttp.client.retry.wait",
		metric.WithUnit("s"), metric.WithDescription("Waits before retries."),
		metric.WithExplicitBucketBoundaries(waits...))
	m.exhaustions, errs[4] = meter.Int64Counter("steadyhttp.client.budget.exhaustions",
		metric.WithUnit("{call}"), metric.WithDescription("Calls that ended because the retry budget was exhausted."))
	m.transitions, errs[5] = meter.Int64Counter("steadyhttp.breaker.transitions",
		metric.WithUnit("{transition}"), metric.WithDescription("Changes of a breaker's state."))
	m.state, errs[6] = meter.Int64Gauge("steadyhttp.breaker.state",
		metric.WithUnit("{breaker}"), metric.WithDescription("1 for the last state of a breaker, 0 for the others."))
	m.held, errs[7] = meter.Float64Histogram("steadyhttp.client.pause.wait",
		metric.WithUnit("s"), metric.WithDescription("How long a pause held attempts back."),
		metric.WithExplicitBucketBoundaries(waits...))
	m.pauses, errs[8] = meter.Int64Counter("steadyhttp.pause.transitions",
		metric.WithUnit("{transition}"), metric.WithDescription("Changes of a pause's state."))
	m.resends, errs[9] = meter.Int64Counter("steadyhttp.client.resends",
		metric.WithUnit("{request}"), metric.WithDescription("Requests that the base transport sent again by itself, below an attempt."))
	m.resumes, errs[10] = meter.Int64Counter("steadyhttp.client.resumes",
		metric.WithUnit("{body}"), metric.WithDescription("Bodies of responses that broke, and the rest of which was asked for."))
	m.breaks, errs[11] = meter.Int64Counter("steadyhttp.client.resume.failures",
		metric.WithUnit("{body}"), metric.WithDescription("Bodies of responses that broke and were not resumed, by the reason."))
	m.shadowed, errs[12] = meter.Int64Counter("steadyhttp.breaker.shadow.rejections",
		metric.WithUnit("{attempt}"), metric.WithDescription("Attempts that a shadow breaker would have rejected."))
	return &m, errors.Join(errs[:]...)
}

func (m *metrics) observe(ctx context.Context, e steadyhttp.Event) {
	switch e.Kind {
	case steadyhttp.EventAttempt:
		m.attempted(ctx, e)
	case steadyhttp.EventRetry:
		m.wait.Record(ctx, e.Wait.Seconds(), with(call(e)...))
	case steadyhttp.EventEnd:
		m.ended(ctx, e)
	case steadyhttp.EventResume:
		m.broke(ctx, e)
	case steadyhttp.EventBreaker:
		m.changed(ctx, e)
	case steadyhttp.EventPause:
		m.pauses.Add(ctx, 1, with(originOf(e.Origin), pauseFromKey.String(e.PauseFrom.String()), pauseToKey.String(e.PauseTo.String())))
	}
}

func (m *metrics) attempted(ctx context.Context, e steadyhttp.Event) {
	m.attempts.Add(ctx, 1, with(outcome(e)...))
	if e.Resends > 0 {
		m.resends.Add(ctx, int64(e.Resends), with(originOf(e.Origin), methodAttribute(e)))
	}
	if e.Held > 0 {
		m.held.Record(ctx, e.Held.Seconds(), with(call(e)...))
	}
	if e.Shadow {
		m.shadowed.Add(ctx, 1, with(originOf(e.Origin)))
	}
}

// ended counts a call and its retries. One that a breaker rejected made no attempt, and no retry.
func (m *metrics) ended(ctx context.Context, e steadyhttp.Event) {
	m.calls.Add(ctx, 1, with(append(outcome(e), stoppedKey.String(e.Stopped.String()), kindKey.String(kindOf(e)))...))
	m.retries.Record(ctx, int64(max(0, e.Attempt-1)), with(call(e)...))
	if e.Stopped == steadyhttp.StopBudgetExhausted {
		m.exhaustions.Add(ctx, 1, with(originOf(e.Origin)))
	}
}

// kindOf tells the retries that helped from those that did not. The names are those of resilience4j's
// resilience4j_retry_calls.
func kindOf(e steadyhttp.Event) string {
	succeeded, retried := e.Class == steadyhttp.Success, e.Attempt > 1
	switch {
	case succeeded && retried:
		return "successful_with_retry"
	case succeeded:
		return "successful_without_retry"
	case retried:
		return "failed_with_retry"
	default:
		return "failed_without_retry"
	}
}

// broke counts a body that broke after its call had ended.
func (m *metrics) broke(ctx context.Context, e steadyhttp.Event) {
	origin := originOf(e.Origin)
	if e.Stopped == 0 {
		m.resumes.Add(ctx, 1, with(origin))
		return
	}
	m.breaks.Add(ctx, 1, with(origin, stoppedKey.String(e.Stopped.String())))
}

func (m *metrics) changed(ctx context.Context, e steadyhttp.Event) {
	origin, shadow := originOf(e.Origin), shadowKey.Bool(e.Shadow)
	m.transitions.Add(ctx, 1, with(origin, shadow,
		fromKey.String(e.From.String()), toKey.String(e.To.String()), reasonKey.String(reasonOf(e))))
	for state := steadyhttp.BreakerClosed; state <= steadyhttp.BreakerOpen; state++ {
		is := int64(0)
		if state == e.To {
			is = 1
		}
		m.state.Record(ctx, is, with(origin, shadow, stateKey.String(state.String())))
	}
}

// reasonOf puts all reasons that are given by hand into one: they may be of any number.
func reasonOf(e steadyhttp.Event) string {
	switch {
	case e.Reason == "failures", e.Reason == "fleet":
		return e.Reason
	case e.Reason == "" && e.To != steadyhttp.BreakerOpen:
		return "probe"
	default:
		return "by_hand"
	}
}

// originOf keeps out what WithOriginKey may return and no exporter can show: Prometheus would refuse all metrics of the
// program for it, and OTLP a whole batch.
func originOf(name string) attribute.KeyValue {
	return originKey.String(strings.ToValidUTF8(name, "\uFFFD"))
}

func with(attributes ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

// call returns the attributes that every event of a call has.
func call(e steadyhttp.Event) []attribute.KeyValue {
	return []attribute.KeyValue{originOf(e.Origin), classKey.String(e.Class.String()), methodAttribute(e)}
}

func methodAttribute(e steadyhttp.Event) attribute.KeyValue {
	return semconv.HTTPRequestMethodKey.String(methodOf(e.Request))
}

// outcome adds the status, if there is a response.
func outcome(e steadyhttp.Event) []attribute.KeyValue {
	attributes := call(e)
	if e.StatusCode != 0 {
		attributes = append(attributes, semconv.HTTPResponseStatusCode(e.StatusCode))
	}
	return attributes
}

// methods are those that the semantic conventions know. They put all others into one.
var methods = map[string]bool{
	http.MethodConnect: true, http.MethodDelete: true, http.MethodGet: true, http.MethodHead: true,
	http.MethodOptions: true, http.MethodPatch: true, http.MethodPost: true, http.MethodPut: true,
	http.MethodTrace: true, "QUERY": true,
}

// methodOf returns the method as the conventions name it. An empty one is GET, as in net/http.
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
