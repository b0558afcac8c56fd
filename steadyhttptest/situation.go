package steadyhttptest

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A situation is a script, and what the caller does to the call meanwhile.
type situation struct {
	name   string
	steps  []Step
	calls  int           // how many there are; 0 means one
	cancel time.Duration // when the caller gives up; 0 means never, less than that before the call
}

var situations = []situation{
	{name: "200", steps: []Step{answered(200)}},
	{name: "204", steps: []Step{answered(204)}},
	{name: "302", steps: []Step{answered(302).Header("Location", elsewhere)}},
	{name: "404", steps: []Step{answered(404)}},
	{name: "503", steps: []Step{answered(503)}},
	{name: "503 and then 200", steps: []Step{answered(503), answered(200)}},
	{name: "429 with Retry-After and then 200", steps: []Step{answered(429).Header("Retry-After", "1"), answered(200)}},
	{name: "refused connection", steps: []Step{Refused}},
	{name: "reset", steps: []Step{Reset}},
	{name: "reset and then 200", steps: []Step{Reset, answered(200)}},
	{name: "503 for 30 calls", steps: []Step{answered(503)}, calls: 30},
	{name: "reset for 30 calls", steps: []Step{Reset}, calls: 30},
	{name: "context that has ended", steps: []Step{answered(200)}, cancel: -1},
	{name: "hang until cancelled", steps: []Step{Hang}, cancel: time.Millisecond},
	{name: "503 and a cancel", steps: []Step{answered(503), Hang}, cancel: time.Millisecond},
}

// madeBy is a header of the answers of the base, to tell them from those that a wrapper makes.
const madeBy = "Made-By"

func answered(code int) Answer { return Status(code).Header(madeBy, "base") }

type bodyKind string

const (
	replayable bodyKind = "with a body"
	streamed   bodyKind = "with a stream"
	bodyless   bodyKind = "without a body"
)

const (
	contractURL  = "https://user:password@api.example.com/things?query=1#fragment"
	contractBody = "the request's body"
	elsewhere    = "/elsewhere"
)

// A call is what came of one request. Its bodies are watched.
type call struct {
	name     string
	base     *Transport
	seen     int // attempts before this call
	before   *http.Request
	request  *http.Request
	sent     string
	bodies   bodies
	response *http.Response
	err      error
	done     func() // lets go of it
}

func (c *call) String() string { return c.name }

// call sends a request through the wrapper.
func (s situation) call(wrapper http.RoundTripper, kind bodyKind) *call {
	ctx, cancel := s.context()
	c := &call{name: string(kind) + ", " + s.name}
	c.request, _ = http.NewRequestWithContext(ctx, http.MethodPut, contractURL, nil)
	c.request.Header = http.Header{"Accept": {"text/plain"}, "X-Test": {"a", "b"}}
	if kind != bodyless {
		c.sent = contractBody
		c.request.Body, _ = c.bodies.get()
		c.request.ContentLength = int64(len(contractBody))
	}
	if kind == replayable {
		c.request.GetBody = c.bodies.get
	}
	c.before = c.request.Clone(ctx)
	c.response, c.err = wrapper.RoundTrip(c.request)
	c.done = sync.OnceFunc(func() {
		if c.response != nil && c.response.Body != nil {
			_ = c.response.Body.Close()
		}
		cancel()
	})
	return c
}

func (s situation) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	switch {
	case s.cancel < 0:
		cancel()
	case s.cancel > 0:
		time.AfterFunc(s.cancel, cancel)
	}
	return ctx, cancel
}

// attempts returns those of this call.
func (c *call) attempts() []Attempt { return c.base.after(c.seen) }

// changedMeanwhile reports whether an attempt was made with the caller's own header, and that was not as
// the caller made it.
func (c *call) changedMeanwhile() bool {
	own := reflect.ValueOf(c.request.Header).Pointer()
	return slices.ContainsFunc(c.attempts(), func(a Attempt) bool {
		return reflect.ValueOf(a.Request.Header).Pointer() == own && !reflect.DeepEqual(a.Header, c.before.Header)
	})
}

// open returns how many of their responses are not closed.
func (c *call) open() int {
	open := 0
	for _, left := range c.base.leftOpen()[c.seen:] {
		if left {
			open++
		}
	}
	return open
}

// bodies hands out request bodies, and watches them.
type bodies struct {
	mu  sync.Mutex
	all []*watchedBody
}

type watchedBody struct {
	io.Reader
	closed atomic.Int64
}

func (b *watchedBody) Close() error {
	b.closed.Add(1)
	return nil
}

// get is a Request's GetBody.
func (b *bodies) get() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	given := &watchedBody{Reader: strings.NewReader(contractBody)}
	b.all = append(b.all, given)
	return given, nil
}

// closes returns how often each was closed.
func (b *bodies) closes() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var closes []int64
	for _, given := range b.all {
		closes = append(closes, given.closed.Load())
	}
	return closes
}
