package steadyhttp

import (
	"context"
	"errors"
	"net/http"
	"slices"
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
// knows a little more than Classify, since it watched the attempt: whether a connection was ever made, what
// kept it from being made, and whether it was the request's own body that failed. An [*Error] that a Transport returned keeps the
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

// classifyError asks the contexts before the error: HTTP/1 returns a bare context.Cause, which no type tells
// from any other error. What our own side did comes before the caller's deadline, which it may have used up.
func classifyError(request *http.Request, err error, traced traceFlags) Class {
	ended := classifyContext(request)
	switch {
	case ended == Canceled:
		return Canceled
	case isLocalError(err):
		return Permanent
	case traced&queued != 0:
		return Unprocessed
	case ended != Unclassified:
		return ended
	case traced&(bodyFailed|handshakeRefused) != 0:
		return Permanent
	case traced&unsent != 0: // whatever ended the attempt while it waited
		return Unprocessed
	}
	if class := classifyOurs(request, err); class != Unclassified {
		return class
	}
	return classifyForeign(request, err, traced)
}

// classifyForeign knows the errors of net/http, of what it calls, and of other base transports. A connection that was
// closed on our side is no proof that the request was sent: net/http may have closed it because it could not write the
// request (persistConn.writeLoop).
func classifyForeign(request *http.Request, err error, traced traceFlags) Class {
	facts := factsOf(err)
	sent := facts.has(wireFact) && !facts.has(closedFact)
	switch {
	case traced&garbled != 0:
		return Transient
	case facts.has(permanentFact), traced&unreadable != 0, isRefusal(err, facts, traced):
		return Permanent
	case traced&neverConnected != 0, facts.has(unprocessedFact):
		return Unprocessed
	case !sent && (unsendable(request) || isUnknownScheme(request, facts)):
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

// classifyOurs knows the errors that this package makes. A cancel that is not this request's was another
// caller's, who fetched a token for both, say.
func classifyOurs(request *http.Request, err error) Class {
	var (
		failed   *Error
		answered *ResponseError
		resent   *resendError
	)
	switch {
	case errors.As(err, &resent):
		return resent.class()
	case errors.As(err, &failed) && failed.Class == Canceled && request != nil:
		return Transient
	case errors.As(err, &failed):
		return failed.Class
	case errors.As(err, &answered):
		return answered.Class
	case errors.Is(err, ErrCircuitOpen):
		return Unprocessed
	case errors.Is(err, ErrPaused):
		return Throttled
	case errors.Is(err, ErrAttemptTimeout):
		return Transient
	default:
		return Unclassified
	}
}
