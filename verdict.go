package steadyhttp

import "time"

// A verdict is what an outcome tells about the health of its origin.
type verdict uint8

const (
	neutral verdict = iota // tells nothing: the breaker does not count it
	healthy
	failing
)

// impatience is how long an attempt must have waited for the caller's own deadline to count against
// the server: a caller's impatience is no outage.
const impatience = time.Second

// judge decides what an outcome tells about its origin.
func (x *exchange) judge() verdict {
	switch x.class {
	case Success, ClientFault:
		return healthy
	case Permanent:
		if x.response != nil {
			return healthy
		}
		return neutral
	case Transient:
		if x.response == nil && expired(x.request.Context()) && !x.outlastedPatience() {
			return neutral
		}
		return failing
	case Unprocessed:
		if isLocalExhaustion(x.err) {
			return neutral
		}
		return failing
	default: // Throttled, Canceled
		return neutral
	}
}

// outlastedPatience reports whether the attempt took so long that the server is to blame.
func (x *exchange) outlastedPatience() bool { return x.took() >= impatience }
