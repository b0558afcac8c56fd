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
	asked := key == clientTraceKey
	switch composed := h.composedFor(t, asked); {
	case composed != nil:
		return composed.Value(key)
	case asked:
		return &h.own
	default:
		return t.Context.Value(key)
	}
}

// composedFor makes them if they are asked for. A context of the caller's that panics leaves them unmade and unlocked.
func (h *traceHooks) composedFor(t *tracer, asked bool) context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if asked && !h.made {
		h.make(t)
	}
	return h.composed
}

// make makes them. h.mu is held.
func (h *traceHooks) make(t *tracer) {
	h.own = httptrace.ClientTrace{GetConn: t.getConn, GotConn: t.gotConn, WroteHeaders: t.guard.wroteHeaders}
	if t.connect.traced {
		t.connect.traceSteps(&h.own)
	}
	if t.connect.traced || httptrace.ContextClientTrace(t.Context) != nil {
		h.composed = httptrace.WithClientTrace(&t.lazyContext, &h.own)
	}
	h.made = true
}
