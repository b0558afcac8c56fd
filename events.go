package steadyhttp

import (
	"context"
	"net/http"
	"time"
)

// Event is something that a [Transport] did; see [WithObserver].
//
// Which fields are set depends on Kind. Request holds secrets, and Err holds what the base transport put
// into it: take from them what may be shown, as [Event.LogValue] does.
type Event struct {
	Kind EventKind
	// Request is the caller's, read-only; nil for EventBreaker and EventPause.
	Request *http.Request
	// Origin is "https://api.example.com:443", or what [WithOriginKey] returned.
	Origin string
	// Attempt counts from 1. For EventEnd it is how many attempts were made: 0 if nothing was sent. It is 0
	// for EventBreaker and EventPause.
	Attempt int
	// Class, StatusCode (0 without a response) and Err are the last attempt's.
	Class      Class
	StatusCode int
	Err        error
	// Duration is the attempt's, until the response's header or the error; for EventAttempt.
	Duration time.Duration
	// Resends is how often the base transport sent the request again by itself, as in [Attempt]; for
	// EventAttempt.
	Resends int
	// Held is how long a pause held the attempt back before it was sent; for EventAttempt. See [WithOriginPause].
	Held time.Duration
	// Wait is the time before the next attempt; for EventRetry, and for EventResume unless Stopped is set.
	Wait time.Duration
	// Offset is how much of the response's body was read before it broke of Err; for EventResume.
	Offset int64
	// Stopped is why no further attempt was made; for EventEnd, and for EventResume if the body is not resumed.
	Stopped StopReason
	// From and To are the breaker's states; for EventBreaker.
	From, To BreakerState
	// Reason is why a breaker opened or was reset: "failures", or what [Breaker.Isolate] or [Breaker.Trip] was given; "reset"
	// after [Breaker.Reset]; "fleet" where other processes saw the origin fail, or work again; for EventBreaker.
	Reason string
	// Shadow is whether a breaker changed its state that rejects nothing, for EventBreaker, or would have rejected the
	// attempt, for EventAttempt; see [WithShadowBreaker].
	Shadow bool
	// PauseFrom and PauseTo are the pause's states; for EventPause.
	PauseFrom, PauseTo PauseState
}

// EventKind is what an [Event] tells of.
type EventKind uint8

const (
	// EventAttempt: an attempt ended. There is one for each time that a request was sent.
	EventAttempt EventKind = iota + 1
	// EventRetry: the request will be retried after Wait.
	EventRetry
	// EventEnd: the call ended, and why. There is one for each call, also for one that succeeded or was never
	// sent.
	EventEnd
	// EventBreaker: a breaker changed its state.
	EventBreaker
	// EventPause: the pause of an origin, or of a key of [WithPauseKey], changed its state.
	EventPause
	// EventResume: the body of a response that was returned broke. The rest will be asked for after Wait, or, if Stopped
	// is set, not. It comes after the call's EventEnd; see [WithResume].
	EventResume
)

var eventKindNames = [...]string{
	0: "none", EventAttempt: "attempt", EventRetry: "retry", EventEnd: "end", EventBreaker: "breaker", EventPause: "pause",
	EventResume: "resume",
}

// String returns the kind in snake case, "breaker" for example.
func (k EventKind) String() string { return nameOf(eventKindNames[:], int(k)) }

// MarshalText returns String, so that a kind is text in JSON.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// An Observer is a function that is told of each [Event]; see [WithObserver].
type Observer func(context.Context, Event)

// combine makes one observer of several; nil of none.
func combine(observers []Observer) Observer {
	switch len(observers) {
	case 0:
		return nil
	case 1:
		return observers[0]
	}
	return func(ctx context.Context, event Event) {
		for _, observe := range observers {
			observe(ctx, event)
		}
	}
}
