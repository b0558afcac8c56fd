package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/bench/peers"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// An expectation is what users of another library may expect of a retrying client, what that library does, and what steadyhttp
// does, set up to match.
type expectation struct {
	name         string
	theirs, ours client
	request      func(context.Context) (*http.Request, error)
	steps        []steadyhttptest.Step
	giveUp       time.Duration // when the caller cancels; 0: never
	asked        time.Duration // how long the server asks to be left alone
	want, have   outcomes      // theirs and ours
	verdict      string        // why they differ; "" where they do not
}

// A client makes itself over this base.
type client func(base http.RoundTripper) peers.Doer

// outcomes of a call: how many attempts were made, what the caller got, and whether an attempt came before the server's time.
type outcomes struct {
	sent  int
	got   string
	early bool
}

func retryable(change func(*retryablehttp.Client)) client {
	return func(base http.RoundTripper) peers.Doer {
		c := retryablehttp.NewClient()
		c.Logger = nil
		c.HTTPClient = &http.Client{Transport: base}
		if change != nil {
			change(c)
		}
		return c.StandardClient()
	}
}

func rehttpOf(retry rehttp.RetryFn, change func(*rehttp.Transport)) client {
	return func(base http.RoundTripper) peers.Doer {
		transport := rehttp.NewTransport(base, rehttp.RetryAll(rehttp.RetryMaxRetries(3), retry), rehttp.ConstDelay(time.Second))
		if change != nil {
			change(transport)
		}
		return &http.Client{Transport: transport}
	}
}

func failsafe(change func(retrypolicy.Builder[*http.Response])) client {
	return func(base http.RoundTripper) peers.Doer {
		builder := failsafehttp.NewRetryPolicyBuilder().WithMaxRetries(3)
		if change != nil {
			change(builder)
		}
		return &http.Client{Transport: failsafehttp.NewRoundTripper(base, builder.Build())}
	}
}

// steady is one attempt more than so many retries.
func steady(options ...steadyhttp.Option) client { return peers.Steady(options...).Client }

func steadyRetries(retries int, options ...steadyhttp.Option) client {
	return steady(append([]steadyhttp.Option{steadyhttp.WithMaxAttempts(retries + 1), steadyhttp.WithoutBreaker()}, options...)...)
}

func steadyClient(c http.Client, options ...steadyhttp.Option) client {
	return func(base http.RoundTripper) peers.Doer {
		c.Transport = base
		wrapped, err := steadyhttp.Wrap(&c, options...)
		if err != nil {
			panic(err)
		}
		return wrapped
	}
}

func request(method, url string, body io.Reader) func(context.Context) (*http.Request, error) {
	return func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, method, url, body)
	}
}

const target = "https://api.example.com/"

var (
	get  = request(http.MethodGet, target, nil)
	post = func(ctx context.Context) (*http.Request, error) {
		return request(http.MethodPost, target, strings.NewReader("content"))(ctx)
	}
	put = func(ctx context.Context) (*http.Request, error) {
		return request(http.MethodPut, target, strings.NewReader("content"))(ctx)
	}
	stream = func(ctx context.Context) (*http.Request, error) { // its body has no GetBody
		return request(http.MethodPut, target, io.MultiReader(strings.NewReader("content")))(ctx)
	}
	broken = func(ctx context.Context) (*http.Request, error) {
		return request(http.MethodPut, target, io.MultiReader(strings.NewReader("con"), brokenReader{}))(ctx)
	}
)

var errDisk = errors.New("the disk broke")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errDisk }

func status(code int) steadyhttptest.Response { return steadyhttptest.Status(code) }

func script(steps ...steadyhttptest.Step) []steadyhttptest.Step { return steps }

const (
	lastResponse = "ours: the last response says more than an error in its place"
	mayHaveActed = "ours: the server may have acted on a POST"
	nobodySaid   = "theirs is what most APIs need, ours the safe default: NotReady, or a hint, retries it"
)

// aDate is ten seconds from the beginning of a bubble's time.
const aDate = "Sat, 01 Jan 2000 00:00:10 GMT"

var expectations = []expectation{
	// go-retryablehttp
	{name: "go-retryablehttp/GET survives a 500", theirs: retryable(nil), ours: steadyRetries(4), request: get,
		steps: script(status(500), status(500), status(200)), want: outcomes{sent: 3, got: "200"}, have: outcomes{sent: 3, got: "200"}},
	{name: "go-retryablehttp/body is whole in every attempt", theirs: retryable(nil), ours: steadyRetries(4), request: put,
		steps: script(status(500), steadyhttptest.Reset, status(200)), want: outcomes{sent: 3, got: "200"}, have: outcomes{sent: 3, got: "200"}},
	{name: "go-retryablehttp/reader is buffered", theirs: retryable(nil), ours: steadyRetries(4), request: stream,
		steps: script(status(500), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "500"},
		verdict: "ours: memory without a limit is not to be taken unasked"},
	{name: "go-retryablehttp/reader is buffered if asked", theirs: retryable(nil), ours: steadyRetries(4, steadyhttp.WithReplayBuffer(1<<10)), request: stream,
		steps: script(status(500), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "go-retryablehttp/POST survives a 500", theirs: retryable(nil), ours: steadyRetries(4), request: post,
		steps: script(status(500), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "500"}, verdict: mayHaveActed},
	{name: "go-retryablehttp/POST survives a refused connection", theirs: retryable(nil), ours: steadyRetries(4), request: post,
		steps: script(steadyhttptest.Refused, status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "go-retryablehttp/gives up after RetryMax", theirs: retryable(nil), ours: steadyRetries(4), request: get,
		steps: script(status(503)), want: outcomes{sent: 5, got: "an error"}, have: outcomes{sent: 5, got: "503"}, verdict: lastResponse},
	{name: "go-retryablehttp/gives up, PassthroughErrorHandler", ours: steadyRetries(4), request: get,
		theirs: retryable(func(c *retryablehttp.Client) { c.ErrorHandler = retryablehttp.PassthroughErrorHandler }),
		steps:  script(status(503)), want: outcomes{sent: 5, got: "503"}, have: outcomes{sent: 5, got: "503"}},
	{name: "go-retryablehttp/RetryMax 0", ours: steadyRetries(0), request: get,
		theirs: retryable(func(c *retryablehttp.Client) { c.RetryMax = 0 }),
		steps:  script(status(503)), want: outcomes{sent: 1, got: "an error"}, have: outcomes{sent: 1, got: "503"}, verdict: lastResponse},
	{name: "go-retryablehttp/429 without a time", theirs: retryable(nil), ours: steadyRetries(4), request: get,
		steps: script(status(429), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "429"}, verdict: nobodySaid},
	{name: "go-retryablehttp/429 with seconds", theirs: retryable(nil), ours: steadyRetries(4), request: post, asked: 7 * time.Second,
		steps: script(status(429).Header("Retry-After", "7"), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "go-retryablehttp/503 with a date", theirs: retryable(nil), ours: steadyRetries(4), request: get, asked: 10 * time.Second,
		steps: script(status(503).Header("Retry-After", aDate), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "go-retryablehttp/500 with seconds", theirs: retryable(nil), ours: steadyRetries(4), request: get, asked: 7 * time.Second,
		steps: script(status(500).Header("Retry-After", "7"), status(200)), want: outcomes{sent: 2, got: "200", early: true}, have: outcomes{sent: 2, got: "200"},
		verdict: "ours: a server that says when means it, whatever the status"},
	{name: "go-retryablehttp/Retry-After that is negative", theirs: retryable(nil), ours: steadyRetries(4), request: get,
		steps: script(status(503).Header("Retry-After", "-1"), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "go-retryablehttp/501", theirs: retryable(nil), ours: steadyRetries(4), request: get,
		steps: script(status(501), status(200)), want: outcomes{sent: 1, got: "501"}, have: outcomes{sent: 1, got: "501"}},
	{name: "go-retryablehttp/404", theirs: retryable(nil), ours: steadyRetries(4), request: get,
		steps: script(status(404), status(200)), want: outcomes{sent: 1, got: "404"}, have: outcomes{sent: 1, got: "404"}},
	{name: "go-retryablehttp/loop of redirects", theirs: retryable(nil), ours: steadyRetries(4), request: get,
		steps: script(status(302).Header("Location", target)), want: outcomes{sent: 10, got: "an error"}, have: outcomes{sent: 10, got: "302 and an error"},
		verdict: "ours: both retry nothing, and ours leaves http.Client its own way, which is the last response and an error"},
	{name: "go-retryablehttp/certificate that nobody trusts", theirs: retryable(nil), ours: steadyRetries(4), request: get,
		steps: script(steadyhttptest.BadCertificate), want: outcomes{sent: 1, got: "an error"}, have: outcomes{sent: 1, got: "an error"}},
	{name: "go-retryablehttp/timeout of the client", ours: steadyClient(http.Client{Timeout: 5 * time.Second}), request: get,
		theirs: retryable(func(c *retryablehttp.Client) { c.HTTPClient.Timeout = 5 * time.Second }),
		steps:  script(steadyhttptest.Hang, status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "a timeout"},
		verdict: "ours: http.Client.Timeout bounds the whole call, as net/http says; WithAttemptTimeout is each attempt's"},
	{name: "go-retryablehttp/timeout of an attempt", ours: steadyRetries(4, steadyhttp.WithAttemptTimeout(5*time.Second)), request: get,
		theirs: retryable(func(c *retryablehttp.Client) { c.HTTPClient.Timeout = 5 * time.Second }),
		steps:  script(steadyhttptest.Hang, status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "go-retryablehttp/cancel within a wait", theirs: retryable(nil), ours: steadyRetries(4), request: get, giveUp: 5 * time.Second,
		steps: script(status(503).Header("Retry-After", "30"), status(200)), want: outcomes{sent: 1, got: "canceled"}, have: outcomes{sent: 1, got: "canceled"}},
	{name: "go-retryablehttp/body that breaks", theirs: retryable(nil), ours: steadyRetries(4), request: broken,
		steps: script(status(200)), want: outcomes{sent: 0, got: errDisk.Error()}, have: outcomes{sent: 1, got: errDisk.Error()},
		verdict: "both: theirs reads ahead, ours streams; the error is the same, and neither retries"},

	// rehttp
	{name: "rehttp/status interval", theirs: rehttpOf(rehttp.RetryStatusInterval(500, 600), nil), ours: steadyRetries(3), request: get,
		steps: script(status(500), status(503), status(200)), want: outcomes{sent: 3, got: "200"}, have: outcomes{sent: 3, got: "200"}},
	{name: "rehttp/gives up", theirs: rehttpOf(rehttp.RetryStatusInterval(500, 600), nil), ours: steadyRetries(3), request: get,
		steps: script(status(503)), want: outcomes{sent: 4, got: "503"}, have: outcomes{sent: 4, got: "503"}},
	{name: "rehttp/POST survives a 500", theirs: rehttpOf(rehttp.RetryStatusInterval(500, 600), nil), ours: steadyRetries(3), request: post,
		steps: script(status(500), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "500"}, verdict: mayHaveActed},
	{name: "rehttp/list of statuses with a 4xx", theirs: rehttpOf(rehttp.RetryStatuses(404, 429), nil), ours: steadyRetries(3, notReady(404, 429)), request: post,
		steps: script(status(404), status(429), status(200)), want: outcomes{sent: 3, got: "200"}, have: outcomes{sent: 3, got: "200"}},
	{name: "rehttp/temporary error", theirs: rehttpOf(rehttp.RetryTemporaryErr(), nil), ours: steadyRetries(3), request: get,
		steps: script(steadyhttptest.DialTimeout, status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "rehttp/EOF", theirs: rehttpOf(rehttp.RetryTemporaryErr(), nil), ours: steadyRetries(3), request: get,
		steps: script(steadyhttptest.EOF, status(200)), want: outcomes{sent: 1, got: "an error"}, have: outcomes{sent: 2, got: "200"},
		verdict: "ours: a GET loses nothing by a retry, whatever the error's methods say"},
	{name: "rehttp/Retry-After", theirs: rehttpOf(rehttp.RetryStatusInterval(500, 600), nil), ours: steadyRetries(3), request: get, asked: 7 * time.Second,
		steps: script(status(503).Header("Retry-After", "7"), status(200)), want: outcomes{sent: 2, got: "200", early: true}, have: outcomes{sent: 2, got: "200"},
		verdict: "ours: rehttp does not read it"},
	{name: "rehttp/timeout of an attempt", ours: steadyRetries(3, steadyhttp.WithAttemptTimeout(5*time.Second)), request: get,
		theirs: rehttpOf(rehttp.RetryTemporaryErr(), func(t *rehttp.Transport) { t.PerAttemptTimeout = 5 * time.Second }),
		steps:  script(steadyhttptest.Hang, status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "rehttp/body is whole in every attempt", theirs: rehttpOf(rehttp.RetryStatusInterval(500, 600), nil), ours: steadyRetries(3), request: put,
		steps: script(status(500), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "rehttp/no retry with a body", ours: withoutRetries(steadyRetries(3)), request: put,
		theirs: rehttpOf(rehttp.RetryStatusInterval(500, 600), func(t *rehttp.Transport) { t.PreventRetryWithBody = true }),
		steps:  script(status(500), status(200)), want: outcomes{sent: 1, got: "500"}, have: outcomes{sent: 1, got: "500"}},
	{name: "rehttp/body that breaks", theirs: rehttpOf(rehttp.RetryStatusInterval(500, 600), nil), ours: steadyRetries(3), request: broken,
		steps: script(status(200)), want: outcomes{sent: 0, got: errDisk.Error()}, have: outcomes{sent: 1, got: errDisk.Error()},
		verdict: "both: theirs reads ahead, ours streams; the error is the same, and neither retries"},
	{name: "rehttp/cancel within a wait", theirs: rehttpOf(rehttp.RetryStatusInterval(500, 600), nil), ours: steadyRetries(3, steadyhttp.WithBackoff(time.Second, time.Second)),
		request: get, giveUp: 100 * time.Millisecond, steps: script(status(503), status(200)),
		want: outcomes{sent: 1, got: "an error"}, have: outcomes{sent: 1, got: "canceled"}, verdict: "ours: errors.Is(err, context.Canceled) must hold"},

	// failsafehttp
	{name: "failsafehttp/GET survives a 503", theirs: failsafe(nil), ours: steadyRetries(3), request: get,
		steps: script(status(503), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "failsafehttp/body is whole in every attempt", theirs: failsafe(nil), ours: steadyRetries(3), request: put,
		steps: script(status(503), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "failsafehttp/POST survives a 500", theirs: failsafe(nil), ours: steadyRetries(3), request: post,
		steps: script(status(500), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "500"}, verdict: mayHaveActed},
	{name: "failsafehttp/gives up", theirs: failsafe(nil), ours: steadyRetries(3), request: get,
		steps: script(status(503)), want: outcomes{sent: 4, got: "an error"}, have: outcomes{sent: 4, got: "503"}, verdict: lastResponse},
	{name: "failsafehttp/gives up, ReturnLastFailure", ours: steadyRetries(3), request: get,
		theirs: failsafe(func(b retrypolicy.Builder[*http.Response]) { b.ReturnLastFailure() }),
		steps:  script(status(503)), want: outcomes{sent: 4, got: "503"}, have: outcomes{sent: 4, got: "503"}},
	{name: "failsafehttp/429 without a time", theirs: failsafe(nil), ours: steadyRetries(3), request: get,
		steps: script(status(429), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "429"}, verdict: nobodySaid},
	{name: "failsafehttp/429 with seconds", theirs: failsafe(nil), ours: steadyRetries(3), request: get, asked: 7 * time.Second,
		steps: script(status(429).Header("Retry-After", "7"), status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 2, got: "200"}},
	{name: "failsafehttp/429 with a date", theirs: failsafe(nil), ours: steadyRetries(3), request: get, asked: 10 * time.Second,
		steps: script(status(429).Header("Retry-After", aDate), status(200)), want: outcomes{sent: 2, got: "200", early: true}, have: outcomes{sent: 2, got: "200"},
		verdict: "ours: RFC 9110 §10.2.3 has dates as well"},
	{name: "failsafehttp/unknown host", theirs: failsafe(nil), ours: steadyRetries(3), request: get,
		steps: script(steadyhttptest.NoSuchHost, status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "an error"},
		verdict: "ours: a name that DNS does not know will not be known in a moment"},
	{name: "failsafehttp/certificate that nobody trusts", theirs: failsafe(nil), ours: steadyRetries(3), request: get,
		steps: script(steadyhttptest.BadCertificate, status(200)), want: outcomes{sent: 2, got: "200"}, have: outcomes{sent: 1, got: "an error"},
		verdict: "ours: theirs means to, but sees the error's type only through an http.Client"},
	{name: "failsafehttp/cancel within an attempt", theirs: failsafe(nil), ours: steadyRetries(3), request: get, giveUp: time.Second,
		steps: script(steadyhttptest.Hang), want: outcomes{sent: 1, got: "canceled"}, have: outcomes{sent: 1, got: "canceled"}},
	{name: "failsafehttp/breaker that is open", theirs: openFailsafe, ours: openSteady, request: get,
		steps: script(steadyhttptest.Refused), want: outcomes{sent: 1, got: "circuit open"}, have: outcomes{sent: 1, got: "circuit open"}},
}

// notReady has these statuses retried, as those of a server that is well.
func notReady(statuses ...int) steadyhttp.Option {
	return steadyhttp.WithClassifier(func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
		for _, status := range statuses {
			if response != nil && response.StatusCode == status {
				return steadyhttp.NotReady
			}
		}
		return steadyhttp.Unclassified
	})
}

// A withoutRetry client retries no call.
type withoutRetry struct{ peers.Doer }

func (w withoutRetry) Do(request *http.Request) (*http.Response, error) {
	return w.Doer.Do(request.WithContext(steadyhttp.NoRetry(request.Context())))
}

func withoutRetries(c client) client {
	return func(base http.RoundTripper) peers.Doer { return withoutRetry{c(base)} }
}

// A secondCall client makes each call twice, and tells of the second.
type secondCall struct{ peers.Doer }

func (s secondCall) Do(request *http.Request) (*http.Response, error) {
	if _, err := s.Doer.Do(request); err == nil {
		return nil, errors.New("the first call did not fail")
	}
	return s.Doer.Do(request)
}

func openFailsafe(base http.RoundTripper) peers.Doer {
	breaker := circuitbreaker.NewBuilder[*http.Response]().WithFailureThreshold(1).WithDelay(time.Minute).Build()
	return secondCall{&http.Client{Transport: failsafehttp.NewRoundTripper(base, breaker)}}
}

func openSteady(base http.RoundTripper) peers.Doer {
	return secondCall{steady(steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithBreakerOpenFor(time.Minute))(base)}
}

func TestExpectations_AreMetOrHaveAVerdict(t *testing.T) {
	t.Parallel()
	for _, e := range expectations {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			if same := e.want == e.have; same != (e.verdict == "") {
				t.Errorf("same is %v, the verdict %q", same, e.verdict)
			}
			synctest.Test(t, func(t *testing.T) { e.expect(t, "theirs", e.theirs, e.want) })
			synctest.Test(t, func(t *testing.T) { e.expect(t, "ours", e.ours, e.have) })
		})
	}
}

// expect makes the call with this client.
func (e expectation) expect(t *testing.T, whose string, c client, want outcomes) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if e.giveUp > 0 {
		time.AfterFunc(e.giveUp, cancel)
	}
	base := steadyhttptest.NewTransport(e.steps...)
	r, err := e.request(ctx)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	have := outcomes{got: gotten(c(base).Do(r)), early: time.Since(start) < e.asked, sent: len(base.Attempts())}
	if have != want {
		t.Errorf("%s: %+v, want %+v", whose, have, want)
	}
	for i, attempt := range base.Attempts() {
		if r.GetBody != nil && len(attempt.Body) > 0 && string(attempt.Body) != "content" {
			t.Errorf("%s: attempt %d has the body %q", whose, i+1, attempt.Body)
		}
	}
}

// gotten is what the caller gets, in short.
func gotten(response *http.Response, err error) string {
	if response != nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	var timeout interface{ Timeout() bool }
	switch {
	case response != nil && err != nil:
		return fmt.Sprint(response.StatusCode, " and an error")
	case response != nil:
		return fmt.Sprint(response.StatusCode)
	case errors.Is(err, steadyhttp.ErrCircuitOpen), errors.Is(err, circuitbreaker.ErrOpen):
		return "circuit open"
	case errors.Is(err, errDisk):
		return errDisk.Error()
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "a timeout"
	default:
		return "an error"
	}
}
