package steadyhttp

import (
	"sync"
	"sync/atomic"
	"time"
)

// slots is how finely a window rolls.
const slots = 10

// A window counts, in all and in the last stretch of time. It marks how far the count was when each slot of the stretch
// began, so that to count is an addition that takes no lock, but once a slot.
//
// Invariants. Whoever has a window has a lock for it: advance, count, sum and clear are called with it. due, add and total
// need none; what is added without it while a slot begins may fall into that one or the one before.
type window struct {
	added atomic.Uint64
	next  atomic.Int64 // when the slot after the newest begins, since the epoch

	width time.Duration // of a slot; the window covers slots of them
	marks [slots]uint32 // what was added before each slot, as far as 32 bits hold it
}

// newWindow begins with whatever slot something is first counted or asked in: a slot is due from the start.
func newWindow(span time.Duration) window { return window{width: span / slots} }

// due reports whether a slot begins, so that advance is to be called.
func (w *window) due(now time.Duration) bool { return int64(now) >= w.next.Load() }

func (w *window) add() { w.added.Add(1) }

func (w *window) total() uint64 { return w.added.Load() }

// upcoming is the number, since the epoch, of the slot after the newest.
func (w *window) upcoming() int64 { return w.next.Load() / int64(w.width) }

// advance begins the slots up to now. A clock that steps back begins none, so that the newest slot goes on.
func (w *window) advance(now time.Duration) {
	if !w.due(now) {
		return
	}
	number, added := int64(now/w.width), w.total()
	for fresh := max(w.upcoming(), number-slots+1); fresh <= number && added > 0; fresh++ { // without any, all marks are 0
		w.marks[fresh%slots] = uint32(added)
	}
	w.next.Store(int64(later(time.Duration(number)*w.width, w.width)))
}

// count adds one.
func (w *window) count(now time.Duration) {
	w.advance(now)
	w.add()
}

// countWith adds one, and takes the window's lock only where a slot begins.
func (w *window) countWith(lock sync.Locker, now time.Duration) {
	if w.due(now) {
		lock.Lock()
		w.advance(now)
		lock.Unlock()
	}
	w.add()
}

// sum is what was added in the stretch up to now.
func (w *window) sum(now time.Duration) uint32 {
	w.advance(now)
	oldest := w.upcoming() % slots // which is the place that the next one takes
	return uint32(w.total()) - w.marks[oldest]
}

// clear forgets what was added.
func (w *window) clear() {
	for i := range w.marks {
		w.marks[i] = uint32(w.total())
	}
}
