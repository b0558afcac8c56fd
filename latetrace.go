package steadyhttp

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
)

// A lateTrace spares the built-in transport the cost of tracing over HTTP/2. A request that finds a connection in
// net/http's HTTP/2 pool never asks for a proxy; the loop that resends without end does, each time before it dials.
// So an attempt may begin untraced, and errNeedsTrace ends it where the loop would begin.
type lateTrace struct {
	mu    sync.Mutex                          // held to write hosts
	hosts atomic.Pointer[map[string]struct{}] // those that spoke HTTP/2 last; never modified, but replaced
}

// maxLateHosts bounds the hosts that are remembered. Others are traced.
const maxLateHosts = 1024

var errNeedsTrace = errors.New("steadyhttp: the request must be traced before it is sent over a new connection")

func newLateTrace() *lateTrace {
	l := &lateTrace{}
	l.hosts.Store(&map[string]struct{}{})
	return l
}

// knows reports whether the host spoke HTTP/2 last.
func (l *lateTrace) knows(host string) bool {
	_, ok := (*l.hosts.Load())[host]
	return ok
}

// learn takes from an attempt that brought a response what the host speaks.
func (l *lateTrace) learn(a *attempt) {
	if a.response.TLS != nil {
		l.note(a.request.URL.Host, a.response.ProtoMajor == 2)
	}
}

// note keeps what the host speaks. It copies the map, which happens once for each host.
func (l *lateTrace) note(host string, http2 bool) {
	if l.knows(host) == http2 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	hosts := maps.Clone(*l.hosts.Load())
	delete(hosts, host)
	if http2 && len(hosts) < maxLateHosts {
		hosts[host] = struct{}{}
	}
	l.hosts.Store(&hosts)
}

// before is http.Transport.Proxy, but ends an attempt that is not traced.
func (l *lateTrace) before(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(request *http.Request) (*url.URL, error) {
		if request.URL.Scheme == "https" && l.knows(request.URL.Host) && !isTraced(request.Context()) {
			return nil, errNeedsTrace
		}
		return proxy(request)
	}
}

// mayTraceLate reports whether the attempt may begin untraced. A body would have been read, and a request that is
// not idempotent may have been sent once.
func (l *lateTrace) mayTraceLate(c *call) bool {
	return l != nil && c.attempt.number == 1 && c.origin.has(answered) && !c.origin.has(crowded) && !c.origin.isSuspicious() &&
		!hasBody(c.attempt.request) && c.idempotent() && l.knows(c.attempt.request.URL.Host)
}

type tracedKey struct{}

func isTraced(ctx context.Context) bool { return ctx.Value(tracedKey{}) != nil }
