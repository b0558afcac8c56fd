package steadyhttptest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Values of Retry-After that are no good, for [Answer.Header].
const (
	BadRetryAfter  = "soon"       // neither seconds nor a date
	HugeRetryAfter = "9223372037" // 292 years; a time.Duration cannot hold so many seconds
)

// An Answer is a [Step] that answers with a response. [Status] makes one, and each method returns a
// changed copy. The zero value is a 200.
type Answer struct {
	unbroken
	status  int
	header  http.Header
	body    string
	written bool // whether body was set
	ending  ending
}

// An ending is what a body comes to after its content.
type ending string

const (
	whole     ending = ""
	truncated ending = "truncated"
	stalled   ending = "stalled"
	endless   ending = "endless"
)

// Status answers with a status code from 200 to 999, a 101 being for [Handler] and [Func]. The body is
// the code's text, such as "Service Unavailable", until [Answer.Body] sets another.
func Status(code int) Answer { return Answer{status: code} }

// Header adds a header field.
func (a Answer) Header(name, value string) Answer {
	header := a.header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header.Add(name, value)
	a.header = header
	return a
}

// Body sets the body.
func (a Answer) Body(content string) Answer {
	a.body, a.written = content, true
	return a
}

// Truncated has the body break off after its content, when more was announced. Reading it ends with
// [io.ErrUnexpectedEOF].
func (a Answer) Truncated() Answer {
	a.ending = truncated
	return a
}

// Stalled has the body say nothing after its content, when more was announced, until the caller gives
// up.
func (a Answer) Stalled() Answer {
	a.ending = stalled
	return a
}

// Endless has the body repeat its content until the caller gives up. An empty one stalls. In a
// [testing/synctest] bubble only a limit of size makes a reader give up: while it reads, no time passes.
func (a Answer) Endless() Answer {
	a.ending = endless
	return a
}

// RoundTrip answers.
func (a Answer) RoundTrip(r *http.Request) (*http.Response, error) { return perform(a, r, nil) }

// String returns the status code, and how the body ends if it is not whole.
func (a Answer) String() string {
	if a.ending == whole {
		return strconv.Itoa(a.code())
	}
	return fmt.Sprintf("%d, %s", a.code(), a.ending)
}

func (Answer) stage() stage { return answering }

func (a Answer) code() int { return cmp.Or(a.status, http.StatusOK) }

func (a Answer) content() string {
	if a.written {
		return a.body
	}
	return http.StatusText(a.code())
}

// length is what Content-Length announces; -1: nothing.
func (a Answer) length() int64 {
	length := int64(len(a.content()))
	switch a.ending {
	case whole:
		return length
	case endless:
		return -1
	default:
		return length + 1
	}
}

// bodiless reports whether there is no body whatever the answer says (RFC 9110 §6.4.1).
func (a Answer) bodiless(method string) bool {
	return method == http.MethodHead || a.code() == http.StatusNoContent || a.code() == http.StatusNotModified
}

// check returns the step in its place if the answer cannot be given.
func (a Answer) check() (instead Step, bad bool) {
	if code := a.code(); code < 200 || code > 999 {
		return invalid(fmt.Sprintf("Status(%d): want 200 to 999", code)), true
	}
	return nil, false
}

func (a Answer) play(request *http.Request) (*http.Response, error) {
	if instead, bad := a.check(); bad {
		return instead.play(request)
	}
	response := &http.Response{
		Status:     strings.TrimSpace(fmt.Sprint(a.code(), " ", http.StatusText(a.code()))),
		StatusCode: a.code(),
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        a.header.Clone(),
		Body:          http.NoBody,
		ContentLength: a.length(),
		Request:       request,
	}
	if response.Header == nil {
		response.Header = make(http.Header)
	}
	if !a.bodiless(request.Method) {
		response.Body = newBody(request.Context(), a.content(), a.ending)
	} else if request.Method != http.MethodHead {
		response.ContentLength = 0
	}
	return response, nil
}

func (a Answer) serve(w http.ResponseWriter, r *http.Request) {
	if instead, bad := a.check(); bad {
		instead.serve(w, r)
		return
	}
	for name, values := range a.header {
		w.Header()[name] = append(w.Header()[name], values...)
	}
	if length := a.length(); length >= 0 && !(a.bodiless(r.Method) && r.Method != http.MethodHead) {
		w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
	w.WriteHeader(a.code())
	if a.bodiless(r.Method) {
		return
	}
	body := newBody(r.Context(), a.content(), a.ending)
	_, _ = io.Copy(flushing{w}, body)
}

// flushing sends every piece at once, so that what comes before a stall is not held back.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

// A body reads as net/http's do: it fails once its request's context has ended, or it was closed.
type body struct {
	ctx     context.Context
	content *strings.Reader
	ending  ending
	once    sync.Once
	closed  chan struct{}
}

func newBody(ctx context.Context, content string, how ending) *body {
	return &body{ctx: ctx, content: strings.NewReader(content), ending: how, closed: make(chan struct{})}
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.err(); err != nil {
		return 0, err
	}
	if b.content.Len() > 0 {
		return b.content.Read(p)
	}
	if b.ending == endless && b.content.Size() > 0 {
		return b.repeat(p)
	}
	return 0, b.end()
}

// repeat fills p, so that a short content does not make short pieces.
func (b *body) repeat(p []byte) (n int, err error) {
	for n < len(p) {
		_, _ = b.content.Seek(0, io.SeekStart)
		part, _ := b.content.Read(p[n:])
		n += part
	}
	return n, nil
}

// err is about the caller. A body that was read to its end stays so.
func (b *body) err() error {
	select {
	case <-b.closed:
		return http.ErrBodyReadAfterClose
	default:
	}
	if b.ending == whole && b.content.Len() == 0 {
		return nil
	}
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	return nil
}

func (b *body) end() error {
	switch b.ending {
	case whole:
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
