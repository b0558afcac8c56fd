package steadyhttptest

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/network"
)

// A listener is what a Server listens on, and how it is dialed.
type listener interface {
	net.Listener
	dial(context.Context) (net.Conn, error)
	// refuse dials where nobody listens, and returns the error.
	refuse(context.Context) error
}

// A loopback is a TCP port of this machine.
type loopback struct{ net.Listener }

func newLoopback() (listener, error) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tcp, err = net.Listen("tcp", "[::1]:0")
	}
	return loopback{tcp}, err
}

func (l loopback) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
}

// refuse dials the client's end of a connection: nobody else can have that port, and nobody listens on it.
func (l loopback) refuse(ctx context.Context) error {
	busy, err := l.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = busy.Close() }()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", busy.LocalAddr().String())
	if err == nil {
		_ = conn.Close()
		return errors.New("steadyhttptest: a port on which nobody listens accepted a connection")
	}
	return err
}

// A pipes is a listener in memory: each connection is a pipe.
type pipes struct {
	dialed chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() listener { return &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})} }

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

func (p *pipes) Addr() net.Addr { return network.Address("pipe") }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	near, far := newPipe()
	select {
	case p.dialed <- far:
		return near, nil
	case <-p.closed:
		return nil, p.refuse(ctx)
	case <-ctx.Done():
		return nil, network.Error("dial", "pipe", ctx.Err())
	}
}

func (p *pipes) refuse(context.Context) error {
	return network.SystemError("dial", "pipe", "connect", syscall.ECONNREFUSED)
}
