package steadyhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// net/http sends a request again by itself, below an attempt, when a connection fails it. Over HTTP/2 it does
// so without end: RoundTripOpt counts to seven, but http.Transport.roundTrip begins that count anew for each
// connection that it dials. It even does so for a POST after a RST_STREAM with PROTOCOL_ERROR
// (http2canRetryError), which is no promise that the server has not acted (RFC 9113 §8.7). A resendGuard ends
// that.
//
// Two things are left to net/http, since they are safe and quick: it may walk over connections of the pool
// that have died, and dial one new connection.
type resendGuard struct {
	*tracePlan

	mu      sync.Mutex
	asked   int      // how often a connection was asked for since one of the pool was got
	reused  int      // how many of the pool were got
	sends   int      // how often the request was written, or may have been
	conn    net.Conn // the last one
	fresh   bool     // whether that one was dialed for this attempt
	awaited bool     // whether the request is still to be written to it
	stopped *resendError

	responded bool // whether a response came, so that what is sent next is a request of the base's own
}

const (
	maxSends = 8            // of one attempt
	maxAsks  = 2 * maxSends // http.Transport and its HTTP/2 pool each ask once for a connection

	// maxReused is more than maxSends: a pool may have many connections that died before the request was written.
	maxReused = 128
)

// A resendError ends an attempt that net/http would send once more.
type resendError struct {
	sends   int
	refused bool // whether the server refused the stream: then it has not acted (RFC 9113 §8.7)
}

func (e *resendError) Error() string {
	times := "once"
	if e.sends != 1 {
		times = fmt.Sprintf("%d times", e.sends)
	}
	if e.refused {
		return fmt.Sprintf("the server refused the HTTP/2 stream (REFUSED_STREAM); the request was sent %s", times)
	}
	return fmt.Sprintf("the server dropped or reset every connection without a response; the request was sent %s", times)
}

func (e *resendError) class() Class {
	if e.refused || e.sends == 0 {
		return Unprocessed
	}
	return Transient
}

// getConn also finds the loop in which each connection fails before the request is sent on it.
func (g *resendGuard) getConn(string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.responded {
		g.beginNext()
	}
	if g.asked++; g.asked > maxAsks {
		g.stop(false)
	}
}

// gotConn is called before the request is sent on a connection. What it cancels is not sent any more: HTTP/2
// looks before it writes (clientStream.encodeAndWriteHeaders); HTTP/1 does not, so there the connection, which
// no other request uses, is closed.
func (g *resendGuard) gotConn(got httptrace.GotConnInfo, fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if got.Reused && g.reused < maxReused {
		g.asked = 0
		g.reused++
	}
	multiplexed := g.isHTTP2(got.Conn)
	if g.conn != nil && !g.awaited {
		refused := sameConn(got.Conn, g.conn) // only REFUSED_STREAM leaves a connection usable
		multiplexed = multiplexed || refused  // the first response would have told it
		unsafe := multiplexed && !g.repeatable
		again := refused || unsafe || g.fresh
		if again && !g.mayBeOwn() || g.sends >= int(g.limit) {
			g.stop(refused)
		}
	}
	if g.stopped == nil {
		g.conn, g.fresh, g.awaited = got.Conn, fresh, true
		if !multiplexed {
			g.send()
		}
		return
	}
	if !multiplexed && got.Conn != nil {
		_ = got.Conn.Close()
	}
}

// mayBeOwn reports whether the second request may be one of the base's own, where the base is the user's. net/http itself
// resends only after it has closed the connection, or after REFUSED_STREAM. Over HTTP/1 it never does after a connection that
// was dialed for the request. g.mu is held.
func (g *resendGuard) mayBeOwn() bool {
	if g.base.isNetHTTP() {
		return false
	}
	protocol, secure := protocolOver(g.conn)
	if secure && protocol != "h2" {
		return true
	}
	return g.idempotent && (isOpen(belowTLS(g.conn)) || !secure && !g.knownHTTP2)
}

// beginNext forgets a request that got a response: the next one is the base's own, one with the credentials that a 401 asked
// for, or the first that is not for a token. Only what was sent in vain still counts. g.mu is held.
func (g *resendGuard) beginNext() {
	g.responded = false
	g.asked, g.reused, g.sends = 0, 0, max(0, g.sends-1)
	g.conn, g.fresh, g.awaited = nil, false, false
}

func (g *resendGuard) gotResponse() { g.setResponded(true) }

// got1xx: net/http may send a request again after an informational response, over HTTP/2.
func (g *resendGuard) got1xx(int, textproto.MIMEHeader) error {
	g.setResponded(false)
	return nil
}

func (g *resendGuard) setResponded(responded bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.responded = responded
}

// wroteHeaders comes before net/http gives up an HTTP/2 connection to which it has written the request. It does not
// come if another request ended the connection first, for example one with Close (errClientConnUnusable): then
// nothing was sent. Over HTTP/1 it may come too late to tell.
func (g *resendGuard) wroteHeaders() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.send()
}

// send counts the request once for each connection. g.mu is held.
func (g *resendGuard) send() {
	if g.awaited {
		g.awaited = false
		g.sends++
	}
}

// isUnsent reports whether the last connection was got, but not written to.
func (g *resendGuard) isUnsent() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.awaited
}

func (g *resendGuard) isHTTP2(conn net.Conn) bool {
	if protocol, secure := protocolOver(conn); secure {
		return protocol == "h2"
	}
	return g.knownHTTP2
}

// protocolOver is what was negotiated over a connection, if that is one of TLS.
func protocolOver(conn net.Conn) (protocol string, secure bool) {
	state, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return "", false
	}
	return state.ConnectionState().NegotiatedProtocol, true
}

// stop ends the attempt. g.mu is held.
func (g *resendGuard) stop(refused bool) {
	if g.stopped == nil {
		g.stopped = &resendError{sends: g.sends, refused: refused}
		g.ctx.cancel(context.Canceled)
	}
}

// forget takes back what led to a connection that is not used.
func (g *resendGuard) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = 0
}

// last is the last connection, and whether it was dialed for this attempt.
func (g *resendGuard) last() (conn net.Conn, fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conn, g.fresh
}

// settle replaces the error of an attempt that the guard has ended: over HTTP/2 it is a mere cancel.
func (g *resendGuard) settle(response *http.Response, err error) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped == nil {
		return response, err
	}
	closeBody(response)
	return nil, g.stopped
}

func (g *resendGuard) sent() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sends
}

// withoutGetBody keeps net/http's HTTP/2 from sending a body twice. It then says why it would have: see
// isUnsentOverHTTP2. Over HTTP/1 net/http resends a request that is not idempotent only if nothing was written,
// and needs GetBody for that.
func withoutGetBody(request *http.Request) *http.Request {
	if !hasBody(request) || request.GetBody == nil {
		return request
	}
	stripped := request.WithContext(request.Context())
	stripped.GetBody = nil
	return stripped
}

// resendAfter says after which wait a request is sent again within its attempt, and whether it is at all: at once
// after a GOAWAY that did not count it in, and as net/http does it after a refused stream (RoundTripOpt).
func resendAfter(err error, sends int) (wait time.Duration, ok bool) {
	refused := isRefusedStream(err)
	switch {
	case !refused && !isUnsentOverHTTP2(err):
		return 0, false
	case sends <= 1:
		return 0, true
	default:
		return time.Second << (sends - 2), sends < maxSends && (refused || !isGoAway(err))
	}
}

func isRefusedStream(err error) bool {
	if err == nil {
		return false
	}
	var ended *resendError
	return errors.As(err, &ended) && ended.refused
}

// isUnsentOverHTTP2 reports whether net/http did not resend for want of GetBody what the server surely has not
// acted on: it refused the stream, or went away before it (GOAWAY with a smaller stream ID, RFC 9113 §6.8). The
// error has no type (http2shouldRetryRequest).
func isUnsentOverHTTP2(err error) bool {
	reason := resendReason(err)
	return strings.Contains(reason, "; REFUSED_STREAM") || isGoAway(err)
}

func isGoAway(err error) bool { return strings.Contains(resendReason(err), "graceful shutdown GOAWAY") }

// resendReason is why net/http would have sent the request again, or empty.
func resendReason(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		if reason, found := strings.CutPrefix(err.Error(), "http2: Transport: cannot retry err ["); found {
			return reason
		}
	}
	return ""
}

// isCannotRewind knows http.Transport's errCannotRewind: it would send the request again, and had no GetBody.
func isCannotRewind(err error) bool {
	return err != nil && strings.HasSuffix(err.Error(), "cannot rewind body after connection loss")
}
