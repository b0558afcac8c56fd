package steadyhttp

import (
	"context"
	"net/http/httptrace"
	"sync"
)

// traceHooks are a tracer's hooks for httptrace. They cost some allocations, more if the steps of connecting are
// listened to. So they are made when a base transport asks for them: many never do.
//
// Our own are values of the tracer itself. Only where others are to be called as well, or package net is, the context of
// httptrace is needed that composes them.
type traceHooks struct {
	mu       sync.Mutex
	made     bool
	own      httptrace.ClientTrace
	composed context.Context // nil: our own are all
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

// value finds the hooks of httptrace, once they are asked for, and the one of package net, for which nobody asks who has not
// asked for the hooks first.
func (h *traceHooks) value(t *tracer, key any) any {
	h.mu.Lock()
	asked := key == clientTraceKey
	if asked && !h.made {
		h.make(t)
	}
	composed := h.composed
	h.mu.Unlock()
	switch {
	case composed != nil:
		return composed.Value(key)
	case asked:
		return &h.own
	default:
		return t.Context.Value(key)
	}
}

// make makes them. h.mu is held.
func (h *traceHooks) make(t *tracer) {
	h.made = true
	h.own = httptrace.ClientTrace{GetConn: t.getConn, GotConn: t.gotConn, WroteHeaders: t.guard.wroteHeaders}
	if t.connect.traced {
		t.connect.traceSteps(&h.own)
	}
	if t.connect.traced || httptrace.ContextClientTrace(t.Context) != nil {
		h.composed = httptrace.WithClientTrace(&t.lazyContext, &h.own)
	}
}
