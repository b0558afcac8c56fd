package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Counters count what happened, by name.
type counters struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *counters) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[string]int)
	}
	c.counts[name]++
}

func (c *counters) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

func (c *counters) print() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Printf("%8d  %s\n", c.counts[name], name)
	}
}

// expected is what must have happened at least once in a soak that is long enough. Otherwise it tests less than it
// should.
var expected = []string{
	"status: 200", "status: 429", "status: 503", "body: whole", "body: cut off",
	"attempt: success", "attempt: client_fault", "attempt: throttled", "attempt: transient", "attempt: unprocessed",
	"attempt: permanent", "attempt: canceled",
	"stopped: success", "stopped: not_retryable", "stopped: max_attempts", "stopped: not_idempotent", "stopped: body_not_replayable",
	"stopped: deadline", "stopped: circuit_open", "stopped: canceled",
	"error: circuit open", "error: canceled", "error: attempt timeout", "breaker: open", "breaker: half_open", "breaker: closed",
}

// longEnough is the number of whole responses after which everything must have happened.
const longEnough = 4_000

// checkCoverage checks that enough has happened. How many whole responses there are depends on the machine, but there
// must be a minimum.
func (c *counters) checkCoverage(v *violations, minimum int) {
	whole := c.get("body: whole")
	if whole < minimum {
		v.add("%d whole responses are fewer than %d", whole, minimum)
	}
	if whole < longEnough {
		fmt.Printf("%d whole responses: too short to see everything, which takes %d\n", whole, longEnough)
		return
	}
	for _, name := range expected {
		if c.get(name) == 0 {
			v.add("never seen: %s", name)
		}
	}
}
