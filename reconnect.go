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
// them: a connection of HTTP/1 that the pool offers is closed before anything is sent on it, and net/http takes the
// next one or dials. A connection of HTTP/2 belongs to other requests as well. A request with Close has net/http
// not use it for a new request any more (http2ClientConn.doNotReuse); that is set once the request's header is
// written, and then this request is cancelled and sent over a new connection.
type reconnect uint8

const (
	keepConnection  reconnect = iota
	otherConnection           // not the one that the pool offers first, over HTTP/1: it brought the last response
	closeConnection           // the one of HTTP/2 once more, but nothing after this
	newConnection             // none of the pool
)

// A reconnector keeps one sending off the connections of the pool.
type reconnector struct {
	ctx *lazyContext // of the attempt

	mu      sync.Mutex
	want    reconnect
	unsafe  bool // whether the request may not reach the server twice
	leaving bool // whether this request is only to mark its HTTP/2 connection
	left    bool // whether it has
	closed  bool // whether the last connection was closed before anything was sent on it
}

// gotConn reports whether the connection is not to be used.
func (r *reconnector) gotConn(got httptrace.GotConnInfo, multiplexed bool) (refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = false
	switch {
	case r.want == keepConnection || !got.Reused || got.Conn == nil:
		return false
	case multiplexed:
		r.leaving = r.want == newConnection && !r.unsafe
		return false
	}
	if r.want == otherConnection {
		r.want = keepConnection
	}
	r.closed = true
	_ = got.Conn.Close()
	return true
}

// wroteHeaders cancels the request that has marked its connection.
func (r *reconnector) wroteHeaders() {
	r.mu.Lock()
	leaving := r.leaving
	r.leaving, r.left = false, r.left || leaving
	r.mu.Unlock()
	if leaving {
		r.ctx.cancel(context.Canceled)
	}
}

// unsent reports whether an error is of our own doing: the request only marked its connection, or net/http did not
// take another one for a connection that was closed. With a body it takes the error of that for one of the body
// (transferWriter.doBodyCopy). want is what is wanted of the next connection.
func (r *reconnector) unsent() (want reconnect, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.want, true
	}
	return keepConnection, r.left
}

// How often retries to one origin may leave a connection: a server that is slow, or flaky as a whole, must not pay
// for connections that are no worse than others.
const (
	leaveInterval     = time.Second
	leaveIdleInterval = time.Second / 4 // where only one idle connection is at stake
)

// reconnectAfter says which connection the next attempt should go over. A 5xx over HTTP/1 costs a connection more
// often where something has succeeded lately: an outage is not the fault of one backend.
func (c *call) reconnectAfter(last *attempt) reconnect {
	switch {
	case last.timeoutAfter() > 0:
		if last.sends > 0 && !last.fresh && c.origin.mayLeave(last.end, leaveInterval) {
			return newConnection
		}
	case last.response == nil || last.status < http.StatusInternalServerError:
	case c.origin.has(http2Spoken):
		if c.origin.mayLeave(last.end, leaveInterval) {
			return closeConnection // to be sent over a new one at once, it would have to be sent twice
		}
	default:
		interval := leaveInterval
		if c.origin.breaker.succeededSince(last.end - time.Second) {
			interval = leaveIdleInterval
		}
		if c.origin.mayLeave(last.end, interval) {
			return otherConnection
		}
	}
	return keepConnection
}

// mayLeave reports whether a connection was not left for so long, and notes that it now is.
func (o *origin) mayLeave(now, interval time.Duration) bool {
	last, ms := o.left.Load(), max(1, uint32(now/time.Millisecond))
	due := last == 0 || ms-last >= uint32(interval/time.Millisecond)
	return due && o.left.CompareAndSwap(last, ms)
}

// An idleCloser closes a base's idle connections, which may be those of other origins: once a minute at most, and
// only on proof that they are dead.
type idleCloser struct {
	base http.RoundTripper

	mu     sync.Mutex
	closed time.Duration // when it last did, since the epoch; 0: never
}

const idleCloseInterval = time.Minute

func (i *idleCloser) close(now time.Duration) {
	closer, ok := i.base.(interface{ CloseIdleConnections() })
	if !ok {
		return
	}
	i.mu.Lock()
	due := i.closed == 0 || now-i.closed >= idleCloseInterval
	if due {
		i.closed = now
	}
	i.mu.Unlock()
	if due {
		closer.CloseIdleConnections()
	}
}
