package steadyhttp

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An origin is what fails and recovers as one: a scheme, host and port (RFC 6454 §4), or what
// [WithOriginKey] says. It has a breaker and a retry budget.
type origin struct {
	key       originKey
	asWritten *originKey // as in the URL that it was first found by; nil: by another key, or with a function of the user's
	name      string
	breaker   *breaker     // nil: none
	budget    *budget      // nil: unlimited
	pause     *originPause // nil: none
	pace      pace

	calls  atomic.Int32  // under way; far below zero once the origin is forgotten
	bodies atomic.Int32  // that are still to tell an outcome
	flags  atomic.Uint32 // what it is like; written only when that is news

	suspicion atomic.Pointer[suspicion] // nil: there was never any
	succeeded atomic.Int64              // when the last success began, since the epoch; only without a breaker, which knows it
}

// The flags of an origin.
const (
	used        uint32 = 1 << iota // since the registry last looked for one to forget
	crowded                        // there were once as many calls at the same time as an attempt may send requests
	answered                       // the last attempt brought a response
	http2Spoken                    // the last response came over HTTP/2,
	tlsSpoken                      // and one over TLS
	unseen                         // a 5xx came over a connection of HTTP/1 that is not known, and no success since
)

// isPlain reports whether the last attempt brought a response over HTTP/1 without TLS, and few calls were ever made at the
// same time.
func (o *origin) isPlain() bool {
	return o.flags.Load()&(answered|http2Spoken|tlsSpoken|crowded) == answered
}

func (o *origin) has(flag uint32) bool { return o.flags.Load()&flag != 0 }

// set gives the flags of the mask a value. It writes only what is news, so that calls in parallel do not fight for the
// cache line.
func (o *origin) set(mask, value uint32) {
	if o.flags.Load()&mask == value {
		return
	}
	o.flags.And(^mask | value)
	o.flags.Or(value)
}

// isWritten reports whether the URL of a request to the origin is surely written so.
func (o *origin) isWritten(as originKey) bool { return o.asWritten != nil && *o.asWritten == as }

// acquire counts a call in, unless the origin is forgotten.
func (o *origin) acquire() bool {
	calls := o.calls.Add(1)
	if calls <= 0 {
		o.calls.Add(-1)
		return false
	}
	if calls >= maxSends {
		o.set(crowded, crowded)
	}
	o.set(used, used)
	return true
}

// release counts a call out.
func (o *origin) release() { o.calls.Add(-1) }

const forgotten = math.MinInt32 / 2

// forget lets no call enter any more, if none is under way and nothing is lost by it.
func (o *origin) forget(now time.Duration) bool {
	if !o.calls.CompareAndSwap(0, forgotten) {
		return false
	}
	if o.bodies.Load() == 0 && // one begins in a call only, and there is none
		o.breaker.forgettable(now) && o.budget.full(now) && o.pause.forgettable(now) {
		return true
	}
	o.calls.Add(-forgotten)
	return false
}

// setAnswered keeps whether an attempt brought a response, and over what. A base may make its responses itself, or take
// them from a cache: so the connection is asked too, and TLS that was spoken once is not forgotten.
func (o *origin) setAnswered(a *attempt) {
	if a.response == nil {
		o.set(answered, 0)
		return
	}
	http2, secure := a.response.ProtoMajor == 2, a.response.TLS != nil
	if !secure && a.conn != nil {
		var protocol string
		protocol, secure = protocolOver(a.conn)
		http2 = http2 || protocol == "h2"
	}
	mask, spoken := answered|http2Spoken, answered
	if http2 {
		spoken |= http2Spoken
	}
	if secure {
		mask, spoken = mask|tlsSpoken, spoken|tlsSpoken
	}
	o.set(mask, spoken)
}

// mayResend reports whether net/http may resend more often than an attempt allows: over HTTP/2, which TLS can
// change to with any connection, or over as many idle connections of HTTP/1 as there were calls at the same time.
func mayResend(flags uint32) bool { return flags&(http2Spoken|tlsSpoken|crowded) != 0 }

// An originKey is comparable and made without allocating.
type originKey struct{ scheme, host string }

// canonical is the same for every spelling of an origin, and its own canonical form.
func (k originKey) canonical() originKey {
	scheme, host := strings.ToLower(k.scheme), strings.ToLower(k.host)
	at := portAt(host)
	if at < 0 || portAt(host[:at]) >= 0 { // what two ports are left of is no host, but would be another one's spelling
		return originKey{scheme, host}
	}
	if port := host[at:]; port == ":" || port == defaultPort(scheme) {
		host = host[:at]
	}
	return originKey{scheme, host}
}

// portAt is where the port begins, with its colon; -1 if there is none.
func portAt(host string) int {
	at := strings.LastIndexAny(host, ":]")
	if at < 0 || host[at] == ']' { // which ends an IPv6 address
		return -1
	}
	return at
}

// clone copies the strings, so that they do not keep the whole URL in memory that they are part of.
func (k originKey) clone() *originKey {
	return &originKey{strings.Clone(k.scheme), strings.Clone(k.host)}
}

// sliceOf is the same key as parts of its name, which saves the copies.
func (k originKey) sliceOf(name string) originKey {
	if k.scheme == "" {
		return originKey{host: name}
	}
	host := len(k.scheme) + len("://")
	return originKey{name[:len(k.scheme)], name[host : host+len(k.host)]}
}

// defaultPort is RFC 9110 §4.2's, with its colon.
func defaultPort(scheme string) string {
	switch scheme {
	case "https":
		return ":443"
	case "http":
		return ":80"
	default:
		return ""
	}
}

// name always has the port, where one is known.
func (k originKey) name() string {
	if k.scheme == "" {
		return strings.Clone(k.host) // WithOriginKey's
	}
	if portAt(k.host) >= 0 {
		return k.scheme + "://" + k.host
	}
	return k.scheme + "://" + k.host + defaultPort(k.scheme)
}

const (
	sweepLimit = 1 << 16 // of the origins that a newcomer passes in search of one to forget,
	dirtyLimit = 256     // of those among them that turn out to have something to remember
)

// A registry remembers a bounded number of origins. When it is full it forgets one that is idle, clean,
// and not used lately, by a second-chance clock. When there is none it forgets nothing: newcomers then
// go without a breaker, and share one retry budget among them all.
type registry struct {
	policy   *policy
	epoch    time.Time
	breakers *breakerConfig
	pauses   *pauseConfig
	overflow *budget

	mu      sync.RWMutex
	origins map[originKey]*origin
	ring    []*origin // the same ones, in the order in which they are looked at
	hand    int
}

func newRegistry(policy *policy, epoch time.Time) *registry {
	r := &registry{policy: policy, epoch: epoch, breakers: newBreakerConfig(policy, epoch), pauses: newPauseConfig(policy, epoch), origins: make(map[originKey]*origin)}
	if !policy.withoutBudget {
		budget := makeBudget(&policy.budget, 0)
		r.overflow = &budget
	}
	return r
}

// acquire returns the request's origin, which is not forgotten before the call has left it. Most calls go where another
// one went last.
func (r *registry) acquire(request *http.Request, last *origin) *origin {
	asWritten := originKey{request.URL.Scheme, request.URL.Host}
	if last != nil && last.isWritten(asWritten) && last.acquire() {
		return last
	}
	return r.acquireOther(request, asWritten)
}

// acquireOther finds most origins without making their keys canonical, since that takes as long as all the rest of a call.
func (r *registry) acquireOther(request *http.Request, asWritten originKey) *origin {
	if r.policy.originKey == nil {
		if o := r.lookUp(asWritten); o != nil && o.acquire() {
			return o
		}
	}
	return r.acquireByKey(request, asWritten)
}

// acquireByKey calls the user's code, and lets no body leak should that panic or exit.
func (r *registry) acquireByKey(request *http.Request, asWritten originKey) *origin {
	returned := false
	defer func() {
		if !returned {
			closeRequest(request)
		}
	}()
	key := asWritten.canonical()
	if r.policy.originKey != nil {
		key, asWritten = r.customKey(request, key), originKey{}
	}
	o := r.acquireBy(key, asWritten)
	returned = true
	return o
}

func (r *registry) acquireBy(key, asWritten originKey) *origin {
	for {
		if o := r.find(key, asWritten); o.acquire() { // it may have been forgotten just now
			return o
		}
	}
}

// acquireAgain returns the origin, or the one that has its key now if it was forgotten.
func (r *registry) acquireAgain(o *origin) *origin {
	var asWritten originKey
	if o.asWritten != nil {
		asWritten = *o.asWritten
	}
	if o.acquire() {
		return o
	}
	return r.acquireBy(o.key, asWritten)
}

// customKey asks the user's function.
func (r *registry) customKey(request *http.Request, otherwise originKey) originKey {
	custom := r.policy.originKey(request)
	if custom == "" {
		return otherwise
	}
	return originKey{host: custom}
}

// find looks once more for a key that was looked for as it is written: meanwhile another call may have placed the origin.
func (r *registry) find(key, asWritten originKey) *origin {
	if key != asWritten {
		if o := r.lookUp(key); o != nil {
			return o
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.origins[key]; o != nil {
		return o
	}
	return r.place(key, asWritten)
}

// lookUp returns the origin that is remembered by this key, or nil.
func (r *registry) lookUp(key originKey) *origin {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.origins[key]
}

// place makes an origin, and room for it.
func (r *registry) place(key, asWritten originKey) *origin {
	now := time.Since(r.epoch)
	slot := r.makeRoom(now)
	if slot < 0 {
		return &origin{key: key, name: key.name(), budget: r.overflow}
	}
	return r.put(slot, r.newOrigin(key, asWritten, now))
}

// makeRoom returns a free slot, or -1. Where [Breaker.Isolate] has made more than the limit, each newcomer lets one more go. r.mu is held.
func (r *registry) makeRoom(now time.Duration) int {
	if slot := len(r.ring); slot < r.policy.originLimit {
		return slot
	}
	slot := r.sweep(now)
	if slot >= 0 && len(r.ring) > r.policy.originLimit {
		r.drop(slot)
		slot = r.sweep(now)
	}
	return slot
}

// drop takes the slot of a forgotten origin away. It is not the only one. r.mu is held.
func (r *registry) drop(slot int) {
	forgotten, last := r.ring[slot], len(r.ring)-1
	r.ring[slot], r.ring[last] = r.ring[last], nil
	r.ring = r.ring[:last]
	r.hand %= last
	forgotten.breaker.leaveFleet()
}

// put fills a free slot, which may be the one behind the last. Should the user's fleet panic, all is in its place. r.mu is held.
func (r *registry) put(slot int, o *origin) *origin {
	r.origins[o.key] = o
	if slot == len(r.ring) {
		r.ring = append(r.ring, o)
	} else {
		forgotten := r.ring[slot]
		r.ring[slot] = o
		defer forgotten.breaker.leaveFleet()
	}
	o.breaker.joinFleet()
	return o
}

// sweep forgets one origin and returns its slot, or -1. What was used since the last look is spared
// once. It does not look for ever; the next newcomer looks on from there.
func (r *registry) sweep(now time.Duration) int {
	dirty := 0
	for range min(2*len(r.ring), sweepLimit) {
		slot := r.hand
		r.hand = (r.hand + 1) % len(r.ring)
		o := r.ring[slot]
		if o.has(used) {
			o.set(used, 0)
			continue
		}
		if o.forget(now) {
			delete(r.origins, o.key)
			return slot
		}
		if dirty++; dirty == dirtyLimit {
			break
		}
	}
	return -1
}

// A wholeOrigin is an origin with what it has, in one allocation: past the limit each call may be to a newcomer.
type wholeOrigin struct {
	origin
	itsBreaker breaker
	itsBudget  budget
}

func (r *registry) newOrigin(key, asWritten originKey, now time.Duration) *origin {
	name := key.name()
	whole := &wholeOrigin{origin: origin{key: key.sliceOf(name), name: name}}
	o := &whole.origin
	switch asWritten {
	case originKey{}: // the key is the user's
		o.flags.Store(crowded) // other keys' calls go to the same host, perhaps, and this key's to several
	case key:
		o.asWritten = &o.key
	default:
		o.asWritten = asWritten.clone()
	}
	if !r.policy.withoutBreaker {
		whole.itsBreaker = makeBreaker(o, r.breakers)
		o.breaker = &whole.itsBreaker
	}
	if !r.policy.withoutBudget {
		whole.itsBudget = makeBudget(&r.policy.budget, now)
		o.budget = &whole.itsBudget
	}
	if r.policy.pause.on {
		o.pause = newOriginPause(o.name, r.pauses)
	}
	return o
}

// known are the origins that are remembered.
func (r *registry) known() []*origin {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.ring)
}

func (r *registry) statuses() []BreakerStatus {
	now := time.Since(r.epoch)
	var statuses []BreakerStatus
	for _, o := range r.known() {
		if o.breaker != nil {
			statuses = append(statuses, o.breaker.status(now))
		}
	}
	slices.SortFunc(statuses, func(a, b BreakerStatus) int { return cmp.Compare(a.Origin, b.Origin) })
	return statuses
}
