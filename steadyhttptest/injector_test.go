package steadyhttptest_test

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
)

// drawn sends so many requests, and tells of each what it got: 200, 503 or 0 for an error.
func drawn(t *testing.T, base http.RoundTripper, requests int) []int {
	t.Helper()
	codes := make([]int, requests)
	for i := range codes {
		response, err := base.RoundTrip(get(t))
		if err == nil {
			codes[i] = response.StatusCode
			require.NoError(t, response.Body.Close())
		}
	}
	return codes
}

func count(codes []int, code int) (n int) {
	for _, c := range codes {
		if c == code {
			n++
		}
	}
	return n
}

func started(t *testing.T, injection steadyhttptest.Injection) (*steadyhttptest.Injector, *steadyhttptest.Transport) {
	t.Helper()
	base := steadyhttptest.NewTransport()
	chaos := &steadyhttptest.Injector{Base: base}
	require.NoError(t, chaos.Start(injection))
	return chaos, base
}

func TestInjectorIsOffUntilItIsStartedAndOnceItIsStopped(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport()
	chaos := &steadyhttptest.Injector{Base: base}
	assert.Equal(t, 100, count(drawn(t, chaos, 100), 200))
	require.NoError(t, chaos.Start(steadyhttptest.Injection{Rate: 1, Steps: []steadyhttptest.Step{steadyhttptest.Status(503)}}))
	assert.Equal(t, 100, count(drawn(t, chaos, 100), 503))
	require.NoError(t, chaos.Start(steadyhttptest.Injection{Rate: 1, Steps: []steadyhttptest.Step{steadyhttptest.Reset}}))
	assert.Equal(t, 100, count(drawn(t, chaos, 100), 0))
	chaos.Stop()
	assert.Equal(t, 100, count(drawn(t, chaos, 100), 200))
	assert.EqualValues(t, 200, chaos.Injected())
	base.AssertAttempts(t, 200)
}

func TestInjectorThatIsOffCostsNothing(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	chaos := &steadyhttptest.Injector{Base: nothing{}}
	r := get(t)
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = chaos.RoundTrip(r) }))
	require.NoError(t, chaos.Start(steadyhttptest.Injection{Rate: 1, Latency: 1}))
	chaos.Stop()
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = chaos.RoundTrip(r) }))
}

type nothing struct{}

func (nothing) RoundTrip(*http.Request) (*http.Response, error) { return nil, nil }

func BenchmarkInjectorOff(b *testing.B) {
	r := get(b)
	for name, base := range map[string]http.RoundTripper{"bare": nothing{}, "injector": &steadyhttptest.Injector{Base: nothing{}}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = base.RoundTrip(r)
			}
		})
	}
}

func TestInjectorKeepsTheRate(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]int{0: 0, 0.01: 100, 0.1: 1000, 0.5: 5000, 1: 10_000} {
		chaos := &steadyhttptest.Injector{Base: nothing{}}
		require.NoError(t, chaos.Start(steadyhttptest.Injection{Rate: rate, Seed: 7, Steps: []steadyhttptest.Step{steadyhttptest.Reset}}))
		for range 10_000 {
			_, _ = chaos.RoundTrip(get(t))
		}
		assert.InDelta(t, want, chaos.Injected(), 150, "rate %v", rate)
	}
}

func TestInjectorPicksEachStepAsOften(t *testing.T) {
	t.Parallel()
	chaos, _ := started(t, steadyhttptest.Injection{Rate: 1, Steps: []steadyhttptest.Step{steadyhttptest.Status(503), steadyhttptest.Reset, steadyhttptest.Status(429)}})
	codes := drawn(t, chaos, 3000)
	for _, code := range []int{503, 0, 429} {
		assert.InDelta(t, 1000, count(codes, code), 100)
	}
}

func TestSameSeedInjectsTheSame(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) []int {
		chaos, _ := started(t, steadyhttptest.Injection{Rate: 0.5, Seed: seed, Steps: []steadyhttptest.Step{steadyhttptest.Status(503), steadyhttptest.Reset}})
		return drawn(t, chaos, 200)
	}
	assert.Equal(t, run(1), run(1))
	assert.NotEqual(t, run(1), run(2))
	assert.Equal(t, run(0), run(0))
}

func TestRequestsThatDoNotMatchDoNotCount(t *testing.T) {
	t.Parallel()
	posts := func(r *http.Request) bool { return r.Method == http.MethodPost }
	injection := steadyhttptest.Injection{Rate: 0.5, Seed: 1, Steps: []steadyhttptest.Step{steadyhttptest.Status(503)}}
	all, _ := started(t, injection)
	injection.Match = posts
	some, _ := started(t, injection)
	for range 100 {
		want, _ := exchange(t, all, get(t))
		got, _ := exchange(t, some, request(t, t.Context(), http.MethodPost, target, ""))
		assert.Equal(t, want, got)
		got, _ = exchange(t, some, get(t))
		assert.Equal(t, 200, got)
	}
}

func TestLatencyComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chaos, base := started(t, steadyhttptest.Injection{Rate: 1, Latency: time.Minute})
		start := time.Now()
		code, _ := exchange(t, chaos, put(t, "payload"))
		assert.Equal(t, 200, code, "without steps the request is sent")
		assert.Equal(t, time.Minute, time.Since(start))
		base.AssertBody(t, "payload")

		require.NoError(t, chaos.Start(steadyhttptest.Injection{Rate: 1, Latency: time.Hour, Steps: []steadyhttptest.Step{steadyhttptest.Status(503)}}))
		start = time.Now()
		code, _ = exchange(t, chaos, get(t))
		assert.Equal(t, 503, code)
		assert.Equal(t, time.Hour, time.Since(start))
	})
}

func TestLatencyEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chaos, base := started(t, steadyhttptest.Injection{Rate: 1, Latency: time.Hour})
		errBored := errors.New("bored")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errBored) })
		source := &watched{Reader: strings.NewReader("payload")}
		r := request(t, ctx, http.MethodPut, target, "")
		r.Body = source
		_, err := chaos.RoundTrip(r)
		assert.Equal(t, errBored, err)
		assert.Equal(t, 1, source.closes())
		base.AssertAttempts(t, 0)
	})
}

func TestInjectedFaultKeepsTheContract(t *testing.T) {
	t.Parallel()
	errBored := errors.New("bored")
	canceled, cancel := context.WithCancelCause(context.Background())
	cancel(errBored)
	for name, c := range map[string]struct {
		ctx  context.Context
		step steadyhttptest.Step
	}{
		"answer": {t.Context(), steadyhttptest.Status(503)}, "reset": {t.Context(), steadyhttptest.Reset},
		"refused": {t.Context(), steadyhttptest.Refused}, "cancelled": {canceled, steadyhttptest.Status(503)},
	} {
		chaos, _ := started(t, steadyhttptest.Injection{Rate: 1, Steps: []steadyhttptest.Step{c.step}})
		source := &watched{Reader: strings.NewReader("payload")}
		r := request(t, c.ctx, http.MethodPut, target, "")
		r.Body = source
		response, err := chaos.RoundTrip(r)
		assert.NotEqual(t, response == nil, err == nil, name)
		assert.Equal(t, 1, source.closes(), name)
		assert.Equal(t, name == "cancelled", errors.Is(err, errBored), name)
	}
	chaos, _ := started(t, steadyhttptest.Injection{Rate: 1, Steps: []steadyhttptest.Step{steadyhttptest.Reset}})
	_, err := chaos.RoundTrip(&http.Request{})
	assert.EqualError(t, err, "http: nil Request.URL")
}

func TestInjectedResponseSaysSo(t *testing.T) {
	t.Parallel()
	bare := steadyhttptest.Func(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	for want, step := range map[string]steadyhttptest.Step{"503, truncated": steadyhttptest.Status(503).Truncated(), "func": bare} {
		chaos, _ := started(t, steadyhttptest.Injection{Rate: 1, Steps: []steadyhttptest.Step{step}})
		response, err := chaos.RoundTrip(get(t))
		require.NoError(t, err)
		assert.Equal(t, want, response.Header.Get(steadyhttptest.FaultHeader))
		chaos.Stop()
		response, err = chaos.RoundTrip(get(t))
		require.NoError(t, err)
		assert.NotContains(t, response.Header, steadyhttptest.FaultHeader)
	}
}

func TestInjectionThatMakesNoSenseIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	steps := []steadyhttptest.Step{steadyhttptest.Reset}
	for want, injection := range map[string]steadyhttptest.Injection{
		"steadyhttptest: Injection.Rate: 1.1 is invalid: want a rate from 0 to 1":   {Rate: 1.1, Steps: steps},
		"steadyhttptest: Injection.Rate: -0.1 is invalid: want a rate from 0 to 1":  {Rate: -0.1, Steps: steps},
		"steadyhttptest: Injection.Rate: NaN is invalid: want a rate from 0 to 1":   {Rate: math.NaN(), Steps: steps},
		"steadyhttptest: Injection.Latency: -1s is invalid: want 0 or more":         {Latency: -time.Second, Steps: steps},
		"steadyhttptest: Injection.Steps: [] is invalid: want a step, or a Latency": {Rate: 1},
		"steadyhttptest: Injection.Steps: [<nil>] is invalid: want no nil Step":     {Rate: 1, Steps: []steadyhttptest.Step{nil}},
		"steadyhttptest: Injection.Rate: 2 is invalid: want a rate from 0 to 1\nsteadyhttptest: Injection.Steps: [] is invalid: want a step, or a Latency": {
			Rate: 2,
		},
	} {
		chaos, _ := started(t, steadyhttptest.Injection{Rate: 1, Steps: []steadyhttptest.Step{steadyhttptest.Status(503)}})
		assert.EqualError(t, chaos.Start(injection), want)
		assert.Equal(t, []int{503}, drawn(t, chaos, 1))
	}
}

func TestInjectorMayBeSwitchedWhileInUse(t *testing.T) {
	t.Parallel()
	chaos := &steadyhttptest.Injector{Base: steadyhttptest.NewTransport()}
	steps := []steadyhttptest.Step{steadyhttptest.Status(503)}
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() { drawn(t, chaos, 100) })
		users.Go(func() {
			for range 50 {
				assert.NoError(t, chaos.Start(steadyhttptest.Injection{Rate: 0.5, Steps: steps}))
				chaos.Stop()
			}
		})
	}
	users.Wait()
}

func TestInjectionIsNotTheCallersSlice(t *testing.T) {
	t.Parallel()
	steps := []steadyhttptest.Step{steadyhttptest.Status(503)}
	chaos, _ := started(t, steadyhttptest.Injection{Rate: 1, Steps: steps})
	steps[0] = nil
	assert.Equal(t, []int{503}, drawn(t, chaos, 1))
}

func TestZeroInjectorSendsThroughTheDefaultTransport(t *testing.T) {
	t.Parallel()
	server := steadyhttptest.NewServer(steadyhttptest.Status(201))
	defer server.Close()
	var chaos steadyhttptest.Injector
	response, err := chaos.RoundTrip(request(t, t.Context(), http.MethodGet, server.URL, ""))
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "Created", string(content))
	server.AssertAttempts(t, 1)
	chaos.CloseIdleConnections()
}
