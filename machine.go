package steadyhttp

import (
	"errors"

	"github.com/sony/gobreaker/v2"
)

// A machine is the state of a breaker, and the changes that there are: trip opens it, halfOpen lets a probe
// through, close ends the trouble.
//
// The state machine is sony/gobreaker's, which knows the transitions and is proven in many programs. It is
// fenced in here because nothing else of it is used: when to change is decided in breaker.go, by rules that
// gobreaker does not have, and an outcome that changes nothing must not cost a second lock.
//
// breaker.mu guards it. gobreaker takes its own mutex under that one, and calls back under both, so the
// callback does nothing but write the new state down.
type machine struct {
	state     BreakerState
	gobreaker *gobreaker.CircuitBreaker[struct{}] // nil until the first trip: most origins never fail
}

// errTrip stands for all failures: gobreaker is told of one only when it is to open.
var errTrip = errors.New("steadyhttp: the breaker trips")

// trip opens a closed or half-open machine.
func (m *machine) trip() { m.execute(errTrip) }

// close closes a half-open machine.
func (m *machine) close() { m.execute(nil) }

// halfOpen makes an open machine half-open: State looks at the clock, and finds gobreaker's own open time over.
func (m *machine) halfOpen() { m.gobreaker.State() }

// reset closes it at once: gobreaker, which has no way from open to closed, begins anew.
func (m *machine) reset() { *m = machine{} }

// execute tells gobreaker of an outcome. No user's code runs within Execute, so nothing can hang, panic or
// exit there.
func (m *machine) execute(outcome error) {
	if m.gobreaker == nil {
		m.gobreaker = m.newGobreaker()
	}
	_, _ = m.gobreaker.Execute(func() (struct{}, error) { return struct{}{}, outcome })
}

func (m *machine) newGobreaker() *gobreaker.CircuitBreaker[struct{}] {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:   1,                                           // one success of a probe closes
		Timeout:       1,                                           // ns; the open time is ours, and 0 would be a minute
		ReadyToTrip:   func(gobreaker.Counts) bool { return true }, // at the one failure that it is told of
		OnStateChange: func(_ string, _, to gobreaker.State) { m.state = breakerStates[to] },
	})
}

var breakerStates = [...]BreakerState{
	gobreaker.StateClosed:   BreakerClosed,
	gobreaker.StateHalfOpen: BreakerHalfOpen,
	gobreaker.StateOpen:     BreakerOpen,
}
