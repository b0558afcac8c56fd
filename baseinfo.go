package steadyhttp

import (
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// A baseInfo is what is known of a base transport.
type baseInfo struct {
	http.RoundTripper
	late        *lateTrace   // of the built-in transport; nil for another
	asks        atomic.Bool  // for the hooks of httptrace
	dialsTraced atomic.Bool  // a connection that it made was heard of: one that is being made would be
	closeDials  atomic.Bool  // it dials for each request with Close, over HTTP/2
	shared      atomic.Int64 // when attempts last failed together with one another, since the epoch; 0: never
	idle        idleCloser

	boundsHeader bool             // of the built-in transport
	twin         func() *baseInfo // of its twin; nil for another
}

func newBaseInfo(base http.RoundTripper) *baseInfo {
	b := &baseInfo{RoundTripper: base, idle: idleCloser{base: base}}
	if builtIn, ok := base.(*builtInTransport); ok {
		b.late, b.boundsHeader = builtIn.late, builtIn.boundsHeader
		b.twin = sync.OnceValue(func() *baseInfo { return newBaseInfo(builtIn.makeTwin()) })
	}
	return b
}

// within returns the base for a call with such an attempt timeout, which only [Override] makes another one.
func (b *baseInfo) within(attemptTimeout time.Duration) *baseInfo {
	if b.twin == nil || b.boundsHeader == (attemptTimeout == 0) {
		return b
	}
	return b.twin()
}

// learnFrom takes from an attempt that failed what it shows of its connection.
func (b *baseInfo) learnFrom(c *call) {
	a := &c.attempt
	if factsOf(a.err).has(unreadableFact) && b.wasAlone(c.origin, a.start, a.end) {
		a.traced |= unreadable
	}
}

// isNetHTTP reports whether nobody of the user's stands between an attempt and net/http: no signing, no tracing.
func (b *baseInfo) isNetHTTP() bool {
	switch b.RoundTripper.(type) {
	case *builtInTransport, *http.Transport:
		return true
	default:
		return false
	}
}

// limitsConnections reports whether requests are known to queue for a connection of the base's own pool, so that each
// of them must be traced.
func (b *baseInfo) limitsConnections() bool {
	transport, ok := b.RoundTripper.(*http.Transport)
	return ok && transport.MaxConnsPerHost > 0
}

// hasManyConnections reports whether net/http may resend more often than an attempt allows, over as many idle connections
// of HTTP/1. Only the built-in transport tells. Of others the calls at the same time must do, which leave out responses
// whose bodies are still being read.
func (b *baseInfo) hasManyConnections() bool {
	builtIn, ok := b.RoundTripper.(*builtInTransport)
	return ok && builtIn.open.many.Load() > 0
}

// keepsFewConnections reports whether the base surely has no more idle connections of HTTP/1 to a host than an attempt may
// send requests. Others, of the same base, may have left them.
func (b *baseInfo) keepsFewConnections() bool {
	switch base := b.RoundTripper.(type) {
	case *builtInTransport:
		return !b.hasManyConnections()
	case *http.Transport:
		return base.MaxIdleConnsPerHost <= maxSends // 0 stands for 2, and without keep-alives there are none
	default:
		return false
	}
}

// mayQueue reports whether a request for which no connection was being made was in such a queue. Of a base that is not
// net/http's it is not known, but a connection that nobody makes is waited for nowhere else.
func (b *baseInfo) mayQueue() bool {
	switch b.RoundTripper.(type) {
	case *builtInTransport:
		return false
	case *http.Transport:
		return b.limitsConnections()
	default:
		return b.dialsTraced.Load()
	}
}

// hasConnectHooks reports whether functions of the user's take part in asking a proxy for a tunnel.
func (b *baseInfo) hasConnectHooks() bool {
	transport, ok := b.RoundTripper.(*http.Transport)
	return ok && (transport.GetProxyConnectHeader != nil || transport.OnProxyConnectResponse != nil)
}

// choosesProxies reports whether a function of the user's chooses the proxy.
func (b *baseInfo) choosesProxies() bool {
	transport, ok := b.RoundTripper.(*http.Transport)
	if !ok || transport.Proxy == nil {
		return false
	}
	return reflect.ValueOf(transport.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer()
}

// wasAlone reports whether an attempt that has just failed had no other one beside it on its connection, as far as this
// Transport can know. Those that share a connection fail with it together, and the first one of them to ask tells
// the others, which are perhaps the last ones under way by then.
func (b *baseInfo) wasAlone(o *origin, start, end time.Duration) bool {
	if o.calls.Load() > 1 {
		b.shared.Store(int64(end))
		return false
	}
	return b.shared.Load() <= int64(start)
}
