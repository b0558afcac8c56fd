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
// them. A connection of HTTP/1 that the pool offers is closed before anything is sent on it, and net/http takes the
// next one or dials. A connection of HTTP/2 belongs to other requests as well. A request with Close has net/http
// not use it for a new request any more (http2clientStream.writeRequest sets doNotReuse); that is set before the
// request's header is written, and then this request is cancelled and sent over a new connection.
type reconnect uint8

const (
	keepConnection  reconnect = iota
	newConnection             // none of the pool
	leaveConnection           // the pool's one of HTTP/2, so that it is not used for anything after this
)

// maxMoves is how often one attempt may turn to another connection: a pool may have many that are dead.
const maxMoves = 128

// A reconnector keeps one sending off the connections of the pool.
type reconnector struct {
	ctx        *lazyContext // of the sending
	suspects   *suspicion
	replayable bool // whether the request can be sent once more at all: what is refused must be
	repeatable bool // whether it may reach the server twice

	mu      sync.Mutex
	want    reconnect
	refused bool // whether the last connection was not used,
	http2   bool // and was one of HTTP/2
	marking bool // whether the request is only to mark its HTTP/2 connection
	left    bool // whether it has
	moved   bool // whether it was kept off any connection
}

// getConn is called where the base asks for a connection, perhaps once more.
func (r *reconnector) getConn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused, r.marking = false, false
}

// gotConn reports whether the connection is not to be used. A request of HTTP/2 whose context has ended is not
// written (http2clientStream.encodeAndWriteHeaders); for HTTP/1 the connection is closed.
func (r *reconnector) gotConn(got httptrace.GotConnInfo, multiplexed bool) (refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused, r.marking = false, false
	pooled := got.Reused || got.WasIdle // one that was dialed for a request which took another one
	if !r.replayable || !pooled || got.Conn == nil || r.ctx.Err() != nil {
		return false
	}
	if leave := r.suspects.take(got); r.want == keepConnection && !leave {
		return false
	}
	r.http2 = multiplexed
	if multiplexed {
		r.refused = r.want == newConnection && r.repeatable
		r.marking = r.want == leaveConnection && r.repeatable
		if r.refused {
			r.moved = true
			r.ctx.cancel(context.Canceled)
		}
		return r.refused
	}
	r.refused, r.moved = true, true
	_ = got.Conn.Close()
	return true
}

// wroteHeaders cancels the request that has marked its connection.
func (r *reconnector) wroteHeaders() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.marking {
		r.marking, r.left, r.moved = false, true, true
		r.ctx.cancel(context.Canceled)
	}
}

// marks reports whether the request needs Close. Over HTTP/2 one that may not be sent twice is not kept off its
// connection; then it is at least the last one to use it.
func (r *reconnector) marks(http2 bool) bool {
	return http2 && (r.want == leaveConnection || r.want == newConnection && !(r.replayable && r.repeatable))
}

// settle drops a response to a request that was cancelled: it could not be read to its end.
func (r *reconnector) settle(response *http.Response, err error) (*http.Response, error) {
	r.mu.Lock()
	left := r.left
	r.mu.Unlock()
	if !left || response == nil {
		return response, err
	}
	closeBody(response)
	return nil, context.Canceled
}

func (r *reconnector) hasMoved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moved
}

// next says how the request is to be sent once more, if the connection that it got was only left. After one of
// HTTP/1 was closed, net/http goes on by itself unless the request has a body without GetBody, as withoutGetBody
// makes it.
func (r *reconnector) next() (want reconnect, moved bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.left:
		return newConnection, true // there may be another one
	case !r.refused:
		return keepConnection, false
	case r.http2:
		return leaveConnection, true
	default:
		return r.want, true
	}
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
