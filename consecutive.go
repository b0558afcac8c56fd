package steadyhttp

import (
	"fmt"
	"time"
)

// A run is the failures since the last success. The zero run is none.
type run struct {
	failures uint32
	timeouts uint32        // those of them that were timeouts,
	calls    uint32        // and of how many calls, as far as their first attempts tell
	since    time.Duration // nothing that was sent after it has succeeded; since the epoch
}

// add counts a failure. The run begins with its first failure, or, if that one timed out, with the silence before
// it; but not before the last success was sent.
func (r *run) add(a *attempt, succeeded time.Duration) {
	silence := a.timeoutAfter()
	if r.failures == 0 {
		r.since = max(a.end-silence, succeeded)
	}
	r.failures++
	if silence > 0 {
		r.timeouts++
	}
	if silence > 0 && a.number <= 1 {
		r.calls++
	}
}

// A threshold is how many failures in a row, over how long a time, are sustained failure.
type threshold struct {
	count     uint32 // 0: there is no threshold
	lasting   time.Duration
	byDefault bool // set by no option
}

// String is the threshold as the options have it.
func (t threshold) String() string {
	if t.count == 0 {
		return "off"
	}
	return fmt.Sprint(t.count, ",", t.lasting)
}

func (t threshold) reached(count uint32, lasting time.Duration) bool {
	return t.count > 0 && count >= t.count && lasting >= t.lasting
}
