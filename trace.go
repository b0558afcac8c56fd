package steadyhttp

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
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
	garbled                                 // what came over a connection that was established was no record of TLS
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
		c.attempt.upload = t.body
		response, err := t.send(base, c)
		wait, ok := t.heard().resendAfter(err, &c.attempt)
		if moves < maxSends && isCannotRewind(err) && t.heard().isUnsent() {
			ok = true
		}
		if !ok || !replayable(c.attempt.request) {
			return response, t.flags(err), err
		}
		c.sleep(c.attempt.request, wait)
		if callerErr(c.attempt.request) != nil { // that of the attempt's context
			return response, t.flags(err) | unsent, err
		}
		again := c.attempt.request.WithContext(c.attempt.request.Context())
		if cannot := replayBody(again, c.attempt.request); cannot != nil {
			return response, t.flags(err), err
		}
		c.attempt.request = again
	}
}

func (t *tracer) send(base http.RoundTripper, c *call) (*http.Response, error) {
	held := false // by a response, whose body is still to be read, or whose connection is the caller's
	defer func() {
		if !held {
			t.release(nil)
		}
	}()
	response, err := roundTrip(base, &t.sent)
	response, err = t.heard().settle(c, response, err)
	needed := needsContext(response)
	held = needed || isUpgrade(response)
	if needed && t.isKnown() {
		holdContext(response, t.release)
	}
	return response, err
}

// A tracer is the context of the request that is sent in the attempt's place. It has a trace for a base that asks for the
// hooks of httptrace: many never do, and the trace costs as much as all the rest.
type tracer struct {
	lazyContext
	sent http.Request // in the attempt's place: a copy of its request, or a marker
	body *tracedBody  // nil: it is reliable
	plan tracePlan

	asking sync.Mutex
	trace  *trace // nil, or not made: nobody asked for it yet
}

// A tracePlan says what a trace is to note, and to prevent.
type tracePlan struct {
	ctx        *lazyContext // of the sending
	base       *baseInfo
	suspects   *suspicion  // nil: none
	spare      net.Conn    // one of HTTP/2 that was dialed for a marker; nil: none
	marker     http.Header // of a marker; nil for another request
	want       reconnect   // which connection it may go over
	limit      int8        // of sends
	traced     bool        // whether the steps of making a connection are listened to; see traceSteps
	knownHTTP2 bool        // whether the origin spoke HTTP/2 last; TLS connections tell it themselves
	replayable bool        // whether the request can be sent once more at all: what is refused must be
	idempotent bool        // whether it may reach the server twice,
	repeatable bool        // also by net/http, which GetBody or its lack keeps from that else
}

// A roomyTracer is a tracer and its trace in one allocation.
type roomyTracer struct {
	tracer
	room trace
}

// makeTracer makes one with its trace for a base that is known to ask for that.
func (b *baseInfo) makeTracer() *tracer {
	if !b.asks.Load() {
		return &tracer{}
	}
	t := &roomyTracer{}
	t.trace = &t.room
	return &t.tracer
}

func newTracer(c *call) *tracer {
	t, request := c.base.makeTracer(), c.attempt.request
	t.Context = request.Context()
	flags := c.origin.flags.Load() // once, since other calls write them
	maySpeakHTTP2 := mayResend(flags) || c.request.URL.Scheme == "https"
	// Over HTTP/1 an attempt need not be ended: each connection that it is not to be sent over is closed.
	t.bound = flags&answered != 0 && !maySpeakHTTP2 && c.base.keepsFewConnections()
	t.plan = c.planTrace(&t.lazyContext, flags)
	if !t.plan.idempotent && maySpeakHTTP2 {
		request = withoutGetBody(request)
		t.plan.repeatable = hasBody(request) && c.base.isNetHTTP() // a base of the user's may set GetBody itself
	}
	t.sent = *request.WithContext(t)
	t.sent.Close = request.Close || c.attempt.reconnect == ownConnection
	if !isReliable(request) {
		t.body = &tracedBody{onceBody: onceBody{ReadCloser: request.Body}, length: request.ContentLength}
		t.sent.Body = t.body
	}
	return t
}

// planTrace is given the flags of the call's origin.
func (c *call) planTrace(ctx *lazyContext, flags uint32) tracePlan {
	a, o := &c.attempt, c.origin
	return tracePlan{
		ctx: ctx, base: c.base, suspects: o.suspicion.Load(), spare: a.spare, want: a.reconnect, limit: int8(a.sendsLeft()),
		traced: flags&answered == 0 || c.base.limitsConnections(), knownHTTP2: flags&http2Spoken != 0,
		replayable: replayable(a.request), idempotent: c.idempotent(), repeatable: true,
	}
}

// flags is what the sending showed of its error.
func (t *tracer) flags(err error) traceFlags {
	if err == nil {
		return 0
	}
	connect := &connectTrace{tracePlan: &t.plan} // of a base that asked for nothing
	if heard := t.heard(); heard != nil {
		connect = &heard.connect
	}
	flags := connect.flags(&t.sent, err, t.Context.Err() != nil)
	if t.body.hasFailed() {
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

// hasFailed is false for a body that cannot.
func (b *tracedBody) hasFailed() bool { return b != nil && b.failed.Load() }

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
