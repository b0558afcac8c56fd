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

func TestPace_QuickestIsThe20thPercentile(t *testing.T) {
	t.Parallel()
	const quick, slow = 10 * time.Millisecond, 10 * time.Second
	for name, c := range map[string]struct {
		first       time.Duration
		quickOfTen  int
		least, most time.Duration
	}{
		"all quick after a slow one":    {slow, 10, quick, quick},
		"all slow after a quick one":    {time.Microsecond, 0, slow, slow},
		"one of ten quick, after slow":  {slow, 1, slow * 3 / 4, slow},
		"one of ten quick, after quick": {quick, 1, slow * 3 / 4, slow},
		"three of ten quick":            {slow, 3, quick, 2 * quick},
		"nine of ten quick":             {slow, 9, quick, 2 * quick},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p pace
			p.sample(0, c.first)
			for i := range 2000 {
				took := slow
				if i%10 < c.quickOfTen {
					took = quick
				}
				p.sample(0, took)
			}
			assert.GreaterOrEqual(t, p.quickest(), c.least)
			assert.LessOrEqual(t, p.quickest(), c.most)
		})
	}
}

func TestPace_QuickestOfExtremes(t *testing.T) {
	t.Parallel()
	var never, long, short pace
	for range 3 {
		long.sample(0, 100*time.Hour)
		short.sample(0, 0)
	}
	assert.Zero(t, never.quickest())
	assert.Equal(t, time.Hour, long.quickest())
	assert.Equal(t, time.Microsecond, short.quickest())
}
