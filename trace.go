package steadyhttp

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"strings"
	"sync/atomic"
	"time"
)

// traceFlags are what the attempt itself showed, for errors whose type does not tell.
type traceFlags uint16

const (
	bodyFailed       traceFlags = 1 << iota // reading the request's body failed
	neverConnected                          // a connection was asked for, and none was ever got
	connectFailed                           // it was an accident that kept it from being made
	handshakeRefused                        // one side refused TLS
	tunneling                               // it was to lead through a proxy, whose reply the error may be
	proxyFuncFailed                         // no connection was asked for, so an own Proxy function failed
	queued                                  // the time ran out in the queue for a connection of the client's own pool
	unreadable                              // the response could not be read, and it was the only one on its connection
	unsent                                  // the server refused every stream on which the request was sent
)

// needsTrace reports whether the attempt must be traced to be judged rightly, or to be kept from being sent
// without end. A body that can fail always must.
func needsTrace(c *call) bool {
	return tracesConnection(c) || !isReliable(c.attempt.request)
}

// tracesConnection leaves out the first attempt to an origin that is healthy, over HTTP/1 without TLS, so that
// it costs nothing. There a connection that is cut off counts as [Transient], which is the safe side, and
// net/http resends over idle connections only, of which there are few.
func tracesConnection(c *call) bool {
	return c.attempt.number > 1 || !c.origin.isPlain() || c.base.limitsConnections() || c.base.hasManyConnections() ||
		c.origin.isSuspicious()
}

// sendTraced sends again what the server surely has not acted on, where net/http was kept from doing so, and what
// was kept off a connection.
func sendTraced(base http.RoundTripper, c *call) (*http.Response, traceFlags, error) {
	c.chooseConnection()
	for moves := 0; ; moves++ {
		if c.attempt.reconnect == leavePool {
			c.leavePool(base)
		}
		if moves == maxMoves {
			c.attempt.reconnect = keepConnection // rather the pool's than none
		}
		t := newTracer(c)
		response, err := t.send(base, c)
		wait, ok := t.resendAfter(err, &c.attempt)
		if moves < maxSends && isCannotRewind(err) && t.guard.isUnsent() {
			ok = true
		}
		if !ok || !replayable(c.attempt.request) {
			return response, t.flags(), err
		}
		c.sleep(c.attempt.request, wait)
		if callerErr(c.attempt.request) != nil { // that of the attempt's context
			return response, t.flags() | unsent, err
		}
		again := c.attempt.request.WithContext(c.attempt.request.Context())
		if cannot := replayBody(again, c.attempt.request); cannot != nil {
			return response, t.flags(), err
		}
		c.attempt.request = again
	}
}

func (t *tracer) send(base http.RoundTripper, c *call) (*http.Response, error) {
	held := false // by a response, whose body is still to be read
	defer func() {
		if !held {
			t.release(nil)
		}
	}()
	response, err := t.guard.settle(roundTrip(base, t.request))
	c.attempt.sends += t.sends()
	c.attempt.conn, c.attempt.fresh = t.guard.last()
	c.attempt.moved = t.reconnector.hasMoved() || c.attempt.moved
	if c.attempt.reconnect == ownConnection {
		t.checkOwnConnection(c.base)
	}
	t.err = err
	held = response != nil
	if needsContext(response) && t.isKnown() {
		holdContext(response, t.release)
	}
	return response, err
}

// checkOwnConnection: a base that dials for each request with Close gives none of them a connection of its pool.
func (t *tracer) checkOwnConnection(base *baseInfo) {
	if _, pooled := t.reconnector.last(); pooled {
		base.closeDials.Store(false)
	}
}

// resendAfter says after which wait the request is sent again within its attempt, and whether it is at all.
func (t *tracer) resendAfter(err error, a *attempt) (wait time.Duration, ok bool) {
	if err == nil {
		return 0, false
	}
	if want, refused := t.reconnector.next(); refused {
		a.reconnect = want
		return 0, true
	}
	return resendAfter(err, a.sends)
}

// A tracer notes what no error type tells. It is the context of the request that is sent in the attempt's place, and
// has its hooks ready for a base that asks for them. They may run after RoundTrip has returned.
type tracer struct {
	lazyContext
	hooks   traceHooks
	request *http.Request // to send in the attempt's place: sent, or a marker
	sent    http.Request
	guard   resendGuard
	body    tracedBody
	err     error // what came of it

	connect     connectTrace
	reconnector reconnector
}

// Value finds the hooks of httptrace, and says to a [lateTrace] that the attempt is traced.
func (t *tracer) Value(key any) any {
	if key == (tracedKey{}) {
		return t
	}
	return t.hooks.value(t, key)
}

func newTracer(c *call) *tracer {
	t := &tracer{lazyContext: lazyContext{Context: c.attempt.request.Context()}}
	t.connect.base, t.connect.traced = c.base, !c.origin.has(answered) || c.base.limitsConnections()
	request, repeatable := c.attempt.request, c.idempotent()
	t.guard.ctx, t.guard.http2, t.guard.repeatable, t.guard.limit = &t.lazyContext, c.origin.has(http2Spoken), true, maxSends-c.attempt.sends
	if c.attempt.late {
		t.guard.limit--
	}
	maySpeakHTTP2 := c.origin.mayResend() || c.request.URL.Scheme == "https" // nothing is known of an origin at first
	if !repeatable && maySpeakHTTP2 {
		request, t.guard.repeatable = withoutGetBody(request), hasBody(request)
	}
	r := &t.reconnector
	r.ctx, r.suspects, r.want, r.spare = &t.lazyContext, c.origin.suspicion.Load(), c.attempt.reconnect, c.attempt.spare
	r.replayable, r.repeatable = replayable(c.attempt.request), repeatable
	t.sent = *request.WithContext(t)
	t.request = &t.sent
	t.request.Close = request.Close || c.attempt.reconnect == ownConnection
	if !isReliable(request) {
		t.body = tracedBody{onceBody: onceBody{ReadCloser: request.Body}, length: request.ContentLength}
		t.request.Body = &t.body
	}
	return t
}

func (t *tracer) getConn(address string) {
	t.connect.getConn(address)
	t.reconnector.getConn()
	t.guard.getConn(address)
}

func (t *tracer) gotConn(got httptrace.GotConnInfo) {
	if t.reconnector.gotConn(got, t.guard.isHTTP2(got.Conn)) {
		t.guard.forget()
		return
	}
	t.connect.gotConn(got.Conn)
	t.guard.gotConn(got, !got.Reused || t.reconnector.isSpare(got.Conn))
}

// sends is how often the request was sent. A base that calls no hooks sends it once.
func (t *tracer) sends() int {
	if !t.connect.hasAsked() {
		return 1
	}
	return t.guard.sent()
}

func (t *tracer) flags() traceFlags {
	if t.err == nil {
		return 0
	}
	flags := t.connect.flags(t.request, t.err, t.Context.Err() != nil)
	if t.body.failed.Load() {
		flags |= bodyFailed
	}
	return flags
}

// A tracedBody notes an error of the caller's body, to tell it from an error of the connection. Not to
// be as long as was promised is one.
type tracedBody struct {
	onceBody
	failed atomic.Bool
	length int64 // promised; less than 1: none
	read   int64
}

// Read does not blame the body for what it says once it is closed, an early EOF for example: net/http closes
// it under a blocked Read when the connection fails.
func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	broken := err != nil && err != io.EOF
	short := err == io.EOF && b.read < b.length
	long := b.length > 0 && b.read > b.length
	if (broken || short || long) && !b.closed.Load() {
		b.failed.Store(true)
	}
	return n, err
}

// isReliable reports whether the request's body is sure to be read as promised. A file's may not be:
// with sendfile its error looks like one of the connection.
func isReliable(request *http.Request) bool {
	return !hasBody(request) || isInMemory(request.Body, request.ContentLength)
}

// nopCloser is what http.NewRequest puts around readers that can write themselves, as those in memory do.
var nopCloser = reflect.TypeOf(io.NopCloser((*bytes.Reader)(nil)))

// isInMemory knows the bodies that http.NewRequest makes of a bytes.Buffer, bytes.Reader or
// strings.Reader, as net/http's isKnownInMemoryReader does, if they have the length promised.
func isInMemory(body io.ReadCloser, length int64) bool {
	if reflect.TypeOf(body) != nopCloser {
		return false
	}
	switch reader := reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader:
		return length < 1 || int64(reader.(interface{ Len() int }).Len()) == length
	default:
		return false
	}
}
