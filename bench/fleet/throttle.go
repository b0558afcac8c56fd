package main

import (
	"math/rand/v2"
	"time"
)

// A limiter is a token bucket: so many attempts a second, of which it saves up a tenth.
type limiter struct {
	tokens float64
	at     time.Time
}

// allows takes a token, if there is one.
func (l *limiter) allows(now time.Time, perSecond float64) bool {
	burst := perSecond / 10
	if l.at.IsZero() {
		l.tokens, l.at = burst, now
	}
	l.tokens = min(burst, l.tokens+now.Sub(l.at).Seconds()*perSecond)
	l.at = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// limitedPath is what a tenth of the callers ask for, where it is limited.
const limitedPath = "/limited"

// path is what a caller asks for.
func (t trouble) path(random *rand.Rand) string {
	if t.limitedPath && random.Float64() < 0.1 {
		return limitedPath
	}
	return paths[random.IntN(len(paths))]
}

// isHopeless reports whether no call to the path can succeed, whatever the client does.
func (t trouble) isHopeless(path string) bool {
	return t.badPath && path == paths[0] || t.limitedPath && path == limitedPath
}
