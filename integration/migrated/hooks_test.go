package migrated

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestMigrated_HooksWriteTheSameLines(t *testing.T) {
	t.Parallel()
	for name, logHooks := range map[string]func(func(string)) program{"before": logHooksBefore, "after": logHooksAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var lines []string
				p := logHooks(func(line string) { lines = append(lines, line) })
				trial{calls: put("/"), steps: script(status(503), steadyhttptest.Reset, status(200))}.play(t, p)
				assert.Equal(t, []string{"/, attempt 1", "/: 503", "/, attempt 2", "/, attempt 3", "/: 200"}, lines)
			})
		})
	}
}

func TestMigrated_EachAttemptIsSigned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		program
		caller string // what the caller's request looks like afterwards
	}{
		"before": {prepareRetryBefore(9), "7"}, // theirs signs the caller's own request
		"after":  {prepareRetryAfter(9), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				base := steadyhttptest.NewTransport(status(503), status(503), status(200))
				program, err := c.program(base)
				require.NoError(t, err)
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://api.example.com/", strings.NewReader("content"))
				require.NoError(t, err)
				assert.Equal(t, "200", told(program.Do(request)))
				var signatures []string
				for _, attempt := range base.Attempts() {
					signatures = append(signatures, attempt.Header.Get("Signature"))
					assert.Equal(t, "content", string(attempt.Body))
				}
				assert.Equal(t, []string{"9", "8", "7"}, signatures)
				assert.Equal(t, c.caller, request.Header.Get("Signature"))
			})
		})
	}
}

// A limiter that refuses is asked again and again where its refusal looks like any other error.
func TestMigrated_RefusalOfALimiterEndsTheCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		program func(*limiter) program
		asked   int // by a call that passes, and one that does not
		took    time.Duration
	}{
		"before": {limiterBefore, 6, 15 * time.Second},
		"after":  {limiterAfter, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limit := &limiter{left: 1}
				base := steadyhttptest.NewTransport(status(200))
				caller, err := c.program(limit)(base)
				require.NoError(t, err)
				assert.Equal(t, "200", call{}.send(t, caller))
				start := time.Now()
				assert.Equal(t, errLimit.Error(), call{}.send(t, caller))
				assert.Equal(t, c.took, time.Since(start))
				assert.Equal(t, c.asked, limit.asked)
				base.AssertAttempts(t, 1)
			})
		})
	}
}

// With the default waits, a new client's budget of 5 retries, and its breaker, end such a call early.
func TestMigrated_AttemptsAloneAreNotEnoughForABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := trial{steps: append(times(12, status(503)), status(200))}.play(t, batchWithAttemptsAlone)
		assert.Equal(t, "503", got.got)
		assert.Less(t, got.sent, 10)
	})
}
