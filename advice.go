package steadyhttp

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Advice says in one short sentence whose fault it is, and what to do next.
//
// It goes by the class, by why the request was not retried, and by the status where that is usual for the
// class. For a 400 and a 422 it repeats the problem's detail, or its title, which may hold what the request
// was about. It is meant for people: its words may change.
func (e *ResponseError) Advice() string {
	switch e.Class {
	case ClientFault:
		return e.clientFaultAdvice()
	case Throttled:
		return e.throttledAdvice()
	case Transient:
		return fmt.Sprintf("The request was fine, but %s: %s.", find(serverFailures, e.StatusCode, "the server or the way to it failed"), e.retryHint())
	case Unprocessed:
		return fmt.Sprintf("The request was fine, and the server did not act on it: %s.", e.retryHint())
	case Permanent:
		return fmt.Sprintf("A retry will not help: %s.", find(permanentReasons, e.StatusCode, "the response will be the same"))
	case Canceled:
		return "The caller gave up: call again with more time, if the response is still wanted."
	case NotReady:
		return fmt.Sprintf("The server is well but not ready: %s.", e.retryHint())
	case ServerFault:
		return fmt.Sprintf("Do not retry: %s.", find(serverFailures, e.StatusCode, "the server failed"))
	case Success:
		return "Nobody is at fault: there is nothing to do."
	default:
		return "Unknown cause: inspect the response."
	}
}

// clientFaultAdvice is what a client has to change.
func (e *ResponseError) clientFaultAdvice() string {
	if other, ok := clientFaultOther[e.StatusCode]; ok {
		return other
	}
	change := find(clientFaultFixes, e.StatusCode, "the server will refuse it again as it is")
	if e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusUnprocessableEntity {
		change += e.explanation()
	}
	return fmt.Sprintf("Fix the request: %s.", change)
}

// explanation is the server's own, if it gave one.
func (e *ResponseError) explanation() string {
	said := e.title()
	if e.Problem != nil {
		said = cmp.Or(strings.TrimRight(line(e.Problem.Detail), "."), said)
	}
	switch {
	case said != "":
		return fmt.Sprintf("; the server says %q", said)
	case len(e.Body) > 0:
		return "; the body may explain it"
	default:
		return ""
	}
}

func (e *ResponseError) throttledAdvice() string {
	switch {
	case e.Stopped == StopServerDeclined:
		return fmt.Sprintf("Too many requests: slow down; %s.", e.Stopped.fix())
	case e.RetryAfter > 0:
		return fmt.Sprintf("Too many requests: slow down and retry in %d s.", seconds(e.RetryAfter))
	}
	return "Too many requests: slow down and retry later; the server does not say when."
}

// retryHint is what was tried, and what may help.
func (e *ResponseError) retryHint() string {
	if e.Stopped == StopServerDeclined {
		return fmt.Sprintf("%s made, and %s", counted(e.Attempts), e.Stopped.fix())
	}
	when := "later"
	if e.RetryAfter > 0 {
		when = fmt.Sprintf("in %d s", seconds(e.RetryAfter))
	}
	hint := fmt.Sprintf("%s made, and a retry %s may work", counted(e.Attempts), when)
	if e.Class == Transient && !slices.Contains(idempotentMethods, e.Method) {
		hint += ", but the request may then be processed twice"
	}
	if fix := e.Stopped.fix(); fix != "" {
		hint += "; " + fix
	}
	return hint
}

// fix is what to change, so that the next such request is retried.
func (r StopReason) fix() string { return stopFixes[r] }

var stopFixes = map[StopReason]string{
	StopNotIdempotent:     "mark it with Idempotent, or send an Idempotency-Key, if it may be retried",
	StopBodyNotReplayable: "set GetBody or WithReplayBuffer, so that its body can be sent again",
	StopBudgetExhausted:   "the retry budget of this origin is exhausted; see WithRetryBudget",
	StopRetryAfterTooLong: "to wait that long, raise WithMaxRetryAfter",
	StopDeadline:          "the deadline left no time for a retry",
	StopRetriesSuspended:  "retries are suspended until something succeeds at this origin, where nothing does at present",
	StopCircuitOpen:       "the breaker of this origin is open",
	StopPaused:            "the origin asked all calls to wait, for longer than this one can; see WithOriginPause",
	StopServerDeclined:    "the server said that a retry is of no use",
	StopNoRetry:           "NoRetry forbade retries",
}

// Advice says in one short sentence whose fault it is, and what to do next.
//
// It goes by the class and by why the request was not retried. It is meant for people: its words may change.
func (e *Error) Advice() string {
	advice := find(errorCauses, e.Class, "Unknown cause: inspect the error")
	fix := e.Stopped.fix()
	if open := (*CircuitOpenError)(nil); errors.As(e.Err, &open) && open.isByHand() {
		fix = "the breaker of this origin was opened by hand"
	}
	if fix != "" {
		advice += "; " + fix
	}
	return advice + "."
}

var errorCauses = map[Class]string{
	Transient:   "The server or the way to it failed: a retry later may work",
	Unprocessed: "The server did not act on the request: a retry later may work",
	Throttled:   "Too many requests: slow down and retry later",
	NotReady:    "The server is well but not ready: a retry later may work",
	ServerFault: "The server failed, and the request is not to be retried",
	Permanent:   "A retry will not help: fix what the error names",
	Canceled:    "The caller gave up: call again with more time, if the response is still wanted",
}

// seconds rounds up: a wait is never shortened.
func seconds(wait time.Duration) int64 {
	whole := int64(wait / time.Second)
	if wait%time.Second > 0 {
		whole++
	}
	return whole
}

func find[K comparable](texts map[K]string, key K, otherwise string) string {
	if text, ok := texts[key]; ok {
		return text
	}
	return otherwise
}

// clientFaultFixes are for the client faults that a change of the request mends (RFC 9110 §15.5, RFC 6585, RFC 4918).
var clientFaultFixes = map[int]string{
	400: "correct its input",
	401: "send valid credentials",
	402: "settle the payment that the server asks for",
	403: "send credentials that allow this, or ask for the permission",
	404: "nothing exists at this URL for this method",
	405: "this URL does not allow this method",
	406: "accept a format that the server has",
	407: "send the proxy valid credentials",
	410: "the resource is gone for good, so stop asking for it",
	411: "say how long the body is, in Content-Length",
	412: "its precondition no longer holds, so fetch the resource and decide anew",
	413: "send a smaller body",
	414: "shorten the URL, for example by moving the query into a body",
	415: "send the body in a format that the server takes",
	416: "ask for a range that exists",
	417: "send it without Expect",
	421: "this server is not responsible for this host, so check host and connection",
	422: "correct its input",
	426: "use the protocol that the Upgrade header names",
	428: "make it conditional, by If-Match for example",
	431: "shorten the header, the cookies first",
}

// clientFaultOther is for the client faults in which the request may be right, and something else is not.
var clientFaultOther = map[int]string{
	408: "The client was too slow: retry with a faster or a smaller request.",
	409: "The request conflicts with the current state of the resource: fetch it and decide anew.",
	423: "The resource is locked: retry once the lock is gone, or with the lock's token.",
	424: "A request that this one depends on failed: fix that one first.",
	425: "The request came too early to be safe from replay: retry once the TLS handshake is complete.",
	451: "The law forbids the response: changing the request will not help.",
}

// serverFailures name the part of the way that failed (RFC 9110 §15.6; 520 to 525 are Cloudflare's, and 529 is
// in use for "overloaded").
var serverFailures = map[int]string{
	500: "the server itself failed",
	502: "a gateway got a bad response from the server behind it",
	503: "the server is overloaded or being maintained",
	504: "a gateway got no response in time from the server behind it",
	520: "the CDN got a response from the server that made no sense",
	521: "the server refused the CDN's connection",
	522: "the CDN could not connect to the server in time",
	523: "the CDN found no route to the server",
	524: "the CDN got no response in time from the server",
	525: "the TLS handshake between CDN and server failed",
	529: "the server is overloaded",
}

// permanentReasons are why the response stays the same; see permanentStatuses.
var permanentReasons = map[int]string{
	501: "the server does not know this method, for any resource",
	505: "the server does not speak this version of HTTP",
	506: "the server's choice of formats is misconfigured",
	507: "the server has no room for what the request would store",
	508: "the server ran into a loop",
	510: "the server requires an extension of HTTP that the request does not use",
	511: "the network, not the server, requires a login",
	526: "the CDN does not trust the server's certificate",
}
