package steadyhttp

import (
	"context"
	"slices"
	"time"
)

// A BreakerChange is one change of a breaker's state, in [OriginStatus].
type BreakerChange struct {
	At       time.Time
	From, To BreakerState
	// Reason is that of the [Event].
	Reason string
}

// A change of a breaker's state begins a phase. It is one allocation with the error of every call that is rejected in
// that phase: there may be many open breakers.
type change struct {
	rejection CircuitOpenError
	at        time.Duration // since the epoch
	from, to  BreakerState
	byHand    bool    // whether it was opened by hand
	trouble   uint32  // the generation in which it was opened: by its rules or a fleet, or last by hand
	before    *change // the one before this
}

const maxChanges = 16 // that a breaker remembers

// record keeps a change, and leaves it to deliver for the Observer. b.mu is held.
func (b *breaker) record(ctx context.Context, from, to BreakerState, reason string) {
	trouble := b.generation()
	if b.last != nil && from != BreakerClosed {
		trouble = b.last.trouble
	}
	b.last = &change{
		rejection: CircuitOpenError{Origin: b.origin.name, Reason: reason},
		at:        b.now(), from: from, to: to, trouble: trouble, before: b.last,
	}
	b.last.forgetAfter(maxChanges)
	if b.config.observe == nil {
		return
	}
	if b.changes == nil {
		b.changes = &delivery{observe: b.config.observe}
	}
	b.changes.add(ctx, Event{
		Kind: EventBreaker, Origin: b.origin.name, From: from, To: to, Reason: reason, Shadow: b.config.shadow,
	})
}

// forgetAfter leaves n changes. b.mu is held.
func (c *change) forgetAfter(n int) {
	for range n - 1 {
		if c = c.before; c == nil {
			return
		}
	}
	c.before = nil
}

// history tells the last changes, oldest first.
func (b *breaker) history() (told []BreakerChange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := b.last; c != nil; c = c.before {
		told = append(told, BreakerChange{b.config.epoch.Add(c.at), c.from, c.to, c.rejection.Reason})
	}
	slices.Reverse(told)
	return told
}
