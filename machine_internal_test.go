package steadyhttp

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBreaker_MachineKnowsTheTransitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m machine
		assert.Equal(t, BreakerClosed, m.state)
		for range 2 {
			m.trip()
			assert.Equal(t, BreakerOpen, m.state)
			time.Sleep(time.Millisecond) // gobreaker's own open time is a nanosecond
			m.halfOpen()
			assert.Equal(t, BreakerHalfOpen, m.state)
			m.trip()
			assert.Equal(t, BreakerOpen, m.state, "a failed probe opens it again")
			time.Sleep(time.Millisecond)
			m.halfOpen()
			m.close()
			assert.Equal(t, BreakerClosed, m.state)
		}
	})
}
