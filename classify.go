package steadyhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Class is what an outcome means: who is at fault, and what may be done about it.
//
// The class decides whether a request is sent again and what the circuit breaker counts. [Classify]
// assigns it; a [Classifier] may overrule.
type Class uint8

const (
	// Unclassified is the zero value. A [Classifier] returns it to say "no opinion".
	Unclassified Class = iota
	// Success is a 1xx, 2xx or 3xx answer.
	Success
	// ClientFault is a 4xx answer other than 429: the request is wrong, sending it again unchanged
	// cannot help, and the server that says so is healthy. It is never retried.
	ClientFault
	// Throttled is a 429: the server refused the request, and may say when to come back. It is retried
	// only when Retry-After says when.
	Throttled
	// Transient means that the server, or the way to it, failed, and that it may or may not have acted
	// on the request. Only idempotent requests are retried.
	Transient
	// Unprocessed means that the request failed and was surely never acted on: no connection was made,
	// or the server refused the HTTP/2 stream. Requests of any method are retried.
	Unprocessed
	// Permanent means that asking again would give the same: a 501, a refused certificate, a URL that
	// cannot be sent.
	Permanent
	// Canceled means that the caller gave up.
	Canceled
)

var classNames = [...]string{
	Unclassified: "unclassified", Success: "success", ClientFault: "client_fault", Throttled: "throttled",
	Transient: "transient", Unprocessed: "unprocessed", Permanent: "permanent", Canceled: "canceled",
}

// String returns the class in snake case, "client_fault" for example: fit for a log or a metric.
func (c Class) String() string { return nameOf(classNames[:], int(c)) }

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
// its own.
func Classify(req *http.Request, resp *http.Response, err error) Class {
	return classify(req, resp, err, 0)
}

func classify(request *http.Request, response *http.Response, err error, seen evidence) Class {
	if response != nil {
		return classifyStatus(response.StatusCode)
	}
	if err == nil {
		return Unclassified
	}
	return classifyError(request, err, seen)
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
func classifyError(request *http.Request, err error, seen evidence) Class {
	if class := classifyContext(request); class != Unclassified {
		return class
	}
	if seen&bodyFailed != 0 {
		return Permanent
	}
	switch class := classifyOurs(err); {
	case class == Canceled && request != nil: // another call's caller gave up, on a token for both, say
		return Transient
	case class != Unclassified:
		return class
	case isPermanent(err):
		return Permanent
	case seen&neverConnected != 0, isUnprocessed(err):
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
	switch why := ended(request); {
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
	)
	switch {
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
func isClosedIdle(err error) bool { return says(err, "http: server closed idle connection") }

// isHeaderTooLarge reports whether the request's header is larger than the server takes, as it said by
// HTTP/2's SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2). Over HTTP/1 that is a 431. This error has no type
// either, and how large a header may be shows in no request.
func isHeaderTooLarge(err error) bool {
	return says(err, "http2: request header list larger than peer's advertised limit")
}

// says finds an error by its text, for want of a type.
func says(err error, text string) bool {
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

// classifying is the layer that gives every outcome its class, once, and its verdict.
func classifying(classifier Classifier) layer {
	return func(next sender) sender {
		return func(x *exchange) {
			next(x)
			x.class = classify(x.request, x.response, x.err, x.seen)
			if classifier != nil {
				x.overrule(classifier)
			}
			x.verdict = x.judge()
		}
	}
}

// overrule asks the user's classifier.
func (x *exchange) overrule(classifier Classifier) {
	opinion := classifier(x.request, x.response, x.err)
	if opinion != Unclassified && opinion <= Canceled {
		x.class = opinion
	}
}

// idempotentMethods may be sent twice with the effect of once (RFC 9110 §9.2.2; QUERY is RFC 10008). A
// method is case-sensitive, and an empty one is GET.
var idempotentMethods = []string{
	"", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete, "QUERY",
}

// idempotent reports whether the request itself says that it may be sent twice. The presence of a key
// counts, even without a value, as it does for http.Request.isReplayable.
func idempotent(request *http.Request) bool {
	return slices.Contains(idempotentMethods, request.Method) || hasIdempotencyKey(request.Header)
}

const idempotencyKey = "Idempotency-Key"

func hasIdempotencyKey(header http.Header) bool {
	if _, ok := header[idempotencyKey]; ok {
		return true
	}
	_, ok := header["X-Idempotency-Key"]
	return ok
}

// retryAfter returns how long the response asks to be left alone: the largest valid Retry-After
// (RFC 9110 §10.2.3), relative to the response's own Date where there is one. Zero and the past mean
// now. It reports false when there is none, or none that makes sense.
func retryAfter(response *http.Response, received time.Time) (time.Duration, bool) {
	if response == nil || len(response.Header.Values("Retry-After")) == 0 {
		return 0, false
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		received = date
	}
	longest, found := time.Duration(0), false
	for _, line := range response.Header.Values("Retry-After") {
		if wait, ok := parseRetryAfter(line, received); ok {
			longest, found = max(longest, wait), true
		}
	}
	return longest, found
}

func parseRetryAfter(line string, received time.Time) (time.Duration, bool) {
	line = strings.TrimSpace(line)
	if seconds, ok := parseSeconds(line); ok {
		return seconds, true
	}
	date, err := http.ParseTime(line)
	if err != nil {
		return 0, false
	}
	return max(0, date.Sub(received)), true
}

// parseSeconds reads delay-seconds, and the decimal fraction that some servers add. It saturates, as
// RFC 9111 §1.2.2 asks of an overflow, and rounds up: a wait is never shortened.
func parseSeconds(text string) (time.Duration, bool) {
	whole, fraction, decimal := strings.Cut(text, ".")
	if !isDigits(whole) || decimal && !isDigits(fraction) {
		return 0, false
	}
	wait := time.Duration(0)
	for _, digit := range whole {
		seconds := wait/time.Second*10 + time.Duration(digit-'0')
		if seconds >= math.MaxInt64/time.Second {
			return math.MaxInt64, true
		}
		wait = seconds * time.Second
	}
	return wait + parseFraction(fraction), true
}

func parseFraction(digits string) time.Duration {
	wait, unit := time.Duration(0), time.Second/10
	for _, digit := range digits {
		if unit == 0 && digit != '0' {
			return wait + 1
		}
		wait += time.Duration(digit-'0') * unit
		unit /= 10
	}
	return wait
}

func isDigits(text string) bool {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	return text != "" && !strings.ContainsFunc(text, notDigit)
}
