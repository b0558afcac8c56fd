package steadyhttp

import (
	"io"
	"sync"
	"time"
)

const (
	drainLimit = 64 << 10
	drainTime  = 50 * time.Millisecond
)

// A drain reads a body that nobody wants to its end, so that its connection is used again, and closes it.
type drain struct {
	rest  io.LimitedReader
	body  io.ReadCloser
	once  sync.Once // for closing it
	ended chan any  // of each step, what there was to recover from, or nil
}

// discard drains a body, but not for ever, nor for longer than the caller waits. A body that stalls is closed
// under the reader, which net/http's bodies allow, by a goroutine, since an HTTP/2 body's Close can wait
// for a stuck request body (golang/go#48908). Should the body panic, so does the call: nobody could recover
// it in a goroutine of ours.
func (c *call) discard(body io.ReadCloser) {
	if hasNoConnection(body) {
		_ = body.Close()
		return
	}
	d := &drain{rest: io.LimitedReader{R: body, N: drainLimit}, body: body, ended: make(chan any, 2)}
	go d.read()
	limit := c.timer.start(drainTime)
	defer c.timer.stop()
	select {
	case reason := <-d.ended:
		repanic(reason)
		return
	case <-limit:
		go d.close()
		return
	case <-c.request.Context().Done():
	case <-cancelOf(c.request):
	}
	go d.close()
	select {
	case reason := <-d.ended:
		repanic(reason)
	case <-limit:
	}
}

// hasNoConnection reports whether a body surely is none, or comes from memory. Whether there is something to wait for in
// another one is not known before it is read.
func hasNoConnection(body io.ReadCloser) bool { return isEmpty(body) || isInMemory(body, 0) }

func (d *drain) read() {
	defer d.end()
	defer d.closeOnce()
	_, _ = io.Copy(io.Discard, &d.rest)
}

func (d *drain) close() {
	defer d.end()
	d.closeOnce()
}

func (d *drain) closeOnce() { d.once.Do(func() { _ = d.body.Close() }) }

// end is deferred by each step.
func (d *drain) end() { d.ended <- recover() }

func repanic(reason any) {
	if reason != nil {
		panic(reason)
	}
}
