package steadyhttp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

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
