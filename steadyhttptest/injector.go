package steadyhttptest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// FaultHeader marks a response that an [Injector] made; its value is the step's String.
const FaultHeader = "Injected-Fault"

// An Injector is an [http.RoundTripper] that plays faults to some of the requests, and sends the others
// on. It is for staging: to see how a whole service bears what a server may do to it.
//
// It is off until [Injector.Start], and then costs a call next to nothing and no allocation. It may be
// switched while in use, from any goroutine. The zero value sends through [http.DefaultTransport].
type Injector struct {
	// Base is what requests are sent through. It must not be changed once the Injector is in use.
	Base http.RoundTripper

	plan     atomic.Pointer[plan]
	injected atomic.Int64
}

// An Injection says what is done to which requests.
type Injection struct {
	// Rate is the share of the requests that something is done to, from 0 to 1.
	Rate float64

	// Seed decides which requests, and what. With the same seed it is the same for the first, the
	// second, the third request that comes after Start.
	Seed uint64

	// Match leaves out the requests for which it returns false; they do not count. A nil Match leaves
	// out none. It may be called from many goroutines at once.
	Match func(*http.Request) bool

	// Steps are played instead of sending the request, each as often as the others. Without any, the
	// request is sent once Latency has passed.
	Steps []Step

	// Latency passes first.
	Latency time.Duration
}

// A plan is an Injection that is under way.
type plan struct {
	Injection
	matched atomic.Uint64
}

// Start begins to inject, instead of what was injected before. It returns an error, and changes nothing,
// if the injection names a value that makes no sense.
func (i *Injector) Start(injection Injection) error {
	if err := injection.check(); err != nil {
		return err
	}
	injection.Steps = slices.Clone(injection.Steps)
	i.plan.Store(&plan{Injection: injection})
	return nil
}

// Stop sends every request on from now on. What is being injected goes on to its end.
func (i *Injector) Stop() { i.plan.Store(nil) }

// Injected returns how many requests something was done to, since the Injector was made.
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

// RoundTrip sends the request through Base, unless it is one that a fault is played to.
func (i *Injector) RoundTrip(request *http.Request) (*http.Response, error) {
	current := i.plan.Load()
	if current == nil {
		return i.base().RoundTrip(request)
	}
	step, chosen := current.choose(request)
	if !chosen {
		return i.base().RoundTrip(request)
	}
	i.injected.Add(1)
	if err := hold(request, current.Latency); err != nil {
		closeBody(request)
		return nil, err
	}
	if step == nil {
		return i.base().RoundTrip(request)
	}
	return mark(step)(step.RoundTrip(request))
}

func (i *Injector) base() http.RoundTripper {
	if i.Base == nil {
		return http.DefaultTransport
	}
	return i.Base
}

// CloseIdleConnections closes Base's idle connections, where it can.
func (i *Injector) CloseIdleConnections() {
	if closer, ok := i.base().(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// choose decides by the request's number alone, so that it needs no lock, and the same seed brings the
// same again.
func (p *plan) choose(request *http.Request) (Step, bool) {
	if p.Match != nil && !p.Match(request) {
		return nil, false
	}
	random := rand.New(rand.NewPCG(p.Seed, p.matched.Add(1)))
	if random.Float64() >= p.Rate {
		return nil, false
	}
	if len(p.Steps) == 0 {
		return nil, true
	}
	return p.Steps[random.IntN(len(p.Steps))], true
}

// hold lets the latency pass.
func hold(request *http.Request, latency time.Duration) error {
	if err := unsendable(request); err != nil || latency == 0 {
		return err
	}
	return pause(request.Context(), latency)
}

// mark names the step in the response's header.
func mark(step Step) func(*http.Response, error) (*http.Response, error) {
	return func(response *http.Response, err error) (*http.Response, error) {
		if response == nil {
			return nil, err
		}
		if response.Header == nil {
			response.Header = make(http.Header)
		}
		response.Header.Set(FaultHeader, step.String())
		return response, err
	}
}
