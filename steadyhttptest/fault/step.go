package fault

import (
	"fmt"
	"net/http"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// A Step is what happens to one attempt.
//
// [Status] makes a [Response], and each [Fault] fails as networks do. [Fail], [Handler], [Func] and [Raw] make steps of
// your own; [Delay] puts a wait before any step.
//
// An [Injector] plays steps at a rate. A steadyhttptest.Transport and a steadyhttptest.Server play them in order. Alone,
// a Step is an [http.RoundTripper] that does the same for every request. A Step never changes and is safe for concurrent
// use, so one Step may be part of many scripts. String returns a short description, such as "503 after 1s".
type Step interface {
	http.RoundTripper
	fmt.Stringer
	sealed
}

// sealed keeps Step to the types of the kit: a Behavior is of an internal package.
type sealed interface{ Internal() step.Behavior }

// Delay returns a step that waits for d and then plays the late step. The wait ends early if the request's context does;
// the caller then gets its cause.
func Delay(d time.Duration, late Step) Step {
	if late == nil {
		late = step.NilStep
	}
	return delayed{late, d}
}

type delayed struct {
	Step
	wait time.Duration
}

func (d delayed) RoundTrip(r *http.Request) (*http.Response, error) {
	return step.Play(d.Internal(), r, nil)
}

func (d delayed) String() string { return fmt.Sprint(d.Step, " after ", d.wait) }

func (d delayed) Internal() step.Behavior {
	behavior := d.Step.Internal()
	play, serve := behavior.Play, behavior.Serve
	behavior.Play = func(request *http.Request) (*http.Response, error) {
		if err := step.Wait(request.Context(), d.wait); err != nil {
			return nil, err
		}
		return play(request)
	}
	behavior.Serve = func(w http.ResponseWriter, r *http.Request, conn step.Conn) {
		if step.Wait(r.Context(), d.wait) != nil {
			panic(http.ErrAbortHandler)
		}
		serve(w, r, conn)
	}
	return behavior
}

// Fail returns a step that fails with an error of your own. For the errors of net/http there is [Fault]. A Server has no
// errors to return: it closes the connection.
func Fail(err error) Step {
	if err == nil {
		return step.Invalid("Fail(nil): want an error")
	}
	return failure{err}
}

type failure struct{ err error }

func (f failure) RoundTrip(r *http.Request) (*http.Response, error) {
	return step.Play(f.Internal(), r, nil)
}

func (f failure) String() string { return "error: " + f.err.Error() }

func (f failure) Internal() step.Behavior {
	return step.Behavior{
		Stage: step.AtBody, Breaks: true,
		Play:  func(*http.Request) (*http.Response, error) { return nil, f.err },
		Serve: func(_ http.ResponseWriter, r *http.Request, conn step.Conn) { conn.HangUp(r) },
	}
}
