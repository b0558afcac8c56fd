package steadyhttptest

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// CheckRoundTripper checks that a wrapper keeps the contract of [http.RoundTripper]. It calls wrap many times. Each time,
// wrap must return a new wrapper that sends all requests through base.
//
// It checks that
//   - the request is not modified, and its body is closed exactly once;
//   - every attempt, so every retry too, has the whole body;
//   - redirects are not followed;
//   - exactly one of response and error is returned;
//   - the returned response is complete and readable, and no other response is left open;
//   - the body of a 101 can be written to;
//   - CloseIdleConnections is forwarded to base;
//   - concurrent calls do not mix.
//
// Run it under the race detector.
//
// If t is a [*testing.T], each check is a subtest in a [testing/synctest] bubble of its own: the wrapper's waits take no
// time, and its goroutines must end. So CheckRoundTripper cannot be called inside a bubble.
//
// A wrapper that changes what is sent, for example by compression, fails the checks of whole bodies and of concurrent calls.
func CheckRoundTripper(t testing.TB, wrap func(base http.RoundTripper) http.RoundTripper) {
	t.Helper()
	for _, c := range contract {
		if test, ok := t.(*testing.T); ok {
			test.Run(c.claim, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c.check(&checker{TB: t, wrap: wrap})
					time.Sleep(settleTime) // virtual: the bubble's time stands still once this function returns
				})
			})
			continue
		}
		c.check(&checker{TB: prefixed{t, c.claim}, wrap: wrap})
	}
}

// settleTime is how long a wrapper's goroutines may outlive the calls, as the slower of two hedged requests does.
const settleTime = time.Minute

// prefixed puts the claim before each failure, where no subtest's name shows it.
type prefixed struct {
	testing.TB
	claim string
}

func (p prefixed) Errorf(format string, args ...any) {
	p.Helper()
	p.TB.Errorf("%s: %s", p.claim, fmt.Sprintf(format, args...))
}

var contract = []struct {
	claim string
	check func(*checker)
}{
	{"request is not modified", eachCall((*checker).requestIsNotModified)},
	{"request body is closed once", eachCall((*checker).requestBodyIsClosedOnce)},
	{"every attempt has the whole body", eachCall((*checker).everyAttemptHasTheWholeBody)},
	{"redirect is not followed", eachCall((*checker).redirectIsNotFollowed)},
	{"either response or error", eachCall((*checker).eitherResponseOrError)},
	{"response can be read", eachCall((*checker).responseCanBeRead)},
	{"no response is left open", eachCall((*checker).noResponseIsLeftOpen)},
	{"body of a 101 can be written to", (*checker).switchedBodyCanBeWrittenTo},
	{"CloseIdleConnections is forwarded", (*checker).closeIdleConnectionsIsForwarded},
	{"concurrent calls do not mix", (*checker).concurrentCallsDoNotMix},
}

// A checker checks one claim about a wrapper. It reports the first failure only: many cases would show the same one.
type checker struct {
	testing.TB
	wrap   func(http.RoundTripper) http.RoundTripper
	failed atomic.Bool
}

func (ch *checker) fail(format string, args ...any) {
	ch.Helper()
	if !ch.failed.Swap(true) {
		ch.Errorf("steadyhttptest: "+format, args...)
	}
}

// eachCall makes calls in all cases, with all kinds of bodies, and checks each.
func eachCall(check func(*checker, *call)) func(*checker) {
	return func(ch *checker) {
		ch.Helper()
		for _, cc := range contractCases {
			for _, kind := range []bodyKind{replayable, streamed, bodyless} {
				cc.run(ch, kind, check)
			}
		}
	}
}

func (cc contractCase) run(ch *checker, kind bodyKind, check func(*checker, *call)) {
	ch.Helper()
	base := NewTransport(cc.steps...)
	wrapper := ch.wrap(base)
	for range max(1, cc.calls) {
		if ch.failed.Load() {
			return
		}
		earlier := base.count()
		c := cc.call(wrapper, kind)
		c.base, c.earlier = base, earlier
		check(ch, c)
		c.finish()
	}
}

func (ch *checker) requestIsNotModified(c *call) {
	ch.Helper()
	before, after := reflect.ValueOf(*c.before), reflect.ValueOf(*c.request)
	for n := range before.NumField() {
		field := before.Type().Field(n)
		if !field.IsExported() || field.Name == "GetBody" {
			continue
		}
		if was, is := before.Field(n).Interface(), after.Field(n).Interface(); !reflect.DeepEqual(was, is) {
			ch.fail("%v: the request's %s was %v, and now is %v", c, field.Name, was, is)
		}
	}
	if c.sentModifiedHeader() {
		ch.fail("%v: the request's Header was modified while it was sent", c)
	}
	if c.before.Context() != c.request.Context() {
		ch.fail("%v: the request has another context", c)
	}
	if (c.before.GetBody == nil) != (c.request.GetBody == nil) {
		ch.fail("%v: the request's GetBody was set or taken away", c)
	}
}

func (ch *checker) requestBodyIsClosedOnce(c *call) {
	ch.Helper()
	c.finish()
	eventually(func() bool { return !slices.Contains(c.bodies.closes(), 0) })
	for n, times := range c.bodies.closes() {
		if times != 1 {
			ch.fail("%v: %s was closed %s, want once", c, bodyName(n), plural(int(times), "time"))
		}
	}
}

func bodyName(n int) string {
	if n == 0 {
		return "the request's body"
	}
	return fmt.Sprintf("body %d from GetBody", n)
}

func (ch *checker) everyAttemptHasTheWholeBody(c *call) {
	ch.Helper()
	for n, a := range c.attempts() {
		if a.URL == contractURL && a.Step.Internal().Stage >= step.AtBody && string(a.Body) != c.sent {
			ch.fail("%v: attempt %d had the body %q, want %q", c, n+1, a.Body, c.sent)
		}
	}
}

func (ch *checker) redirectIsNotFollowed(c *call) {
	ch.Helper()
	for n, a := range c.attempts() {
		if strings.HasSuffix(a.URL, redirectPath) {
			ch.fail("%v: attempt %d went to %s, which is for the client to decide", c, n+1, a.URL)
		}
	}
}

func (ch *checker) eitherResponseOrError(c *call) {
	ch.Helper()
	switch {
	case c.response != nil && c.err != nil:
		ch.fail("%v: got both a response and the error %q", c, c.err)
	case c.response == nil && c.err == nil:
		ch.fail("%v: got neither a response nor an error", c)
	}
}

func (ch *checker) responseCanBeRead(c *call) {
	ch.Helper()
	if c.response == nil || c.response.StatusCode == http.StatusNoContent {
		return
	}
	if c.response.Body == nil {
		ch.fail("%v: the response's body is nil", c)
		return
	}
	content, err := io.ReadAll(c.response.Body)
	want := string(content) // of a response that the wrapper made
	if c.response.Header.Get(baseHeader) != "" {
		want = http.StatusText(c.response.StatusCode)
	}
	if err != nil || string(content) != want {
		ch.fail("%v: the response's body is %q and %v, want %q", c, content, err, want)
	}
}

func (ch *checker) noResponseIsLeftOpen(c *call) {
	ch.Helper()
	returned := 0
	if c.response != nil {
		returned = 1
	}
	if !eventually(func() bool { return c.openResponses() <= returned }) {
		ch.fail("%v: %s left open besides the returned one%s", c, plural(c.openResponses()-returned, "response"), list(c.attempts()))
	}
	c.finish()
	if !eventually(func() bool { return c.openResponses() == 0 }) {
		ch.fail("%v: closing the response's body did not close the base's", c)
	}
}

func (ch *checker) switchedBodyCanBeWrittenTo() {
	ch.Helper()
	ours := &echoConn{}
	wrapper := ch.wrap(NewTransport(Func(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{"Upgrade": {"echo"}}, Body: ours}, nil
	})))
	request, _ := http.NewRequest(http.MethodGet, contractURL, nil)
	request.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
	response, err := wrapper.RoundTrip(request)
	if err != nil || response == nil {
		ch.fail("got no response to an upgrade, but the error %v", err)
		return
	}
	theirs, ok := response.Body.(io.ReadWriteCloser)
	if !ok {
		ch.fail("the body of a 101 is a %T, and no io.Writer", response.Body)
		return
	}
	_, err = io.WriteString(theirs, "hello")
	if content, _ := io.ReadAll(theirs); err != nil || string(content) != "hello" {
		ch.fail("wrote %q to the body of a 101 and read %q back; the error was %v", "hello", content, err)
	}
	_ = theirs.Close()
	if !ours.closed.Load() {
		ch.fail("closing the body of a 101 did not close the base's")
	}
}

// An echoConn returns what is written to it.
type echoConn struct {
	strings.Builder
	read   int
	closed atomic.Bool
}

func (e *echoConn) Read(p []byte) (int, error) {
	n := copy(p, e.String()[e.read:])
	e.read += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (e *echoConn) Close() error {
	e.closed.Store(true)
	return nil
}

// An idleCloser counts the calls of the method that http.Client.CloseIdleConnections looks for.
type idleCloser struct {
	*Transport
	calls atomic.Int64
}

func (c *idleCloser) CloseIdleConnections() { c.calls.Add(1) }

func (ch *checker) closeIdleConnectionsIsForwarded() {
	ch.Helper()
	base := &idleCloser{Transport: NewTransport()}
	closer, ok := ch.wrap(base).(interface{ CloseIdleConnections() })
	if !ok {
		ch.fail("the wrapper has no method CloseIdleConnections, so http.Client's does nothing")
		return
	}
	closer.CloseIdleConnections()
	if base.calls.Load() != 1 {
		ch.fail("the base's CloseIdleConnections was called %s, want once", plural(int(base.calls.Load()), "time"))
	}
	defer func() {
		if problem := recover(); problem != nil {
			ch.fail("CloseIdleConnections panics if the base has none: %v", problem)
		}
	}()
	ch.wrap(NewTransport()).(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

func (ch *checker) concurrentCallsDoNotMix() {
	ch.Helper()
	wrapper := ch.wrap(NewTransport(Delay(time.Millisecond, echo())))
	start := make(chan struct{})
	var callers sync.WaitGroup
	var succeeded atomic.Int64
	for caller := range 16 {
		callers.Go(func() {
			<-start
			for n := range 8 {
				if ch.echoCall(wrapper, fmt.Sprintf("%d/%d", caller, n)) {
					succeeded.Add(1)
				}
			}
		})
	}
	close(start)
	callers.Wait()
	if succeeded.Load() == 0 {
		ch.fail("no call got a 200, although the base gives one to two calls of three")
	}
}

// echo responds with the request's body, and to every third request with a 503.
func echo() Func {
	var calls atomic.Int64
	return func(r *http.Request) (*http.Response, error) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if calls.Add(1)%3 == 0 {
			return Status(http.StatusServiceUnavailable).RoundTrip(r)
		}
		return Status(http.StatusOK).Header("Caller", r.Header.Get("Caller")).Body(string(content)).RoundTrip(r)
	}
}

// echoCall reports whether the call got a 200, which it checks.
func (ch *checker) echoCall(wrapper http.RoundTripper, name string) bool {
	request, _ := http.NewRequest(http.MethodPut, contractURL, strings.NewReader(name))
	request.Header.Set("Caller", name)
	response, err := wrapper.RoundTrip(request)
	if err != nil || response == nil || response.Body == nil || response.StatusCode != http.StatusOK {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if string(content) != name || response.Header.Get("Caller") != name {
		ch.fail("call %s got the response to %s, with the body %q and the error %v", name, response.Header.Get("Caller"), content, err)
	}
	return true
}

// eventually waits for a condition: by the contract another goroutine may close bodies after RoundTrip has returned.
func eventually(holds func() bool) bool {
	for range 100 {
		if holds() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}
