package steadyhttp

import "strconv"

// Class is what an outcome means: who is at fault, and what may be done about it.
//
// The class decides whether a request is retried and what the circuit breaker counts. [Classify]
// assigns it; a [Classifier] may overrule.
type Class uint8

const (
	// Unclassified is the zero value. A [Classifier] returns it to say "no opinion".
	Unclassified Class = iota
	// Success is a 1xx, 2xx or 3xx response.
	Success
	// ClientFault is a 4xx response other than 429: the request is wrong, a retry of it unchanged
	// cannot help, and the server that says so is healthy. It is never retried.
	ClientFault
	// Throttled is a 429: the server refused the request, and may say when to come back. It is retried
	// only when Retry-After, or a [Hint], says when. A 4xx for which a Hint says when is Throttled too.
	Throttled
	// NotReady means that the server is healthy and has not acted on the request yet: a 404 for what was just
	// created, a 409 or 423 while something is locked, a 200 that says "throttled". Requests of any method are
	// retried. It is a word for a [Classifier]: [Classify] takes no response and no error of a base for it.
	NotReady
	// Transient means that the server, or the way to it, failed, and that it may or may not have acted
	// on the request. Only idempotent requests are retried.
	Transient
	// Unprocessed means that the request failed and was surely never acted on: no connection was made, or the
	// server refused the HTTP/2 stream. Requests of any method are retried. The breaker counts it as a failure,
	// unless this machine is at fault: out of descriptors or ports, without a route, or waiting for a free
	// connection of its own pool.
	Unprocessed
	// ServerFault means that the server failed, and that the request is not to be retried. It is a word
	// for a [Classifier], as NotReady is.
	ServerFault
	// Permanent means that a retry would give the same: a 501, a refused certificate or proxy login, an error of
	// an own dialer or of a hook of TLS, a protocol that the other side does not speak, a request that cannot be
	// sent, an error marked with [LocalError].
	Permanent
	// Canceled means that the caller gave up.
	Canceled
)

var classNames = [...]string{
	Unclassified: "unclassified", Success: "success", ClientFault: "client_fault", Throttled: "throttled",
	NotReady: "not_ready", Transient: "transient", Unprocessed: "unprocessed", ServerFault: "server_fault",
	Permanent: "permanent", Canceled: "canceled",
}

// String returns the class in snake case, "client_fault" for example: fit for a log or a metric.
func (c Class) String() string { return nameOf(classNames[:], int(c)) }

// faults say for each class whose fault it is.
var faults = [...]string{
	Unclassified: "unclassified", Success: "no fault", ClientFault: "client fault", Throttled: "throttled",
	NotReady: "not ready", Transient: "server fault", Unprocessed: "server fault, not acted on",
	ServerFault: "server fault", Permanent: "permanent fault", Canceled: "canceled",
}

func (c Class) fault() string { return nameOf(faults[:], int(c)) }

// MarshalText returns String, so that a class is text in JSON.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// nameOf names the members of an enumeration; a value that is none of them is shown as its number.
func nameOf(names []string, value int) string {
	if value < len(names) {
		return names[value]
	}
	return strconv.Itoa(value)
}
