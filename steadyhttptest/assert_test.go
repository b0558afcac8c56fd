package steadyhttptest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestAssert_SuccessReportsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base := transportAfterTwoAttempts(t)
		base.AssertAttempts(t, 2)
		base.AssertWait(t, 1, 2*time.Second, 2*time.Second)
		base.AssertWait(t, 1, 0, time.Hour)

		base = steadyhttptest.NewTransport()
		base.AssertAttempts(t, 0)
		base.AssertClosed(t)
		exchange(t, base, put(t, "payload"))
		base.AssertBody(t, "payload")
		base.AssertClosed(t)
		long := strings.Repeat("x", 2<<20)
		base = steadyhttptest.NewTransport()
		exchange(t, base, put(t, long))
		base.AssertBody(t, long)
	})
}

func TestAssert_FailureShowsTheAttempts(t *testing.T) {
	t.Parallel()
	const attempts = "\n\t1. PUT https://api.example.com/things (7 bytes): 503\n\t2. after 2s: GET https://api.example.com/things: reset"
	for want, check := range map[string]func(*steadyhttptest.Transport, *recordingTB){
		"got 2 attempts, want 1" + attempts: func(base *steadyhttptest.Transport, t *recordingTB) { base.AssertAttempts(t, 1) },
		"got 2 attempts, want 3" + attempts: func(base *steadyhttptest.Transport, t *recordingTB) { base.AssertAttempts(t, 3) },
		`attempt 2 had body "", want "payload"` + attempts: func(base *steadyhttptest.Transport, t *recordingTB) {
			base.AssertBody(t, "payload")
		},
		"the wait after attempt 1 was 2s, want 2.000000001s to 3s" + attempts: func(base *steadyhttptest.Transport, t *recordingTB) {
			base.AssertWait(t, 1, 2*time.Second+1, 3*time.Second)
		},
		"the wait after attempt 1 was 2s, want 1s to 1.999999999s" + attempts: func(base *steadyhttptest.Transport, t *recordingTB) {
			base.AssertWait(t, 1, time.Second, 2*time.Second-1)
		},
		"no attempt came after attempt 2, want one after 1s to 2s" + attempts: func(base *steadyhttptest.Transport, t *recordingTB) {
			base.AssertWait(t, 2, time.Second, 2*time.Second)
		},
		"no attempt came after attempt 0, want one after 1s to 2s" + attempts: func(base *steadyhttptest.Transport, t *recordingTB) {
			base.AssertWait(t, 0, time.Second, 2*time.Second)
		},
		"the body of the response to attempt 1 was not closed" + attempts: func(base *steadyhttptest.Transport, t *recordingTB) {
			base.AssertClosed(t)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			test := &recordingTB{}
			check(transportAfterTwoAttempts(t), test)
			assert.Equal(t, []string{"steadyhttptest: " + want}, test.failures())
		})
	}
}

func TestAssert_FailuresStayShort(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport()
	test := &recordingTB{}
	for range 25 {
		exchange(t, base, put(t, strings.Repeat("payload", 100)))
	}
	base.AssertAttempts(test, 1)
	assert.Equal(t, 22, strings.Count(test.failures()[0], "\n")+1)
	assert.Contains(t, test.failures()[0], "\n\tand 5 more")

	base = steadyhttptest.NewTransport()
	exchange(t, base, put(t, strings.Repeat("payload", 100)))
	base.AssertBody(test, strings.Repeat("other", 100))
	assert.Less(t, len(test.failures()[1]), 400)
}

func TestAssert_BodyNeedsAnAttempt(t *testing.T) {
	t.Parallel()
	test := &recordingTB{}
	steadyhttptest.NewTransport().AssertBody(test, "payload")
	assert.Equal(t, []string{`steadyhttptest: got no attempt, want body "payload"`}, test.failures())
}

func TestAssert_BodyIsComparedBeyondTheRecordedPart(t *testing.T) {
	t.Parallel()
	test := &recordingTB{}
	base := steadyhttptest.NewTransport()
	exchange(t, base, put(t, strings.Repeat("x", 2<<20)))
	base.AssertBody(test, strings.Repeat("x", 2<<20-1))
	assert.Len(t, test.failures(), 1, "one byte less")
	base.AssertBody(test, strings.Repeat("x", 1<<20))
	assert.Len(t, test.failures(), 2, "all that is remembered")
}

func TestAttempt_StringIsOneLine(t *testing.T) {
	t.Parallel()
	for want, attempt := range map[string]steadyhttptest.Attempt{
		"a connection":               {},
		"a connection: reset unread": {Step: steadyhttptest.ResetUnread},
		"GET https://api.example.com (1 byte): 503": {
			Method: "GET", URL: "https://api.example.com", BodySize: 1, Step: steadyhttptest.Status(503),
		},
	} {
		assert.Equal(t, want, attempt.String())
	}
}

func TestAssert_ShowsAnInvalidStep(t *testing.T) {
	t.Parallel()
	base := steadyhttptest.NewTransport(nil)
	_, err := base.RoundTrip(get(t))
	require.Error(t, err)
	test := &recordingTB{}
	base.AssertAttempts(test, 0)
	assert.Contains(t, test.failures()[0], "invalid: nil Step")
}

func TestAssert_WorksOnServersToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := steadyhttptest.NewPipeServer(steadyhttptest.Refused)
		defer server.Close()
		_, err := server.Client().Get(server.URL)
		require.Error(t, err)
		test := &recordingTB{}
		server.AssertAttempts(test, 0)
		assert.Equal(t, []string{"steadyhttptest: got 1 attempt, want 0\n\t1. a connection: refused"}, test.failures())
	})
}
