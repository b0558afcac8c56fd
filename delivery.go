package steadyhttp

import (
	"context"
	"slices"
	"sync"
)

// A delivery tells an Observer of changes, in order, one call at a time, and with no lock held, so that it may
// call anything. A call that finds another one delivering, perhaps further up its own stack, leaves its change
// to that one.
type delivery struct {
	observe Observer // nil for none

	mu         sync.Mutex
	pending    []pendingEvent
	delivering bool
}

// A pendingEvent is one that the Observer has not been told of.
type pendingEvent struct {
	ctx   context.Context // of the call that caused it
	event Event
}

// add keeps an event for deliver.
func (d *delivery) add(ctx context.Context, event Event) {
	if d.observe == nil {
		return
	}
	d.mu.Lock()
	d.pending = append(d.pending, pendingEvent{ctx, event})
	d.mu.Unlock()
}

func (d *delivery) deliver() {
	for {
		next, ok := d.next()
		if !ok {
			return
		}
		d.deliverOne(next)
	}
}

func (d *delivery) next() (next pendingEvent, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.delivering || len(d.pending) == 0 {
		return pendingEvent{}, false
	}
	next = d.pending[0]
	d.pending = slices.Delete(d.pending, 0, 1) // which keeps no context
	d.delivering = true
	return next, true
}

// deliverOne loses no later event if the Observer panics or exits at this one.
func (d *delivery) deliverOne(p pendingEvent) {
	returned := false
	defer func() {
		d.mu.Lock()
		d.delivering = false
		d.mu.Unlock()
		if !returned {
			d.deliver()
		}
	}()
	d.observe(p.ctx, p.event)
	returned = true
}
