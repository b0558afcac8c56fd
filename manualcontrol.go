package steadyhttp

import (
	"cmp"
	"context"
	"math"
	"net/url"
	"time"
)

// A Breaker is a hand on the breaker of one origin, for whoever operates a program; see [Transport.Breaker].
//
// What is done by hand holds in this process alone, for as long as it runs, and no other one hears of it. A Breaker is safe
// for concurrent use. Errors, events, logs and [BreakerStatus] show the reasons that it is given, so they must not hold a
// secret. With [WithShadowBreaker] it changes states as ever, and nothing is rejected. The methods of a nil Breaker do
// nothing.
type Breaker struct {
	origins *registry
	key     originKey
}

// Breaker returns a hand on the breaker of an origin: "https://api.example.com:443", as [BreakerStatus] and errors name it, or
// any URL of it, or what [WithOriginKey] returns. A host without a scheme is one of https.
//
// It is nil with [WithoutBreaker], and never else: also of an origin that was never called, or was forgotten. Nothing is
// remembered of an origin for its sake until the first Isolate or Trip.
func (t *Transport) Breaker(origin string) *Breaker {
	if t.origins == nil || t.policy.withoutBreaker {
		return nil
	}
	return &Breaker{t.origins, t.origins.keyOf(origin)}
}

// The reasons that are our own.
const (
	reasonFailures = "failures"
	reasonReset    = "reset"
	reasonIsolated = "isolated" // where none is given
)

// Isolate opens the breaker until [Breaker.Reset]: every call to the origin ends with a [*CircuitOpenError], and no
// probe is sent.
//
// Attempts that are under way are not interrupted; they count no more. The origin is remembered, beyond [WithOriginLimit] if
// it must be. Isolate again to change the reason.
func (b *Breaker) Isolate(reason string) {
	b.open(func(own *breaker) {
		own.openByHand(cmp.Or(reason, reasonIsolated))
		own.probeAt, own.last.rejection.RetryAt = math.MaxInt64, time.Time{}
	})
}

// Trip opens the breaker for d at least, and for no less than an ordinary open time. Then probes decide as ever.
//
// On one that is open already it sets the reason, and never brings the next probe forward. One that is isolated stays as
// it is.
func (b *Breaker) Trip(d time.Duration, reason string) {
	b.open(func(own *breaker) {
		if own.state() == BreakerOpen && own.last.rejection.isIsolated() {
			return
		}
		remaining := time.Duration(0)
		if own.state() == BreakerOpen {
			remaining = own.probeAt - own.now()
		}
		own.openByHand(reason)
		own.setOpenTime(max(d, remaining, own.config.policy.openTime(0)))
	})
}

// open does something to the breaker of an origin that is remembered from now on.
func (b *Breaker) open(change func(*breaker)) {
	if b == nil {
		return
	}
	o := b.origins.keep(b.key)
	defer o.release()
	o.breaker.byHand(change)
}

// Reset closes the breaker, with nothing counted, whatever opened it. The retry budget stays as it is.
func (b *Breaker) Reset() {
	if o := b.remembered(); o != nil {
		o.breaker.byHand((*breaker).reset)
	}
}

// Status is a snapshot, as in [Transport.Breakers]. It is that of a closed breaker where nothing is remembered of the
// origin.
func (b *Breaker) Status() BreakerStatus {
	if b == nil {
		return BreakerStatus{}
	}
	if o := b.remembered(); o != nil {
		return o.breaker.status(time.Since(b.origins.epoch))
	}
	return BreakerStatus{Origin: b.key.name(), Shadow: b.origins.breakers.shadow}
}

// remembered is nil if nothing is remembered of the origin.
func (b *Breaker) remembered() *origin {
	if b == nil {
		return nil
	}
	return b.origins.lookUp(b.key)
}

// byHand makes a change that no call caused, with b.mu held.
func (b *breaker) byHand(change func(*breaker)) {
	b.mu.Lock()
	change(b)
	b.mu.Unlock()
	b.deliver()
}

// openByHand begins a new phase in any case, so that a probe that is out decides nothing. b.mu is held.
func (b *breaker) openByHand(reason string) {
	change := b.machine.trip
	if b.state() == BreakerOpen {
		change = func() {}
	}
	b.hung = 0
	b.setState(context.Background(), change, reason)
}

// reset begins a new phase, too: what is under way counts no more. b.mu is held.
func (b *breaker) reset() {
	b.setState(context.Background(), b.machine.reset, reasonReset)
}

// keyOf finds the key of the origin that is named so. A name may be a URL or what the user's function returns; one that
// is remembered as the latter is that.
func (r *registry) keyOf(name string) originKey {
	custom := originKey{host: name}
	if r.policy.originKey != nil && r.lookUp(custom) != nil {
		return custom
	}
	if target, err := url.Parse(name); err == nil && target.Scheme != "" && target.Host != "" {
		return originKey{target.Scheme, target.Host}.canonical()
	}
	if r.policy.originKey != nil {
		return custom
	}
	return originKey{"https", name}.canonical()
}

// lookUp returns nil if the origin is not remembered.
func (r *registry) lookUp(key originKey) *origin {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.origins[key]
}

// keep returns the origin, counted in, and remembers it even if there is no room.
func (r *registry) keep(key originKey) *origin {
	asWritten := key
	if key.scheme == "" {
		asWritten = originKey{} // the user's key
	}
	for {
		r.mu.Lock()
		o := r.origins[key]
		if o == nil {
			slot := r.makeRoom()
			if slot < 0 {
				slot = len(r.ring)
				r.ring = append(r.ring, nil)
			}
			o = r.put(slot, key, asWritten)
		}
		r.mu.Unlock()
		if o.acquire() {
			return o
		}
	}
}
