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

// A runningCall is an order under way.
type runningCall struct {
	order  order
	client *client
	limit  time.Duration
	age    time.Duration
	stuck  bool // whether it was found to take too long
}

// Progress is what the watchdog sees of a caller.
type progress struct {
	number int
	call   atomic.Pointer[runningCall] // nil between two calls
	done   atomic.Bool
}

// A watchdog finds callers that are stuck. It counts its own ticks and does not look at a clock: on a machine that
// runs nobody, both stand still.
type watchdog struct {
	*soakRun
	callers []*caller
}

const tick = 100 * time.Millisecond

// watch runs until all callers are done. If all that are left are stuck, they are canceled. Those that do not return
// even then are abandoned.
func (w *watchdog) watch(done <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for canceled := time.Duration(0); canceled < w.settleTime; {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		if running, stuck := w.count(); stuck > 0 && running == 0 {
			w.cancel()
			canceled += tick
		}
	}
	w.violations.add("stuck callers do not return although they are canceled:\n%s", goroutines())
}

// count adds a tick to each call under way, and counts the callers that are not done.
func (w *watchdog) count() (running, stuck int) {
	for _, c := range w.callers {
		switch call := c.progress.call.Load(); {
		case call == nil && c.done.Load():
		case call == nil || !w.isStuck(c, call):
			running++
		default:
			stuck++
		}
	}
	return running, stuck
}

func (w *watchdog) isStuck(c *caller, call *runningCall) bool {
	if call.age += tick; call.age > call.limit && !call.stuck {
		call.stuck = true
		w.violations.add("order %d is stuck: %s to %v after %v\n%s", call.order.id, call.order.method, call.client, call.age, c.stack())
	}
	return call.stuck
}

// callerLabel is the key of a label that tells the callers' goroutines apart.
const callerLabel = "caller"

// label labels this goroutine, and those that it starts, in profiles.
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
	return "it has just returned"
}

func goroutines() string {
	var text bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&text, 1)
	return text.String()
}
