package steadyhttp_test

import (
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestOptions_InvalidValuesAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option steadyhttp.Option
		wants  []string
	}{
		{nil, []string{"option 1 is nil"}},
		{steadyhttp.WithMaxAttempts(0), []string{"WithMaxAttempts", "0", "at least 1"}},
		{steadyhttp.WithMaxAttempts(-3), []string{"WithMaxAttempts", "-3"}},
		{steadyhttp.WithBackoff(0, time.Second), []string{"WithBackoff", "0s"}},
		{steadyhttp.WithBackoff(-time.Second, time.Second), []string{"WithBackoff", "-1s"}},
		{steadyhttp.WithBackoff(2*time.Second, time.Second), []string{"WithBackoff", "1s", "2s"}},
		{steadyhttp.WithBackoffPolicy(nil), []string{"WithBackoffPolicy", "nil"}},
		{steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return nil }), []string{"WithBackoffPolicy", "nil"}},
		{steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return (*backoff.ExponentialBackOff)(nil) }), []string{"WithBackoffPolicy", "nil"}},
		{steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return &backoff.ExponentialBackOff{} }), []string{"WithBackoffPolicy", "nil pointer", "constructors"}},
		{steadyhttp.WithMaxRetryAfter(-1), []string{"WithMaxRetryAfter", "-1ns"}},
		{steadyhttp.WithTimeout(-time.Second), []string{"WithTimeout", "-1s"}},
		{steadyhttp.WithAttemptTimeout(-time.Second), []string{"WithAttemptTimeout", "-1s"}},
		{steadyhttp.WithRetryBudget(-0.1, 1), []string{"WithRetryBudget", "-0.1"}},
		{steadyhttp.WithRetryBudget(1.1, 1), []string{"WithRetryBudget", "1.1"}},
		{steadyhttp.WithRetryBudget(math.NaN(), 1), []string{"WithRetryBudget", "NaN"}},
		{steadyhttp.WithRetryBudget(math.Inf(1), 1), []string{"WithRetryBudget", "+Inf"}},
		{steadyhttp.WithRetryBudget(0.2, 0), []string{"WithRetryBudget", "0 is invalid"}},
		{steadyhttp.WithReplayBuffer(-1), []string{"WithReplayBuffer", "-1"}},
		{steadyhttp.WithClassifier(nil), []string{"WithClassifier", "nil"}},
		{steadyhttp.WithObserver(nil), []string{"WithObserver", "nil"}},
		{steadyhttp.WithBreakerFailureRate(-0.5, 1), []string{"WithBreakerFailureRate", "-0.5"}},
		{steadyhttp.WithBreakerFailureRate(1.5, 1), []string{"WithBreakerFailureRate", "1.5"}},
		{steadyhttp.WithBreakerFailureRate(math.NaN(), 1), []string{"WithBreakerFailureRate", "NaN"}},
		{steadyhttp.WithBreakerFailureRate(0.5, 0), []string{"WithBreakerFailureRate", "0 is invalid"}},
		{steadyhttp.WithBreakerFailureRate(0.5, math.MaxInt), []string{"WithBreakerFailureRate"}},
		{steadyhttp.WithBreakerConsecutiveFailures(-1, 0), []string{"WithBreakerConsecutiveFailures", "-1"}},
		{steadyhttp.WithBreakerConsecutiveFailures(math.MaxInt, 0), []string{"WithBreakerConsecutiveFailures"}},
		{steadyhttp.WithBreakerConsecutiveFailures(1, -time.Second), []string{"WithBreakerConsecutiveFailures", "-1s"}},
		{steadyhttp.WithBreakerConsecutiveTimeouts(-1, 0), []string{"WithBreakerConsecutiveTimeouts", "-1", "timeouts"}},
		{steadyhttp.WithBreakerConsecutiveTimeouts(math.MaxInt, 0), []string{"WithBreakerConsecutiveTimeouts"}},
		{steadyhttp.WithBreakerConsecutiveTimeouts(1, -time.Second), []string{"WithBreakerConsecutiveTimeouts", "-1s"}},
		{steadyhttp.WithBreakerWindow(9 * time.Millisecond), []string{"WithBreakerWindow", "9ms"}},
		{steadyhttp.WithBreakerOpenFor(0), []string{"WithBreakerOpenFor", "0s"}},
		{steadyhttp.WithOriginKey(nil), []string{"WithOriginKey", "nil"}},
		{steadyhttp.WithOriginLimit(0), []string{"WithOriginLimit", "0"}},
	} {
		transport, err := steadyhttp.NewTransport(newScript(status(200)), c.option)
		assert.Nil(t, transport)
		require.Error(t, err)
		for _, want := range append(c.wants, "steadyhttp: ") {
			assert.ErrorContains(t, err, want)
		}
	}
}

func TestOptions_EveryInvalidValueIsInOneError(t *testing.T) {
	t.Parallel()
	client, err := steadyhttp.NewClient(steadyhttp.WithMaxAttempts(0), steadyhttp.WithOriginLimit(-7), nil)
	assert.Nil(t, client)
	for _, want := range []string{"WithMaxAttempts: 0", "WithOriginLimit: -7", "option 3 is nil"} {
		assert.ErrorContains(t, err, want)
	}
	client, err = steadyhttp.Wrap(&http.Client{}, steadyhttp.WithMaxAttempts(0))
	assert.Nil(t, client)
	assert.Error(t, err)
}

func TestOptions_BreakerThatCouldNeverOpenIsAnError(t *testing.T) {
	t.Parallel()
	never := []steadyhttp.Option{steadyhttp.WithBreakerConsecutiveTimeouts(0, 0), steadyhttp.WithBreakerConsecutiveFailures(0, 0)}
	_, err := steadyhttp.NewTransport(nil, never...)
	assert.ErrorContains(t, err, "WithoutBreaker")
	for _, enough := range []steadyhttp.Option{
		steadyhttp.WithoutBreaker(), steadyhttp.WithBreakerFailureRate(0.5, 10),
		steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithBreakerConsecutiveTimeouts(1, 0),
	} {
		_, err = steadyhttp.NewTransport(nil, append(never, enough)...)
		assert.NoError(t, err)
	}
}

// What bounds the whole call, and a setting that could have no effect within that.
func TestOptions_BoundThatLeavesAnotherWithoutEffectIsAnError(t *testing.T) {
	t.Parallel()
	custom := steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return backoff.NewConstantBackOff(time.Minute) })
	for name, c := range map[string]struct {
		options []steadyhttp.Option
		whole   time.Duration
		wants   []string // all of what the error says beside the bound; nil for none
		waits   int      // how many of the last wants are about the first wait, which only a client's Timeout is held against
	}{
		"attempt longer":          {[]steadyhttp.Option{steadyhttp.WithAttemptTimeout(31 * time.Second)}, 30 * time.Second, []string{"WithAttemptTimeout: 31s", "at most 30s"}, 0},
		"attempt as long":         {[]steadyhttp.Option{steadyhttp.WithAttemptTimeout(30 * time.Second)}, 30 * time.Second, nil, 0},
		"attempt without whole":   {[]steadyhttp.Option{steadyhttp.WithAttemptTimeout(time.Hour)}, 0, nil, 0},
		"whole without attempt":   {nil, time.Second, nil, 0},
		"shorter than the wait":   {nil, 299 * time.Millisecond, []string{": 299ms", "at least 300ms", "WithMaxAttempts(1)"}, 3},
		"as long as the wait":     {nil, 300 * time.Millisecond, nil, 0},
		"shorter than one given":  {[]steadyhttp.Option{steadyhttp.WithBackoff(5*time.Second, time.Minute)}, 2 * time.Second, []string{": 2s", "at least 5s"}, 2},
		"longest wait is longer":  {[]steadyhttp.Option{steadyhttp.WithBackoff(1, time.Minute)}, 2 * time.Second, nil, 0},
		"one attempt":             {[]steadyhttp.Option{steadyhttp.WithMaxAttempts(1)}, time.Millisecond, nil, 0},
		"waits that nobody knows": {[]steadyhttp.Option{custom}, time.Millisecond, nil, 0},
		"both":                    {[]steadyhttp.Option{steadyhttp.WithAttemptTimeout(time.Minute)}, time.Millisecond, []string{"WithAttemptTimeout: 1m0s", ": 1ms", "at least 300ms"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect := func(bound string, err error, wants ...string) {
				t.Helper()
				if len(wants) == 0 {
					assert.NoError(t, err, bound)
					return
				}
				for _, want := range append(wants, bound) {
					assert.ErrorContains(t, err, want)
				}
			}
			options := append([]steadyhttp.Option{steadyhttp.WithTimeout(c.whole)}, c.options...)
			own := slices.Clip(c.wants[:len(c.wants)-c.waits])
			_, err := steadyhttp.NewTransport(status(200), options...)
			expect("WithTimeout", err, own...)
			_, err = steadyhttp.NewClient(options...)
			expect("WithTimeout", err, own...)
			_, err = steadyhttp.Wrap(nil, options...)
			expect("WithTimeout", err, own...)
			_, err = steadyhttp.Wrap(&http.Client{Timeout: c.whole}, c.options...)
			expect("http.Client.Timeout", err, c.wants...)
		})
	}
}

func TestOptions_ClientTimeoutOfNothingIsNoBound(t *testing.T) {
	t.Parallel()
	_, err := steadyhttp.Wrap(&http.Client{Timeout: -1}, steadyhttp.WithAttemptTimeout(time.Minute)) // net/http takes it for none
	assert.NoError(t, err)
	_, err = steadyhttp.Wrap(&http.Client{Timeout: time.Second}, steadyhttp.WithMaxAttempts(0), steadyhttp.WithAttemptTimeout(-1))
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	assert.Len(t, joined.Unwrap(), 2, "what is invalid by itself is told once")
}

func TestOptions_WrappedTwiceIsAnError(t *testing.T) {
	t.Parallel()
	once := newTransport(t, status(200))
	_, err := steadyhttp.NewTransport(once)
	assert.ErrorContains(t, err, "wrapped twice")
	_, err = steadyhttp.Wrap(&http.Client{Transport: once})
	assert.ErrorContains(t, err, "wrapped twice")
}

func TestOptions_InvalidValuesAreOneFlatError(t *testing.T) {
	t.Parallel()
	_, err := steadyhttp.Wrap(&http.Client{Transport: newTransport(t, status(200))},
		steadyhttp.WithBackoff(0, -1), nil, steadyhttp.WithMaxAttempts(0), steadyhttp.WithRetryBudget(2, 0))
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	assert.Len(t, joined.Unwrap(), 7)
	for _, one := range joined.Unwrap() {
		assert.NotContains(t, one.Error(), "\n")
	}
}

func TestOptions_TypedNilBaseIsAnError(t *testing.T) {
	t.Parallel()
	_, err := steadyhttp.NewTransport((*http.Transport)(nil))
	assert.ErrorContains(t, err, "nil *http.Transport")
	_, err = steadyhttp.Wrap(&http.Client{Transport: (*http.Transport)(nil)})
	assert.ErrorContains(t, err, "nil *http.Transport")
}

func TestOptions_LaterCounts(t *testing.T) {
	t.Parallel()
	server := newScript(status(503))
	sendGets(t, newTransport(t, server, steadyhttp.WithMaxAttempts(7), steadyhttp.WithMaxAttempts(1)), 1)
	server.AssertAttempts(t, 1)
}

func TestOptions_LimitsMayBeExtreme(t *testing.T) {
	t.Parallel()
	server := newScript(status(503))
	transport := newTransport(t, server,
		steadyhttp.WithMaxAttempts(math.MaxInt), steadyhttp.WithBackoff(1, math.MaxInt64), steadyhttp.WithMaxRetryAfter(math.MaxInt64),
		steadyhttp.WithAttemptTimeout(math.MaxInt64), steadyhttp.WithRetryBudget(1, 1), steadyhttp.WithReplayBuffer(math.MaxInt64),
		steadyhttp.WithBreakerFailureRate(1, 2), steadyhttp.WithBreakerConsecutiveFailures(math.MaxInt32, math.MaxInt64),
		steadyhttp.WithBreakerConsecutiveTimeouts(math.MaxInt32, math.MaxInt64),
		steadyhttp.WithBreakerWindow(math.MaxInt64), steadyhttp.WithBreakerOpenFor(math.MaxInt64), steadyhttp.WithOriginLimit(math.MaxInt))
	sendGets(t, transport, 2)
	assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	_, err := sendGet(t, transport)
	assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
	server.AssertAttempts(t, 2)
}

func TestOptions_LaterBudgetCounts(t *testing.T) {
	t.Parallel()
	scriptCase{options: noBreakerOptions(steadyhttp.WithoutRetryBudget(), steadyhttp.WithRetryBudget(0, 2)), steps: []step{status(503)},
		attempts: 3, status: 503, stopped: steadyhttp.StopBudgetExhausted}.run(t)
}

func TestOptions_EveryInvalidArgumentIsNamed(t *testing.T) {
	t.Parallel()
	_, err := steadyhttp.NewTransport((*http.Transport)(nil), steadyhttp.WithMaxAttempts(0), steadyhttp.WithRetryBudget(-1, 0))
	for _, want := range []string{"WithMaxAttempts: 0", "WithRetryBudget: -1", "WithRetryBudget: 0", "nil *http.Transport"} {
		assert.ErrorContains(t, err, want)
	}
}
