package steadyhttptest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/network"
)

// A pipe is one end of a connection in memory. Like a socket, and unlike net.Pipe, it buffers what the other end has not
// read yet: with TLS or HTTP/2 both ends may write at the same time.
type pipe struct {
	in, out *stream
}

func newPipe() (near, far *pipe) {
	there, back := newStream(), newStream()
	return &pipe{in: back, out: there}, &pipe{in: there, out: back}
}

func (p *pipe) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.out.write(b) }

func (p *pipe) LocalAddr() net.Addr  { return network.Address("pipe") }
func (p *pipe) RemoteAddr() net.Addr { return network.Address("pipe") }

// Close closes both directions. The other end can still read what was written.
func (p *pipe) Close() error {
	p.in.change(func(s *stream) { s.abandoned = true })
	return p.CloseWrite()
}

// CloseWrite closes one direction, as that of a TCP connection.
func (p *pipe) CloseWrite() error {
	p.out.change(func(s *stream) { s.ended = true })
	return nil
}

// reset breaks both directions, as a TCP RST does. The other end's direction goes first: our own reader may close the
// connection once its direction breaks, and the other end would take that for a close in good order.
func (p *pipe) reset() {
	p.out.change(func(s *stream) { s.reset = true })
	p.in.change(func(s *stream) { s.reset = true })
}

func (p *pipe) SetDeadline(t time.Time) error {
	_ = p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

func (p *pipe) SetReadDeadline(t time.Time) error {
	p.in.change(func(s *stream) { s.reader.set(t, s.changed) })
	return nil
}

func (p *pipe) SetWriteDeadline(t time.Time) error {
	p.out.change(func(s *stream) { s.writer.set(t, s.changed) })
	return nil
}

// A stream is one direction of a pipe.
type stream struct {
	mu        sync.Mutex
	changed   *sync.Cond
	unread    []byte
	ended     bool // nothing more will be written
	abandoned bool // nothing more will be read
	reset     bool
	reader    deadline
	writer    deadline
}

// bufferSize is how much may be unread.
const bufferSize = 64 << 10

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) change(how func(*stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how(s)
	s.changed.Broadcast()
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.reset:
			return 0, resetBy("read")
		case s.abandoned:
			return 0, net.ErrClosed
		case s.reader.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.unread) > 0 || len(b) == 0:
			n := copy(b, s.unread)
			s.unread = s.unread[n:]
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for written := 0; ; s.changed.Wait() {
		switch {
		case s.reset:
			return written, resetBy("write")
		case s.ended:
			return written, net.ErrClosed
		case s.abandoned:
			return written, network.SystemError("write", "pipe", "write", syscall.EPIPE)
		case s.writer.passed():
			return written, os.ErrDeadlineExceeded
		}
		n := min(len(b)-written, bufferSize-len(s.unread))
		s.unread = append(s.unread, b[written:written+n]...)
		s.changed.Broadcast()
		if written += n; written == len(b) {
			return written, nil
		}
	}
}

func resetBy(operation string) error {
	return network.SystemError(operation, "pipe", operation, syscall.ECONNRESET)
}

// A deadline wakes the waiting reads or writes when it passes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(at time.Time, changed *sync.Cond) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.timer = at, nil
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), changed.Broadcast)
	}
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
