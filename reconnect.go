package steadyhttp

import (
	"context"
	"net"
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
// one or dials. Those of HTTP/2 belong to other requests as well: first they are marked, so that they are used for
// no new request, see leavePool, and a request that gets one all the same is cancelled before it is written.
type reconnect uint8

const (
	keepConnection reconnect = iota
	newConnection            // none of the pool
	leavePool                // the same, after those of HTTP/2 are marked
	ownConnection            // one that the base gives to a request with Close alone
)

// maxMoves is how often one attempt may turn to another connection: a pool may have many that are dead.
const maxMoves = 128

// A reconnector keeps one sending off the connections of the pool.
type reconnector struct {
	*tracePlan

	mu      sync.Mutex
	offered net.Conn // the last connection
	pooled  bool     // whether that was one of the pool,
	refused bool     // was not used,
	http2   bool     // and was one of HTTP/2
	moved   bool     // whether the request was kept off any connection
}

// getConn is called where the base asks for a connection, perhaps once more.
func (r *reconnector) getConn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = false
}

// isSpare needs no lock.
func (r *reconnector) isSpare(conn net.Conn) bool { return r.spare != nil && sameConn(conn, r.spare) }

// gotConn reports whether the connection is not to be used.
func (r *reconnector) gotConn(got httptrace.GotConnInfo, multiplexed bool) (refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused, r.http2 = false, multiplexed
	if got.Conn == nil || r.ctx.Err() != nil {
		return false
	}
	r.offered = got.Conn
	r.pooled = (got.Reused || got.WasIdle) && !r.isSpare(got.Conn) // WasIdle: dialed for a request that took another one
	if r.marker != nil {
		r.refused = !multiplexed || !r.pooled // nothing to be marked, and a marker must not be sent over HTTP/1
		if r.refused {
			r.marker.Del("Connection") // net/http may set doNotReuse before it looks at the context
		}
	} else {
		r.refused = r.refuses(got)
	}
	r.moved = r.moved || r.refused
	if r.refused {
		r.refuse(got)
	}
	return r.refused
}

// refuses leaves HTTP/2 to a marker where the request might reach the server twice, should a base write it though
// its context has ended. r.mu is held.
func (r *reconnector) refuses(got httptrace.GotConnInfo) bool {
	if !r.pooled || !r.replayable || r.http2 && !r.idempotent {
		return false
	}
	return r.suspects.take(got) || r.want != keepConnection
}

// refuse keeps the request from being written. Over HTTP/2 net/http looks at the context before
// (http2clientStream.encodeAndWriteHeaders). tls.Conn.Close would send close_notify first. A dead connection can delay
// that for 5 s, and a quick server replies to it: net/http takes this for a server that closes an idle connection, and
// does not resend a PUT (persistConn.shouldRetryRequest).
func (r *reconnector) refuse(got httptrace.GotConnInfo) {
	if r.http2 {
		r.ctx.cancel(context.Canceled)
		return
	}
	_ = belowTLS(got.Conn).Close()
}

func (r *reconnector) hasMoved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moved
}

// last is the last connection of HTTP/2 that was offered, and whether it was one of the pool.
func (r *reconnector) last() (offered net.Conn, pooled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.http2 {
		return nil, false
	}
	return r.offered, r.pooled
}

// next says how the request is to be sent once more, if the connection that it got was refused. After one of HTTP/1
// was closed, net/http goes on by itself unless the request has a body without GetBody, as withoutGetBody makes it.
func (r *reconnector) next() (want reconnect, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused && r.http2 {
		return leavePool, true
	}
	return r.want, r.refused
}

// markerOf returns a request that marks the connection of HTTP/2 which it gets. Where a request asks to close the
// connection, net/http does not use that for a new one any more: http2clientStream.writeRequest sets doNotReuse, and
// only then writes the header. This one's header cannot be written (a field that is not allowed in a trailer, RFC 9110
// §6.5.1), so the server does not hear of it. It asks by the field Connection, which can be taken back.
func markerOf(request *http.Request) *http.Request {
	marker := &http.Request{
		Method: http.MethodHead, URL: request.URL, Host: request.Host,
		Header: http.Header{"Connection": {"close"}}, Trailer: http.Header{"Trailer": nil},
	}
	return marker.WithContext(request.Context())
}

// leavePool has each connection of HTTP/2 marked that the base has, until it dials one for a marker. That one is
// spared, for the request. The base of golang.org/x/net/http2 marks none, but dials for each request with Close: so
// the request itself goes with Close there.
func (c *call) leavePool(base http.RoundTripper) {
	a := &c.attempt
	a.reconnect, a.spare = newConnection, nil
	dials := 0
	for range maxMoves {
		if c.base.closeDials.Load() {
			a.reconnect, a.moved = ownConnection, true
			return
		}
		offered, pooled := c.mark(base)
		switch {
		case offered == nil, sameConn(offered, a.spare): // nil: by a base without hooks, or there was none
			return
		case pooled:
			a.moved = true
		default:
			a.spare = offered
			if dials++; dials == provingDials && !c.base.isNetHTTP() {
				c.base.closeDials.Store(true)
			}
		}
	}
}

// provingDials is how many connections in a row a base dials for markers until it is taken for one that always does:
// of two, another call may have dialed one.
const provingDials = 3

// mark sends a marker, and returns the connection of HTTP/2 that the base offered, and whether it was one of the pool.
func (c *call) mark(base http.RoundTripper) (offered net.Conn, pooled bool) {
	t := newTracer(c)
	t.sent = *markerOf(&t.sent)
	t.plan.marker = t.sent.Header
	response, _ := base.RoundTrip(&t.sent) // never any, over net/http
	closeBody(response)
	t.release(nil)
	return t.heard().offered()
}

// An idleCloser closes a base's idle connections, which may be those of other origins: once a minute at most, and
// only on proof that they are dead.
type idleCloser struct {
	base http.RoundTripper

	mu     sync.Mutex
	closed time.Duration // when it last did, since the epoch; 0: never
}

const idleCloseInterval = time.Minute

// closeOnProof takes it for proof that a probe was kept off the pool, where attempts had timed out, and that it
// succeeded over a new connection.
func (i *idleCloser) closeOnProof(a *attempt) {
	if !a.probe || !a.silence || !a.moved || !a.fresh || a.health != healthy {
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
