package steadyhttptest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"syscall"
	"time"
)

// A Fault is a [Step] that fails as networks and servers do.
//
// A [Transport] returns the error that net/http returns for it. A [Server] really does it, but for what
// is said below; the caller sees what the operating system and net/http make of that.
type Fault int

const (
	// Refused is a connection refused: nobody listens.
	//
	// A [Server] needs to be dialed by [Server.DialContext] for it and for the next two, as its own client
	// does. On a connection that is already there, they reset it.
	Refused Fault = iota + 1
	// NoSuchHost is a name that DNS does not know (NXDOMAIN). No DNS is asked.
	NoSuchHost
	// DialTimeout is a dial that takes too long. It does not take any time.
	DialTimeout
	// BadCertificate is a TLS certificate by an authority that nobody trusts. A [Server] without TLS
	// resets the connection.
	BadCertificate
	// ResetUnread resets the connection before the request is read.
	ResetUnread
	// Reset resets the connection once the request has been read.
	Reset
	// EOF closes the connection once the request has been read, without an answer. Over HTTP/2, net/http
	// makes an [io.ErrUnexpectedEOF] of that.
	EOF
	// HalfHeader sends half a response header and closes the connection.
	HalfHeader
	// HeaderTimeout is [http.Transport.ResponseHeaderTimeout] gone by. It does not take any time. A
	// [Server] says nothing, as for [Hang], and the client's own limit decides.
	HeaderTimeout
	// Hang says nothing until the caller gives up.
	Hang
	// GoAway is HTTP/2's GOAWAY, which leaves open whether the request was processed, and the end of the
	// connection. Over HTTP/1, a [Server] just closes the connection.
	GoAway
	// RefusedStream is HTTP/2's REFUSED_STREAM: the request was not processed. net/http sends it again by
	// itself, eight times in about a minute, if the body can be replayed. Over HTTP/1, a [Server] just
	// closes the connection.
	RefusedStream
)

// Faults returns all there are, for a test that goes through them.
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
func (f Fault) RoundTrip(r *http.Request) (*http.Response, error) { return perform(f, r, nil) }

// String returns the fault's name, such as "half a header".
func (f Fault) String() string {
	return cmp.Or(faultNames[f], fmt.Sprintf("Fault(%d)", int(f)))
}

func (f Fault) stage() stage {
	switch f {
	case Refused, NoSuchHost, DialTimeout:
		return dialing
	case BadCertificate:
		return securing
	case ResetUnread:
		return opening
	case RefusedStream:
		return arriving
	default:
		return answering
	}
}

func (f Fault) breaks() bool { return f != Hang && f != HeaderTimeout }

func (f Fault) play(request *http.Request) (*http.Response, error) {
	switch f {
	case HalfHeader:
		return Raw(halfHeader).play(request)
	case Hang:
		<-request.Context().Done()
		return nil, context.Cause(request.Context())
	case RefusedStream:
		return nil, refusal(request)
	default:
		return nil, f.err(request.URL)
	}
}

const halfHeader = "HTTP/1.1 200 OK\r\nContent-Le"

// err returns what net/http returns.
func (f Fault) err(target *url.URL) error {
	switch f {
	case Refused:
		return networkError("dial", addressOf(target), os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case NoSuchHost:
		return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: target.Hostname(), IsNotFound: true}}
	case DialTimeout:
		return networkError("dial", addressOf(target), timedOutDial())
	case BadCertificate:
		return certificateError(target)
	case ResetUnread, Reset:
		return networkError("read", addressOf(target), os.NewSyscallError("read", syscall.ECONNRESET))
	case EOF:
		return io.EOF
	case HeaderTimeout:
		return headerTimeout{}
	case GoAway:
		return errGoAway
	default:
		return fmt.Errorf("steadyhttptest: invalid step: %v: want one of the constants", f)
	}
}

func (f Fault) serve(w http.ResponseWriter, r *http.Request) {
	conn := connOf(r)
	switch f {
	case EOF:
		hangUp(r)
	case HalfHeader:
		conn.sayHalf(r.Context())
		hangUp(r)
	case Hang, HeaderTimeout:
		<-r.Context().Done()
	case GoAway:
		conn.goAway(r.Context())
		hangUp(r)
	case RefusedStream:
		conn.refuseStream(r)
	case Refused, NoSuchHost, DialTimeout, BadCertificate, ResetUnread, Reset:
		conn.reset()
	default:
		invalid(f.String()+": want one of the constants").serve(w, r)
		return
	}
	panic(http.ErrAbortHandler)
}

func networkError(operation string, remote address, err error) error {
	return &net.OpError{Op: operation, Net: "tcp", Addr: remote, Err: err}
}

// An address is a net.Addr that is nowhere.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func addressOf(target *url.URL) address {
	port := map[string]string{"http": "80", "https": "443"}[target.Scheme]
	return address(net.JoinHostPort(target.Hostname(), cmp.Or(target.Port(), port)))
}

// timedOutDial has the net package make its error, which has no exported type: a deadline that is over
// lets it dial nobody.
func timedOutDial() error {
	_, err := (&net.Dialer{Deadline: time.Unix(1, 0)}).Dial("tcp", "127.0.0.1:1")
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// certificateError has crypto/x509 make its error.
func certificateError(target *url.URL) error {
	stranger, err := newAuthority("nobody")
	if err != nil {
		return err
	}
	presented, err := stranger.issue(target.Hostname())
	if err != nil {
		return err
	}
	_, err = presented.Leaf.Verify(x509.VerifyOptions{Roots: x509.NewCertPool()})
	return &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{presented.Leaf}, Err: err}
}

// The rest are net/http's own errors, which have no exported types.

// headerTimeout is http.timeoutError.
type headerTimeout struct{}

func (headerTimeout) Error() string        { return "net/http: timeout awaiting response headers" }
func (headerTimeout) Timeout() bool        { return true }
func (headerTimeout) Temporary() bool      { return true }
func (headerTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

var errGoAway = fmt.Errorf("http2: server sent GOAWAY and closed the connection; LastStreamID=%d, ErrCode=NO_ERROR, debug=\"\"", lastStream)

// streamError is http.http2StreamError, whose As fills any struct with the same fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// refusal depends on whether net/http could have sent the body again (http2shouldRetryRequest).
func refusal(request *http.Request) error {
	err := streamError{StreamID: 1, Code: refusedStream, Cause: errors.New("received from peer")}
	if request.Body == nil || request.Body == http.NoBody || request.GetBody != nil {
		return err
	}
	return fmt.Errorf("http2: Transport: cannot retry err [%v] after Request.Body was written; define Request.GetBody to avoid this error", err)
}

func (e streamError) Error() string {
	return fmt.Sprintf("stream error: stream ID %d; REFUSED_STREAM; %v", e.StreamID, e.Cause)
}

func (e streamError) As(target any) bool {
	source, wanted := reflect.ValueOf(e), reflect.ValueOf(target).Elem()
	if wanted.Kind() != reflect.Struct || wanted.NumField() != source.NumField() {
		return false
	}
	for i := range source.NumField() {
		field := wanted.Type().Field(i)
		if field.Name != source.Type().Field(i).Name || !source.Field(i).Type().ConvertibleTo(field.Type) {
			return false
		}
	}
	for i := range source.NumField() {
		wanted.Field(i).Set(source.Field(i).Convert(wanted.Type().Field(i).Type))
	}
	return true
}
