package fault

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// A Fault is a [Step] that fails as networks and servers do.
//
// Without a network, in an [Injector] or a steadyhttptest.Transport, it returns the error that net/http returns for such
// a failure. A steadyhttptest.Server makes it happen on a real connection, except where a constant says otherwise; the
// client then gets the error of the operating system and net/http.
type Fault int

const (
	// Refused is a refused connection: nobody listens.
	//
	// For Refused, NoSuchHost and DialTimeout, a Server must be dialed by its DialContext, as by its own client. On a
	// connection that is already open, they reset the connection.
	Refused Fault = iota + 1
	// NoSuchHost is a host name that DNS does not know (NXDOMAIN). No DNS server is asked.
	NoSuchHost
	// DialTimeout is a dial that takes too long. It fails immediately.
	DialTimeout
	// BadCertificate is a TLS certificate by an authority that nobody trusts. A Server without TLS resets the connection.
	BadCertificate
	// ResetUnread resets the connection before the request is read.
	ResetUnread
	// Reset resets the connection after the request was read.
	Reset
	// EOF closes the connection after the request was read, without a response. Over HTTP/2, net/http returns
	// [io.ErrUnexpectedEOF] for that.
	EOF
	// HalfHeader sends half a response header and closes the connection.
	HalfHeader
	// HeaderTimeout is the end of [http.Transport.ResponseHeaderTimeout]. It fails immediately. A Server sends nothing, as
	// for Hang, and the client's own limit decides.
	HeaderTimeout
	// Hang sends nothing until the caller gives up. In a [testing/synctest] bubble, give the call a deadline: without one
	// nothing can ever happen, and synctest panics with "deadlock".
	Hang
	// GoAway is HTTP/2's GOAWAY, which leaves open whether the request was processed, followed by the end of the
	// connection. Over HTTP/1, a Server just closes the connection.
	GoAway
	// RefusedStream is HTTP/2's REFUSED_STREAM: the request was not processed. net/http retries it by itself if the body
	// can be replayed, up to eight attempts in about a minute. Over HTTP/1, a Server just closes the connection.
	RefusedStream
)

// Faults returns all faults, for a test that tries each.
func Faults() []Fault {
	var all []Fault
	for f := Refused; f <= RefusedStream; f++ {
		all = append(all, f)
	}
	return all
}

var faultNames = map[Fault]string{
	Refused: "refused", NoSuchHost: "no such host", DialTimeout: "dial timeout", BadCertificate: "bad certificate",
	ResetUnread: "reset unread", Reset: "reset", EOF: "EOF", HalfHeader: "half a header",
	HeaderTimeout: "header timeout", Hang: "hang", GoAway: "GOAWAY", RefusedStream: "refused stream",
}

// RoundTrip fails.
func (f Fault) RoundTrip(r *http.Request) (*http.Response, error) {
	return step.Play(f.Internal(), r, nil)
}

// String returns the fault's name, such as "half a header".
func (f Fault) String() string {
	return cmp.Or(faultNames[f], fmt.Sprintf("Fault(%d)", int(f)))
}

// Internal is for the packages of the kit: its result is of an internal package.
func (f Fault) Internal() step.Behavior {
	if faultNames[f] == "" {
		return step.Invalid(f.String() + ": want one of the constants").Internal()
	}
	return step.Behavior{Stage: f.stage(), Breaks: f != Hang && f != HeaderTimeout, Play: f.play, Serve: f.serve}
}

func (f Fault) stage() step.Stage {
	switch f {
	case Refused, NoSuchHost, DialTimeout:
		return step.AtDial
	case BadCertificate:
		return step.AtHandshake
	case ResetUnread:
		return step.AtFirstByte
	case RefusedStream:
		return step.AtHeader
	default:
		return step.AtBody
	}
}

func (f Fault) play(request *http.Request) (*http.Response, error) {
	switch f {
	case HalfHeader:
		return raw{step.HalfHeader}.play(request)
	case Hang:
		<-request.Context().Done()
		return nil, context.Cause(request.Context())
	case RefusedStream:
		return nil, refusedStream(request)
	default:
		return nil, f.err(request.URL)
	}
}

func (f Fault) serve(_ http.ResponseWriter, r *http.Request, conn step.Conn) {
	switch f {
	case EOF:
		conn.HangUp(r)
	case HalfHeader:
		conn.SendHalfHeader(r.Context())
		conn.HangUp(r)
	case Hang, HeaderTimeout:
		<-r.Context().Done()
	case GoAway:
		conn.GoAway(r.Context())
		conn.HangUp(r)
	case RefusedStream:
		conn.RefuseStream(r)
	default:
		conn.Reset()
	}
	panic(http.ErrAbortHandler)
}
