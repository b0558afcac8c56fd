package step

import (
	"errors"
	"net/http"
)

// An Invalid step says why it cannot be played: to a client by an error, from a server by a 500.
type Invalid string

// NilStep stands for a step that is nil.
const NilStep = Invalid("nil Step")

// RoundTrip fulfils http.RoundTripper.
func (i Invalid) RoundTrip(r *http.Request) (*http.Response, error) {
	return Play(i.Internal(), r, nil)
}

// String returns what is wrong with the step.
func (i Invalid) String() string { return "invalid: " + string(i) }

// Internal returns the step's Behavior.
func (i Invalid) Internal() Behavior { return Behavior{Stage: AtBody, Play: i.play, Serve: i.serve} }

func (i Invalid) err() error { return errors.New("steadyhttptest: invalid step: " + string(i)) }

func (i Invalid) play(*http.Request) (*http.Response, error) { return nil, i.err() }

func (i Invalid) serve(w http.ResponseWriter, _ *http.Request, _ Conn) {
	http.Error(w, i.err().Error(), http.StatusInternalServerError)
}
