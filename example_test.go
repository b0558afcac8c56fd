package steadyhttp_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// shortWaits keeps the examples short: the default waits are meant for real servers.
var shortWaits = steadyhttp.WithBackoff(time.Millisecond, 2*time.Millisecond)

// A server that fails once costs the caller nothing but the wait.
func Example() {
	server := steadyhttptest.NewServer(steadyhttptest.Status(503), steadyhttptest.Status(200))
	defer server.Close()

	// The short waits are for the example: NewClient() without options is a good client.
	client, err := steadyhttp.NewClient(steadyhttp.WithBackoff(time.Millisecond, 2*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	fmt.Println(response.Status, "after", steadyhttp.Attempts(response), "attempts")
	// Output:
	// 200 OK after 2 attempts
}

// An existing client keeps its cookies, its timeout and its transport, and the original stays as it was.
func ExampleWrap() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	original := &http.Client{
		Jar:       jar,
		Timeout:   10 * time.Second,
		Transport: steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(200)),
	}

	client, err := steadyhttp.Wrap(original, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get("https://api.example.com/things")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	fmt.Println("answer:", response.StatusCode, "after", steadyhttp.Attempts(response), "attempts")
	fmt.Println("same jar:", client.Jar == original.Jar)
	fmt.Println("timeout:", client.Timeout)
	fmt.Printf("original: %T, now: %T\n", original.Transport, client.Transport)
	// Output:
	// answer: 200 after 2 attempts
	// same jar: true
	// timeout: 10s
	// original: *steadyhttptest.Transport, now: *steadyhttp.Transport
}

// Options change the defaults. Values that make no sense are all reported at once, none is corrected
// in silence.
func ExampleNewClient_tuning() {
	client, err := steadyhttp.NewClient(
		steadyhttp.WithMaxAttempts(3),
		steadyhttp.WithBackoff(100*time.Millisecond, 2*time.Second),
		steadyhttp.WithAttemptTimeout(5*time.Second), // one attempt, until its header
		steadyhttp.WithTimeout(20*time.Second),       // the whole call, waits and body included
		steadyhttp.WithMaxRetryAfter(10*time.Second),
		steadyhttp.WithBreakerFailureRate(0.3, 20),
	)
	fmt.Println(client != nil, err)

	_, err = steadyhttp.NewClient(
		steadyhttp.WithMaxAttempts(0),
		steadyhttp.WithBackoff(2*time.Second, 100*time.Millisecond),
		steadyhttp.WithBreakerFailureRate(30, 20), // a share, not a percentage
	)
	fmt.Println(err)
	// Output:
	// true <nil>
	// steadyhttp: WithMaxAttempts: 0 is invalid: want at least 1
	// steadyhttp: WithBackoff: 100ms is invalid: want a longest wait of at least the initial 2s
	// steadyhttp: WithBreakerFailureRate: 30 is invalid: want a rate from 0 to 1
}

// While a breaker is open, calls fail at once and nothing is sent. The error says for whom and until
// when.
func ExampleCircuitOpenError() {
	client, err := steadyhttp.Wrap(
		&http.Client{Transport: steadyhttptest.Status(503)},
		steadyhttp.WithMaxAttempts(1),
		steadyhttp.WithBreakerConsecutiveFailures(3, 0), // for the example: by default a blip does not open it
		steadyhttp.WithOriginKey(func(*http.Request) string { return "inventory" }),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 4 {
		response, err := client.Get("https://inventory.example.com/items")
		var open *steadyhttp.CircuitOpenError
		if errors.As(err, &open) {
			fmt.Println("not sent:", open.Origin, "is failing")
			fmt.Println("come back later:", open.RetryAt.After(time.Now()))
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
		fmt.Println("answer:", response.StatusCode)
	}
	// Output:
	// answer: 503
	// answer: 503
	// answer: 503
	// not sent: inventory is failing
	// come back later: true
}

// A call that never got an answer tells how often it was tried, and why no further attempt was made. The
// query, where tokens tend to be, is left out.
func ExampleError() {
	client, err := steadyhttp.Wrap(&http.Client{Transport: steadyhttptest.Refused}, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Get("https://api.example.com/things?token=secret")

	var failed *steadyhttp.Error
	if errors.As(err, &failed) {
		fmt.Println(failed)
		fmt.Printf("%d attempts, %s, stopped by %s\n", failed.Attempts, failed.Class, failed.Stopped)
	}
	fmt.Println("refused:", errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// steadyhttp: GET https://api.example.com/things failed after 4 attempts (max_attempts): dial tcp api.example.com:443: connect: connection refused
	// 4 attempts, unprocessed, stopped by max_attempts
	// refused: true
}

// With a key a server can tell a POST that comes twice from two POSTs, and so it may be sent again.
// Use the option where the server honours the header.
func ExampleWithIdempotencyKeys() {
	base := steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(200))
	client, err := steadyhttp.Wrap(
		&http.Client{Transport: base},
		shortWaits,
		steadyhttp.WithIdempotencyKeys(),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	order := strings.NewReader(`{"item":42}`)
	response, err := client.Post("https://shop.example.com/orders", "application/json", order)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	attempts := base.Attempts()
	first, second := attempts[0].Header.Get("Idempotency-Key"), attempts[1].Header.Get("Idempotency-Key")
	fmt.Println("answer:", response.StatusCode, "after", len(attempts), "attempts")
	fmt.Println("same key:", first != "" && first == second)
	// Output:
	// answer: 200 after 2 attempts
	// same key: true
}

// A caller who sends an Idempotency-Key of their own needs no option for it.
func Example_ownIdempotencyKey() {
	server := steadyhttptest.NewServer(steadyhttptest.Status(500), steadyhttptest.Status(201))
	defer server.Close()

	client, err := steadyhttp.NewClient(shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	// http.NewRequest knows how to read a strings.Reader again; without that a body is sent only once.
	request, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(`{"item":42}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Header.Set("Idempotency-Key", "order-4711")
	response, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	for _, attempt := range server.Attempts() {
		fmt.Printf("server got %s %s\n", attempt.Header.Get("Idempotency-Key"), attempt.Body)
	}
	fmt.Println(response.Status)
	// Output:
	// server got order-4711 {"item":42}
	// server got order-4711 {"item":42}
	// 201 Created
}

// A search is a POST only because its query is long: sending it twice harms nobody, and the caller can
// say so for this one call.
func ExampleIdempotent() {
	client, err := steadyhttp.Wrap(&http.Client{Transport: steadyhttptest.NewTransport(steadyhttptest.Status(502), steadyhttptest.Status(200), steadyhttptest.Status(502))}, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	search := func(ctx context.Context) {
		query := strings.NewReader("waterproof boots")
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example.com/search", query)
		if err != nil {
			fmt.Println(err)
			return
		}
		response, err := client.Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer response.Body.Close()
		fmt.Println(response.StatusCode, "after", steadyhttp.Attempts(response))
	}

	search(steadyhttp.Idempotent(context.Background()))
	search(context.Background()) // as far as anyone knows, the server may have acted on it
	// Output:
	// 200 after 2
	// 502 after 1
}

// A call that must not wait is sent once. The breaker counts it all the same.
func ExampleNoRetry() {
	client, err := steadyhttp.Wrap(&http.Client{Transport: steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(200))})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, report := steadyhttp.WithReport(steadyhttp.NoRetry(context.Background()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/health", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	fmt.Println(response.StatusCode, "after", len(report.Attempts), "attempt:", report.Stopped)
	// Output:
	// 503 after 1 attempt: no_retry
}

// A report tells what became of each attempt of one call, and why there was no further one.
func ExampleWithReport() {
	server := steadyhttptest.NewServer(
		steadyhttptest.Status(503),
		steadyhttptest.Status(429).Header("Retry-After", "0"), // it is sent again only if the server says when
		steadyhttptest.Status(404),
	)
	defer server.Close()

	client, err := steadyhttp.NewClient(shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, report := steadyhttp.WithReport(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	for i, attempt := range report.Attempts {
		fmt.Println(i+1, attempt.StatusCode, attempt.Class)
	}
	fmt.Println("stopped:", report.Stopped)
	// Output:
	// 1 503 transient
	// 2 429 throttled
	// 3 404 client_fault
	// stopped: not_retryable
}

// Whose fault it is, and what to do: an error of a response tells, and the response can still be read.
func ExampleCheckResponse() {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/busy" {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"title":"Out of stock","detail":"Of 3 pairs there is 1 left.","left":1}`)
	}))
	defer shop.Close()

	client, err := steadyhttp.NewClient()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/orders?token=secret", "/busy"} {
		response, err := client.Post(shop.URL+path, "application/json", strings.NewReader(`{"pairs":3}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer response.Body.Close()

		var failed *steadyhttp.ResponseError
		if err := steadyhttp.CheckResponse(response); errors.As(err, &failed) {
			fmt.Println(strings.ReplaceAll(err.Error(), shop.URL, "https://shop.example.com"))
			fmt.Println(failed.Advice())
			if failed.Problem != nil {
				fmt.Printf("left: %s\n", failed.Problem.Extensions["left"])
			}
		}
	}
	// Output:
	// steadyhttp: POST https://shop.example.com/orders answered 422 Unprocessable Entity after 1 attempt (client fault): Out of stock
	// Fix the request: correct its input; the server says "Of 3 pairs there is 1 left".
	// left: 1
	// steadyhttp: POST https://shop.example.com/busy answered 503 Service Unavailable after 1 attempt (server fault, not retried: not_idempotent)
	// The request was fine, but the server is overloaded or being maintained: 1 attempt made, and a retry in 3600 s may work, but the request may then be processed twice; mark it with Idempotent, or send an Idempotency-Key, if it may be retried.
}

// An observer sees every attempt, retry, give-up and breaker change of all calls. Here it prints some of
// what they say; [steadyhttp.LogObserver] is made for logging.
func ExampleWithObserver() {
	client, err := steadyhttp.Wrap(
		&http.Client{Transport: steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(404))},
		shortWaits,
		steadyhttp.WithObserver(func(_ context.Context, event steadyhttp.Event) {
			fmt.Println(event.Kind, event.Attempt, event.StatusCode, event.Class)
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get("https://api.example.com/things")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	// Output:
	// attempt 1 503 transient
	// retry 1 503 transient
	// attempt 2 404 client_fault
	// end 2 404 client_fault
}

// LogObserver writes each decision in a line, with the reason. Here the server is down, and a POST that it
// may have acted on is not resent; what a service in health does is logged at debug, which is off by default.
func ExampleLogObserver() {
	withoutTime := func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))

	client, err := steadyhttp.Wrap(
		&http.Client{Transport: steadyhttptest.NewTransport(steadyhttptest.Status(200), steadyhttptest.Status(404), steadyhttptest.Status(503))},
		steadyhttp.WithObserver(steadyhttp.LogObserver(logger)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		response, err := client.Post("https://api.example.com/things?token=secret", "text/plain", strings.NewReader("thing"))
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
	}
	// Output:
	// level=WARN msg="steadyhttp: end" origin=https://api.example.com:443 method=POST url=https://api.example.com/things attempt=1 class=transient status=503 stopped=not_idempotent
}

// Where a 403 is one of the two answers that are wanted, "may this user do that?", it is no fault, and
// reports and observers should not say that it is. A 403 is neither sent again nor held against the
// server in any case.
func ExampleWithClassifier_expectedForbidden() {
	observer := func(_ context.Context, event steadyhttp.Event) {
		fmt.Println(event.Kind, event.StatusCode, event.Class)
	}
	transport, err := steadyhttp.NewTransport(
		steadyhttptest.Status(403),
		steadyhttp.WithObserver(observer),
		steadyhttp.WithClassifier(func(request *http.Request, response *http.Response, err error) steadyhttp.Class {
			if err == nil && response.StatusCode == http.StatusForbidden && request.URL.Path == "/may" {
				return steadyhttp.Success
			}
			return steadyhttp.Unclassified // no opinion: the usual rules
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	response, err := client.Get("https://auth.example.com/may?user=7&do=delete")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	breaker := transport.Breakers()[0]
	fmt.Println("requests:", breaker.Requests, "failures:", breaker.Failures)
	// Output:
	// attempt 403 success
	// end 403 success
	// requests: 1 failures: 0
}

// A CDN may hide a failing origin behind an old copy, answer 200, and admit it in a header. A caller who
// needs the fresh page lets it count as the failure that it is: the request is sent again, and a page
// that stays stale is returned in the end, since no response is dropped.
func ExampleWithClassifier_staleAnswer() {
	cdn := steadyhttptest.NewServer(
		steadyhttptest.Status(200).Header("Warning", `111 - "Revalidation Failed"`).Body("yesterday's prices"),
		steadyhttptest.Status(200).Body("today's prices"),
	)
	defer cdn.Close()

	staleIsFailure := func(_ *http.Request, response *http.Response, err error) steadyhttp.Class {
		if err == nil && strings.HasPrefix(response.Header.Get("Warning"), "111 ") {
			return steadyhttp.Transient
		}
		return steadyhttp.Unclassified
	}
	client, err := steadyhttp.NewClient(shortWaits, steadyhttp.WithClassifier(staleIsFailure))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get(cdn.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	fmt.Printf("%s after %d attempts, %v\n", page, steadyhttp.Attempts(response), err)
	// Output:
	// today's prices after 2 attempts, <nil>
}

// graphQLClass looks for the errors that a GraphQL server puts into a 200. It reads a bounded start of the
// answer, and puts it back. What does not end within the bound has no opinion.
func graphQLClass(_ *http.Request, response *http.Response, err error) steadyhttp.Class {
	if err != nil || response.StatusCode != http.StatusOK {
		return steadyhttp.Unclassified
	}
	body := response.Body
	start, err := io.ReadAll(io.LimitReader(body, 64<<10))
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), body), body} // which repeats its error, if it has had one
	var answer struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err != nil || json.Unmarshal(start, &answer) != nil || len(answer.Errors) == 0 {
		return steadyhttp.Unclassified
	}
	if answer.Errors[0].Extensions.Code == "INTERNAL_SERVER_ERROR" {
		return steadyhttp.Transient
	}
	return steadyhttp.ClientFault
}

// A GraphQL server answers 200 also when it fails, and says so in the answer. With a classifier its failures
// are resent and count against it, and CheckResponse knows the answer for the error that it is.
func ExampleWithClassifier_graphQL() {
	answers := []string{
		`{"errors":[{"message":"boom","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`,
		`{"data":{"user":{"name":"Ada"}}}`,
		`{"errors":[{"message":"no such field","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, answers[0])
		answers = answers[1:]
	}))
	defer server.Close()

	client, err := steadyhttp.NewClient(shortWaits, steadyhttp.WithClassifier(graphQLClass))
	if err != nil {
		fmt.Println(err)
		return
	}
	query := func(text string) {
		ctx := steadyhttp.Idempotent(context.Background()) // a query, though a POST
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(text))
		if err != nil {
			fmt.Println(err)
			return
		}
		response, err := client.Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer response.Body.Close()
		var failed *steadyhttp.ResponseError
		if errors.As(steadyhttp.CheckResponse(response), &failed) {
			fmt.Println(failed.StatusCode, failed.Class)
			fmt.Println(failed.Advice())
		}
		content, err := io.ReadAll(response.Body)
		fmt.Printf("%s after %d, %v\n", content, steadyhttp.Attempts(response), err)
	}
	query(`{"query":"{user{name}}"}`)
	query(`{"query":"{user{nmae}}"}`)
	// Output:
	// {"data":{"user":{"name":"Ada"}}} after 2, <nil>
	// 200 client_fault
	// Fix the request: the server will refuse it again as it is.
	// {"errors":[{"message":"no such field","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]} after 1, <nil>
}

// Code that takes an http.Client is tested over a base transport that fails as the test wants it to.
// It needs neither a server nor a port, and the waits can be made short. See docs/testing.md for more.
func Example_testingYourOwnCode() {
	// The code under test.
	greeting := func(client *http.Client) (string, error) {
		response, err := client.Get("https://greeter.example.com/hello")
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		return string(content), err
	}

	// The test: the connection breaks once, then there is an answer.
	base := steadyhttptest.NewTransport(steadyhttptest.EOF, steadyhttptest.Status(200).Body("hello"))
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	content, err := greeting(client)
	fmt.Println(content, err, "after", len(base.Attempts()), "attempts")
	// Output:
	// hello <nil> after 2 attempts
}

// This is WRONG: two Transports stacked, as when a client is wrapped that a library had wrapped already.
// Each attempt of the outer one is a whole call of the inner one, so 4 × 4 = 16 requests reach a server
// that is down, for one call of a caller who is told of 4. Wrap once, where the client is made.
//
// By default each layer's retry budget limits the damage, for all calls to the origin together, and the
// breaker then ends it. Neither makes stacking right.
func Example_stackedRetriesMultiply() {
	callOnce := func(options ...steadyhttp.Option) {
		base := steadyhttptest.NewTransport(steadyhttptest.Status(503))
		inner, err := steadyhttp.Wrap(&http.Client{Transport: base}, options...)
		if err != nil {
			fmt.Println(err)
			return
		}
		hidden := struct{ http.RoundTripper }{inner.Transport} // without it, Wrap refuses a wrapped client
		outer, err := steadyhttp.Wrap(&http.Client{Transport: hidden}, options...)
		if err != nil {
			fmt.Println(err)
			return
		}
		response, err := outer.Get("https://down.example.com")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer response.Body.Close()
		fmt.Println("attempts reported:", steadyhttp.Attempts(response), "requests sent:", len(base.Attempts()))
	}

	callOnce(shortWaits, steadyhttp.WithoutRetryBudget(), steadyhttp.WithoutBreaker())
	callOnce(shortWaits, steadyhttp.WithoutBreaker()) // the default budgets allow 5 retries each
	// Output:
	// attempts reported: 4 requests sent: 16
	// attempts reported: 4 requests sent: 9
}

// A snapshot of the breakers tells which servers are in trouble: for a status page, say.
func ExampleTransport_Breakers() {
	service := http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Host == "down.example.com" {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	transport, err := steadyhttp.NewTransport(
		steadyhttptest.Handler(service),
		steadyhttp.WithMaxAttempts(1),
		steadyhttp.WithBreakerConsecutiveFailures(2, 0), // for the example: by default a blip does not open it
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	for _, target := range []string{"https://up.example.com", "https://down.example.com", "https://down.example.com"} {
		response, err := client.Get(target)
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
	}

	for _, breaker := range transport.Breakers() {
		fmt.Println(breaker.Origin, breaker.State)
	}
	// Output:
	// https://down.example.com:443 open
	// https://up.example.com:443 closed
}

// A client tells how it is set, in one line for the log: here one setting a line.
func ExampleTransport_String() {
	client, err := steadyhttp.NewClient(steadyhttp.WithMaxAttempts(3), steadyhttp.WithoutBreaker())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, setting := range strings.Fields(fmt.Sprint(client.Transport)) {
		fmt.Println(setting)
	}
	// Output:
	// MaxAttempts=3
	// Backoff=300ms,10s(default)
	// MaxRetryAfter=1m0s(default)
	// Hints=none(default)
	// Timeout=none(default)
	// AttemptTimeout=none(default)
	// BodyTimeout=none(default)
	// Resume=off(default)
	// RetryBudget=0.2,5,growing(default)
	// RetryNonIdempotent=off(default)
	// IdempotencyKeys=off(default)
	// AttemptHeader=none(default)
	// ReplayBuffer=0(default)
	// Classifier=none(default)
	// Observer=none(default)
	// Breaker=off
	// OriginPause=off(default)
	// OriginKey=none(default)
	// OriginLimit=1024(default)
	// Base=pooled,header=30s(default)
}

// Any policy of github.com/cenkalti/backoff can set the waits. It has state, so each call gets a fresh
// one. A constant wait sends clients that failed together back together: prefer one with jitter.
func ExampleWithBackoffPolicy() {
	client, err := steadyhttp.Wrap(
		&http.Client{Transport: steadyhttptest.NewTransport(steadyhttptest.Status(503), steadyhttptest.Status(503), steadyhttptest.Status(200))},
		steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff {
			return backoff.NewConstantBackOff(3 * time.Millisecond)
		}),
		steadyhttp.WithObserver(func(_ context.Context, event steadyhttp.Event) {
			if event.Kind == steadyhttp.EventRetry {
				fmt.Println("waiting", event.Wait)
			}
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get("https://api.example.com/things")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	fmt.Println(response.StatusCode)
	// Output:
	// waiting 3ms
	// waiting 3ms
	// 200
}

// Classify can be asked without a Transport: of a response, or of the error that came instead.
func ExampleClassify() {
	for _, code := range []int{200, 404, 429, 501, 503} {
		fmt.Println(code, steadyhttp.Classify(nil, &http.Response{StatusCode: code}, nil))
	}
	for _, err := range []error{
		&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, // nothing was sent
		io.ErrUnexpectedEOF,          // the server may have acted on it
		x509.UnknownAuthorityError{}, // will be refused tomorrow, too
	} {
		fmt.Println(err, "=", steadyhttp.Classify(nil, nil, err))
	}
	// Output:
	// 200 success
	// 404 client_fault
	// 429 throttled
	// 501 permanent
	// 503 transient
	// dial tcp: connection refused = unprocessed
	// unexpected EOF = transient
	// x509: certificate signed by unknown authority = permanent
}

// Behind one host there may be many servers: a gateway that hands each tenant to a cell of its own. With
// a key for each cell, the failure of one does not cut off the others.
func ExampleWithOriginKey() {
	gateway := http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if strings.HasPrefix(request.URL.Path, "/red/") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	client, err := steadyhttp.Wrap(
		&http.Client{Transport: steadyhttptest.Handler(gateway)},
		steadyhttp.WithMaxAttempts(1),
		steadyhttp.WithBreakerConsecutiveFailures(2, 0), // for the example: by default a blip does not open it
		steadyhttp.WithOriginKey(func(request *http.Request) string {
			cell, _, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/")
			return cell
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/red/1", "/red/2", "/red/3", "/blue/1"} {
		response, err := client.Get("https://gateway.example.com" + path)
		if errors.Is(err, steadyhttp.ErrCircuitOpen) {
			fmt.Println(path, "not sent")
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
		fmt.Println(path, response.StatusCode)
	}
	// Output:
	// /red/1 503
	// /red/2 503
	// /red/3 not sent
	// /blue/1 200
}
