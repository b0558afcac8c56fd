package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// FaultHeader is the header field that marks a response made by an [Injector]. Its value is the step's String.
const FaultHeader = "Injected-Fault"

// An Injector is an [http.RoundTripper] that plays faults to a share of the requests and sends the others through Base.
// Use it in staging, to see how a whole service behaves when a server fails.
//
// An Injector is off until [Injector.Start]. While it is off, it adds a few nanoseconds to a call and no allocation. It is
// safe for concurrent use, and may be started and stopped at any time. The zero value is off and sends through
// [http.DefaultTransport].
type Injector struct {
	// Base sends the requests that are left alone. Do not change it once the Injector is in use.
	Base http.RoundTripper

	active   atomic.Pointer[active] // nil: off
	injected atomic.Int64
}

// An Injection says which requests an [Injector] treats, and how.
type Injection struct {
	// Rate is the share of the requests that are treated, from 0 to 1.
	Rate float64

	// Seed makes a run repeatable. With the same Seed, the first, second, third request after Start is treated as it was
	// in the last run.
	Seed uint64

	// Match selects requests: those for which it returns false are left alone and not counted. A nil Match selects all.
	// It is called concurrently for concurrent requests.
	Match func(*http.Request) bool

	// Steps are played instead of sending the request; each is chosen equally often. Without Steps, the request is sent
	// after the Latency.
	Steps []Step

	// Latency is a wait before the step, or before the request is sent.
	Latency time.Duration
}

// An active injection counts its requests.
type active struct {
	Injection
	matched atomic.Uint64
}

// Start starts an injection, in place of an earlier one.
//
// If the injection has invalid values, Start changes nothing and returns one error that names them all.
func (i *Injector) Start(injection Injection) error {
	if err := injection.check(); err != nil {
		return err
	}
	injection.Steps = slices.Clone(injection.Steps)
	i.active.Store(&active{Injection: injection})
	return nil
}

// Stop turns the Injector off: from now on every request is sent through Base. A fault that has begun goes on to its end.
func (i *Injector) Stop() { i.active.Store(nil) }

// Injected returns how many requests were treated since the Injector was made.
func (i *Injector) Injected() int64 { return i.injected.Load() }

func (i *Injection) check() error {
	var errs []error
	refuse := func(field string, value any, want string) {
		errs = append(errs, fmt.Errorf("steadyhttptest: Injection.%s: %v is invalid: %s", field, value, want))
	}
	if !(i.Rate >= 0 && i.Rate <= 1) { // NaN is neither
		refuse("Rate", i.Rate, "want a rate from 0 to 1")
	}
	if i.Latency < 0 {
		refuse("Latency", i.Latency, "want 0 or more")
	}
	if len(i.Steps) == 0 && i.Latency == 0 {
		refuse("Steps", i.Steps, "want a step, or a Latency")
	}
	if slices.Contains(i.Steps, nil) {
		refuse("Steps", i.Steps, "want no nil Step")
	}
	return errors.Join(errs...)
}

// RoundTrip plays a fault to the request, or sends it through Base.
func (i *Injector) RoundTrip(request *http.Request) (*http.Response, error) {
	injection := i.active.Load()
	if injection == nil {
		return i.base().RoundTrip(request)
	}
	chosen, ok := injection.choose(request)
	if !ok {
		return i.base().RoundTrip(request)
	}
	i.injected.Add(1)
	if err := addLatency(request, injection.Latency); err != nil {
		step.CloseBody(request)
		return nil, err
	}
	if chosen == nil {
		return i.base().RoundTrip(request)
	}
	response, err := chosen.RoundTrip(request)
	addFaultHeader(response, chosen)
	return response, err
}

func (i *Injector) base() http.RoundTripper {
	if i.Base == nil {
		return http.DefaultTransport
	}
	return i.Base
}

// CloseIdleConnections closes the idle connections of Base, if it has such a method.
func (i *Injector) CloseIdleConnections() {
	if closer, ok := i.base().(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// choose depends on nothing but the seed and the request's number. So it needs no lock, and a run can be repeated. A nil
// Step means that only the latency is added.
func (a *active) choose(request *http.Request) (Step, bool) {
	if a.Match != nil && !a.Match(request) {
		return nil, false
	}
	random := rand.New(rand.NewPCG(a.Seed, a.matched.Add(1)))
	if random.Float64() >= a.Rate {
		return nil, false
	}
	if len(a.Steps) == 0 {
		return nil, true
	}
	return a.Steps[random.IntN(len(a.Steps))], true
}

func addLatency(request *http.Request, latency time.Duration) error {
	if err := step.Unsendable(request); err != nil || latency == 0 {
		return err
	}
	return step.Wait(request.Context(), latency)
}

func addFaultHeader(response *http.Response, chosen Step) {
	if response == nil {
		return
	}
	if response.Header == nil {
		response.Header = make(http.Header)
	}
	response.Header.Set(FaultHeader, chosen.String())
}
