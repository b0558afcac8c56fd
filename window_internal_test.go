package steadyhttp

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBreaker_WindowForgetsSlotBySlot(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Second)
	for second := range time.Duration(20) {
		w.count(second * time.Second)
	}
	assert.Equal(t, uint32(10), w.sum(19*time.Second))
	assert.Equal(t, uint32(5), w.sum(24*time.Second))
	assert.Equal(t, uint32(5), w.sum(3*time.Second), "a clock that steps back changes nothing")
	w.count(time.Second)
	assert.Equal(t, uint32(6), w.sum(24*time.Second))
	assert.Equal(t, uint32(0), w.sum(1000*time.Hour))
	w.count(1000 * time.Hour)
	w.clear()
	assert.Equal(t, uint32(0), w.sum(1000*time.Hour))
	assert.Equal(t, uint64(22), w.total(), "which a window never forgets")
}

func TestBreaker_WindowCatchesUpAtOnce(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Millisecond)
	start := time.Now()
	w.count(1 << 62)
	assert.Less(t, time.Since(start), time.Second)
}

func TestWindow_ClockThatStepsBackCountsIntoTheNewestSlot(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Second)
	w.count(5500 * time.Millisecond)
	w.count(4500 * time.Millisecond)
	assert.Equal(t, uint32(2), w.sum(5500*time.Millisecond))
	assert.Equal(t, uint32(2), w.sum(14999*time.Millisecond))
	assert.Equal(t, uint32(0), w.sum(15*time.Second), "both are as new as the newest slot")
}

// More than 32 bits hold is counted right, since only differences of the marks matter.
func TestWindow_CountsOn(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Second)
	w.added.Store(math.MaxUint32 - 1)
	w.clear()
	for second := range time.Duration(4) {
		w.count(second * time.Second)
	}
	assert.Equal(t, uint64(math.MaxUint32+3), w.total())
	assert.Equal(t, uint32(4), w.sum(3*time.Second))
	assert.Equal(t, uint32(1), w.sum(12*time.Second))
}

func TestWindow_CountsWhatIsAddedAtTheSameTimeOnce(t *testing.T) {
	t.Parallel()
	const goroutines, each = 4, 1000
	var mu sync.Mutex
	w, now := newWindow(time.Second), atomic.Int64{}
	var done sync.WaitGroup
	for range goroutines {
		done.Go(func() {
			for range each {
				if at := time.Duration(now.Add(int64(50 * time.Microsecond))); w.due(at) {
					mu.Lock()
					w.advance(at)
					mu.Unlock()
				}
				w.add()
			}
		})
	}
	done.Wait()
	assert.Equal(t, uint64(goroutines*each), w.total())
	assert.Equal(t, uint32(goroutines*each), w.sum(0), "in 200 ms of a window of a second")
	assert.Equal(t, uint32(0), w.sum(2*time.Second))
}
