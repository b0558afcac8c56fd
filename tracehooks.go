package steadyhttp

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

// A trace notes what no error type tells, by hooks of httptrace. They may run after RoundTrip has returned. A nil trace is that
// of a base that asked for no hooks.
//
// The hooks cost some allocations, more if the steps of connecting are listened to. They are values of the trace itself. Only
// where others are to be called as well, or package net is, the context of httptrace is needed that composes them.
type trace struct {
	made     bool
	hooks    httptrace.ClientTrace
	composed context.Context // nil: our own are all

	guard       resendGuard
	connect     connectTrace
	reconnector reconnector
}

// clientTraceKey is what a context is asked for the hooks by. Package httptrace keeps it to itself, but asks a context
// of ours as well as any.
var clientTraceKey = func() any {
	asked := &keyCatcher{Context: context.Background()}
	httptrace.ContextClientTrace(asked)
	return asked.key
}()

type keyCatcher struct {
	context.Context
	key any
}

func (k *keyCatcher) Value(key any) any {
	k.key = key
	return nil
}

// Value finds the hooks of httptrace, once they are asked for, and the one of package net, for which nobody asks who has not
// asked for the hooks first. It says to a [lateTrace] that the attempt is traced.
func (t *tracer) Value(key any) any {
	if key == (tracedKey{}) {
		return t
	}
	asked := key == clientTraceKey
	trace := t.heard()
	if asked && trace == nil {
		trace = t.listen()
	}
	switch {
	case trace != nil && trace.composed != nil:
		return trace.composed.Value(key)
	case asked:
		return &trace.hooks
	default:
		return t.Context.Value(key)
	}
}

// heard returns the trace, if anybody has asked for it.
func (t *tracer) heard() *trace {
	t.asking.Lock()
	defer t.asking.Unlock()
	if t.trace == nil || !t.trace.made {
		return nil
	}
	return t.trace
}

// listen makes the trace, once. A context of the caller's that panics leaves it unmade and unlocked.
func (t *tracer) listen() *trace {
	t.asking.Lock()
	defer t.asking.Unlock()
	if t.trace == nil {
		t.trace = &trace{}
		t.plan.base.asks.Store(true)
	}
	if !t.trace.made {
		t.trace.make(t)
	}
	return t.trace
}

// make makes it. t.asking is held. No header is heard of that is written over HTTP/1, where that tells nothing.
func (trace *trace) make(t *tracer) {
	plan := &t.plan
	trace.guard.tracePlan, trace.connect.tracePlan, trace.reconnector.tracePlan = plan, plan, plan
	trace.hooks = httptrace.ClientTrace{GetConn: trace.getConn, GotConn: trace.gotConn}
	if !t.bound {
		trace.hooks.WroteHeaders = trace.guard.wroteHeaders
	}
	if !plan.base.isNetHTTP() {
		trace.hooks.GotFirstResponseByte, trace.hooks.Got1xxResponse = trace.guard.gotResponse, trace.guard.got1xx
	}
	if plan.traced {
		trace.connect.traceSteps(&trace.hooks)
	}
	if plan.traced || httptrace.ContextClientTrace(t.Context) != nil {
		trace.composed = httptrace.WithClientTrace(&t.lazyContext, &trace.hooks)
	}
	trace.made = true
}

func (trace *trace) getConn(address string) {
	trace.connect.getConn(address)
	trace.reconnector.getConn()
	trace.guard.getConn(address)
}

func (trace *trace) gotConn(got httptrace.GotConnInfo) {
	if trace.reconnector.gotConn(got, trace.guard.isHTTP2(got.Conn)) {
		trace.guard.forget()
		return
	}
	trace.connect.gotConn(got.Conn)
	trace.guard.gotConn(got, !got.Reused || trace.reconnector.isSpare(got.Conn))
}

// settle notes what became of a sending, and replaces the error where the guard has ended it. A base that calls no hooks sends
// a request once.
func (trace *trace) settle(c *call, response *http.Response, err error) (*http.Response, error) {
	a := &c.attempt
	if trace == nil {
		a.sends++
		return response, err
	}
	a.sends += trace.sends()
	a.conn, a.fresh = trace.guard.last()
	a.moved = trace.reconnector.hasMoved() || a.moved
	if a.reconnect == ownConnection {
		trace.checkOwnConnection()
	}
	return trace.guard.settle(response, err)
}

// checkOwnConnection: a base that dials for each request with Close gives none of them a connection of its pool.
func (trace *trace) checkOwnConnection() {
	if _, pooled := trace.offered(); pooled {
		trace.connect.base.closeDials.Store(false)
	}
}

// sends is how often the request was sent: once by a base that calls no hooks, though it asks for them.
func (trace *trace) sends() int {
	if !trace.connect.hasAsked() {
		return 1
	}
	return trace.guard.sent()
}

// offered is the last connection of HTTP/2 that the base offered, and whether it was one of the pool.
func (trace *trace) offered() (conn net.Conn, pooled bool) {
	if trace == nil {
		return nil, false
	}
	return trace.reconnector.last()
}

// isUnsent reports whether the last connection was got, but not written to.
func (trace *trace) isUnsent() bool { return trace != nil && trace.guard.isUnsent() }

// resendAfter says after which wait the request is sent again within its attempt, and whether it is at all.
func (trace *trace) resendAfter(err error, a *attempt) (wait time.Duration, ok bool) {
	if err == nil {
		return 0, false
	}
	if trace != nil {
		if want, refused := trace.reconnector.next(); refused {
			a.reconnect = want
			return 0, true
		}
	}
	if a.sendsLeft() <= 0 {
		return 0, false
	}
	return resendAfter(err, a.sends)
}
