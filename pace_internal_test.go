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

func TestPace_OverloadIsSlowAgainstTheUsualAndTheTimeout(t *testing.T) {
	t.Parallel()
	assert.Zero(t, new(pace).overload(1), "nothing is known")
	assert.Zero(t, newPace(time.Second).overload(time.Second), "it is as slow as ever")
	for last, want := range map[time.Duration]uint32{249 * ms: 0, 250 * ms: 3, 499 * ms: 3, 500 * ms: 1, time.Hour: 1} {
		p := newPace(10 * ms)
		p.sample(0, last)
		assert.Equal(t, want, p.overload(time.Second), "%v before a timeout of 1s", last)
	}
	for last, want := range map[time.Duration]uint32{300 * ms: 0, 310 * ms: 3} {
		p := newPace(100 * ms)
		p.sample(0, last)
		assert.Equal(t, want, p.overload(time.Second), "%v, where 100 ms is usual", last)
	}
}

func TestPace_LearnsWhatIsUsual(t *testing.T) {
	t.Parallel()
	p := newPace(10 * ms)
	for range 1000 {
		p.sample(0, 500*ms)
	}
	assert.Zero(t, p.overload(time.Second), "a server that stays slow is no longer slower than usual")
	for range 1000 {
		p.sample(0, 10*ms)
	}
	p.sample(0, 500*ms)
	assert.NotZero(t, p.overload(time.Second))
}
