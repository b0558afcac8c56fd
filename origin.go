package steadyhttp

import (
	"cmp"
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
	key     originKey
	name    string
	breaker *breaker // nil: none
	budget  *budget  // nil: unlimited

	calls  atomic.Int64 // under way
	used   atomic.Bool  // since the registry last looked for one to forget
	steady atomic.Bool  // whether the last attempt brought a response
}

// leave ends a call that the registry let enter.
func (o *origin) leave() { o.calls.Add(-1) }

// settled reports whether the last attempt brought a response.
func (o *origin) settled() bool { return o.steady.Load() }

// reached notes whether an attempt brought a response. It writes only what is news, so that calls in
// parallel do not fight for the cache line.
func (o *origin) reached(answered bool) {
	if o.steady.Load() != answered {
		o.steady.Store(answered)
	}
}

// idle reports whether the origin can be forgotten without forgetting anything.
func (o *origin) idle(now time.Duration) bool {
	return o.calls.Load() == 0 && o.breaker.clean(now) && o.budget.full(now)
}

// An originKey is comparable and made without allocating.
type originKey struct{ scheme, host string }

func originOf(request *http.Request) originKey {
	scheme := strings.ToLower(request.URL.Scheme)
	host := strings.ToLower(request.URL.Host)
	return originKey{scheme, strings.TrimSuffix(strings.TrimSuffix(host, defaultPort(scheme)), ":")}
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
		return k.host // WithOriginKey's
	}
	hasPort := strings.LastIndexByte(k.host, ':') > strings.LastIndexByte(k.host, ']')
	if hasPort {
		return k.scheme + "://" + k.host
	}
	return k.scheme + "://" + k.host + defaultPort(k.scheme)
}

// sweepLimit bounds how long a newcomer looks for an origin to forget.
const sweepLimit = 2048

// A registry remembers a bounded number of origins. When it is full it forgets one that is idle, clean,
// and not used lately, by a second-chance clock. When there is none it forgets nothing: newcomers then
// go without a breaker, and share one retry budget among them all.
type registry struct {
	policy   *policy
	epoch    time.Time
	overflow *budget

	mu      sync.RWMutex
	origins map[originKey]*origin
	ring    []*origin // the same ones, in the order in which they are looked at
	hand    int
}

func newRegistry(policy *policy, epoch time.Time) *registry {
	r := &registry{policy: policy, epoch: epoch, origins: make(map[originKey]*origin)}
	r.overflow = r.newBudget()
	return r
}

// enter returns the request's origin, which is not forgotten before the call has left it.
func (r *registry) enter(request *http.Request) *origin {
	key := originOf(request)
	if r.policy.originKey != nil {
		key = r.customKey(request, key)
	}
	if o := r.find(key); o != nil {
		return o
	}
	return r.add(key)
}

func (r *registry) customKey(request *http.Request, otherwise originKey) originKey {
	custom := ""
	protect(
		func() { custom = r.policy.originKey(request) },
		func() { closeRequest(request) },
	)
	if custom == "" {
		return otherwise
	}
	return originKey{host: custom}
}

func (r *registry) find(key originKey) *origin {
	r.mu.RLock()
	defer r.mu.RUnlock()
	o := r.origins[key]
	if o != nil {
		r.use(o)
	}
	return o
}

// use counts a call in, under the lock, so that a sweep cannot miss it.
func (r *registry) use(o *origin) {
	o.calls.Add(1)
	if !o.used.Load() {
		o.used.Store(true)
	}
}

func (r *registry) add(key originKey) *origin {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.origins[key]
	if o == nil {
		o = r.place(key)
	}
	r.use(o)
	return o
}

// place makes an origin, and room for it.
func (r *registry) place(key originKey) *origin {
	slot := len(r.ring)
	if slot < r.policy.originLimit {
		r.ring = append(r.ring, nil)
	} else if slot = r.sweep(); slot < 0 {
		return &origin{key: key, name: key.name(), budget: r.overflow}
	}
	o := r.newOrigin(key)
	r.origins[key], r.ring[slot] = o, o
	return o
}

// sweep forgets one origin and returns its slot, or -1. What was used since the last look is spared
// once.
func (r *registry) sweep() int {
	now := time.Since(r.epoch)
	for range min(2*len(r.ring), sweepLimit) {
		slot := r.hand
		r.hand = (r.hand + 1) % len(r.ring)
		o := r.ring[slot]
		if o.used.Swap(false) || !o.idle(now) {
			continue
		}
		delete(r.origins, o.key)
		return slot
	}
	return -1
}

func (r *registry) newOrigin(key originKey) *origin {
	o := &origin{key: key, name: key.name(), budget: r.newBudget()}
	if r.policy.breaker != nil {
		o.breaker = newBreaker(o.name, r.policy.breaker)
	}
	return o
}

func (r *registry) newBudget() *budget {
	if r.policy.budget == nil {
		return nil
	}
	return newBudget(r.policy.budget, time.Since(r.epoch))
}

func (r *registry) statuses() []BreakerStatus {
	r.mu.RLock()
	known := slices.Clone(r.ring)
	r.mu.RUnlock()
	now := time.Since(r.epoch)
	var statuses []BreakerStatus
	for _, o := range known {
		if o.breaker != nil {
			statuses = append(statuses, o.breaker.status(now))
		}
	}
	slices.SortFunc(statuses, func(a, b BreakerStatus) int { return cmp.Compare(a.Origin, b.Origin) })
	return statuses
}
