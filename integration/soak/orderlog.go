package main

import (
	"sync"
	"time"
)

// An orderLog records what becomes of each order. It forgets an order some time after its call has ended, so that it
// does not grow without limit.
type orderLog struct {
	violations *violations
	shards     [64]shard
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
	ended     time.Time // when its call ended
}

// retention is how long an order is remembered after its call has ended: longer than any network delays a request.
const retention = time.Minute

func newOrderLog(v *violations) *orderLog {
	l := &orderLog{violations: v}
	for i := range l.shards {
		l.shards[i].entries = make(map[uint64]*entry)
	}
	return l
}

// with runs a function on an order's entry, which is nil if the order is not known.
func (l *orderLog) with(order uint64, use func(*entry)) {
	s := &l.shards[order%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	use(s.entries[order])
}

func (l *orderLog) open(order uint64, unsafe bool) {
	s := &l.shards[order%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[order] = &entry{unsafe: unsafe}
	if now := time.Now(); now.Sub(s.swept) > retention {
		s.swept = now
		s.sweep(now)
	}
}

// sweep forgets old orders. s.mu is held.
func (s *shard) sweep(now time.Time) {
	for order, e := range s.entries {
		if !e.ended.IsZero() && now.Sub(e.ended) > retention {
			delete(s.entries, order)
		}
	}
}

// arrive counts an arrival of an order at the backend, and returns its number, from 1.
func (l *orderLog) arrive(order uint64) (number uint64) {
	l.with(order, func(e *entry) {
		if e == nil {
			l.violations.add("order %d arrived, which nobody sent, or long after its call", order)
			return
		}
		e.arrivals++
		number = e.arrivals
	})
	return number
}

// process records that the backend acted on an order.
func (l *orderLog) process(order uint64) {
	l.with(order, func(e *entry) {
		if e == nil {
			return // arrive has reported it
		}
		if e.processed++; e.processed > 1 && e.unsafe {
			l.violations.add("unsafe order %d was processed %d times", order, e.processed)
		}
	})
}

// end records that an order's call has ended, and returns how often the order was processed.
func (l *orderLog) end(order uint64) (processed int) {
	l.with(order, func(e *entry) {
		e.ended = time.Now()
		processed = e.processed
	})
	return processed
}
