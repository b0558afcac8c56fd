package steadyhttp

import "time"

// A waitTimer is the timer of a call's waits, one after the other. It goes back to the pool with the call, so that
// a wait allocates none. The zero waitTimer is ready.
type waitTimer struct {
	timer    *time.Timer // stopped, unless the call waits; nil: none
	realTime bool
}

// start returns where the end of the wait is told. The timer must be stopped before it is started again.
func (w *waitTimer) start(wait time.Duration) <-chan time.Time {
	w.realTime = isRealTime(time.Now())
	if w.timer == nil || !w.realTime {
		w.timer = time.NewTimer(wait)
	} else {
		w.timer.Reset(wait)
	}
	return w.timer.C
}

// stop leaves nothing in the channel, as of Go 1.23. A timer of a testing/synctest bubble must not leave it.
func (w *waitTimer) stop() {
	w.timer.Stop()
	if !w.realTime {
		w.timer = nil
	}
}
