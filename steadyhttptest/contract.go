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
)

// CheckRoundTripper checks that a wrapper keeps the contract of [http.RoundTripper]. wrap is called many
// times; each time it must return a new wrapper around base, which sends through nothing else.
//
// What is checked: the request is not modified, and its body closed exactly once. Exactly one of response
// and error is returned. A response is whole and can still be read, and the body of a 101 written to.
// CloseIdleConnections is forwarded. Calls at the same time do not mix. Each resend has the whole body, no
// response that is not returned is left open, and no redirect followed. Run it under the race detector.
//
// Given a [*testing.T], each of these is a subtest in a [testing/synctest] bubble of its own: the
// wrapper's waits take no time, and its goroutines must come to an end. It cannot be called in a bubble.
//
// A wrapper that changes what is sent, by compressing it for example, fails the claims about whole bodies
// and about calls at the same time.
func CheckRoundTripper(t testing.TB, wrap func(base http.RoundTripper) http.RoundTripper) {
	t.Helper()
	for _, c := range contract {
		if test, ok := t.(*testing.T); ok {
			test.Run(c.claim, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c.check(&inspection{TB: t, wrap: wrap})
					time.Sleep(aftermath) // virtual: the bubble's time ends with this function
				})
			})
			continue
		}
		c.check(&inspection{TB: claiming{t, c.claim}, wrap: wrap})
	}
}

// aftermath is how long a wrapper's goroutines may outlive the calls, as a hedged request's loser does.
const aftermath = time.Minute

// claiming names the claim where there are no subtests to do it.
type claiming struct {
	testing.TB
	claim string
}

func (c claiming) Errorf(format string, args ...any) {
	c.Helper()
	c.TB.Errorf("%s: %s", c.claim, fmt.Sprintf(format, args...))
}

var contract = []struct {
	claim string
	check func(*inspection)
}{
	{"request is not modified", each((*inspection).requestIsNotModified)},
	{"request body is closed once", each((*inspection).requestBodyIsClosedOnce)},
	{"every attempt has the whole body", each((*inspection).everyAttemptHasTheWholeBody)},
	{"redirect is not followed", each((*inspection).redirectIsNotFollowed)},
	{"either response or error", each((*inspection).eitherResponseOrError)},
	{"response can be read", each((*inspection).responseCanBeRead)},
	{"no response is left open", each((*inspection).noResponseIsLeftOpen)},
	{"body of a 101 can be written to", (*inspection).switchedBodyCanBeWrittenTo},
	{"CloseIdleConnections is forwarded", (*inspection).closeIdleConnectionsIsForwarded},
	{"calls at the same time do not mix", (*inspection).callsAtTheSameTimeDoNotMix},
}

// An inspection is of one wrapper, for one claim. It ends at the first fault: the same one would show in
// many situations.
type inspection struct {
	testing.TB
	wrap  func(http.RoundTripper) http.RoundTripper
	fault atomic.Bool
}

func (i *inspection) found(format string, args ...any) {
	i.Helper()
	if !i.fault.Swap(true) {
		i.Errorf("steadyhttptest: "+format, args...)
	}
}

// each makes calls in all situations, with all kinds of bodies, and has each one checked.
func each(check func(*inspection, *call)) func(*inspection) {
	return func(i *inspection) {
		i.Helper()
		for _, s := range situations {
			for _, kind := range []bodyKind{replayable, streamed, bodyless} {
				s.meet(i, kind, check)
			}
		}
	}
}

func (s situation) meet(i *inspection, kind bodyKind, check func(*inspection, *call)) {
	i.Helper()
	base := NewTransport(s.steps...)
	wrapper := i.wrap(base)
	for range max(1, s.calls) {
		if i.fault.Load() {
			return
		}
		seen := base.count()
		c := s.call(wrapper, kind)
		c.base, c.seen = base, seen
		check(i, c)
		c.done()
	}
}

func (i *inspection) requestIsNotModified(c *call) {
	i.Helper()
	before, after := reflect.ValueOf(*c.before), reflect.ValueOf(*c.request)
	for n := range before.NumField() {
		field := before.Type().Field(n)
		if !field.IsExported() || field.Name == "GetBody" {
			continue
		}
		if was, is := before.Field(n).Interface(), after.Field(n).Interface(); !reflect.DeepEqual(was, is) {
			i.found("%v: the request's %s was %v, and now is %v", c, field.Name, was, is)
		}
	}
	if c.changedMeanwhile() {
		i.found("%v: the request's Header was modified while it was sent", c)
	}
	if c.before.Context() != c.request.Context() {
		i.found("%v: the request has another context", c)
	}
	if (c.before.GetBody == nil) != (c.request.GetBody == nil) {
		i.found("%v: the request's GetBody was set or taken away", c)
	}
}

func (i *inspection) requestBodyIsClosedOnce(c *call) {
	i.Helper()
	c.done()
	eventually(func() bool { return !slices.Contains(c.bodies.closes(), 0) })
	for n, times := range c.bodies.closes() {
		if times != 1 {
			i.found("%v: %s was closed %s, want once", c, bodyName(n), plural(int(times), "time"))
		}
	}
}

func bodyName(n int) string {
	if n == 0 {
		return "the request's body"
	}
	return fmt.Sprintf("body %d from GetBody", n)
}

func (i *inspection) everyAttemptHasTheWholeBody(c *call) {
	i.Helper()
	for n, a := range c.attempts() {
		if a.URL == contractURL && a.Step.stage() >= answering && string(a.Body) != c.sent {
			i.found("%v: attempt %d had the body %q, want %q", c, n+1, a.Body, c.sent)
		}
	}
}

func (i *inspection) redirectIsNotFollowed(c *call) {
	i.Helper()
	for n, a := range c.attempts() {
		if strings.HasSuffix(a.URL, elsewhere) {
			i.found("%v: attempt %d went to %s, which is for the client to decide", c, n+1, a.URL)
		}
	}
}

func (i *inspection) eitherResponseOrError(c *call) {
	i.Helper()
	switch {
	case c.response != nil && c.err != nil:
		i.found("%v: got both a response and the error %q", c, c.err)
	case c.response == nil && c.err == nil:
		i.found("%v: got neither a response nor an error", c)
	}
}

func (i *inspection) responseCanBeRead(c *call) {
	i.Helper()
	if c.response == nil || c.response.StatusCode == http.StatusNoContent {
		return
	}
	if c.response.Body == nil {
		i.found("%v: the response's body is nil", c)
		return
	}
	content, err := io.ReadAll(c.response.Body)
	want := string(content) // of a response that the wrapper made
	if c.response.Header.Get(madeBy) != "" {
		want = http.StatusText(c.response.StatusCode)
	}
	if err != nil || string(content) != want {
		i.found("%v: the response's body is %q and %v, want %q", c, content, err, want)
	}
}

func (i *inspection) noResponseIsLeftOpen(c *call) {
	i.Helper()
	returned := 0
	if c.response != nil {
		returned = 1
	}
	if !eventually(func() bool { return c.open() <= returned }) {
		i.found("%v: %s left open beside what was returned%s", c, plural(c.open()-returned, "response"), list(c.attempts()))
	}
	c.done()
	if !eventually(func() bool { return c.open() == 0 }) {
		i.found("%v: to close the response's body did not close that of the base", c)
	}
}

func (i *inspection) switchedBodyCanBeWrittenTo() {
	i.Helper()
	ours := &loop{}
	wrapper := i.wrap(NewTransport(Func(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{"Upgrade": {"echo"}}, Body: ours}, nil
	})))
	request, _ := http.NewRequest(http.MethodGet, contractURL, nil)
	request.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
	response, err := wrapper.RoundTrip(request)
	if err != nil || response == nil {
		i.found("got no response to an upgrade, but the error %v", err)
		return
	}
	theirs, ok := response.Body.(io.ReadWriteCloser)
	if !ok {
		i.found("the body of a 101 is a %T, and no io.Writer", response.Body)
		return
	}
	_, err = io.WriteString(theirs, "hello")
	if content, _ := io.ReadAll(theirs); err != nil || string(content) != "hello" {
		i.found("what was written to the body of a 101, %q, was read as %q; the error was %v", "hello", content, err)
	}
	if _ = theirs.Close(); !ours.closed.Load() {
		i.found("to close the body of a 101 did not close that of the base")
	}
}

// A loop is a connection in which all that is said is repeated.
type loop struct {
	strings.Builder
	read   int
	closed atomic.Bool
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.String()[l.read:])
	if l.read += n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (l *loop) Close() error {
	l.closed.Store(true)
	return nil
}

// An idleCloser counts the calls of the method that http.Client.CloseIdleConnections looks for.
type idleCloser struct {
	*Transport
	calls atomic.Int64
}

func (c *idleCloser) CloseIdleConnections() { c.calls.Add(1) }

func (i *inspection) closeIdleConnectionsIsForwarded() {
	i.Helper()
	base := &idleCloser{Transport: NewTransport()}
	closer, ok := i.wrap(base).(interface{ CloseIdleConnections() })
	if !ok {
		i.found("there is no method CloseIdleConnections, so http.Client's does nothing")
		return
	}
	if closer.CloseIdleConnections(); base.calls.Load() != 1 {
		i.found("CloseIdleConnections of the base was called %s, want once", plural(int(base.calls.Load()), "time"))
	}
	defer func() {
		if problem := recover(); problem != nil {
			i.found("CloseIdleConnections panics over a base that has none: %v", problem)
		}
	}()
	i.wrap(NewTransport()).(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

func (i *inspection) callsAtTheSameTimeDoNotMix() {
	i.Helper()
	wrapper := i.wrap(NewTransport(Delay(time.Millisecond, repeating())))
	start := make(chan struct{})
	var callers sync.WaitGroup
	var answered atomic.Int64
	for caller := range 16 {
		callers.Go(func() {
			<-start
			for n := range 8 {
				if i.callAs(wrapper, fmt.Sprintf("%d/%d", caller, n)) {
					answered.Add(1)
				}
			}
		})
	}
	close(start)
	callers.Wait()
	if answered.Load() == 0 {
		i.found("no call got a 200, though two of three were answered so")
	}
}

// repeating answers with the body of the request, and each third time with a 503.
func repeating() Func {
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

// callAs reports whether there was a response to be checked.
func (i *inspection) callAs(wrapper http.RoundTripper, name string) bool {
	request, _ := http.NewRequest(http.MethodPut, contractURL, strings.NewReader(name))
	request.Header.Set("Caller", name)
	response, err := wrapper.RoundTrip(request)
	if err != nil || response == nil || response.Body == nil || response.StatusCode != http.StatusOK {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if string(content) != name || response.Header.Get("Caller") != name {
		i.found("call %s got the response to %s, with the body %q and the error %v", name, response.Header.Get("Caller"), content, err)
	}
	return true
}

// eventually waits for what the contract lets another goroutine do after RoundTrip has returned.
func eventually(holds func() bool) bool {
	for range 100 {
		if holds() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}
