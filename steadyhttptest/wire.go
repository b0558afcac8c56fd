package steadyhttptest

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
)

// A wire is what a Server listens on, and how it is dialed.
type wire interface {
	net.Listener
	dial(context.Context) (net.Conn, error)
	// refuse dials where nobody listens.
	refuse(context.Context) error
}

// A loopback is a TCP port of this machine.
type loopback struct{ net.Listener }

func newLoopback() (wire, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		listener, err = net.Listen("tcp", "[::1]:0")
	}
	return loopback{listener}, err
}

func (l loopback) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
}

// refuse dials the near end of a connection: it has its port for itself, and does not listen.
func (l loopback) refuse(ctx context.Context) error {
	busy, err := l.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = busy.Close() }()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", busy.LocalAddr().String())
	if err == nil {
		_ = conn.Close()
		return errors.New("steadyhttptest: a port on which nobody listens took a connection")
	}
	return err
}

// A pipes is a wire in memory: each connection is a pipe.
type pipes struct {
	dialed chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() wire { return &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialed:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return address("pipe") }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	near, far := newPipe()
	select {
	case p.dialed <- far:
		return near, nil
	case <-p.closed:
		return nil, p.refuse(ctx)
	case <-ctx.Done():
		return nil, networkError("dial", "pipe", ctx.Err())
	}
}

func (p *pipes) refuse(context.Context) error {
	return networkError("dial", "pipe", os.NewSyscallError("connect", syscall.ECONNREFUSED))
}
