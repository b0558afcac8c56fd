package migrated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A trial is a script that a program is played before and after it has moved to steadyhttp.
type trial struct {
	name          string
	before, after program
	calls         []call // none: one GET
	steps         []steadyhttptest.Step
	was, is       result
	why           string // they differ, by design; "" if they are the same
}

// A call is a request, of GET to /things unless it says otherwise. The caller gives up after its patience, if it has any.
type call struct {
	method, url, body string
	patience          time.Duration
}

// A result is what came of the last call, and how many attempts all calls made.
type result struct {
	sent int
	got  string
}

// script is a list of steps.
func script(steps ...steadyhttptest.Step) []steadyhttptest.Step { return steps }

func times(n int, step steadyhttptest.Step) (steps []steadyhttptest.Step) {
	for range n {
		steps = append(steps, step)
	}
	return steps
}

func status(code int) steadyhttptest.Response { return steadyhttptest.Status(code) }

const (
	twice       = "a POST that the server may have acted on is not retried"
	lastIsWorth = "the last response comes back, with what the server said, and no error in its place"
)

func post(url string) []call { return []call{{method: http.MethodPost, url: url, body: "content"}} }

func put(url string) []call { return []call{{method: http.MethodPut, url: url, body: "content"}} }

var trials = []trial{
	{name: "CheckRetry by status and path", before: checkRetryBefore, after: checkRetryAfter,
		calls: post("/locks/7"), steps: script(status(409), status(409), status(201)), was: result{3, "201"}, is: result{3, "201"}},
	{name: "CheckRetry, another path", before: checkRetryBefore, after: checkRetryAfter,
		steps: script(status(409), status(200)), was: result{1, "409"}, is: result{1, "409"}},
	{name: "CheckRetry, never free", before: checkRetryBefore, after: checkRetryAfter,
		calls: post("/locks/7"), steps: script(status(409)), was: result{5, "an error"}, is: result{4, "409"},
		why: lastIsWorth + "; the default is 4 attempts, with them 5"},
	{name: "POST, 500", before: checkRetryBefore, after: checkRetryAfter,
		calls: post("/things"), steps: script(status(500), status(201)), was: result{2, "201"}, is: result{1, "500"}, why: twice},
	{name: "POST, refused", before: checkRetryBefore, after: checkRetryAfter,
		calls: post("/things"), steps: script(steadyhttptest.Refused, status(201)), was: result{2, "201"}, is: result{2, "201"}},
	{name: "429 without a time", before: checkRetryBefore, after: checkRetryAfter,
		steps: script(status(429), status(200)), was: result{2, "200"}, is: result{1, "429"},
		why: "nobody said when: another attempt would only be refused again, and count"},
	{name: "Retry-After of an hour", before: checkRetryBefore, after: checkRetryAfter,
		steps: script(status(503).Header("Retry-After", "3600"), status(200)), was: result{2, "200"}, is: result{1, "503"},
		why: "a wait is bounded by WithMaxRetryAfter, and never shortened: the caller is told instead"},
	{name: "deadline within the wait", before: checkRetryBefore, after: checkRetryAfter,
		calls: []call{{patience: time.Second}}, steps: script(status(503).Header("Retry-After", "30"), status(200)),
		was: result{1, "a timeout"}, is: result{1, "503"},
		why: "a wait that would outlast the deadline is not begun: the response is there at once"},
	{name: "unknown host", before: checkRetryBefore, after: checkRetryAfter,
		steps: script(steadyhttptest.NoSuchHost), was: result{5, "an error"}, is: result{1, "an error"},
		why: "a name that DNS does not know will not be known in a second"},

	{name: "PrepareRetry signs", before: prepareRetryBefore(9), after: prepareRetryAfter(9),
		calls: put("/things/7"), steps: script(status(503), status(503), status(200)), was: result{3, "200"}, is: result{3, "200"}},
	{name: "PrepareRetry fails", before: prepareRetryBefore(1), after: prepareRetryAfter(1),
		calls: put("/things/7"), steps: script(status(503), status(200)), was: result{1, "the key is locked"}, is: result{1, "the key is locked"}},

	{name: "ErrorHandler", before: errorHandlerBefore, after: errorHandlerAfter,
		steps: script(status(503)), was: result{4, "the shop responded 503 after 4 attempts"}, is: result{4, "the shop responded 503 after 4 attempts"}},
	{name: "ErrorHandler, success", before: errorHandlerBefore, after: errorHandlerAfter,
		steps: script(status(503), status(200)), was: result{2, "200"}, is: result{2, "200"}},
	{name: "ErrorHandler, 404", before: errorHandlerBefore, after: errorHandlerAfter,
		steps: script(status(404)), was: result{1, "404"}, is: result{1, "404"}},

	{name: "RetryMax 15", before: batchBefore, after: batchAfter,
		steps: append(times(12, status(503)), status(200)), was: result{13, "200"}, is: result{13, "200"}},
	{name: "RetryMax 15, to the end", before: batchBefore, after: batchAfter,
		steps: script(status(503)), was: result{16, "an error"}, is: result{16, "503"}, why: lastIsWorth},

	{name: "SDK", before: sdkBefore, after: sdkAfter,
		calls: put("/secret/7"), steps: script(status(503), status(200)), was: result{2, "200"}, is: result{2, "200"}},
	{name: "SDK, to the end", before: sdkBefore, after: sdkAfter,
		steps: script(status(503).Body("sealed")), was: result{5, "an error"}, is: result{4, "vault: sealed"},
		why: lastIsWorth + ", of which the SDK makes its own error"},

	{name: "401, fresh token", before: tokenBefore, after: tokenAfter,
		calls: post("/things"), steps: script(status(401), status(201)), was: result{2, "201"}, is: result{2, "201"}},
	{name: "401, in vain", before: tokenBefore, after: tokenAfter,
		steps: script(status(401)), was: result{5, "an error"}, is: result{2, "401"},
		why: "a token that is fresh and refused is refused for good"},
	{name: "401 after a 503", before: tokenBefore, after: tokenAfter,
		steps: script(status(503), status(401), status(503), status(200)), was: result{4, "200"}, is: result{4, "200"}},

	{name: "rehttp", before: rehttpBefore, after: rehttpAfter,
		steps: script(status(503), status(502), status(200)), was: result{3, "200"}, is: result{3, "200"}},
	{name: "rehttp, to the end", before: rehttpBefore, after: rehttpAfter,
		steps: script(status(503)), was: result{4, "503"}, is: result{4, "503"}},
	{name: "rehttp, other status", before: rehttpBefore, after: rehttpAfter,
		steps: script(status(500)), was: result{1, "500"}, is: result{1, "500"}},
	{name: "rehttp, hanging attempt", before: rehttpBefore, after: rehttpAfter,
		steps: script(steadyhttptest.Hang, status(200)), was: result{2, "200"}, is: result{2, "200"}},
	{name: "rehttp, broken connection", before: rehttpBefore, after: rehttpAfter,
		steps: script(steadyhttptest.EOF, status(200)), was: result{1, "an error"}, is: result{2, "200"},
		why: "a GET that may have been processed loses nothing by a retry"},
	{name: "rehttp, deadline within the wait", before: rehttpBefore, after: rehttpAfter,
		calls: []call{{patience: time.Second}}, steps: script(status(503).Header("Retry-After", "30"), status(200)),
		was: result{2, "200"}, is: result{1, "503"}, why: "to come back earlier than told is to be refused again"},
	{name: "rehttp, POST", before: rehttpBefore, after: rehttpAfter,
		calls: post("/things"), steps: script(status(503), status(201)), was: result{2, "201"}, is: result{1, "503"}, why: twice},
	{name: "rehttp, 429 that says when", before: rehttpBefore, after: rehttpAfter,
		steps: script(status(429).Header("Retry-After", "2"), status(200)), was: result{1, "429"}, is: result{2, "200"},
		why: "who is told when to come back may come back"},

	{name: "heimdall", before: heimdallBefore, after: heimdallAfter,
		calls: put("/things/7"), steps: script(status(503), status(200)), was: result{2, "200"}, is: result{2, "200"}},
	{name: "heimdall, hanging attempt", before: heimdallBefore, after: heimdallAfter,
		steps: script(steadyhttptest.Hang, status(200)), was: result{2, "200"}, is: result{2, "200"}},
	{name: "heimdall, an error and then a response", before: heimdallBefore, after: heimdallAfter,
		steps: script(steadyhttptest.Reset, status(503)), was: result{4, "503 and an error"}, is: result{4, "503"},
		why: "a response or an error, and never both"},
	{name: "heimdall, 501", before: heimdallBefore, after: heimdallAfter,
		steps: script(status(501)), was: result{4, "501"}, is: result{1, "501"}, why: "what is not implemented will not be in a second"},
	{name: "heimdall, who gives up in a wait", before: heimdallBefore, after: heimdallAfter,
		calls: []call{{patience: 10 * time.Millisecond}}, steps: script(status(503), status(200)), was: result{1, "an error"}, is: result{1, "503"},
		why: "a wait that would outlast the deadline is not begun: the response is there at once"},
	{name: "heimdall, POST", before: heimdallBefore, after: heimdallAfter,
		calls: post("/things"), steps: script(status(500), status(201)), was: result{2, "201"}, is: result{1, "500"}, why: twice},

	{name: "failsafehttp", before: failsafeBefore, after: failsafeAfter,
		steps: script(status(503), status(200)), was: result{2, "200"}, is: result{2, "200"}},
	{name: "failsafehttp, to the end", before: failsafeBefore, after: failsafeAfter,
		steps: script(status(503)), was: result{4, "an error"}, is: result{3, "503"},
		why: lastIsWorth + "; and a 503 counts for the breaker, which opens at the third"},
	{name: "failsafehttp, Retry-After as a date", before: failsafeBefore, after: failsafeAfter,
		steps: script(status(429).Header("Retry-After", "Sat, 01 Jan 2000 00:00:10 GMT"), status(200)), was: result{2, "200"}, is: result{2, "200"}},

	{name: "gobreaker", before: gobreakerBefore, after: gobreakerAfter,
		calls: make([]call, 6), steps: script(status(503)), was: result{5, "circuit open"}, is: result{5, "circuit open"}},
	{name: "gobreaker, what its callers gave up", before: gobreakerBefore, after: gobreakerAfter,
		calls: append(impatient(5), call{}), steps: append(times(5, steadyhttptest.Hang), status(200)),
		was: result{5, "circuit open"}, is: result{6, "200"},
		why: "a caller who gives up within a second says nothing about the server"},
	{name: "gobreaker, another origin", before: gobreakerBefore, after: gobreakerAfter,
		calls: append(make([]call, 5), call{url: "https://other.example.com/"}), steps: append(times(5, status(503)), status(200)),
		was: result{5, "circuit open"}, is: result{6, "200"}, why: "each origin has a breaker of its own"},
	{name: "gobreaker, the response", before: gobreakerBefore, after: gobreakerAfter,
		steps: script(status(503)), was: result{1, "an error"}, is: result{1, "503"}, why: lastIsWorth},

	{name: "loop", before: loopBefore, after: loopAfter,
		steps: script(status(503), status(503), status(200)), was: result{3, "200"}, is: result{3, "200"}},
	{name: "loop, with a body", before: loopBefore, after: loopAfter,
		calls: put("/things/7"), steps: script(status(503), status(200)), was: result{4, "an error"}, is: result{2, "200"},
		why: "each attempt gets a body of its own, from GetBody"},
	{name: "loop, bad certificate", before: loopBefore, after: loopAfter,
		steps: script(steadyhttptest.BadCertificate), was: result{4, "an error"}, is: result{1, "an error"},
		why: "a certificate that is not trusted will not be in a second"},

	{name: "GitHub's secondary limit", before: githubBefore, after: githubAfter,
		steps: script(secondaryLimit, status(200)), was: result{2, "200"}, is: result{2, "200"}},
	{name: "GitHub's secondary limit, of a POST", before: githubBefore, after: githubAfter,
		calls: post("/repos/o/r/issues"), steps: script(secondaryLimit, status(201)), was: result{2, "an error"}, is: result{2, "201"},
		why: "each attempt gets a body of its own, from GetBody"},
	{name: "GitHub's primary limit", before: githubBefore, after: githubAfter,
		steps: script(primaryLimit, status(200)), was: result{1, "an error"}, is: result{2, "200"},
		why: "a reset within WithMaxRetryAfter is waited for"},
	{name: "GitHub, 502", before: githubBefore, after: githubAfter,
		steps: script(status(502), status(200)), was: result{1, "502"}, is: result{2, "200"}, why: "it is not about limits alone"},
}

// impatient are calls whose callers give up soon.
func impatient(n int) (calls []call) {
	for range n {
		calls = append(calls, call{patience: 200 * time.Millisecond})
	}
	return calls
}

// A bubble's time starts with the year 2000.
var (
	secondaryLimit = status(403).Header("Retry-After", "10").Header("X-GitHub-Request-Id", "C0DE").Header("Content-Type", "application/json").
			Body(`{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`)
	primaryLimit = status(403).Header("X-RateLimit-Remaining", "0").Header("X-RateLimit-Reset", "946684830").
			Header("X-RateLimit-Resource", "core")
)

func TestMigrated_BehavesAsBeforeButByDesign(t *testing.T) {
	t.Parallel()
	for _, c := range trials {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.was == c.is, c.why == "", "a difference has a reason, and only a difference")
			synctest.Test(t, func(t *testing.T) { assert.Equal(t, c.was, c.play(t, c.before), "before") })
			synctest.Test(t, func(t *testing.T) { assert.Equal(t, c.is, c.play(t, c.after), "after") })
		})
	}
}

// play runs the calls one after the other.
func (c trial) play(t *testing.T, p program) (got result) {
	t.Helper()
	base := steadyhttptest.NewTransport(c.steps...)
	caller, err := p(base)
	require.NoError(t, err)
	calls := c.calls
	if calls == nil {
		calls = make([]call, 1)
	}
	for _, one := range calls {
		got.got = one.send(t, caller)
	}
	time.Sleep(time.Hour) // what outlives its call ends by then
	got.sent = len(base.Attempts())
	return got
}

func (c call) send(t *testing.T, caller caller) string {
	t.Helper()
	ctx := t.Context()
	if c.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.patience)
		defer cancel()
	}
	url := c.url
	if !strings.HasPrefix(url, "https:") {
		url = "https://api.example.com" + url
	}
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	request, err := http.NewRequestWithContext(ctx, c.method, url, body)
	require.NoError(t, err)
	return told(caller.Do(request))
}

// ownErrors are those that a program makes itself.
var ownErrors = []error{errKeyLocked, errLimit}

// told is what a caller is told, in short.
func told(response *http.Response, err error) string {
	if response != nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	var failed *failedError
	var vault *vaultError
	var timeout net.Error
	switch {
	case response != nil && err != nil:
		return fmt.Sprintf("%d and an error", response.StatusCode)
	case response != nil:
		return fmt.Sprint(response.StatusCode)
	case errors.Is(err, steadyhttp.ErrCircuitOpen), errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, circuitbreaker.ErrOpen):
		return "circuit open"
	case errors.As(err, &failed):
		return failed.Error()
	case errors.As(err, &vault):
		return vault.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "a timeout"
	}
	for _, own := range ownErrors {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	return "an error"
}
