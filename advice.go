package steadyhttp

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Advice says in one short sentence whose fault it is, and what to do next.
//
// It goes by the class, and by the status where that is usual for the class. For a 400 and a 422 it repeats
// the problem's detail, or its title, which may hold what the request was about. It is meant for people:
// its words may change.
func (e *ResponseError) Advice() string {
	switch e.Class {
	case ClientFault:
		return e.remedy()
	case Throttled:
		return e.patience()
	case Transient:
		return fmt.Sprintf("The request was fine, but %s: %s.", find(failures, e.StatusCode, "the server or the way to it failed"), e.prospect())
	case Unprocessed:
		return fmt.Sprintf("The request was fine and was not acted on: %s.", e.prospect())
	case Permanent:
		return fmt.Sprintf("Resending will never work: %s.", find(refusals, e.StatusCode, "the answer will be the same"))
	case Canceled:
		return "The caller gave up: send it again with more time, if the answer is still wanted."
	case Success:
		return "Nobody is at fault: there is nothing to do."
	default:
		return "Whose fault it is, is not known: look at the response."
	}
}

// remedy is what a client has to change.
func (e *ResponseError) remedy() string {
	if own, ok := circumstances[e.StatusCode]; ok {
		return own
	}
	change := find(remedies, e.StatusCode, "as it is, the server will refuse it again")
	if e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusUnprocessableEntity {
		change += e.explanation()
	}
	return fmt.Sprintf("The request must change: %s.", change)
}

// explanation is the server's own, if it gave one.
func (e *ResponseError) explanation() string {
	said := e.title()
	if e.Problem != nil {
		said = cmp.Or(strings.TrimRight(line(e.Problem.Detail), "."), said)
	}
	switch {
	case said != "":
		return fmt.Sprintf(", since the server says %q", said)
	case len(e.Body) > 0:
		return "; the body may explain it"
	default:
		return ""
	}
}

// patience is what a server asks of a client that sends too much.
func (e *ResponseError) patience() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("The client sends too much: slow down, and come back in %d s.", seconds(e.RetryAfter))
	}
	return "The client sends too much: slow down, and come back later, for the server does not say when."
}

// prospect is what was tried, and what may be.
func (e *ResponseError) prospect() string {
	made := counted(e.Attempts) + " were made"
	if e.Attempts == 1 {
		made = "1 attempt was made"
	}
	when := "later"
	if e.RetryAfter > 0 {
		when = fmt.Sprintf("in %d s", seconds(e.RetryAfter))
	}
	risk := ""
	if e.Class == Transient && !slices.Contains(idempotentMethods, e.Method) {
		risk = ", but its effect may come twice"
	}
	return fmt.Sprintf("%s, and resending %s may work%s", made, when, risk)
}

// seconds rounds up: a wait is never shortened.
func seconds(wait time.Duration) int64 {
	whole := int64(wait / time.Second)
	if wait%time.Second > 0 {
		whole++
	}
	return whole
}

func find(texts map[int]string, status int, otherwise string) string {
	if text, ok := texts[status]; ok {
		return text
	}
	return otherwise
}

// remedies are the client faults that a change of the request mends (RFC 9110 §15.5, RFC 6585, RFC 4918).
var remedies = map[int]string{
	400: "correct its input",
	401: "send valid credentials",
	402: "settle the payment that the server asks for",
	403: "send credentials that allow this, or ask for the permission",
	404: "there is nothing at this URL for this method, so check both",
	405: "the URL does not take this method, so check both",
	406: "accept a format that the server has",
	407: "send the proxy valid credentials",
	410: "what was at this URL is gone for good, so stop asking for it",
	411: "say how long the body is, in Content-Length",
	412: "its precondition does not hold any more, so fetch the resource and decide anew",
	413: "send less",
	414: "shorten the URL, by moving the query into a body for example",
	415: "send the body in a format that the server takes",
	416: "ask for a range that exists",
	417: "send it without Expect",
	421: "this server does not speak for this host, so check host and connection",
	422: "correct its input",
	426: "use the protocol that the Upgrade header names",
	428: "make it conditional, by If-Match for example",
	431: "shorten the header, the cookies first",
}

// circumstances are the client faults in which the request may be right, and something else is not.
var circumstances = map[int]string{
	408: "The client was too slow: send the request again, faster or smaller.",
	409: "The request conflicts with the present state of the resource: fetch that, and decide anew.",
	423: "The resource is locked: send the request again once the lock is gone, or with the lock's token.",
	424: "A request that this one depends on failed: mend that one first.",
	425: "The request came too early to be safe from replay: send it again once the TLS handshake is complete.",
	451: "The law forbids the answer: a change of the request will not help.",
}

// failures are the parts of the way that failed (RFC 9110 §15.6; 520 to 525 are Cloudflare's, and 529 is
// in use for "overloaded").
var failures = map[int]string{
	500: "the server itself failed",
	502: "a gateway got a bad answer from the server behind it",
	503: "the server is overloaded or being maintained",
	504: "a gateway got no answer in time from the server behind it",
	520: "the CDN got an answer from the server that made no sense",
	521: "the server refused the CDN's connection",
	522: "the CDN could not connect to the server in time",
	523: "the CDN found no way to the server",
	524: "the CDN got no answer in time from the server",
	525: "the TLS handshake between CDN and server failed",
	529: "the server is overloaded",
}

// refusals are the reasons for which the answer stays the same; see permanentStatuses.
var refusals = map[int]string{
	501: "the server does not know this method, for any resource",
	505: "the server does not speak this version of HTTP",
	506: "the server's choice of formats is misconfigured",
	507: "the server has no room for what the request would store",
	508: "the server ran into a loop",
	510: "the server demands an extension of HTTP that the request does not use",
	511: "the network, not the server, demands a login",
	526: "the CDN does not trust the server's certificate",
}
