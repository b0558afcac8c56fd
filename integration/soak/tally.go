package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A tally counts what happened, by name.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *tally) count(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]int)
	}
	t.counts[name]++
}

func (t *tally) of(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[name]
}

func (t *tally) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Printf("%8d  %s\n", t.counts[name], name)
	}
}

// expected is what happens on the way to plenty of good answers, else they tested less than they should.
var expected = []string{
	"status: 200", "status: 429", "status: 503", "body: whole", "body: cut off",
	"attempt: success", "attempt: client_fault", "attempt: throttled", "attempt: transient", "attempt: unprocessed",
	"attempt: permanent", "attempt: canceled",
	"stopped: success", "stopped: not_retryable", "stopped: max_attempts", "stopped: not_idempotent", "stopped: body",
	"stopped: deadline", "stopped: circuit_open", "stopped: canceled",
	"error: circuit open", "error: cancelled", "error: attempt timeout", "breaker: open", "breaker: half_open", "breaker: closed",
}

const plenty = 4_000

// suffices checks that enough has happened. How many answers there are is up to the machine, but some there must be.
func (t *tally) suffices(found *faults, answers int) {
	good := t.of("body: whole")
	if good < answers {
		found.add("%d good answers are fewer than %d", good, answers)
	}
	if good < plenty {
		fmt.Printf("%d good answers are too few to meet with everything; %d are enough\n", good, plenty)
		return
	}
	for _, name := range expected {
		if t.of(name) == 0 {
			found.add("never seen: %s", name)
		}
	}
}
