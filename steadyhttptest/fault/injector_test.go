package fault_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
	"github.com/steadyhttp/steadyhttp/steadyhttptest/fault"
)

func TestInjector_IsOffBeforeStartAndAfterStop(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport()
	injector := &fault.Injector{Base: base}
	assert.Equal(t, 100, count(statuses(t, injector, 100), 200))
	require.NoError(t, injector.Start(fault.Injection{Rate: 1, Steps: []fault.Step{fault.Status(503)}}))
	assert.Equal(t, 100, count(statuses(t, injector, 100), 503))
	require.NoError(t, injector.Start(fault.Injection{Rate: 1, Steps: []fault.Step{fault.Reset}}))
	assert.Equal(t, 100, count(statuses(t, injector, 100), 0))
	injector.Stop()
	assert.Equal(t, 100, count(statuses(t, injector, 100), 200))
	assert.EqualValues(t, 200, injector.Injected())
	base.AssertAttempts(t, 200)
}

func TestInjector_AllocatesNothingWhileOff(t *testing.T) { // not parallel: AllocsPerRun counts all allocations
	injector := &fault.Injector{Base: emptyTransport{}}
	r := get(t)
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = injector.RoundTrip(r) }))
	require.NoError(t, injector.Start(fault.Injection{Rate: 1, Latency: 1}))
	injector.Stop()
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = injector.RoundTrip(r) }))
}

type emptyTransport struct{}

func (emptyTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, nil }

func BenchmarkInjector_Off(b *testing.B) {
	r := get(b)
	for name, base := range map[string]http.RoundTripper{"bare": emptyTransport{}, "injector": &fault.Injector{Base: emptyTransport{}}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = base.RoundTrip(r)
			}
		})
	}
}

func TestInjector_KeepsTheRate(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]int{0: 0, 0.01: 100, 0.1: 1000, 0.5: 5000, 1: 10_000} {
		injector := &fault.Injector{Base: emptyTransport{}}
		require.NoError(t, injector.Start(fault.Injection{Rate: rate, Seed: 7, Steps: []fault.Step{fault.Reset}}))
		for range 10_000 {
			_, _ = injector.RoundTrip(get(t))
		}
		assert.InDelta(t, want, injector.Injected(), 150, "rate %v", rate)
	}
}

func TestInjector_ChoosesEachStepEquallyOften(t *testing.T) {
	t.Parallel()
	injector, _ := startInjector(t, fault.Injection{Rate: 1, Steps: []fault.Step{fault.Status(503), fault.Reset, fault.Status(429)}})
	codes := statuses(t, injector, 3000)
	for _, code := range []int{503, 0, 429} {
		assert.InDelta(t, 1000, count(codes, code), 100)
	}
}

func TestInjector_SameSeedInjectsTheSame(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) []int {
		injector, _ := startInjector(t, fault.Injection{Rate: 0.5, Seed: seed, Steps: []fault.Step{fault.Status(503), fault.Reset}})
		return statuses(t, injector, 200)
	}
	assert.Equal(t, run(1), run(1))
	assert.NotEqual(t, run(1), run(2))
	assert.Equal(t, run(0), run(0))
}

func TestInjector_RequestsThatDoNotMatchDoNotCount(t *testing.T) {
	t.Parallel()
	posts := func(r *http.Request) bool { return r.Method == http.MethodPost }
	injection := fault.Injection{Rate: 0.5, Seed: 1, Steps: []fault.Step{fault.Status(503)}}
	all, _ := startInjector(t, injection)
	injection.Match = posts
	some, _ := startInjector(t, injection)
	for range 100 {
		want, _ := exchange(t, all, get(t))
		got, _ := exchange(t, some, request(t, t.Context(), http.MethodPost, target, ""))
		assert.Equal(t, want, got)
		got, _ = exchange(t, some, get(t))
		assert.Equal(t, 200, got)
	}
}

func TestInjector_LatencyComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		injector, base := startInjector(t, fault.Injection{Rate: 1, Latency: time.Minute})
		start := time.Now()
		code, _ := exchange(t, injector, put(t, "payload"))
		assert.Equal(t, 200, code, "without steps the request is sent")
		assert.Equal(t, time.Minute, time.Since(start))
		base.AssertBody(t, "payload")

		require.NoError(t, injector.Start(fault.Injection{Rate: 1, Latency: time.Hour, Steps: []fault.Step{fault.Status(503)}}))
		start = time.Now()
		code, _ = exchange(t, injector, get(t))
		assert.Equal(t, 503, code)
		assert.Equal(t, time.Hour, time.Since(start))
	})
}

func TestInjector_LatencyEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		injector, base := startInjector(t, fault.Injection{Rate: 1, Latency: time.Hour})
		errBored := errors.New("bored")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errBored) })
		source := &countingBody{Reader: strings.NewReader("payload")}
		r := request(t, ctx, http.MethodPut, target, "")
		r.Body = source
		_, err := injector.RoundTrip(r)
		assert.Equal(t, errBored, err)
		assert.Equal(t, 1, source.closes())
		base.AssertAttempts(t, 0)
	})
}

func TestInjector_FaultsKeepTheContract(t *testing.T) {
	t.Parallel()
	errBored := errors.New("bored")
	canceled, cancel := context.WithCancelCause(context.Background())
	cancel(errBored)
	for name, c := range map[string]struct {
		ctx  context.Context
		step fault.Step
	}{
		"response": {t.Context(), fault.Status(503)}, "reset": {t.Context(), fault.Reset},
		"refused": {t.Context(), fault.Refused}, "cancelled": {canceled, fault.Status(503)},
	} {
		injector, _ := startInjector(t, fault.Injection{Rate: 1, Steps: []fault.Step{c.step}})
		source := &countingBody{Reader: strings.NewReader("payload")}
		r := request(t, c.ctx, http.MethodPut, target, "")
		r.Body = source
		response, err := injector.RoundTrip(r)
		assert.NotEqual(t, response == nil, err == nil, name)
		assert.Equal(t, 1, source.closes(), name)
		assert.Equal(t, name == "cancelled", errors.Is(err, errBored), name)
	}
	injector, _ := startInjector(t, fault.Injection{Rate: 1, Steps: []fault.Step{fault.Reset}})
	_, err := injector.RoundTrip(&http.Request{})
	assert.EqualError(t, err, "http: nil Request.URL")
}

func TestInjector_MarksItsResponses(t *testing.T) {
	t.Parallel()
	bare := fault.Func(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	for want, step := range map[string]fault.Step{"503, truncated": fault.Status(503).Truncated(), "func": bare} {
		injector, _ := startInjector(t, fault.Injection{Rate: 1, Steps: []fault.Step{step}})
		response, err := injector.RoundTrip(get(t))
		require.NoError(t, err)
		assert.Equal(t, want, response.Header.Get(fault.FaultHeader))
		injector.Stop()
		response, err = injector.RoundTrip(get(t))
		require.NoError(t, err)
		assert.NotContains(t, response.Header, fault.FaultHeader)
	}
}

func TestInjector_InvalidInjectionIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	steps := []fault.Step{fault.Reset}
	for want, injection := range map[string]fault.Injection{
		"steadyhttptest: Injection.Rate: 1.1 is invalid: want a rate from 0 to 1":   {Rate: 1.1, Steps: steps},
		"steadyhttptest: Injection.Rate: -0.1 is invalid: want a rate from 0 to 1":  {Rate: -0.1, Steps: steps},
		"steadyhttptest: Injection.Rate: NaN is invalid: want a rate from 0 to 1":   {Rate: math.NaN(), Steps: steps},
		"steadyhttptest: Injection.Latency: -1s is invalid: want 0 or more":         {Latency: -time.Second, Steps: steps},
		"steadyhttptest: Injection.Steps: [] is invalid: want a step, or a Latency": {Rate: 1},
		"steadyhttptest: Injection.Steps: [<nil>] is invalid: want no nil Step":     {Rate: 1, Steps: []fault.Step{nil}},
		"steadyhttptest: Injection.Rate: 2 is invalid: want a rate from 0 to 1\nsteadyhttptest: Injection.Steps: [] is invalid: want a step, or a Latency": {
			Rate: 2,
		},
	} {
		injector, _ := startInjector(t, fault.Injection{Rate: 1, Steps: []fault.Step{fault.Status(503)}})
		assert.EqualError(t, injector.Start(injection), want)
		assert.Equal(t, []int{503}, statuses(t, injector, 1))
	}
}

func TestInjector_MayBeSwitchedWhileInUse(t *testing.T) {
	t.Parallel()
	injector := &fault.Injector{Base: steadyhttptest.NewTransport()}
	steps := []fault.Step{fault.Status(503)}
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() { statuses(t, injector, 100) })
		users.Go(func() {
			for range 50 {
				assert.NoError(t, injector.Start(fault.Injection{Rate: 0.5, Steps: steps}))
				injector.Stop()
			}
		})
	}
	users.Wait()
}

func TestInjector_CopiesTheSteps(t *testing.T) {
	t.Parallel()
	steps := []fault.Step{fault.Status(503)}
	injector, _ := startInjector(t, fault.Injection{Rate: 1, Steps: steps})
	steps[0] = nil
	assert.Equal(t, []int{503}, statuses(t, injector, 1))
}

func TestInjector_ZeroValueSendsThroughTheDefaultTransport(t *testing.T) {
	t.Parallel()
	server := steadyhttptest.NewServer(fault.Status(201))
	defer server.Close()
	var injector fault.Injector
	response, err := injector.RoundTrip(request(t, t.Context(), http.MethodGet, server.URL, ""))
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "Created", string(content))
	server.AssertAttempts(t, 1)
	injector.CloseIdleConnections()
}
