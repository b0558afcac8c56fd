package steadyhttp

import "time"

// slots is how finely a window rolls.
const slots = 10

// A window counts what happened in the last stretch of time, in slots that are reused in turn. It is
// not safe for concurrent use.
type window struct {
	width  time.Duration // of one slot; the window covers slots of them
	newest int64         // number of the newest slot since the epoch
	counts [slots]tally
}

// A tally counts outcomes.
type tally struct{ requests, failures uint32 }

func newWindow(span time.Duration) window {
	return window{width: span / slots}
}

// current returns the slot of now, and forgets those that have left the window. A clock that steps
// back counts into the newest slot.
func (w *window) current(now time.Duration) *tally {
	if end := time.Duration(w.newest+1) * w.width; now >= end { // most outcomes need no division
		w.advance(int64(now / w.width))
	}
	return &w.counts[w.newest%slots]
}

func (w *window) advance(number int64) {
	for fresh := max(w.newest+1, number-slots+1); fresh <= number; fresh++ {
		w.counts[fresh%slots] = tally{}
	}
	w.newest = number
}

func (w *window) sum(now time.Duration) tally {
	w.current(now)
	var sum tally
	for _, slot := range w.counts {
		sum.requests += slot.requests
		sum.failures += slot.failures
	}
	return sum
}

func (w *window) clear() { w.counts = [slots]tally{} }
