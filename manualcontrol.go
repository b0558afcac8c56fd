package steadyhttp

import (
	"cmp"
	"context"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Breaker controls the circuit breaker of one origin by hand, for whoever operates a program; see [Transport.Breaker].
//
// What is done by hand holds in this process alone, for as long as it runs, and no other one hears of it. A Breaker is safe
// for concurrent use. Errors, events, logs and [BreakerStatus] show the reasons that it is given, so they must not hold a
// secret. With [WithShadowBreaker] it changes states as ever, and nothing is rejected. The methods of a nil Breaker do
// nothing.
type Breaker struct {
	origins *registry
	keys    []originKey // one, or two that are named so
}

// Breaker returns the manual control of an origin's breaker.
//
// The origin is "https://api.example.com:443", as [BreakerStatus] and errors name it, or any URL of it, or what
// [WithOriginKey] returns. A host without a scheme is one of https. With WithOriginKey, a name that is
// more than scheme, host and port is such a key, and one that is no more stands for both the key and the origin,
// or, where only one of them is remembered, for that one.
//
// It is nil with [WithoutBreaker], and of a zero Transport. There is one for every origin, also for one that was never
// called, or was forgotten: nothing is remembered of it until the first Isolate or Trip.
func (t *Transport) Breaker(origin string) *Breaker {
	if t.origins == nil || t.policy.withoutBreaker {
		return nil
	}
	return &Breaker{t.origins, t.origins.keysOf(origin)}
}

// The reasons that are our own.
const (
	reasonFailures = "failures"
	reasonFleet    = "fleet"
	reasonReset    = "reset"
	reasonIsolated = "isolated" // where none is given,
	reasonTripped  = "tripped"  // by hand
)

// Isolate opens the breaker until [Breaker.Reset]: every call to the origin ends with a [*CircuitOpenError], and no
// probe is sent.
//
// Attempts that are under way are not interrupted; they count no more. Calls that a pause holds back are rejected now; see
// [WithOriginPause]. So they are by a Trip for longer than they may wait. Without a reason it is "isolated". The origin
// is remembered, beyond [WithOriginLimit] if it must be. Isolate again to change the reason.
func (b *Breaker) Isolate(reason string) {
	b.open(func(own *breaker) {
		own.openByHand(cmp.Or(reason, reasonIsolated))
		own.probeAt, own.last.rejection.RetryAt = math.MaxInt64, time.Time{}
	})
}

// Trip opens the breaker for d at least, and for no less than an ordinary open time. Then probes decide as ever.
//
// Without a reason it is "tripped". On one that is open already it sets the reason, and never brings the next probe
// forward. One that is isolated stays as it is.
func (b *Breaker) Trip(d time.Duration, reason string) {
	b.open(func(own *breaker) {
		if own.state() == BreakerOpen && own.last.rejection.isIsolated() {
			return
		}
		remaining := time.Duration(0)
		if own.state() == BreakerOpen {
			remaining = own.probeAt - own.now()
		}
		own.openByHand(cmp.Or(reason, reasonTripped))
		own.setOpenTime(max(d, remaining, own.config.policy.openTime(0)))
	})
}

// open does something to the breaker of an origin that is remembered from now on.
func (b *Breaker) open(change func(*breaker)) {
	if b == nil {
		return
	}
	for _, key := range b.keys {
		b.origins.keep(key).open(change)
	}
}

// open does so to an origin that is counted in, and counts it out, also if an Observer panics.
func (o *origin) open(change func(*breaker)) {
	defer o.release()
	defer o.pause.recallFor(o.breaker) // to be rejected: a pause is not waited for in vain
	o.breaker.applyChange(change)
}

// Reset closes the breaker, with nothing counted, whatever opened it. The retry budget stays as it is.
func (b *Breaker) Reset() {
	for _, o := range b.remembered() {
		o.breaker.applyChange((*breaker).reset)
	}
}

// Status returns a snapshot of the breaker, as [Transport.Breakers] does. It is that of a closed breaker where nothing is
// remembered of the origin.
func (b *Breaker) Status() BreakerStatus {
	if b == nil {
		return BreakerStatus{}
	}
	known := b.remembered()
	if len(known) == 0 {
		return BreakerStatus{Origin: b.keys[0].name(), Shadow: b.origins.breakers.shadow}
	}
	latest := slices.MaxFunc(known, func(a, b *origin) int { return cmp.Compare(a.breaker.changed(), b.breaker.changed()) })
	return latest.breaker.status(time.Since(b.origins.epoch))
}

// remembered are those of its origins of which anything is remembered.
func (b *Breaker) remembered() (known []*origin) {
	if b == nil {
		return nil
	}
	for _, key := range b.keys {
		if o := b.origins.lookUp(key); o != nil {
			known = append(known, o)
		}
	}
	return known
}

// isHeldOpen reports whether it was opened by hand and is sure to reject a call after the wait.
func (b *breaker) isHeldOpen(wait time.Duration) bool {
	if !b.openFor(wait) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last.byHand // whatever the reason says
}

// changed is when the state last changed; 0 if it never has.
func (b *breaker) changed() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		return 0
	}
	return b.last.at
}

// applyChange makes a change that no call caused, but somebody by hand or a fleet, with b.mu held.
func (b *breaker) applyChange(change func(*breaker)) {
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
	b.last.byHand, b.last.trouble = true, b.generation()
}

// reset begins a new phase, too: what is under way counts no more. b.mu is held.
func (b *breaker) reset() {
	b.setState(context.Background(), b.machine.reset, reasonReset)
}

// keysOf finds the keys of what is named so. With a function of the user's, the name of an origin may be what it returns,
// or that of an origin of which it returns nothing.
func (r *registry) keysOf(name string) []originKey {
	own, isURL, isBare := parseOrigin(name)
	custom := originKey{host: name}
	if r.policy.originKey == nil {
		return []originKey{own}
	}
	if !isURL || !isBare {
		return []originKey{custom}
	}
	known := r.lookUp(own) != nil
	switch knownByKey := r.lookUp(custom) != nil; {
	case known == knownByKey: // it may be either
		return []originKey{own, custom}
	case known:
		return []originKey{own}
	default:
		return []originKey{custom}
	}
}

// parseOrigin takes what an origin is called by: a URL, or what is left of one without a scheme. It knows the names that
// are no URLs, too: that of an IPv6 address with a zone, and that of a scheme without a host.
func parseOrigin(name string) (key originKey, isURL, isBare bool) {
	scheme, rest, isURL := strings.Cut(name, "://")
	if !isURL || strings.ContainsAny(scheme, "/?#@") {
		scheme, rest, isURL = "https", strings.TrimPrefix(name, "//"), false
	}
	host := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host = rest[:end]
	}
	isBare = strings.TrimSuffix(rest, "/") == host
	if target, err := url.Parse(scheme + "://" + host); err == nil {
		host = target.Host // without escapes
	}
	host = host[strings.LastIndexByte(host, '@')+1:]
	return originKey{scheme, host}.canonical(), isURL, isBare
}

// keep returns the origin, counted in, and remembers it even if there is no room.
func (r *registry) keep(key originKey) *origin {
	asWritten := key
	if key.scheme == "" || r.policy.originKey != nil {
		asWritten = originKey{} // the user's key, or one that the user's function decides of
	}
	for {
		if o := r.findOrMake(key, asWritten); o.acquire() { // it may have been forgotten just now
			return o
		}
	}
}

func (r *registry) findOrMake(key, asWritten originKey) *origin {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.origins[key]; o != nil {
		return o
	}
	now := time.Since(r.epoch)
	slot := r.makeRoom(now)
	if slot < 0 {
		slot = len(r.ring)
	}
	return r.put(slot, r.newOrigin(key, asWritten, now))
}
