package fault

import (
	"cmp"
	"io"
	"net/http"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// Handler returns a step that responds as a handler does.
//
// Without a network, the response comes once the handler has returned, and a panic with [http.ErrAbortHandler] is an
// [io.EOF] to the client. Other panics go through to the caller of RoundTrip.
func Handler(handler http.Handler) Step {
	if handler == nil {
		return step.Invalid("Handler(nil): want a handler")
	}
	return handled{handler}
}

type handled struct{ handler http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	return step.Play(h.Internal(), r, nil)
}

func (handled) String() string { return "handler" }

func (h handled) Internal() step.Behavior {
	return step.Behavior{
		Stage: step.ReadsBody,
		Play:  h.play,
		Serve: func(w http.ResponseWriter, r *http.Request, _ step.Conn) { h.handler.ServeHTTP(w, r) },
	}
}

func (h handled) play(request *http.Request) (_ *http.Response, err error) {
	defer func() {
		if problem := recover(); problem == http.ErrAbortHandler {
			err = io.EOF
		} else if problem != nil {
			panic(problem)
		}
	}()
	recorded := newRecorder()
	h.handler.ServeHTTP(recorded, asServed(request))
	return recorded.response(), nil
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
