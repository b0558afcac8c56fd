// Package step is what the packages of the test kit know of a step and a user need not: how it is played in place of a
// network, and how a server performs it.
package step

import (
	"context"
	"net/http"
)

// A Behavior is what a step does to an attempt. Package fault describes its steps so, and whoever plays a step carries
// the Behavior out: [Play] in place of a network, a Server on a real connection.
type Behavior struct {
	// Stage is how far the request gets before the step acts.
	Stage Stage
	// Breaks says that the step loses the connection. Such a step needs a connection of its own: net/http retries by
	// itself what a reused connection loses.
	Breaks bool
	// Play returns what the client gets.
	Play func(*http.Request) (*http.Response, error)
	// Serve does what a server does, with the request in hand.
	Serve func(http.ResponseWriter, *http.Request, Conn)
}

// A Stage is how far a request gets before a step acts on it. The stages are in the order of time.
type Stage int

const (
	AtDial      Stage = iota // there is no connection yet
	AtHandshake              // there is a connection, and no TLS on it
	AtFirstByte              // the request's first bytes arrive: nothing of it is read
	AtHeader                 // the request's header has been read, its body has not
	AtBody                   // the whole request has been read
	ReadsBody                // the header has been read; the step reads the body by itself
)

// A Conn is the server's side of a connection. It can do what net/http's server has no means for.
type Conn interface {
	// Send writes bytes past net/http.
	Send(text string)
	// SendHalfHeader sends the start of a response header.
	SendHalfHeader(context.Context)
	// GoAway sends HTTP/2's GOAWAY. Over HTTP/1 it does nothing.
	GoAway(context.Context)
	// RefuseStream ends the request's stream by REFUSED_STREAM; over HTTP/1 it hangs up. It does not return.
	RefuseStream(*http.Request)
	// Reset drops the connection by a TCP RST.
	Reset()
	// HangUp closes the connection in good order. It does not return.
	HangUp(*http.Request)
}

// HalfHeader is what SendHalfHeader sends over HTTP/1.
const HalfHeader = "HTTP/1.1 200 OK\r\nContent-Le"
