package steadyhttp

import (
	"context"
	"slices"
	"sync"
)

// A lazyContext is a context that can be cancelled. Other than one of context.WithCancel it is not known to its
// parent until somebody waits for it. So nothing is left of it where a base transport never does, and nothing has
// to be released when the response is returned.
type lazyContext struct {
	context.Context      // the parent
	bound           bool // whether it ends with its parent alone: then it is as good as that

	mu       sync.Mutex
	done     chan struct{} // nil until somebody waits
	err      error         // nil until it ends
	children []lazyChild
	room     [1]lazyChild // of them, since hardly ever are there more: net/http's own context
	last     int          // number of a child
	forget   func() bool  // of the parent; nil where it need not
}

// A lazyChild is a context that was made of a lazyContext.
type lazyChild struct {
	number int
	cancel func()
}

// Done registers with the parent, which takes an allocation or two.
func (c *lazyContext) Done() <-chan struct{} {
	if c.bound {
		return c.Context.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		switch {
		case c.err != nil:
			close(c.done)
		case c.Context.Done() != nil:
			c.forget = context.AfterFunc(c.Context, func() { c.cancel(c.Context.Err()) })
		}
	}
	return c.done
}

// Err is the parent's, unless this context ended first.
func (c *lazyContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return c.Context.Err()
}

// AfterFunc is what context.WithCancel asks for in a parent, so that it starts no goroutine.
func (c *lazyContext) AfterFunc(f func()) (stop func() bool) {
	if c.bound {
		return context.AfterFunc(c.Context, f)
	}
	c.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.children == nil {
		c.children = c.room[:0]
	}
	c.last++
	number := c.last
	c.children = append(c.children, lazyChild{number, f})
	return func() bool { return c.drop(number) }
}

// drop reports whether the child was not cancelled or dropped before.
func (c *lazyContext) drop(number int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.children, func(child lazyChild) bool { return child.number == number })
	if i < 0 {
		return false
	}
	c.children = slices.Delete(c.children, i, i+1)
	return true
}

// cancel ends the context and, before it returns, those that were made of it.
func (c *lazyContext) cancel(err error) {
	c.mu.Lock()
	if c.err != nil || c.bound {
		c.mu.Unlock()
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	children := c.children
	c.children = nil
	c.mu.Unlock()
	for _, child := range children {
		child.cancel()
	}
}

// isKnown reports whether the parent holds on to the context.
func (c *lazyContext) isKnown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forget != nil
}

// release lets the parent forget it. It ends the context, as the functions of package context do.
func (c *lazyContext) release(error) {
	c.cancel(context.Canceled)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forget != nil {
		c.forget()
	}
}
