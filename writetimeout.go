package steadyhttp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A writeTimeoutConn ends a write of which nothing was taken for the limit. A write that gets on may take as long as it
// likes: the limit is not a deadline for the whole of it.
type writeTimeoutConn struct {
	*net.TCPConn
	limit    time.Duration
	onClose  func()      // nil for none
	released atomic.Bool // the connection is its user's, after a 101: writes are not bounded any more

	mu       sync.Mutex
	deadline time.Time // set from above, by TLS for example; zero: none
	tick     time.Time // when the write under way is looked at; zero: there is none
}

// ticks is how often in a limit a blocked write is looked at. To try again is also what shows progress early: Linux
// wakes a writer only once a third of the socket's buffer is free.
const ticks = 30

// Write is not called by two goroutines at once, by net/http or by crypto/tls.
func (c *writeTimeoutConn) Write(p []byte) (int, error) {
	if c.released.Load() {
		return c.TCPConn.Write(p)
	}
	defer c.setTick(time.Time{})
	written, progress := 0, time.Now()
	c.setTick(progress.Add(c.limit / ticks))
	for {
		n, err := c.TCPConn.Write(p[written:])
		written += n
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
		now := time.Now()
		if n > 0 {
			progress = now
		}
		if now.Sub(progress) >= c.limit {
			return written, &net.OpError{Op: "write", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: &writeTimeoutError{c.limit}}
		}
		if c.pastDeadline(now) {
			return written, err
		}
		c.setTick(now.Add(c.limit / ticks))
	}
}

func (c *writeTimeoutConn) Close() error {
	if c.onClose != nil {
		c.onClose()
	}
	return c.TCPConn.Close()
}

// release ends the bound. The write of the request's header may have returned without having taken its tick back yet.
func (c *writeTimeoutConn) release() {
	c.released.Store(true)
	c.setTick(time.Time{})
}

// ReadFrom keeps io.Copy from writing past Write. There is no sendfile to be lost: a file's body is watched for
// errors of its own, and so is no file to net/http.
func (c *writeTimeoutConn) ReadFrom(source io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, source)
}

// SetWriteDeadline ends a write under way as well.
func (c *writeTimeoutConn) SetWriteDeadline(deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline
	return c.TCPConn.SetWriteDeadline(earlier(c.deadline, c.tick))
}

func (c *writeTimeoutConn) SetDeadline(deadline time.Time) error {
	return errors.Join(c.SetReadDeadline(deadline), c.SetWriteDeadline(deadline))
}

func (c *writeTimeoutConn) setTick(tick time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick = tick
	_ = c.TCPConn.SetWriteDeadline(earlier(c.deadline, c.tick)) // fails if the connection is closed, and so does Write
}

func (c *writeTimeoutConn) pastDeadline(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.deadline.IsZero() && !now.Before(c.deadline)
}

// earlier is the earlier of two times, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// A writeTimeoutError is the error of a request that the server did not take.
type writeTimeoutError struct{ limit time.Duration }

func (e *writeTimeoutError) Error() string {
	return fmt.Sprintf("nothing of the request could be written for %v", e.limit)
}

func (e *writeTimeoutError) Timeout() bool   { return true }
func (e *writeTimeoutError) Temporary() bool { return true }
