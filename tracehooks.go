package steadyhttp

import (
	"context"
	"net/http/httptrace"
	"sync"
)

// traceHooks are a tracer's hooks for httptrace. They cost some allocations, more if the steps of connecting are
// listened to. So they are made when a base transport asks for them: many never do.
type traceHooks struct {
	mu     sync.Mutex
	hooked context.Context // that has the hooks; nil until somebody asks for them
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

// context returns where values are found: once the hooks were asked for, where they are, too. Beside the key of
// httptrace there is one of package net, for which nobody asks who has not asked for the hooks first.
func (h *traceHooks) context(t *tracer, asked bool) context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if asked && h.hooked == nil {
		h.hooked = httptrace.WithClientTrace(&t.lazyContext, t.clientTrace())
	}
	if h.hooked == nil {
		return t.Context
	}
	return h.hooked
}

// clientTrace composes with the hooks of the caller's, in WithClientTrace.
func (t *tracer) clientTrace() *httptrace.ClientTrace {
	hooks := &httptrace.ClientTrace{GetConn: t.getConn, GotConn: t.gotConn, WroteHeaders: t.guard.wroteHeaders}
	if t.connect.traced {
		t.connect.traceSteps(hooks)
	}
	return hooks
}
