package steadyhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// A responseScript is what a base transport does with one attempt.
type responseScript struct {
	name    string
	class   steadyhttp.Class
	sure    bool // that the server has not acted on it
	status  int  // 0: an error
	after   time.Duration
	asks    string        // Retry-After,
	asked   time.Duration // and what it means
	ending  bodyEnding
	err     error
	both    bool   // a response beside the error, which no base may return
	leave   func() // instead of returning
	deaf    bool   // does not notice that its context ends
	unread  bool   // leaves the request's body alone
	opinion steadyhttp.Class
}

// bodyEnding is how a body goes on after its content.
type bodyEnding int

const (
	whole bodyEnding = iota
	broken
	stalled
	endless
	slow // stalls before its content, for a while
)

var errBody = errors.New("body broken by a test")

var responseScripts = []responseScript{
	{name: "200", class: steadyhttp.Success, status: 200},
	{name: "200", class: steadyhttp.Success, status: 200},
	{name: "503", class: steadyhttp.Transient, status: 503},
	{name: "503", class: steadyhttp.Transient, status: 503},
	{name: "404", class: steadyhttp.ClientFault, status: 404},
	{name: "501", class: steadyhttp.Permanent, status: 501},
	{name: "500 in 1 s", class: steadyhttp.Transient, status: 500, asks: "1", asked: time.Second},
	{name: "503 in 50 s", class: steadyhttp.Transient, status: 503, asks: "50", asked: 50 * time.Second},
	{name: "503 in 10 min", class: steadyhttp.Transient, status: 503, asks: "600", asked: 10 * time.Minute},
	{name: "429", class: steadyhttp.Throttled, sure: true, status: 429},
	{name: "429 now", class: steadyhttp.Throttled, sure: true, status: 429, asks: "0"},
	{name: "429 in 2 s", class: steadyhttp.Throttled, sure: true, status: 429, asks: "2", asked: 2 * time.Second},
	{name: "reset", class: steadyhttp.Transient, err: syscall.ECONNRESET},
	{name: "EOF", class: steadyhttp.Transient, err: io.EOF},
	{name: "timeout", class: steadyhttp.Transient, err: timeoutError{}},
	{name: "dial", class: steadyhttp.Unprocessed, sure: true, err: errDial},
	{name: "both", class: steadyhttp.Transient, err: io.ErrUnexpectedEOF, both: true},
	{name: "panic", leave: func() { panic("of a base") }},
	{name: "Goexit", leave: runtime.Goexit},
}

func drawResponseScript(s *schedule) responseScript {
	b := choose(s, responseScripts...)
	b.after = choose(s, 0, 0, 0, 10*time.Millisecond, 400*time.Millisecond, 1500*time.Millisecond, time.Hour)
	b.ending = choose(s, whole, whole, whole, broken, stalled, endless)
	b.deaf, b.unread = s.chance(10), s.chance(10)
	b.opinion = choose(s, 0, 0, 0, 0, 0, 0, steadyhttp.Success, steadyhttp.Transient, steadyhttp.Unprocessed, steadyhttp.Canceled)
	return b
}

// A modelBody body counts its closes, and ends in one of the ways in which bodies do. It belongs to a context,
// as net/http's do.
type modelBody struct {
	ctx    context.Context
	rest   io.Reader
	ending bodyEnding
	shut   chan struct{}

	mu     sync.Mutex
	closed int
	read   bool
}

const modelContent = "a body of some length"

func newModelBody(ctx context.Context, how bodyEnding) *modelBody {
	return &modelBody{ctx: ctx, rest: strings.NewReader(modelContent), ending: how, shut: make(chan struct{})}
}

func (b *modelBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	b.mu.Unlock()
	if b.ending == slow && !b.lasts(700*time.Millisecond) {
		return 0, errBody
	}
	select {
	case <-b.shut:
		return 0, http.ErrBodyReadAfterClose
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	default:
	}
	n, err := b.rest.Read(p)
	if err == nil {
		return n, nil
	}
	switch b.ending {
	case broken:
		return 0, errBody
	case stalled:
		b.lasts(1000 * time.Hour)
		return 0, errBody
	case endless:
		return len(p), nil
	default:
		return 0, io.EOF
	}
}

// lasts reports whether nothing ends the body meanwhile.
func (b *modelBody) lasts(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.shut:
	case <-b.ctx.Done():
	}
	return false
}

func (b *modelBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed++; b.closed == 1 {
		close(b.shut)
	}
	return nil
}

func (b *modelBody) closes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

func (b *modelBody) untouched() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.read && b.closed == 0
}
