package steadyhttp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBreaker_WindowForgetsSlotBySlot(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Second)
	for second := range time.Duration(20) {
		w.current(second*time.Second).requests++
	}
	assert.Equal(t, uint32(10), w.sum(19*time.Second).requests)
	assert.Equal(t, uint32(5), w.sum(24*time.Second).requests)
	assert.Equal(t, uint32(5), w.sum(3*time.Second).requests, "a clock that steps back changes nothing")
	w.current(time.Second).requests++
	assert.Equal(t, uint32(6), w.sum(24*time.Second).requests)
	assert.Equal(t, uint32(0), w.sum(1000*time.Hour).requests)
	w.current(1000*time.Hour).requests++
	w.clear()
	assert.Equal(t, tally{}, w.sum(1000*time.Hour))
}

func TestBreaker_WindowCatchesUpAtOnce(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Millisecond)
	start := time.Now()
	w.current(1<<62).requests++
	assert.Less(t, time.Since(start), time.Second)
}

func TestWindow_ClockThatStepsBackCountsIntoTheNewestSlot(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Second)
	w.current(5500*time.Millisecond).requests++
	w.current(4500*time.Millisecond).requests++
	assert.Equal(t, tally{requests: 2}, *w.current(5500 * time.Millisecond))
}
