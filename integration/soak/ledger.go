package main

import (
	"sync"
	"time"
)

// A ledger notes what becomes of each order. It forgets an order some time after its call has ended, lest it
// grow for ever.
type ledger struct {
	faults *faults
	shards [64]shard
}

type shard struct {
	mu      sync.Mutex
	entries map[uint64]*entry
	swept   time.Time
}

type entry struct {
	unsafe    bool // whether it must not be processed twice
	arrivals  uint64
	processed int
	settled   time.Time // when its call ended
}

// memory is how long an order is known after its call has ended: longer than any network holds a request back.
const memory = time.Minute

func newLedger(f *faults) *ledger {
	l := &ledger{faults: f}
	for i := range l.shards {
		l.shards[i].entries = make(map[uint64]*entry)
	}
	return l
}

// with runs a function on an order's entry, nil for one that is not known.
func (l *ledger) with(order uint64, use func(*entry)) {
	s := &l.shards[order%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	use(s.entries[order])
}

func (l *ledger) open(order uint64, unsafe bool) {
	s := &l.shards[order%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[order] = &entry{unsafe: unsafe}
	if now := time.Now(); now.Sub(s.swept) > memory {
		s.swept = now
		s.sweep(now)
	}
}

func (s *shard) sweep(now time.Time) {
	for order, e := range s.entries {
		if !e.settled.IsZero() && now.Sub(e.settled) > memory {
			delete(s.entries, order)
		}
	}
}

// arrive counts an arrival, and returns its number from 1.
func (l *ledger) arrive(order uint64) (number uint64) {
	l.with(order, func(e *entry) {
		if e == nil {
			l.faults.add("order %d arrived, which nobody sent, or long after its call", order)
			return
		}
		e.arrivals++
		number = e.arrivals
	})
	return number
}

// process counts that the server acted on an order.
func (l *ledger) process(order uint64) {
	l.with(order, func(e *entry) {
		if e == nil {
			return // found when it arrived
		}
		if e.processed++; e.processed > 1 && e.unsafe {
			l.faults.add("unsafe order %d was processed %d times", order, e.processed)
		}
	})
}

// settle notes that an order's call has ended, and returns how often it was processed.
func (l *ledger) settle(order uint64) (processed int) {
	l.with(order, func(e *entry) {
		e.settled = time.Now()
		processed = e.processed
	})
	return processed
}
