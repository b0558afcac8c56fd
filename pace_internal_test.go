package steadyhttp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

const ms = time.Millisecond

// newPace has seen many successes that took so long.
func newPace(usual time.Duration) *pace {
	p := new(pace)
	p.sample(0, usual)
	return p
}

func TestPace_IsMeasuredNowAndThen(t *testing.T) {
	t.Parallel()
	p := new(pace)
	assert.True(t, p.due(time.Hour))
	p.sample(time.Hour, 0)
	assert.False(t, p.due(time.Hour+100*ms-1))
	assert.True(t, p.due(time.Hour+100*ms))
}

func TestPace_QuickIsLessThanTwiceTheUsual(t *testing.T) {
	t.Parallel()
	assert.True(t, new(pace).isQuick(time.Hour), "nothing is usual yet")
	assert.True(t, newPace(100*ms).isQuick(200*ms-1))
	assert.False(t, newPace(100*ms).isQuick(200*ms))
}

func TestPace_SlowedIsAgainstTheUsualAndTheTimeout(t *testing.T) {
	t.Parallel()
	assert.False(t, new(pace).slowed(1), "nothing is known")
	assert.False(t, newPace(time.Second).slowed(time.Second), "it is as slow as ever")
	for last, want := range map[time.Duration]bool{249 * ms: false, 250 * ms: true, time.Hour: true} {
		p := newPace(10 * ms)
		p.sample(0, last)
		assert.Equal(t, want, p.slowed(time.Second), "%v before a timeout of 1s", last)
	}
	for last, want := range map[time.Duration]bool{300 * ms: false, 310 * ms: true} {
		p := newPace(100 * ms)
		p.sample(0, last)
		assert.Equal(t, want, p.slowed(time.Second), "%v, where 100 ms is usual", last)
	}
}

func TestPace_LearnsWhatIsUsual(t *testing.T) {
	t.Parallel()
	p := newPace(10 * ms)
	for range 1000 {
		p.sample(0, 500*ms)
	}
	assert.False(t, p.slowed(time.Second), "a server that stays slow is no longer slower than usual")
	for range 1000 {
		p.sample(0, 10*ms)
	}
	p.sample(0, 500*ms)
	assert.True(t, p.slowed(time.Second))
}
