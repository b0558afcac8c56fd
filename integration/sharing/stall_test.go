package sharing

import (
	"fmt"
	"testing"
	"time"
)

// What is checked here happens within parts of a second, of two hundred processes. A machine that stands still for longer
// than this shows nothing.
const longStall = 100 * time.Millisecond

// findings are what is wrong, unless the machine stood still.
type findings struct {
	*testing.T
	wrong []string
}

// Errorf is what assert calls.
func (f *findings) Errorf(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

// checkUndisturbed checks once more, three times in all, if something was wrong while the machine stood still.
func checkUndisturbed(t *testing.T, check func(*findings)) {
	t.Helper()
	for try := 1; ; try++ {
		found := &findings{T: t}
		longest := watchStalls()
		check(found)
		stall := longest()
		if len(found.wrong) == 0 {
			return
		}
		if stall < longStall || try == 3 {
			t.Error("the machine stood still for", stall, "at most:", found.wrong)
			return
		}
		t.Log("again, since the machine stood still for", stall, "and so", found.wrong)
		time.Sleep(untilBeaten)
	}
}

// watchStalls returns a function that ends the watch and says for how long at most this process did not run.
func watchStalls() (longest func() time.Duration) {
	const tick = 5 * time.Millisecond
	done, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		var most time.Duration
		for last := time.Now(); ; {
			select {
			case <-done:
				result <- most
				return
			case <-time.After(tick):
				most, last = max(most, time.Since(last)-tick), time.Now()
			}
		}
	}()
	return func() time.Duration {
		close(done)
		return <-result
	}
}
