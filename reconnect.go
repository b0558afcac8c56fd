package steadyhttp

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// An attempt can be kept off the connections of the base's pool, where those may be dead, or lead to a backend
// that is sick. net/http has no switch for that, so it is done by the hooks of httptrace, over any base that calls
// them. Nothing of it reaches the server.
//
// A connection of HTTP/1 that the pool offers is closed before anything is sent on it, and net/http takes the next
// one or dials. A connection of HTTP/2 belongs to other requests as well: the request that got it is cancelled
// before it is written, and the connection is marked so that it is used for no new request. See markerOf.
type reconnect uint8

const (
	keepConnection reconnect = iota
	newConnection            // none of the pool
	markConnection           // the pool's one of HTTP/2 is marked first
)

// maxMoves is how often one attempt may turn to another connection: a pool may have many that are dead.
const maxMoves = 128

// A reconnector keeps one sending off the connections of the pool.
type reconnector struct {
	ctx        *lazyContext // of the sending
	suspects   *suspicion   // nil: none
	replayable bool         // whether the request can be sent once more at all: what is refused must be
	repeatable bool         // whether it may reach the server twice

	mu      sync.Mutex
	want    reconnect
	refused bool // whether the last connection was not used,
	http2   bool // and was one of HTTP/2
	moved   bool // whether it was kept off any connection
}

// getConn is called where the base asks for a connection, perhaps once more.
func (r *reconnector) getConn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = false
}

// gotConn reports whether the connection is not to be used.
func (r *reconnector) gotConn(got httptrace.GotConnInfo, multiplexed bool) (refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused, r.http2 = false, multiplexed
	switch {
	case got.Conn == nil || r.ctx.Err() != nil:
		return false
	case r.want == markConnection:
		r.moved = r.moved || multiplexed && got.Reused
		r.refused = !multiplexed // there is nothing to be marked, and a marker must not be sent
	default:
		r.refused = r.refuses(got)
		r.moved = r.moved || r.refused
	}
	if r.refused {
		r.refuse(got)
	}
	return r.refused
}

// refuses leaves HTTP/2 to a marker where the request might reach the server twice, should a base write it though
// its context has ended. r.mu is held.
func (r *reconnector) refuses(got httptrace.GotConnInfo) bool {
	pooled := got.Reused || got.WasIdle // one that was dialed for a request which took another one
	if !pooled || !r.replayable || r.http2 && !r.repeatable {
		return false
	}
	return r.suspects.take(got) || r.want == newConnection
}

// refuse keeps the request from being written. Over HTTP/2 net/http looks at the context before
// (http2clientStream.encodeAndWriteHeaders).
func (r *reconnector) refuse(got httptrace.GotConnInfo) {
	if r.http2 {
		r.ctx.cancel(context.Canceled)
		return
	}
	_ = got.Conn.Close()
}

func (r *reconnector) hasMoved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moved
}

// next says how the request is to be sent once more, if the connection that it got was refused. After one of HTTP/1
// was closed, net/http goes on by itself unless the request has a body without GetBody, as withoutGetBody makes it.
func (r *reconnector) next() (want reconnect, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused && r.http2 {
		return markConnection, true
	}
	return r.want, r.refused
}

// markerOf returns a request that marks the connection of HTTP/2 which it gets. A request with Close has net/http
// not use the connection for a new one any more: http2clientStream.writeRequest sets doNotReuse, and only then writes
// the header. This one's header cannot be written (a field that is not allowed in a trailer, RFC 9110 §6.5.1), so
// the server does not hear of it.
func markerOf(request *http.Request) *http.Request {
	marker := &http.Request{
		Method: http.MethodHead, URL: request.URL, Host: request.Host, Close: true,
		Header: http.Header{}, Trailer: http.Header{"Trailer": nil},
	}
	return marker.WithContext(request.Context())
}

// mark sends a marker, and says how the request itself is to be sent then: perhaps there is another connection.
func mark(base http.RoundTripper, c *call) reconnect {
	a := &c.attempt
	t := newTracer(c)
	t.request = markerOf(t.request)
	response, _ := base.RoundTrip(t.request) // never any, over net/http
	closeBody(response)
	t.ctx.release(nil)
	a.moved = a.moved || t.reconnector.hasMoved()
	if t.reconnector.replayable && t.reconnector.repeatable {
		return newConnection
	}
	return keepConnection
}

// An idleCloser closes a base's idle connections, which may be those of other origins: once a minute at most, and
// only on proof that they are dead.
type idleCloser struct {
	base http.RoundTripper

	mu     sync.Mutex
	closed time.Duration // when it last did, since the epoch; 0: never
}

const idleCloseInterval = time.Minute

// closeOnProof takes it for proof that a probe was kept off the pool, where attempts had timed out, and that a new
// connection worked.
func (i *idleCloser) closeOnProof(a *attempt) {
	if !a.probe || !a.silence || !a.moved || !a.fresh || a.response == nil {
		return
	}
	closer, ok := i.base.(interface{ CloseIdleConnections() })
	if !ok {
		return
	}
	i.mu.Lock()
	due := i.closed == 0 || a.end-i.closed >= idleCloseInterval
	if due {
		i.closed = max(1, a.end)
	}
	i.mu.Unlock()
	if due {
		closer.CloseIdleConnections()
	}
}
