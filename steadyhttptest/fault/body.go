package fault

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
)

// A bodyEnd is what comes after a response body's content.
type bodyEnd string

const (
	complete  bodyEnd = ""
	truncated bodyEnd = "truncated"
	stalled   bodyEnd = "stalled"
	endless   bodyEnd = "endless"
)

// A body is a response's body. As net/http's, it fails once the request's context has ended or the body was closed.
type body struct {
	ctx     context.Context
	content *strings.Reader
	end     bodyEnd
	once    sync.Once
	closed  chan struct{}
}

func newBody(ctx context.Context, content string, end bodyEnd) *body {
	return &body{ctx: ctx, content: strings.NewReader(content), end: end, closed: make(chan struct{})}
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.err(); err != nil {
		return 0, err
	}
	if b.content.Len() > 0 {
		return b.content.Read(p)
	}
	if b.end == endless && b.content.Size() > 0 {
		return b.repeat(p)
	}
	return 0, b.finish()
}

// repeat fills p, so that a short content does not mean many short reads.
func (b *body) repeat(p []byte) (n int, err error) {
	for n < len(p) {
		_, _ = b.content.Seek(0, io.SeekStart)
		part, _ := b.content.Read(p[n:])
		n += part
	}
	return n, nil
}

// err returns why the caller can read no more. A body that was read to its end is not affected.
func (b *body) err() error {
	select {
	case <-b.closed:
		return http.ErrBodyReadAfterClose
	default:
	}
	if b.end == complete && b.content.Len() == 0 {
		return nil
	}
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	return nil
}

func (b *body) finish() error {
	switch b.end {
	case complete:
		return io.EOF
	case truncated:
		return io.ErrUnexpectedEOF
	default:
		return b.stall()
	}
}

func (b *body) stall() error {
	select {
	case <-b.closed:
		return http.ErrBodyReadAfterClose
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

func (b *body) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}
