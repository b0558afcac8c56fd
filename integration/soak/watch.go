package main

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// An errand is an order under way.
type errand struct {
	order  order
	client *client
	limit  time.Duration
	age    time.Duration
	stuck  bool // whether it has been found to take too long
}

// A watch looks after callers, and finds those that are stuck. It counts its own beats rather than look at a
// clock: on a machine that lets nobody run, both stand still.
type watch struct {
	*field
	callers []*caller
}

const beat = 100 * time.Millisecond

// keep watches until all is over. When everybody who is left is stuck, they are cancelled, and those that do not
// even come back then are left alone.
func (w *watch) keep(over <-chan struct{}) {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	for cancelled := time.Duration(0); cancelled < w.settling; {
		select {
		case <-over:
			return
		case <-beats.C:
		}
		if well, stuck := w.look(); stuck > 0 && well == 0 {
			w.cancel()
			cancelled += beat
		}
	}
	w.faults.add("callers who are stuck do not come back although they are cancelled:\n%s", goroutines())
}

// look counts a beat for each order under way, and the callers that have not gone.
func (w *watch) look() (well, stuck int) {
	for _, c := range w.callers {
		switch e := c.errand.Load(); {
		case e == nil && c.gone.Load():
		case e == nil || !w.isStuck(c, e):
			well++
		default:
			stuck++
		}
	}
	return well, stuck
}

func (w *watch) isStuck(c *caller, e *errand) bool {
	if e.age += beat; e.age > e.limit && !e.stuck {
		e.stuck = true
		w.faults.add("order %d is stuck: %s to %v after %v\n%s", e.order.id, e.order.method, e.client, e.age, c.stack())
	}
	return e.stuck
}

// callerLabel tells callers' goroutines apart.
const callerLabel = "caller"

// label names this goroutine, and those that it starts, in profiles.
func (c *caller) label() {
	labels := pprof.Labels(callerLabel, strconv.Itoa(c.number))
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), labels))
}

// stack is where the caller is now.
func (c *caller) stack() string {
	label := "\"" + callerLabel + "\":\"" + strconv.Itoa(c.number) + "\""
	for one := range strings.SplitSeq(goroutines(), "\n\n") {
		if strings.Contains(one, label) && strings.Contains(one, "(*caller).run") {
			return one
		}
	}
	return "it has just come back"
}

func goroutines() string {
	var text bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&text, 1)
	return text.String()
}

// whereabouts are what the watch sees of a caller.
type whereabouts struct {
	number int
	errand atomic.Pointer[errand] // nil between two orders
	gone   atomic.Bool
}
