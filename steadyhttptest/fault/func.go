package fault

import (
	"cmp"
	"io"
	"net/http"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// A Func is a step of your own: a function that gets the request and returns what the client gets.
//
// The function may read the request's body or leave it: the rest is read and the body is closed for it. Without a network,
// what it returns is returned as it is, even a response together with an error, or neither.
//
// A Server sends the returned response, and closes the connection if there is an error or no response. It cannot know that
// beforehand, so net/http may retry the request by itself if the connection was used before. What the function leaves
// unread of the body is then missing in the recorded attempt.
type Func func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f Func) RoundTrip(r *http.Request) (*http.Response, error) {
	return step.Play(f.Internal(), r, nil)
}

// String returns "func".
func (Func) String() string { return "func" }

// Internal is for the packages of the kit: its result is of an internal package.
func (f Func) Internal() step.Behavior {
	if f == nil {
		return step.Invalid("nil Func").Internal()
	}
	return step.Behavior{Stage: step.ReadsBody, Play: f, Serve: f.serve}
}

func (f Func) serve(w http.ResponseWriter, r *http.Request, conn step.Conn) {
	response, err := f(r)
	if err != nil || response == nil {
		conn.HangUp(r)
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
