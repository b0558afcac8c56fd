package steadyhttptest

import (
	"errors"
	"net/http"
	"testing"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// End returns a step that ends a script: an attempt that reaches it fails the test. The client gets an error; from a
// [Server], that of a closed connection. Without an End, a script repeats its last step.
func End(t testing.TB) Step { return end{t} }

type end struct{ t testing.TB }

var errEnded = errors.New("steadyhttptest: the script has ended")

func (e end) RoundTrip(r *http.Request) (*http.Response, error) {
	return step.Play(e.Internal(), r, nil)
}

func (end) String() string { return "end" }

func (e end) Internal() step.Behavior {
	return step.Behavior{Stage: step.AtBody, Breaks: true, Play: e.play, Serve: e.serve}
}

func (e end) play(request *http.Request) (*http.Response, error) {
	e.t.Helper()
	e.t.Errorf("%v, but an attempt came: %s %s", errEnded, methodOf(request), request.URL)
	return nil, errEnded
}

func (e end) serve(_ http.ResponseWriter, r *http.Request, conn step.Conn) {
	_, _ = e.play(r)
	conn.HangUp(r)
}
