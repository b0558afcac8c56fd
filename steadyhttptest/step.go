package steadyhttptest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A Step is what becomes of one attempt: an [Answer], made by [Status]; a [Fault]; or what [Fail],
// [Handler], [Func], [Raw] and [End] make, and [Delay] of any of them.
//
// Each can be played by a [Transport], a [Server] and an [Injector]. By itself it is an
// [http.RoundTripper] that does the same for ever and remembers nothing. A Step does not change, so the
// same one may be in many scripts. Its String tells it shortly.
type Step interface {
	http.RoundTripper
	fmt.Stringer

	// play performs the step in place of a network.
	play(*http.Request) (*http.Response, error)
	// serve performs it as a server does, with the request in hand.
	serve(http.ResponseWriter, *http.Request)
	// stage tells how far a request comes.
	stage() stage
	// breaks reports whether the connection is lost. Such a step needs one of its own: net/http resends
	// by itself what a used one loses.
	breaks() bool
}

// A stage is how far a request has come when a step strikes.
type stage int

const (
	dialing   stage = iota // there is no connection yet,
	securing               // or no TLS on it,
	opening                // or nothing was read from it
	arriving               // the request's header has been read,
	answering              // and its body
	handling               // the step reads it by itself
)

// unbroken is for the steps that answer.
type unbroken struct{}

func (unbroken) breaks() bool { return false }

// breaking is for those that hang up once they have read the request.
type breaking struct{}

func (breaking) stage() stage { return answering }
func (breaking) breaks() bool { return true }

// Delay lets time pass before a step, unless the caller gives up.
func Delay(d time.Duration, step Step) Step { return delayed{orInvalid(step), d} }

type delayed struct {
	Step
	wait time.Duration
}

func (d delayed) RoundTrip(r *http.Request) (*http.Response, error) { return perform(d, r, nil) }

func (d delayed) String() string { return fmt.Sprint(d.Step, " after ", d.wait) }

func (d delayed) play(request *http.Request) (*http.Response, error) {
	if err := pause(request.Context(), d.wait); err != nil {
		return nil, err
	}
	return d.Step.play(request)
}

func (d delayed) serve(w http.ResponseWriter, r *http.Request) {
	if pause(r.Context(), d.wait) != nil {
		panic(http.ErrAbortHandler)
	}
	d.Step.serve(w, r)
}

// pause returns the context's cause if that ends first, as net/http's HTTP/1 does.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Fail ends an attempt with an error of your own. For those that net/http knows there is [Fault]. A
// [Server] has no errors to give, and hangs up.
func Fail(err error) Step {
	if err == nil {
		return invalid("Fail(nil): want an error")
	}
	return failure{err: err}
}

type failure struct {
	breaking
	err error
}

func (f failure) RoundTrip(r *http.Request) (*http.Response, error) { return perform(f, r, nil) }

func (f failure) String() string { return "error: " + f.err.Error() }

func (f failure) play(*http.Request) (*http.Response, error) { return nil, f.err }

func (failure) serve(_ http.ResponseWriter, r *http.Request) { hangUp(r) }

// Func is a step of your own, for a [Transport] and an [Injector] a [http.RoundTripper] and for a
// [Server] a handler.
//
// What it leaves unread of the request's body is read for it, by a Server without a note in the [Attempt],
// and the body is closed. A Server sends the response, or hangs up where there is an error; it cannot
// foresee that, so net/http may send the request again if the connection was used before. What it returns
// is passed on as it is, even if that is both response and error, or neither.
type Func func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f Func) RoundTrip(r *http.Request) (*http.Response, error) { return perform(f, r, nil) }

// String returns "func".
func (Func) String() string { return "func" }

func (Func) stage() stage { return handling }
func (Func) breaks() bool { return false }

func (f Func) play(request *http.Request) (*http.Response, error) {
	if f == nil {
		return invalid("nil Func").play(request)
	}
	return f(request)
}

func (f Func) serve(w http.ResponseWriter, r *http.Request) {
	response, err := f.play(r)
	if err != nil || response == nil {
		hangUp(r)
	}
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(cmp.Or(response.StatusCode, http.StatusOK))
	if response.Body != nil {
		defer func() { _ = response.Body.Close() }()
		_, _ = io.Copy(w, response.Body)
	}
}

// Handler answers as a handler does. In a [Transport] the answer comes once the handler has returned,
// and a panic with [http.ErrAbortHandler] is an [io.EOF] to the caller.
func Handler(handler http.Handler) Step {
	if handler == nil {
		return invalid("Handler(nil): want a handler")
	}
	return handled{handler: handler}
}

type handled struct {
	unbroken
	handler http.Handler
}

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) { return perform(h, r, nil) }

func (handled) String() string { return "handler" }

func (handled) stage() stage { return handling }

func (h handled) serve(w http.ResponseWriter, r *http.Request) { h.handler.ServeHTTP(w, r) }

func (h handled) play(request *http.Request) (_ *http.Response, err error) {
	defer func() {
		if problem := recover(); problem == http.ErrAbortHandler {
			err = io.EOF
		} else if problem != nil {
			panic(problem)
		}
	}()
	recorder := httptest.NewRecorder()
	h.handler.ServeHTTP(recorder, asServed(request))
	return recorder.Result(), nil
}

// asServed returns a client's request as a handler gets it.
func asServed(request *http.Request) *http.Request {
	served := request.WithContext(request.Context())
	served.Host = cmp.Or(request.Host, request.URL.Host)
	served.RequestURI = request.URL.RequestURI()
	if served.Body == nil {
		served.Body = http.NoBody
	}
	return served
}

// Raw answers with these bytes, which need not be HTTP, and hangs up. A [Transport] has net/http's
// HTTP/1 make of them what it makes of them on a connection.
func Raw(text string) Step { return raw{text: text} }

type raw struct {
	breaking
	text string
}

func (r raw) RoundTrip(request *http.Request) (*http.Response, error) {
	return perform(r, request, nil)
}

func (r raw) String() string { return fmt.Sprintf("raw %.20q", r.text) }

// play returns errors as net/http decorates them (persistConn.mapRoundTripError).
func (r raw) play(request *http.Request) (*http.Response, error) {
	if r.text == "" {
		return nil, io.EOF
	}
	wire := bufio.NewReader(strings.NewReader(r.text))
	for {
		response, err := http.ReadResponse(wire, request)
		if err != nil {
			return nil, fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", err)
		}
		if !isInterim(response.StatusCode) {
			return response, nil
		}
	}
}

// isInterim reports whether another response follows (RFC 9110 §15.2).
func isInterim(code int) bool {
	return code >= http.StatusContinue && code < http.StatusOK && code != http.StatusSwitchingProtocols
}

func (r raw) serve(_ http.ResponseWriter, request *http.Request) {
	connOf(request).say(r.text)
	hangUp(request)
}

// End ends a script loudly: an attempt that comes to it fails the test, and its caller gets an error,
// from a [Server] that of a lost connection. Without it a script repeats its last step.
func End(t testing.TB) Step { return end{t: t} }

type end struct {
	breaking
	t testing.TB
}

var errEnded = errors.New("steadyhttptest: the script has ended")

func (e end) RoundTrip(r *http.Request) (*http.Response, error) { return perform(e, r, nil) }

func (end) String() string { return "end" }

func (e end) play(request *http.Request) (*http.Response, error) {
	e.t.Helper()
	e.t.Errorf("%v, and there came %s %s", errEnded, methodOf(request), request.URL)
	return nil, errEnded
}

func (e end) serve(_ http.ResponseWriter, r *http.Request) {
	_, _ = e.play(r)
	hangUp(r)
}

// invalid is a step that cannot be played, and says why: a Transport by an error, a Server by a 500.
type invalid string

func orInvalid(step Step) Step {
	if step == nil {
		return invalid("nil Step")
	}
	return step
}

func (i invalid) RoundTrip(r *http.Request) (*http.Response, error) { return perform(i, r, nil) }

func (i invalid) String() string { return "invalid: " + string(i) }
func (invalid) stage() stage     { return answering }
func (invalid) breaks() bool     { return false }

func (i invalid) play(*http.Request) (*http.Response, error) {
	return nil, errors.New("steadyhttptest: invalid step: " + string(i))
}

func (i invalid) serve(w http.ResponseWriter, r *http.Request) {
	_, err := i.play(r)
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
