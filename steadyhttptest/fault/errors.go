package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"syscall"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/network"
)

// err returns what net/http returns for the fault.
func (f Fault) err(target *url.URL) error {
	remote := network.AddressOf(target)
	switch f {
	case Refused:
		return network.SystemError("dial", remote, "connect", syscall.ECONNREFUSED)
	case NoSuchHost:
		return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: target.Hostname(), IsNotFound: true}}
	case DialTimeout:
		return network.Error("dial", remote, dialTimeout())
	case BadCertificate:
		return certificateError(target)
	case EOF:
		return io.EOF
	case HeaderTimeout:
		return headerTimeout{}
	case GoAway:
		return errGoAway
	default: // ResetUnread, Reset
		return network.SystemError("read", remote, "read", syscall.ECONNRESET)
	}
}

// dialTimeout returns package net's own error, which has no exported type. A dial whose deadline has passed sends
// nothing.
func dialTimeout() error {
	_, err := (&net.Dialer{Deadline: time.Unix(1, 0)}).Dial("tcp", "127.0.0.1:1")
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// certificateError returns crypto/x509's own error.
func certificateError(target *url.URL) error {
	presented, err := network.UntrustedCertificate(target.Hostname())
	if err != nil {
		return err
	}
	_, err = presented.Leaf.Verify(x509.VerifyOptions{Roots: x509.NewCertPool()})
	return &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{presented.Leaf}, Err: err}
}

// The following errors stand for net/http's own, which have no exported types.

// headerTimeout is http.timeoutError.
type headerTimeout struct{}

func (headerTimeout) Error() string        { return "net/http: timeout awaiting response headers" }
func (headerTimeout) Timeout() bool        { return true }
func (headerTimeout) Temporary() bool      { return true }
func (headerTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

var errGoAway = fmt.Errorf("http2: server sent GOAWAY and closed the connection; LastStreamID=%d, ErrCode=NO_ERROR, debug=\"\"", network.LastStream)

// streamError is http.http2StreamError, whose As fills any struct that has the same fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// refusedStream depends on whether net/http could have replayed the body (http2shouldRetryRequest).
func refusedStream(request *http.Request) error {
	err := streamError{StreamID: 1, Code: network.RefusedStream, Cause: errors.New("received from peer")}
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
	if !sameFields(source.Type(), wanted.Type()) {
		return false
	}
	for i := range source.NumField() {
		wanted.Field(i).Set(source.Field(i).Convert(wanted.Type().Field(i).Type))
	}
	return true
}

func sameFields(source, wanted reflect.Type) bool {
	if wanted.Kind() != reflect.Struct || wanted.NumField() != source.NumField() {
		return false
	}
	for i := range source.NumField() {
		from, to := source.Field(i), wanted.Field(i)
		if from.Name != to.Name || !from.Type.ConvertibleTo(to.Type) {
			return false
		}
	}
	return true
}
