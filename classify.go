package steadyhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"syscall"
)

// A Classifier overrules [Classify] for the outcomes it knows better; see [WithClassifier].
//
// It is called exactly once for each attempt, with exactly one of response and err non-nil, without
// locks held and possibly from many goroutines at once. It must not keep the response, and what it
// reads of the response's body it must put back. For an outcome without an opinion it returns
// [Unclassified], which means what Classify says; so does any value that is no Class.
type Classifier func(req *http.Request, resp *http.Response, err error) Class

// Classify says what an outcome means, by the outcome table in the module's README.
//
// A response decides alone; err is looked at only without one, and the request's context before err.
// The request may be nil. With neither response nor error it returns [Unclassified]. A [Transport]
// knows a little more than Classify, since it watched the attempt: whether a connection was ever made,
// and whether it was the request's own body that failed. An [*Error] that a Transport returned keeps the
// class that the Transport gave it, but for a [Canceled] one whose request goes on, and a [*ResponseError]
// its own: only so does it return [NotReady] or [ServerFault].
func Classify(req *http.Request, resp *http.Response, err error) Class {
	return classify(req, resp, err, 0)
}

func classify(request *http.Request, response *http.Response, err error, traced traceFlags) Class {
	if response != nil {
		return classifyStatus(response.StatusCode)
	}
	if err == nil {
		return Unclassified
	}
	return classifyError(request, err, traced)
}

// permanentStatuses are the 5xx that asking again cannot change (RFC 9110 §15.6.2 and §15.6.6, RFC 2295,
// RFC 4918, RFC 5842, RFC 2774, RFC 6585 §6; 526 is Cloudflare's refused origin certificate).
var permanentStatuses = []int{501, 505, 506, 507, 508, 510, 511, 526}

// classifyStatus treats a code outside 100–599 as a 5xx, as RFC 9110 §15 asks.
func classifyStatus(code int) Class {
	switch {
	case code >= 100 && code < 400:
		return Success
	case code == http.StatusTooManyRequests:
		return Throttled
	case code >= 400 && code < 500:
		return ClientFault
	case slices.Contains(permanentStatuses, code):
		return Permanent
	default:
		return Transient
	}
}

// classifyError asks the contexts first: HTTP/1 returns a bare context.Cause, which no type tells from
// any other error.
func classifyError(request *http.Request, err error, traced traceFlags) Class {
	if class := classifyContext(request); class != Unclassified {
		return class
	}
	if traced&bodyFailed != 0 {
		return Permanent
	}
	if traced&unsent != 0 { // whatever ended the attempt while it waited
		return Unprocessed
	}
	switch class := classifyOurs(err); {
	case class == Canceled && request != nil: // another call's caller gave up, on a token for both, say
		return Transient
	case class != Unclassified:
		return class
	case isPermanent(err):
		return Permanent
	case traced&neverConnected != 0, isUnsentOverHTTP2(err), isUnprocessed(err):
		return Unprocessed
	case !isWireError(err) && unsendable(request):
		return Permanent
	default:
		return Transient
	}
}

func classifyContext(request *http.Request) Class {
	if request == nil {
		return Unclassified
	}
	switch why := callerErr(request); {
	case why == nil:
		return Unclassified
	case errors.Is(why, context.DeadlineExceeded):
		return Transient
	default:
		return Canceled
	}
}

// classifyOurs knows the errors that this package makes.
func classifyOurs(err error) Class {
	var (
		failed   *Error
		answered *ResponseError
		resent   *resendError
	)
	switch {
	case errors.As(err, &resent):
		return resent.class()
	case errors.As(err, &failed):
		return failed.Class
	case errors.As(err, &answered):
		return answered.Class
	case errors.Is(err, ErrCircuitOpen):
		return Unprocessed
	case errors.Is(err, ErrAttemptTimeout):
		return Transient
	default:
		return Unclassified
	}
}

// isPermanent finds the failures that are the same tomorrow.
func isPermanent(err error) bool {
	var (
		name      *net.DNSError
		address   *net.AddrError
		plaintext tls.RecordHeaderError
	)
	switch {
	case isCertificateError(err), isRemoteAlert(err), isHeaderTooLarge(err):
		return true
	case errors.As(err, &name):
		return name.IsNotFound && !name.IsTemporary
	default:
		return errors.As(err, &address) || errors.As(err, &plaintext)
	}
}

// isCertificateError looks for the wrapper and for the types in it: a VerifyPeerCertificate function
// may return one of them bare, and Go 1.20 introduced the wrapper.
func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		roots        x509.SystemRootsError
		algorithm    x509.InsecureAlgorithmError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) ||
		errors.As(err, &invalid) || errors.As(err, &roots) || errors.As(err, &algorithm)
}

// passingAlerts tell of what may not happen again (RFC 8446 §6.2): bad_record_mac, that something was corrupted
// on the way, and internal_error, that the peer failed for a reason that has nothing to do with us.
var passingAlerts = []uint64{20, 80}

// isRemoteAlert reports whether the peer refused TLS: a version, a cipher, our certificate. crypto/tls
// wraps its unexported alert, a uint8, in a net.OpError, so tls.AlertError does not match.
func isRemoteAlert(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	alert := reflect.ValueOf(op.Err)
	return alert.Kind() != reflect.Uint8 || !slices.Contains(passingAlerts, alert.Uint())
}

// isUnprocessed finds the failures that surely happened before the server could act on the request.
func isUnprocessed(err error) bool {
	var (
		name   *net.DNSError
		stream streamError
	)
	return isDial(err) || isClosedIdle(err) || isLocalExhaustion(err) || errors.As(err, &name) ||
		errors.As(err, &stream) && stream.Code == refusedStream
}

// isDial knows the operations that precede a connection: net.Dialer's, http.Transport.dialConn's, and
// the SOCKS dialer's in net/http.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect" || op.Op == "socks connect")
}

// isClosedIdle reports whether http.Transport picked an idle connection that the server had closed.
// It then knows that nothing was written (persistConn.mapRoundTripError), but the error has no type.
func isClosedIdle(err error) bool { return hasErrorText(err, "http: server closed idle connection") }

// isHeaderTooLarge reports whether the request's header is larger than the server takes, as it said by
// HTTP/2's SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2). Over HTTP/1 that is a 431. This error has no type
// either, and how large a header may be shows in no request.
func isHeaderTooLarge(err error) bool {
	return hasErrorText(err, "http2: request header list larger than peer's advertised limit")
}

// hasErrorText finds an error by its text, for want of a type.
func hasErrorText(err error, text string) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err.Error() == text {
			return true
		}
	}
	return false
}

// isLocalExhaustion reports whether this machine ran out of ports or file descriptors.
func isLocalExhaustion(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE) ||
		errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// streamError has the shape of net/http's HTTP/2 stream error, whose As method fills any struct with
// these fields (http2StreamError.As).
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "HTTP/2 stream error" }

// refusedStream is HTTP/2's REFUSED_STREAM (RFC 9113 §7), by which a server promises that it did not
// act on the request (§8.7).
const refusedStream = 7

// isWireError reports whether err can only have come from a connection. A *url.Error, which http.Client puts
// around every error, has a net.Error's methods and says nothing of its own; and a connection that was closed
// on our side, net/http may have closed because it could not write the request (persistConn.writeLoop).
func isWireError(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var network net.Error
	if !errors.As(err, &network) {
		return false
	}
	client, ok := network.(*url.Error)
	return !ok || isWireError(client.Err)
}
