package steadyhttp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A slow success that ends last began first, with and without a breaker.
func TestSuspicion_SlowSuccessHidesNoLaterOne(t *testing.T) {
	t.Parallel()
	withBreaker := newTestBreaker(defaultPolicy())
	withBreaker.origin.breaker = withBreaker
	for _, o := range []*origin{withBreaker.origin, {}} {
		for _, start := range []time.Duration{20, 10} {
			success := &attempt{health: healthy, start: start, end: 30}
			o.breaker.settle(permit{}, success)
			o.noteSuccess(success)
		}
		assert.True(t, o.succeededSince(20))
		assert.False(t, o.succeededSince(21))
	}
}

// Two probes may be under way. When one fails, the breaker opens before the other has chosen its connection.
func TestSuspicion_ProbesOfOnePhaseLeaveOneConnection(t *testing.T) {
	t.Parallel()
	o := &origin{}
	o.breaker = &breaker{}
	const halfOpen, next = 7, 8
	for _, c := range []struct {
		name  string
		phase uint64 // of the probe
		now   uint64 // of the breaker
		want  bool
	}{
		{"the first probe", halfOpen, halfOpen, true},
		{"the second probe", halfOpen, halfOpen, false},
		{"the second probe, after the first one failed", halfOpen, next, false},
		{"the next phase's", next, next, true},
	} {
		o.breaker.phase.Store(c.now)
		o.suspicious().silence.Store(1)
		probe := &attempt{probe: true, phase: c.phase, start: time.Second}
		assert.Equal(t, c.want, o.takeSilence(probe), c.name)
	}
}
