package steadyhttp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrBodyTimeout is found by [errors.Is] in the error of a Read that [WithBodyTimeout] ended. Such an error is
// a [context.DeadlineExceeded] as well, and its Timeout method returns true.
var ErrBodyTimeout = errors.New("steadyhttp: body timed out")

type bodyTimeoutError struct{ limit time.Duration }

func (e *bodyTimeoutError) Error() string {
	return fmt.Sprintf("no byte of the response's body within the body timeout of %v", e.limit)
}

func (e *bodyTimeoutError) Timeout() bool   { return true }
func (e *bodyTimeoutError) Temporary() bool { return true }

func (e *bodyTimeoutError) Is(target error) bool {
	return target == ErrBodyTimeout || target == context.DeadlineExceeded
}

// A stallTimer closes a body under a Read that takes too long. It serves one Read at a time.
type stallTimer struct {
	timer *time.Timer
	body  *attemptBody
}

// stallTimers are used again, so that a Read allocates none.
type stallTimers struct{ pool sync.Pool }

// start returns a timer that is running.
func (t *stallTimers) start(limit time.Duration, body *attemptBody) *stallTimer {
	if body.realTime {
		if s, ok := t.pool.Get().(*stallTimer); ok {
			s.body = body
			s.timer.Reset(limit)
			return s
		}
	}
	s := &stallTimer{body: body}
	s.timer = time.AfterFunc(limit, func() { s.body.interrupt() })
	return s
}

// stop reports whether the timer has fired. Then the body is closed, or is about to be, and the timer is not
// used again: so it never meets another body than the one that it was started for.
func (t *stallTimers) stop(s *stallTimer) (fired bool) {
	if !s.timer.Stop() {
		return true
	}
	if s.body.realTime {
		s.body = nil
		t.pool.Put(s)
	}
	return false
}

// isRealTime reports whether the clock is no testing/synctest bubble's, which starts in the year 2000. A bubble's
// timer must not leave it, and a Transport may: using the timer elsewhere would end the program.
func isRealTime(now time.Time) bool { return now.Year() > 2000 }
