package steadyhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestBackoff_WaitsGrowWithJitterWithinTheirBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		for range 50 {
			server := newScript(status(503))
			transport := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget(),
				steadyhttp.WithMaxAttempts(12), steadyhttp.WithBackoff(200*time.Millisecond, 10*time.Second))
			_, err := transport.RoundTrip(newGet(t))
			require.NoError(t, err)
			interval := 200 * time.Millisecond
			for i, wait := range server.Waits() {
				assert.GreaterOrEqual(t, wait, interval/2, "wait %d", i+1)
				assert.LessOrEqual(t, wait, min(interval*3/2, 10*time.Second), "wait %d", i+1)
				interval = min(interval*2, 10*time.Second*2/3)
				if i == 10 {
					seen[wait] = true
				}
			}
		}
		assert.Greater(t, len(seen), 40, "the longest waits are spread as well")
	})
}

func TestBackoff_HasJitterIfTheFirstWaitIsTheLongest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget(),
			steadyhttp.WithMaxAttempts(100), steadyhttp.WithBackoff(time.Second, time.Second))
		_, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		seen := make(map[time.Duration]bool)
		for _, wait := range server.Waits() {
			assert.Positive(t, wait)
			assert.LessOrEqual(t, wait, time.Second)
			seen[wait] = true
		}
		assert.Greater(t, len(seen), 90)
	})
}

func TestRetryAfter_IsAFloorWithJitterOnTop(t *testing.T) {
	t.Parallel()
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		header   func() []string
		min, max time.Duration
	}{
		"seconds":    {func() []string { return []string{"Retry-After", "3"} }, 3 * time.Second, 4500 * time.Millisecond},
		"decimal":    {func() []string { return []string{"Retry-After", "1.5"} }, 1500 * time.Millisecond, 2250 * time.Millisecond},
		"as seconds": {func() []string { return []string{"Retry-After", "20"} }, 20 * time.Second, 25 * time.Second},
		"date":       {func() []string { return []string{"Retry-After", date(4 * time.Second)} }, 4 * time.Second, 6 * time.Second},
		"date by Date": {func() []string {
			return []string{"Date", date(-time.Hour), "Retry-After", date(-time.Hour + 2*time.Second)}
		}, 2 * time.Second, 3 * time.Second},
		"largest line":          {func() []string { return []string{"Retry-After", "1", "Retry-After", "4", "Retry-After", "junk"} }, 4 * time.Second, 6 * time.Second},
		"less than the backoff": {func() []string { return []string{"Retry-After", "0.001"} }, 150 * time.Millisecond, 450 * time.Millisecond},
		"zero":                  {func() []string { return []string{"Retry-After", "0"} }, 150 * time.Millisecond, 450 * time.Millisecond},
		"past date":             {func() []string { return []string{"Retry-After", date(-time.Hour)} }, 150 * time.Millisecond, 450 * time.Millisecond},
		"exactly the longest":   {func() []string { return []string{"Retry-After", "60"} }, time.Minute, 65 * time.Second},
	} {
		for _, code := range []int{429, 503} {
			t.Run(fmt.Sprint(name, " on ", code), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					seen := make(map[time.Duration]bool)
					for range 20 {
						server := newScript(status(code, c.header()...), status(200))
						_, err := newTransport(t, server).RoundTrip(newGet(t))
						require.NoError(t, err)
						wait := server.Waits()[0]
						assert.GreaterOrEqual(t, wait, c.min)
						assert.LessOrEqual(t, wait, c.max)
						seen[wait] = true
						time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // HTTP dates have whole seconds
					}
					assert.Greater(t, len(seen), 15, "jitter")
				})
			})
		}
	}
}

// A retry at once would come on top of what the server has not worked off.
func TestBackoff_WaitAfterATimeoutIsAsLongUpToASecond(t *testing.T) {
	t.Parallel()
	custom := steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return backoff.NewConstantBackOff(time.Millisecond) })
	for name, c := range map[string]struct {
		took, least, most time.Duration
		option            steadyhttp.Option
	}{
		"quick":           {10 * time.Millisecond, time.Millisecond, 15 * time.Millisecond, steadyhttp.WithBackoff(2*time.Millisecond, time.Minute)},
		"slow":            {600 * time.Millisecond, 600 * time.Millisecond, 900 * time.Millisecond, steadyhttp.WithBackoff(1, time.Minute)},
		"very slow":       {time.Minute, time.Second, 1500 * time.Millisecond, steadyhttp.WithBackoff(1, time.Minute)},
		"but never later": {time.Minute, 13 * time.Millisecond, 20 * time.Millisecond, steadyhttp.WithBackoff(1, 20*time.Millisecond)},
		"nor as late":     {18 * time.Millisecond, 13 * time.Millisecond, 20 * time.Millisecond, steadyhttp.WithBackoff(1, 20*time.Millisecond)},
		"your own policy": {time.Minute, time.Millisecond, time.Millisecond, custom},
		"a longer one":    {time.Second, 10 * time.Second, 30 * time.Second, steadyhttp.WithBackoff(20*time.Second, time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := make(map[time.Duration]bool)
				for range 20 {
					ctx, report := steadyhttp.WithReport(t.Context())
					_, err := newTransport(t, newScript(delay(c.took, fail(os.ErrDeadlineExceeded)), status(200)), c.option).
						RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
					require.NoError(t, err)
					wait := report.Attempts[0].Wait
					assert.GreaterOrEqual(t, wait, c.least)
					assert.LessOrEqual(t, wait, c.most)
					seen[wait] = true
				}
				if c.least < c.most {
					assert.Greater(t, len(seen), 15, "jitter")
				}
			})
		})
	}
}

func TestBackoff_WaitAfterATimeoutStaysWithinTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for timeout, stopped := range map[time.Duration]steadyhttp.StopReason{
			2 * time.Second: steadyhttp.StopSuccess, 1050 * time.Millisecond: steadyhttp.StopDeadline,
		} {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			ctx, report := steadyhttp.WithReport(ctx)
			server := newScript(hang, status(200))
			_, err := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			assert.Equal(t, stopped, report.Stopped)
			assert.Less(t, time.Since(start), 1500*time.Millisecond)
			if stopped != steadyhttp.StopSuccess {
				assert.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
				assert.Equal(t, time.Second, time.Since(start))
			}
		}
	})
}

func TestBackoff_PolicyIsNewForEachCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		made := 0
		transport := newTransport(t, newScript(status(503), status(200), status(503), status(200), status(200)),
			steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff {
				made++
				return backoff.NewConstantBackOff(time.Millisecond)
			}))
		require.Equal(t, 1, made, "once to see that there is one")
		for range 3 {
			_, err := transport.RoundTrip(newGet(t))
			require.NoError(t, err)
		}
		assert.Equal(t, 3, made, "one for each call that needs one")
	})
}

// A call takes over what the one before it has left in the pool.
func TestBackoff_WaitsOfTheNextCallStartAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget(),
			steadyhttp.WithMaxAttempts(4), steadyhttp.WithBackoff(100*time.Millisecond, time.Hour))
		for range 20 {
			start := time.Now()
			_, err := transport.RoundTrip(newGet(t))
			require.NoError(t, err)
			assert.LessOrEqual(t, time.Since(start), (100+200+400)*time.Millisecond*3/2)
		}
	})
}

func TestBackoff_PolicyThatIsNilLaterEndsTheCall(t *testing.T) {
	t.Parallel()
	calls := 0
	scriptCase{options: []steadyhttp.Option{steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff {
		if calls++; calls > 1 {
			return nil
		}
		return backoff.NewConstantBackOff(time.Millisecond)
	})}, steps: []step{status(503)}, attempts: 1, status: 503, stopped: steadyhttp.StopMaxAttempts}.run(t)
}

func TestBackoff_FirstWaitHasJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		for range 100 {
			server := newScript(status(503), status(200))
			_, err := newTransport(t, server, steadyhttp.WithBackoff(time.Second, time.Second)).RoundTrip(newGet(t))
			require.NoError(t, err)
			seen[server.Waits()[0]] = true
		}
		assert.Greater(t, len(seen), 95)
	})
}

func TestBackoff_PolicyIsResetBeforeUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		_, err := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithMaxAttempts(2), steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff {
			used := backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 1)
			used.NextBackOff()
			return used
		})).RoundTrip(newGet(t))
		require.NoError(t, err)
		server.AssertAttempts(t, 2)
	})
}

func TestBackoff_NegativeWaitEndsTheCall(t *testing.T) {
	t.Parallel()
	scriptCase{options: []steadyhttp.Option{withConstantBackoff(-time.Second)}, steps: []step{status(503)},
		attempts: 1, status: 503, stopped: steadyhttp.StopMaxAttempts}.run(t)
}
