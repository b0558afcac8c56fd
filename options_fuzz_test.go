package steadyhttp_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// An optionsDraw is a set of options with arbitrary values, and what their comments say of those.
type optionsDraw struct {
	s       *schedule
	options []steadyhttp.Option
	wrong   [][2]any // option and value

	rate, failures, timeouts bool // whether these rules of the breaker are on,
	without                  bool // and whether there is none
	pauses, keyed, impatient bool // whether there is a pause, a key for it, and no Retry-After that is waited for

	whole, attempt time.Duration // of WithTimeout and WithAttemptTimeout
}

func (d *optionsDraw) add(option steadyhttp.Option) { d.options = append(d.options, option) }

// want notes a value that breaks its option's rule.
func (d *optionsDraw) want(holds bool, option string, value any) {
	if !holds {
		d.wrong = append(d.wrong, [2]any{option, value})
	}
}

func (d *optionsDraw) draw() {
	s := d.s
	n, m, f, a, b := s.number(), s.number(), s.fraction(), s.duration(), s.duration()
	switch s.pick(23) {
	case 0:
		d.add(steadyhttp.WithMaxAttempts(n))
		d.want(n >= 1, "WithMaxAttempts", n)
	case 1:
		d.add(steadyhttp.WithBackoff(a, b))
		d.want(a > 0, "WithBackoff", a)
		d.want(b >= a, "WithBackoff", b)
	case 2:
		d.add(steadyhttp.WithMaxRetryAfter(a))
		d.want(a >= 0, "WithMaxRetryAfter", a)
		d.impatient = a == 0
	case 3:
		d.add(steadyhttp.WithTimeout(a))
		d.want(a >= 0, "WithTimeout", a)
		d.whole = a
	case 4:
		d.add(steadyhttp.WithAttemptTimeout(a))
		d.want(a >= 0, "WithAttemptTimeout", a)
		d.attempt = a
	case 5:
		d.add(steadyhttp.WithRetryBudget(f, n))
		d.want(f >= 0 && f <= 1, "WithRetryBudget", f)
		d.want(n >= 1, "WithRetryBudget", n)
	case 6:
		d.add(steadyhttp.WithReplayBuffer(int64(n)))
		d.want(n >= 0, "WithReplayBuffer", n)
	case 7:
		d.add(steadyhttp.WithBreakerFailureRate(f, n))
		d.want(f >= 0 && f <= 1, "WithBreakerFailureRate", f)
		d.want(n >= 1 && n <= math.MaxInt32, "WithBreakerFailureRate", n)
		d.rate, d.without = f > 0, false
	case 8:
		d.add(steadyhttp.WithBreakerConsecutiveFailures(m, a))
		d.want(m >= 0 && m <= math.MaxInt32, "WithBreakerConsecutiveFailures", m)
		d.want(a >= 0, "WithBreakerConsecutiveFailures", a)
		d.failures, d.without = uint32(m) > 0, false
	case 9:
		d.add(steadyhttp.WithBreakerWindow(a))
		d.want(a >= 10*time.Millisecond, "WithBreakerWindow", a)
		d.without = false
	case 10:
		d.add(steadyhttp.WithBreakerOpenFor(a))
		d.want(a >= time.Millisecond, "WithBreakerOpenFor", a)
		d.without = false
	case 11:
		d.add(steadyhttp.WithOriginLimit(n))
		d.want(n >= 1, "WithOriginLimit", n)
	case 12:
		d.add(steadyhttp.WithOriginPause(n))
		d.want(n >= 0, "WithOriginPause", n)
		d.pauses = true
	case 13:
		d.add(steadyhttp.WithBodyTimeout(a))
		d.want(a >= 0, "WithBodyTimeout", a)
	case 14:
		d.add(steadyhttp.WithResume())
	case 15:
		d.add(steadyhttp.WithBreakerConsecutiveTimeouts(m, a))
		d.want(m >= 0 && m <= math.MaxInt32, "WithBreakerConsecutiveTimeouts", m)
		d.want(a >= 0, "WithBreakerConsecutiveTimeouts", a)
		d.timeouts, d.without = uint32(m) > 0, false
	default:
		d.drawRest()
	}
}

// drawRest is of the options without numbers.
func (d *optionsDraw) drawRest() {
	var (
		classify steadyhttp.Classifier
		observe  func(context.Context, steadyhttp.Event)
		key      func(*http.Request) string
		policy   func() steadyhttp.Backoff
		hint     steadyhttp.Hint
	)
	given := d.s.chance(60)
	if given {
		classify = func(*http.Request, *http.Response, error) steadyhttp.Class { return 200 }
		observe = func(context.Context, steadyhttp.Event) {}
		key = func(*http.Request) string { return "key" }
		hint = func(*http.Response) (time.Duration, bool) { return -time.Second, true }
		policy = func() steadyhttp.Backoff { return backoff.NewConstantBackOff(time.Minute) }
	}
	switch d.s.pick(11) {
	case 0:
		d.add(steadyhttp.WithClassifier(classify))
		d.want(given, "WithClassifier", "nil")
	case 1:
		d.add(steadyhttp.WithObserver(observe))
		d.want(given, "WithObserver", "nil")
	case 2:
		d.add(steadyhttp.WithOriginKey(key))
		d.want(given, "WithOriginKey", "nil")
	case 3:
		d.add(steadyhttp.WithBackoffPolicy(policy))
		d.want(given, "WithBackoffPolicy", "nil")
	case 4:
		d.add(steadyhttp.WithoutBreaker())
		d.without = true
	case 5:
		d.add(steadyhttp.WithoutRetryBudget())
	case 6:
		d.add(steadyhttp.WithRetryNonIdempotent())
	case 7:
		d.add(steadyhttp.WithIdempotencyKeys())
	case 8:
		d.add(steadyhttp.WithHints(steadyhttp.HintGitHub, hint))
		d.want(given, "WithHints", "nil")
	case 9:
		d.add(steadyhttp.WithPauseKey(key))
		d.want(given, "WithPauseKey", "nil")
		d.keyed = given
	default:
		d.add(nil)
		d.want(false, fmt.Sprintf("option %d", len(d.options)), "nil")
	}
}

func playOptions(t *testing.T, bytes []byte) {
	d := &optionsDraw{s: newSchedule(bytes), failures: true, timeouts: true}
	for range d.s.pick(6) + 1 {
		d.draw()
	}
	d.want(d.without || d.rate || d.failures || d.timeouts, "WithBreakerConsecutiveFailures", "all 0")
	d.want(d.pauses || !d.keyed, "WithPauseKey", "no effect")
	d.want(!d.pauses || !d.impatient, "WithOriginPause", "WithMaxRetryAfter(0)")
	if d.whole > 0 {
		d.want(d.attempt <= d.whole, "WithAttemptTimeout", d.attempt)
	}
	synctest.Test(t, d.check)
}

func TestOptions_AnyAreRefusedByNameOrWork(t *testing.T) {
	t.Parallel()
	explore(t, 1000, 100, playOptions)
}

func FuzzOptions(f *testing.F) {
	f.Add([]byte("options"))
	f.Fuzz(playOptions)
}

// check: either an error names each value that is wrong, or a call ends in time.
func (d *optionsDraw) check(t *testing.T) {
	sent := 0
	base := baseFunc{func(*http.Request) (*http.Response, error) {
		time.Sleep(time.Millisecond)
		sent++
		return choose(d.s, endings[:9]...).play()
	}}
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, d.options...)
	if len(d.wrong) > 0 {
		require.Error(t, err)
		require.Nil(t, client)
		for _, wrong := range d.wrong {
			require.ErrorContains(t, err, fmt.Sprint(wrong[0]))
			require.ErrorContains(t, err, fmt.Sprint(wrong[1]))
		}
		return
	}
	require.NoError(t, err)
	transport := client.Transport.(*steadyhttp.Transport)
	require.NotEmpty(t, transport.String())
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodGet} {
		before := sent
		d.call(t, client, method)
		transport.Breakers()
		require.Positive(t, sent, "the first call is sent")
		require.LessOrEqual(t, sent-before, 10_000)
		time.Sleep(time.Hour)
	}
}

// call bounds a call by its deadline, since a wait may be as long as the options say.
func (d *optionsDraw) call(t *testing.T, client *http.Client, method string) {
	const timeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	start := time.Now()
	response, err := client.Do(newRequest(t, ctx, method, ""))
	require.LessOrEqual(t, time.Since(start), timeout+50*time.Millisecond)
	require.NotEqual(t, response == nil, err == nil)
	if response != nil {
		require.NoError(t, response.Body.Close())
	}
}
