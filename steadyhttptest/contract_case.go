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

// A contractCase is a script, and what the caller does during the call.
type contractCase struct {
	name   string
	steps  []Step
	calls  int           // 0 means one
	cancel time.Duration // when the caller cancels; 0: never, negative: before the call
}

var contractCases = []contractCase{
	{name: "200", steps: []Step{fromBase(200)}},
	{name: "204", steps: []Step{fromBase(204)}},
	{name: "302", steps: []Step{fromBase(302).Header("Location", redirectPath)}},
	{name: "404", steps: []Step{fromBase(404)}},
	{name: "503", steps: []Step{fromBase(503)}},
	{name: "503 and then 200", steps: []Step{fromBase(503), fromBase(200)}},
	{name: "429 with Retry-After and then 200", steps: []Step{fromBase(429).Header("Retry-After", "1"), fromBase(200)}},
	{name: "refused connection", steps: []Step{Refused}},
	{name: "reset", steps: []Step{Reset}},
	{name: "reset and then 200", steps: []Step{Reset, fromBase(200)}},
	{name: "503 for 30 calls", steps: []Step{fromBase(503)}, calls: 30},
	{name: "reset for 30 calls", steps: []Step{Reset}, calls: 30},
	{name: "context that has ended", steps: []Step{fromBase(200)}, cancel: -1},
	{name: "hang until cancelled", steps: []Step{Hang}, cancel: time.Millisecond},
	{name: "503 and a cancel", steps: []Step{fromBase(503), Hang}, cancel: time.Millisecond},
}

// baseHeader marks the responses of the base. A wrapper may make responses of its own.
const baseHeader = "Made-By"

func fromBase(code int) Response { return Status(code).Header(baseHeader, "base") }

type bodyKind string

const (
	replayable bodyKind = "with a body"
	streamed   bodyKind = "with a stream"
	bodyless   bodyKind = "without a body"
)

const (
	contractURL  = "https://user:password@api.example.com/things?query=1#fragment"
	contractBody = "the request's body"
	redirectPath = "/elsewhere"
)

// A call is one request through the wrapper, and its outcome.
type call struct {
	name     string
	base     *Transport
	earlier  int           // attempts before this call
	before   *http.Request // the request as it was before the call
	request  *http.Request
	sent     string // the content of the request's body
	bodies   watchedBodies
	response *http.Response
	err      error
	finish   func() // closes the response's body and cancels the context
}

func (c *call) String() string { return c.name }

// call sends a request through the wrapper.
func (cc contractCase) call(wrapper http.RoundTripper, kind bodyKind) *call {
	ctx, cancel := cc.context()
	c := &call{name: string(kind) + ", " + cc.name}
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
	c.finish = sync.OnceFunc(func() {
		if c.response != nil && c.response.Body != nil {
			_ = c.response.Body.Close()
		}
		cancel()
	})
	return c
}

func (cc contractCase) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	switch {
	case cc.cancel < 0:
		cancel()
	case cc.cancel > 0:
		time.AfterFunc(cc.cancel, cancel)
	}
	return ctx, cancel
}

// attempts returns the attempts of this call.
func (c *call) attempts() []Attempt { return c.base.attemptsAfter(c.earlier) }

// sentModifiedHeader reports whether an attempt shared the caller's own Header, and that had been modified.
func (c *call) sentModifiedHeader() bool {
	own := reflect.ValueOf(c.request.Header).Pointer()
	return slices.ContainsFunc(c.attempts(), func(a Attempt) bool {
		return reflect.ValueOf(a.Request.Header).Pointer() == own && !reflect.DeepEqual(a.Header, c.before.Header)
	})
}

// openResponses returns how many of the base's responses to this call are not closed.
func (c *call) openResponses() int {
	n := 0
	for _, open := range c.base.unclosed()[c.earlier:] {
		if open {
			n++
		}
	}
	return n
}

// watchedBodies hands out request bodies and counts how often each is closed.
type watchedBodies struct {
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
func (b *watchedBodies) get() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body := &watchedBody{Reader: strings.NewReader(contractBody)}
	b.all = append(b.all, body)
	return body, nil
}

// closes returns how often each body was closed.
func (b *watchedBodies) closes() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var closes []int64
	for _, body := range b.all {
		closes = append(closes, body.closed.Load())
	}
	return closes
}
