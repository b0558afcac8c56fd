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
}

const (
	sampleInterval = 100 // ms: reading the clock for each success would be a fifth of what it costs
	usualWeight    = 128 // a success counts for so much less than what was sampled before
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

// takesLonger reports whether successes usually take at least so long.
func (p *pace) takesLonger(d time.Duration) bool { return int64(p.usual.Load()) >= microseconds(d) }

// twiceUsual is 0 where that is not known.
func (p *pace) twiceUsual() time.Duration {
	return 2 * time.Duration(p.usual.Load()) * time.Microsecond
}

// sample learns from what a success took.
func (p *pace) sample(start, duration time.Duration) {
	took, usual := microseconds(duration), int64(p.usual.Load())
	if usual == 0 {
		usual = took
	}
	usual += (took - usual) / usualWeight
	p.sampled.Store(uint32(start / time.Millisecond))
	p.last.Store(uint32(took))
	p.usual.Store(uint32(usual))
}

// slowed reports whether the last success was slow, against what is usual and against what then was a timeout.
func (p *pace) slowed(timedOutAfter time.Duration) bool {
	last, usual := int64(p.last.Load()), int64(p.usual.Load())
	return last > 0 && last >= slowFactor*usual && last >= microseconds(timedOutAfter)/slowShare
}

// microseconds is from 1 to an hour.
func microseconds(d time.Duration) int64 { return max(1, min(d, time.Hour).Microseconds()) }
