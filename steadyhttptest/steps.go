package steadyhttptest

import (
	"net/http"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/fault"
)

// A Step is what happens to one attempt.
//
// [Status] makes a [Response], and each [Fault] fails as networks do. [Fail], [Handler], [Func] and [Raw] make steps of
// your own; [Delay] puts a wait before any step, and [End] ends a script.
//
// A [Transport] and a [Server] play steps in order, and an [Injector] plays them at a rate. Alone, a Step is an
// [http.RoundTripper] that does the same for every request. A Step never changes and is safe for concurrent use, so one
// Step may be part of many scripts.
type Step = fault.Step

// A Response is a [Step] that responds. [Status] makes one. Its methods Header, Body, CutAfter, Truncated, Stalled and
// Endless return changed copies; see [fault.Response].
type Response = fault.Response

// A File is a [Step] that serves a file, by ranges and with validators, and that can break. [NewFile] makes one. Its methods
// ETag, Modified, WithoutRanges, CutAfter and StallAfter return changed copies; see [fault.File].
type File = fault.File

// A Fault is a [Step] that fails as networks and servers do. The constants are described at [fault.Fault].
type Fault = fault.Fault

// A Func is a [Step] of your own: a function that gets the request and returns what the client gets. See [fault.Func].
type Func = fault.Func

// The faults of networks and servers.
const (
	Refused        = fault.Refused        // the connection is refused: nobody listens
	NoSuchHost     = fault.NoSuchHost     // DNS does not know the host
	DialTimeout    = fault.DialTimeout    // the dial takes too long; fails immediately
	BadCertificate = fault.BadCertificate // nobody trusts the server's TLS certificate
	ResetUnread    = fault.ResetUnread    // the connection is reset before the request is read
	Reset          = fault.Reset          // the connection is reset after the request was read
	EOF            = fault.EOF            // the connection is closed without a response
	HalfHeader     = fault.HalfHeader     // half a response header, then the connection is closed
	HeaderTimeout  = fault.HeaderTimeout  // http.Transport.ResponseHeaderTimeout ends; fails immediately
	Hang           = fault.Hang           // no response until the caller gives up; needs a deadline
	GoAway         = fault.GoAway         // HTTP/2's GOAWAY, then the end of the connection
	RefusedStream  = fault.RefusedStream  // HTTP/2's REFUSED_STREAM: the request was not processed
)

// Values of Retry-After that a client cannot follow, for a [Response]'s Header.
const (
	BadRetryAfter  = fault.BadRetryAfter  // neither seconds nor a date
	HugeRetryAfter = fault.HugeRetryAfter // 292 years; a time.Duration cannot hold so many seconds
)

// Faults returns all faults, for a test that tries each.
func Faults() []Fault { return fault.Faults() }

// Status returns a response with a status code from 200 to 999. (For a 101, use [Handler] or [Func].) Its body is the
// code's text, such as "Service Unavailable", unless the response's Body method sets another.
func Status(code int) Response { return fault.Status(code) }

// NewFile returns a file with this content, and a strong ETag that is made of it. It has no Last-Modified.
func NewFile(content string) File { return fault.NewFile(content) }

// Delay returns a step that waits for d and then plays the late step. The wait ends early if the request's context does;
// the caller then gets its cause.
func Delay(d time.Duration, late Step) Step { return fault.Delay(d, late) }

// Fail returns a step that fails with an error of your own. For the errors of net/http there is [Fault]. A [Server] has no
// errors to return: it closes the connection.
func Fail(err error) Step { return fault.Fail(err) }

// Handler returns a step that responds as a handler does.
//
// In a [Transport] the response comes once the handler has returned, and a panic with [http.ErrAbortHandler] is an [io.EOF]
// to the client. Other panics go through to the caller of RoundTrip.
func Handler(handler http.Handler) Step { return fault.Handler(handler) }

// Raw returns a step that responds with these bytes, which need not be HTTP, and then closes the connection. In a
// [Transport], net/http's HTTP/1 reads them as it reads them from a connection.
func Raw(text string) Step { return fault.Raw(text) }

// An Injector is an [http.RoundTripper] that plays faults to a share of the requests and sends the others on. It is made
// for programs, which import it from package fault; see [fault.Injector].
type Injector = fault.Injector

// An Injection says which requests an [Injector] treats, and how. See [fault.Injection].
type Injection = fault.Injection

// FaultHeader is the header field that marks a response made by an [Injector]. Its value is the step's String.
const FaultHeader = fault.FaultHeader
