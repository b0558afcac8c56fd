package steadyhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// The words of the test kit, shorter: a test is mostly script.
type (
	step     = steadyhttptest.Step
	stepFunc = steadyhttptest.Func
)

const hang = steadyhttptest.Hang

var (
	newScript = steadyhttptest.NewTransport
	delay     = steadyhttptest.Delay
	fail      = steadyhttptest.Fail
)

// status answers with a code, and headers given as name, value, name, value.
func status(code int, header ...string) steadyhttptest.Response {
	answer := steadyhttptest.Status(code)
	for i := 0; i+1 < len(header); i += 2 {
		answer = answer.Header(header[i], header[i+1])
	}
	return answer
}

var errReset = errors.New("connection reset by a test")

// A scriptCase is a script, and what must come of it.
type scriptCase struct {
	name     string
	options  []steadyhttp.Option
	request  func(*testing.T, context.Context) *http.Request // nil: a GET
	steps    []step
	attempts int
	status   int // 0: an error
	stopped  steadyhttp.StopReason
}

func (c scriptCase) run(t *testing.T) {
	server := newScript(c.steps...)
	transport := newTransport(t, server, append([]steadyhttp.Option{steadyhttp.WithoutBreaker()}, c.options...)...)
	ctx, report := steadyhttp.WithReport(t.Context())
	newRequest := c.request
	if newRequest == nil {
		newRequest = emptyRequest(http.MethodGet)
	}
	response, err := transport.RoundTrip(newRequest(t, ctx))

	assert.Len(t, server.Attempts(), c.attempts, "attempts at the server")
	assert.Len(t, report.Attempts, c.attempts, "attempts in the report")
	assert.Equal(t, c.stopped, report.Stopped)
	if c.status == 0 {
		require.Error(t, err)
		assert.Nil(t, response)
		assertClosedOnce(t, server, nil)
		return
	}
	require.NoError(t, err)
	assert.Equal(t, c.status, response.StatusCode)
	assert.Equal(t, c.attempts, steadyhttp.Attempts(response))
	content, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	assert.Equal(t, http.StatusText(c.status), string(content), "the body must be unread")
	assertClosedOnce(t, server, response)
}

func runScriptCases(t *testing.T, cases []scriptCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, c.run)
		})
	}
}

// Requests.

const (
	targetURL    = "https://api.example.com/things"
	targetOrigin = "https://api.example.com:443"
)

func newRequest(t *testing.T, ctx context.Context, method, content string) *http.Request {
	t.Helper()
	var reader io.Reader
	if content != "" {
		reader = strings.NewReader(content)
	}
	r, err := http.NewRequestWithContext(ctx, method, targetURL, reader)
	require.NoError(t, err)
	return r
}

func newGet(t *testing.T) *http.Request { return newRequest(t, t.Context(), http.MethodGet, "") }

func newPost(t *testing.T) *http.Request {
	return newRequest(t, t.Context(), http.MethodPost, "payload")
}

// emptyRequest makes a request without a body.
func emptyRequest(method string) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request { return newRequest(t, ctx, method, "") }
}

// payloadRequest makes a request with a body that can be replayed, and headers given as name, value, name, value.
func payloadRequest(method string, header ...string) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		r := newRequest(t, ctx, method, "payload")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header[header[i]] = []string{header[i+1]}
		}
		return r
	}
}

// streamRequest makes a request whose body cannot be replayed.
func streamRequest(method string, marks ...func(context.Context) context.Context) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		for _, mark := range marks {
			ctx = mark(ctx)
		}
		r := newRequest(t, ctx, method, "payload")
		r.GetBody = nil
		return r
	}
}

// markedRequest makes a request whose body can be replayed.
func markedRequest(method string, marks ...func(context.Context) context.Context) func(*testing.T, context.Context) *http.Request {
	return func(t *testing.T, ctx context.Context) *http.Request {
		for _, mark := range marks {
			ctx = mark(ctx)
		}
		return newRequest(t, ctx, method, "payload")
	}
}

// Transports, bases and options.

func newTransport(t *testing.T, base http.RoundTripper, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	labelGoroutine(t.Name()) // for what the test starts
	transport, err := steadyhttp.NewTransport(base, options...)
	require.NoError(t, err)
	return transport
}

// baseFunc is a base that leaves the request's body to its function, and remembers nothing.
type baseFunc struct {
	roundTrip func(*http.Request) (*http.Response, error)
}

func (b baseFunc) RoundTrip(r *http.Request) (*http.Response, error) { return b.roundTrip(r) }

// constantBase returns the same response always and does nothing else, so that what is measured is ours.
type constantBase struct{ response *http.Response }

func (b constantBase) RoundTrip(*http.Request) (*http.Response, error) { return b.response, nil }

func newConstantBase(code int) constantBase {
	return constantBase{&http.Response{StatusCode: code, Body: http.NoBody}}
}

// idleCloser is a base that counts calls of CloseIdleConnections.
type idleCloser struct {
	*steadyhttptest.Transport
	closed int
}

func (c *idleCloser) CloseIdleConnections() { c.closed++ }

// withoutConnection asks for a connection as http.Transport does, and gets none.
func withoutConnection(then step) step {
	return stepFunc(func(r *http.Request) (*http.Response, error) {
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GetConn != nil {
			trace.GetConn(r.URL.Host)
		}
		return then.RoundTrip(r)
	})
}

// failHosts answers 503 for the hosts given, and 200 for the rest.
func failHosts(hosts ...string) step {
	return stepFunc(func(r *http.Request) (*http.Response, error) {
		for _, host := range hosts {
			if r.URL.Host == host {
				return status(503).RoundTrip(r)
			}
		}
		return status(200).RoundTrip(r)
	})
}

func withConstantBackoff(d time.Duration) steadyhttp.Option {
	return steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return backoff.NewConstantBackOff(d) })
}

// backoffFunc is a backoff policy in one function.
type backoffFunc func() time.Duration

func (next backoffFunc) NextBackOff() time.Duration { return next() }

func (backoffFunc) Reset() {}

func withBackoffFunc(next backoffFunc) steadyhttp.Option {
	return steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return next })
}

// noBreakerOptions has no breaker, and nothing but the budget bounds the retries.
func noBreakerOptions(options ...steadyhttp.Option) []steadyhttp.Option {
	return append([]steadyhttp.Option{
		steadyhttp.WithoutBreaker(), steadyhttp.WithMaxAttempts(1000), steadyhttp.WithBackoff(time.Nanosecond, time.Nanosecond),
	}, options...)
}

// requestChangingOptions is every option that changes what is sent.
func requestChangingOptions() []steadyhttp.Option {
	return []steadyhttp.Option{
		steadyhttp.WithIdempotencyKeys(), steadyhttp.WithReplayBuffer(4), steadyhttp.WithAttemptTimeout(time.Second),
		steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {}),
	}
}

func classifyAs(class steadyhttp.Class) steadyhttp.Option {
	return steadyhttp.WithClassifier(func(*http.Request, *http.Response, error) steadyhttp.Class { return class })
}

// Calls.

// sendGet makes one call and lets go of the response.
func sendGet(t *testing.T, transport *steadyhttp.Transport) (int, error) {
	t.Helper()
	response, err := transport.RoundTrip(newGet(t))
	if err != nil {
		return 0, err
	}
	require.NoError(t, response.Body.Close())
	return response.StatusCode, nil
}

func sendGets(t *testing.T, transport *steadyhttp.Transport, n int) {
	t.Helper()
	for range n {
		_, _ = sendGet(t, transport)
	}
}

func sendToHost(t *testing.T, transport *steadyhttp.Transport, host string) {
	t.Helper()
	r := newGet(t)
	r.URL.Host = host
	_, _ = transport.RoundTrip(r)
}

// countRetries makes one call and returns how often it was retried.
func countRetries(t *testing.T, transport *steadyhttp.Transport, server *steadyhttptest.Transport) int {
	t.Helper()
	before := len(server.Attempts())
	sendGets(t, transport, 1)
	return len(server.Attempts()) - before - 1
}

func callAndClose(transport *steadyhttp.Transport, r *http.Request) {
	if response, err := transport.RoundTrip(r); err == nil {
		_ = response.Body.Close()
	}
}

// Breakers.

// The breaker of breakerOptions: round numbers, so that a test tells of its rules, not of the defaults.
const (
	breakerMinRequests = 10 // of which half may fail
	breakerRunFailures = 3
	breakerRunDuration = 800 * time.Millisecond
	breakerOpenFor     = time.Second            // give or take a fifth
	breakerProbeDue    = breakerOpenFor * 6 / 5 // by then it lets a probe through
)

// breakerOptions sets the breaker's rules.
func breakerOptions(options ...steadyhttp.Option) []steadyhttp.Option {
	return append([]steadyhttp.Option{
		steadyhttp.WithBreakerFailureRate(0.5, breakerMinRequests),
		steadyhttp.WithBreakerConsecutiveFailures(breakerRunFailures, breakerRunDuration),
		steadyhttp.WithBreakerOpenFor(breakerOpenFor),
	}, options...)
}

// singleAttemptOptions makes one attempt for each call besides, so that a test counts attempts by counting calls.
func singleAttemptOptions(options ...steadyhttp.Option) []steadyhttp.Option {
	return append(breakerOptions(steadyhttp.WithMaxAttempts(1)), options...)
}

// newOpenBreaker returns a transport whose breaker is open, and its script, which goes on with a step.
func newOpenBreaker(t *testing.T, then step, options ...steadyhttp.Option) (*steadyhttp.Transport, *steadyhttptest.Transport) {
	t.Helper()
	steps := append(slices.Repeat([]step{status(503)}, breakerMinRequests), then)
	server := newScript(steps...)
	transport := newTransport(t, server, singleAttemptOptions(options...)...)
	sendGets(t, transport, breakerMinRequests)
	require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	return transport, server
}

// onlyBreaker returns the only breaker there is.
func onlyBreaker(t *testing.T, transport *steadyhttp.Transport) steadyhttp.BreakerStatus {
	t.Helper()
	breakers := transport.Breakers()
	require.Len(t, breakers, 1)
	return breakers[0]
}

func breakerState(t *testing.T, transport *steadyhttp.Transport) steadyhttp.BreakerState {
	t.Helper()
	return onlyBreaker(t, transport).State
}

// breakerStates returns the breakers by origin.
func breakerStates(transport *steadyhttp.Transport) map[string]steadyhttp.BreakerState {
	states := make(map[string]steadyhttp.BreakerState)
	for _, b := range transport.Breakers() {
		states[b.Origin] = b.State
	}
	return states
}

// Responses.

// newResponse is a response as any client might return it.
func newResponse(code int, content io.Reader, header ...string) *http.Response {
	response := &http.Response{StatusCode: code, Header: http.Header{}, Body: &trackedBody{Reader: content}}
	response.Request, _ = http.NewRequest(http.MethodGet, targetURL, nil)
	for i := 0; i+1 < len(header); i += 2 {
		response.Header.Add(header[i], header[i+1])
	}
	return response
}

func checkResponse(t *testing.T, response *http.Response) *steadyhttp.ResponseError {
	t.Helper()
	var failed *steadyhttp.ResponseError
	require.ErrorAs(t, steadyhttp.CheckResponse(response), &failed)
	return failed
}

// assertClosedOnce checks that every response was closed exactly once, but the one returned, if any, not
// yet. It closes that.
func assertClosedOnce(t *testing.T, server *steadyhttptest.Transport, returned *http.Response) {
	t.Helper()
	if returned != nil {
		attempts := server.Attempts()
		assert.Zero(t, attempts[len(attempts)-1].Closed, "closes of the body of the response returned")
		assert.NoError(t, returned.Body.Close())
	}
	server.AssertClosed(t)
	for i, sent := range server.Attempts() {
		assert.LessOrEqual(t, sent.Closed, 1, "closes of the body of response %d", i+1)
	}
}

func parseProblem(t *testing.T, contentType, content string) *steadyhttp.Problem {
	t.Helper()
	return checkResponse(t, newResponse(400, strings.NewReader(content), "Content-Type", contentType)).Problem
}

// Bodies.

// A trackedBody counts how often it is closed.
type trackedBody struct {
	io.Reader
	mu     sync.Mutex
	closed int
}

func (b *trackedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

func (b *trackedBody) closes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

func newTrackedBody(content string) *trackedBody {
	return &trackedBody{Reader: strings.NewReader(content)}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

type panickingReader struct{}

func (panickingReader) Read([]byte) (int, error) { panic("a test's") }

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A stalledBody returns nothing until it is closed.
type stalledBody struct{ closed chan struct{} }

func (b *stalledBody) Read([]byte) (int, error) {
	<-b.closed
	return 0, io.ErrUnexpectedEOF
}

func (b *stalledBody) Close() error {
	close(b.closed)
	return nil
}

func newStalledBody() *stalledBody { return &stalledBody{make(chan struct{})} }

// An endlessBody counts what is read of it.
type endlessBody struct{ read, closed int }

func (b *endlessBody) Read(p []byte) (int, error) {
	b.read += len(p)
	return len(p), nil
}

func (b *endlessBody) Close() error {
	b.closed++
	return nil
}

// A stuckBody can be neither read nor closed.
type stuckBody struct{ released chan struct{} }

func (b *stuckBody) Read([]byte) (int, error) { <-b.released; return 0, io.EOF }

func (b *stuckBody) Close() error { <-b.released; return nil }

// A waitingBody's Close waits for the end of the request, as HTTP/2's can.
type waitingBody struct{ ctx context.Context }

func (waitingBody) Read([]byte) (int, error) { return 0, io.EOF }

func (b waitingBody) Close() error { <-b.ctx.Done(); return nil }

type panickingCloser struct{ io.Reader }

func (panickingCloser) Close() error { panic("a test's") }

// Contexts.

// deadlineContext is a context that announces a deadline, and has no timer for it.
type deadlineContext struct {
	context.Context
	at time.Time
}

func (d deadlineContext) Deadline() (time.Time, bool) { return d.at, true }

// laggingContext is a context whose deadline is past, but whose timer has not fired yet.
type laggingContext struct{ context.Context }

func (laggingContext) Deadline() (time.Time, bool) { return time.Now().Add(-time.Microsecond), true }

// unannouncedContext is a context that ends without having announced a deadline.
type unannouncedContext struct {
	context.Context
	done chan struct{}
}

func (s unannouncedContext) Done() <-chan struct{} { return s.done }

func (s unannouncedContext) Err() error {
	select {
	case <-s.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Errors.

// dialError is a failed dial, as net returns it.
func dialError(err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
}

var errDial = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

// lookupError is the error of a dial whose host was not found, as the resolver returns it.
func lookupError(failure net.DNSError) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: &failure}
}

type timeoutError struct{}

func (timeoutError) Error() string { return "i/o timeout of a test" }

func (timeoutError) Timeout() bool { return true }

type headerTimeoutError struct{}

func (headerTimeoutError) Error() string { return "timeout awaiting response headers" }

func (headerTimeoutError) Timeout() bool { return true }

func (headerTimeoutError) Temporary() bool { return true }

type tlsAlert uint8

func (tlsAlert) Error() string { return "tls: an alert" }

func isErrorType[E error](err error) bool {
	var found E
	return errors.As(err, &found)
}

// What is observed and logged.

// An eventRecorder writes down what is observed, a line for each event.
type eventRecorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *eventRecorder) observe(_ context.Context, e steadyhttp.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := fmt.Sprintf("%s %d %s %d", e.Kind, e.Attempt, e.Class, e.StatusCode)
	switch e.Kind {
	case steadyhttp.EventAttempt:
		line += fmt.Sprint(" took ", e.Duration)
	case steadyhttp.EventEnd:
		line += fmt.Sprint(" because ", e.Stopped)
	case steadyhttp.EventResume:
		line += fmt.Sprint(" at ", e.Offset)
		if e.Stopped != 0 {
			line += fmt.Sprint(" because ", e.Stopped)
		}
	case steadyhttp.EventBreaker:
		line = fmt.Sprintf("%s %s to %s", e.Kind, e.From, e.To)
	}
	if e.Err != nil {
		line += ": " + e.Err.Error()
	}
	r.lines = append(r.lines, line)
}

// A logBuffer keeps what is logged at a level and above, without times.
type logBuffer struct{ bytes.Buffer }

func (b *logBuffer) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
			if attr.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return attr
		},
	}))
}

func (b *logBuffer) lines() []string {
	return slices.DeleteFunc(strings.Split(b.String(), "\n"), func(line string) bool { return line == "" })
}

// captureLog is what a logger writes as text, but for time, level and message.
func captureLog(write func(*slog.Logger)) string {
	var written strings.Builder
	write(slog.New(slog.NewTextHandler(&written, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if len(groups) == 0 && (attr.Key == slog.TimeKey || attr.Key == slog.LevelKey || attr.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return attr
		},
	})))
	return strings.TrimSuffix(written.String(), "\n")
}

// Goroutines and memory.

// labelGoroutine says which test a goroutine, and what it starts, belongs to.
func labelGoroutine(test string) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(leakLabel, test)))
}

// runInGoroutine runs f where it may panic and exit.
func runInGoroutine(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f()
	}()
	<-done
}

func heapSize() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // once more for what the first one finalised
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A scriptedBody is a response's body of which parts come in their time. It ends a Read that blocks when it is
// closed, as net/http's bodies do.
type scriptedBody struct {
	mu     sync.Mutex
	parts  []bodyPart
	closed chan struct{}
	closes int
}

// A bodyPart comes after a wait: some content, or how the body ends.
type bodyPart struct {
	wait    time.Duration
	content string
	err     error
}

// newScriptedBody is a body of these parts, and then EOF.
func newScriptedBody(parts ...bodyPart) *scriptedBody {
	return &scriptedBody{parts: append(parts, bodyPart{err: io.EOF}), closed: make(chan struct{})}
}

// newBrokenBody breaks after its content.
func newBrokenBody(content string) *scriptedBody {
	return newScriptedBody(bodyPart{content: content}, bodyPart{err: io.ErrUnexpectedEOF})
}

var errBodyClosed = errors.New("read on a closed body of a test")

func (b *scriptedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.parts) > 0 && b.parts[0].content == "" && b.parts[0].err == nil && b.parts[0].wait == 0 {
		b.parts = b.parts[1:]
	}
	part := &b.parts[0]
	select {
	case <-b.closed:
		return 0, errBodyClosed
	case <-time.After(part.wait):
		part.wait = 0
	}
	n := copy(p, part.content)
	part.content = part.content[n:]
	if part.content == "" {
		return n, part.err
	}
	return n, nil
}

func (b *scriptedBody) Close() error {
	b.closes++
	if b.closes == 1 {
		close(b.closed)
	}
	return nil
}

// newBodyStep responds 200 with a new body for each attempt, of a length that nobody knows.
func newBodyStep(newBody func() io.ReadCloser, header ...string) stepFunc {
	return func(r *http.Request) (*http.Response, error) {
		response := newResponse(200, nil, header...)
		response.Request, response.Body, response.ContentLength = r, newBody(), -1
		return response, nil
	}
}
