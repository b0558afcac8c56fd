package steadyhttp

import (
	"sync/atomic"
	"time"
)

// A pace is how quick an origin's successes are, against what is usual there.
//
// A server that has more to do than it can becomes slow before it fails. One of which a part is broken answers
// as quickly as ever, or not at all. This is what tells the two apart: an overloaded server must be left alone
// soon, and a broken part is what retries are for.
//
// The zero pace is ready, and safe for concurrent use. What a race loses is one sample. Whoever else has a success
// measured does not change what is sampled: an observer must not change what a breaker does.
type pace struct {
	sampled atomic.Uint32 // when the last success began that was: ms since the epoch, which may wrap
	last    atomic.Uint32 // what it took, in µs; 0: none was sampled yet
	usual   atomic.Uint32 // what successes take, as a moving average in µs
	p20     atomic.Uint32 // and about their 20th percentile: one of five takes less
}

const (
	sampleInterval = 100 // ms: reading the clock for each success would be a fifth of what it costs
	usualWeight    = 128 // a success counts for so much less than what was sampled before
	p20Falls       = 8   // the percentile falls by one part of so many for a success that takes less,
	p20Rises       = 32  // and rises so for one that takes more: they balance where one of five takes less
	quickFactor    = 2   // a success is quick below so many times what is usual,
	slowFactor     = 3   // and slow from so many times on,
	slowShare      = 4   // if that is at least one part of so many of a timeout
)

// due reports whether an attempt that began then is to be sampled, should it succeed.
func (p *pace) due(start time.Duration) bool {
	return uint32(start/time.Millisecond)-p.sampled.Load() >= sampleInterval
}

// isQuick reports whether what a success took is quick. The first one is.
func (p *pace) isQuick(duration time.Duration) bool {
	usual := int64(p.usual.Load())
	return usual == 0 || microseconds(duration) < quickFactor*usual
}

// quickest is what even the quick ones of the successes take; 0 where that is not known. A few that take long, among many
// that do not, change nothing in it.
func (p *pace) quickest() time.Duration { return time.Duration(p.p20.Load()) * time.Microsecond }

// sample learns from what a success took.
func (p *pace) sample(start, duration time.Duration) {
	took, usual := microseconds(duration), int64(p.usual.Load())
	p20 := int64(p.p20.Load())
	if usual == 0 {
		usual, p20 = took, took
	}
	usual += (took - usual) / usualWeight
	p.sampled.Store(uint32(start / time.Millisecond))
	p.last.Store(uint32(took))
	p.usual.Store(uint32(usual))
	p.p20.Store(uint32(nextP20(p20, took)))
}

// nextP20 moves the estimate towards what a success took, and not beyond it.
func nextP20(p20, took int64) int64 {
	if took < p20 {
		return max(took, p20-p20/p20Falls)
	}
	return min(took, p20+p20/p20Rises+1)
}

// slowed reports whether the last success was slow, against what is usual and against what then was a timeout.
func (p *pace) slowed(timedOutAfter time.Duration) bool {
	last, usual := int64(p.last.Load()), int64(p.usual.Load())
	return last > 0 && last >= slowFactor*usual && last >= microseconds(timedOutAfter)/slowShare
}

// microseconds is from 1 to an hour.
func microseconds(d time.Duration) int64 { return max(1, min(d, time.Hour).Microseconds()) }
