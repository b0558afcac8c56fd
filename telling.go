package steadyhttp

import "context"

// A change is a transition that the observer has not been told of yet.
type change struct {
	cause context.Context // of the call whose outcome it was
	event Event
}

// tell delivers the changes in order and outside the lock, one teller at a time: whoever finds another
// at it, perhaps further up its own stack, leaves its change to that one.
func (b *breaker) tell() {
	for {
		next, ok := b.takeChange()
		if !ok {
			return
		}
		b.tellOne(next)
	}
}

func (b *breaker) takeChange() (next change, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.telling || len(b.untold) == 0 {
		return change{}, false
	}
	next, b.untold = b.untold[0], b.untold[1:]
	b.telling = true
	return next, true
}

// tellOne lets nobody lose a change because the observer panics at another.
func (b *breaker) tellOne(c change) {
	told := false
	defer func() {
		b.mu.Lock()
		b.telling = false
		b.mu.Unlock()
		if !told {
			b.tell()
		}
	}()
	b.policy.observe(c.cause, c.event)
	told = true
}
