package fault

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// Values of Retry-After that a client cannot follow, for [Response.Header].
const (
	BadRetryAfter  = "soon"       // neither seconds nor a date
	HugeRetryAfter = "9223372037" // 292 years; a time.Duration cannot hold so many seconds
)

// A Response is a [Step] that responds. [Status] makes one, and each method returns a changed copy. The zero value is a
// 200.
type Response struct {
	status  int
	header  http.Header
	body    string
	hasBody bool // whether body was set
	end     bodyEnd
	cut     bool // whether that comes before all of the content was sent,
	after   int  // after so many bytes
}

// Status returns a response with a status code from 200 to 999. (For a 101, use [Handler] or [Func].) Its body is the
// code's text, such as "Service Unavailable", unless [Response.Body] sets another.
func Status(code int) Response { return Response{status: code} }

// Header adds a header field.
func (r Response) Header(name, value string) Response {
	header := r.header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header.Add(name, value)
	r.header = header
	return r
}

// Body sets the body.
func (r Response) Body(content string) Response {
	r.body, r.hasBody = content, true
	return r
}

// Truncated makes the body break off after its content, although more was announced. Reading it ends with
// [io.ErrUnexpectedEOF].
func (r Response) Truncated() Response {
	r.end, r.cut = truncated, false
	return r
}

// CutAfter makes the body break off after n bytes of its content, although all of it was announced. Reading it ends with
// [io.ErrUnexpectedEOF]. A body that is not longer is complete.
func (r Response) CutAfter(n int) Response {
	r.end, r.cut, r.after = truncated, true, n
	return r
}

// Stalled makes the body stop after its content, although more was announced. A read blocks until the request's context
// ends or the body is closed.
func (r Response) Stalled() Response {
	r.end, r.cut = stalled, false
	return r
}

// Endless makes the body repeat its content until the request's context ends or the body is closed. If the content is
// empty, the body stalls.
//
// In a [testing/synctest] bubble no time passes while the body is read. Only a limit on the size ends the reading there.
func (r Response) Endless() Response {
	r.end, r.cut = endless, false
	return r
}

// RoundTrip returns the response.
func (r Response) RoundTrip(request *http.Request) (*http.Response, error) {
	return step.Play(r.Internal(), request, nil)
}

// String returns the status code, and how the body ends if it is not complete.
func (r Response) String() string {
	switch {
	case r.end == complete:
		return strconv.Itoa(r.code())
	case r.cut:
		return fmt.Sprintf("%d, %s after %d bytes", r.code(), r.end, r.after)
	default:
		return fmt.Sprintf("%d, %s", r.code(), r.end)
	}
}

// Internal is for the packages of the kit: its result is of an internal package.
func (r Response) Internal() step.Behavior {
	if code := r.code(); code < 200 || code > 999 {
		return step.Invalid(fmt.Sprintf("Status(%d): want 200 to 999", code)).Internal()
	}
	if r.cut && r.after < 0 {
		return step.Invalid(fmt.Sprintf("CutAfter(%d): want 0 or more", r.after)).Internal()
	}
	return step.Behavior{Stage: step.AtBody, Play: r.play, Serve: r.serve}
}

func (r Response) code() int { return cmp.Or(r.status, http.StatusOK) }

func (r Response) content() string {
	if r.hasBody {
		return r.body
	}
	return http.StatusText(r.code())
}

// length is what Content-Length announces; -1: nothing.
func (r Response) length() int64 {
	length := int64(len(r.content()))
	switch {
	case r.end == complete, r.cut:
		return length
	case r.end == endless:
		return -1
	default:
		return length + 1
	}
}

// newBody returns the body as it is sent.
func (r Response) newBody(ctx context.Context) *body {
	content, end := r.content(), r.end
	switch {
	case r.cut && r.after < len(content):
		content = content[:r.after]
	case r.cut:
		end = complete
	}
	return newBody(ctx, content, end)
}

// bodiless reports whether the response has no body, whatever was set (RFC 9110 §6.4.1).
func (r Response) bodiless(method string) bool {
	return method == http.MethodHead || !allowsBody(r.code())
}

func (r Response) play(request *http.Request) (*http.Response, error) {
	response := &http.Response{
		Status:     strings.TrimSpace(fmt.Sprint(r.code(), " ", http.StatusText(r.code()))),
		StatusCode: r.code(),
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        r.header.Clone(),
		Body:          http.NoBody,
		ContentLength: r.length(),
		Request:       request,
	}
	if response.Header == nil {
		response.Header = make(http.Header)
	}
	if !r.bodiless(request.Method) {
		response.Body = r.newBody(request.Context())
	} else if request.Method != http.MethodHead {
		response.ContentLength = 0
	}
	return response, nil
}

func (r Response) serve(w http.ResponseWriter, request *http.Request, _ step.Conn) {
	for name, values := range r.header {
		w.Header()[name] = append(w.Header()[name], values...)
	}
	if length := r.length(); length >= 0 && !(r.bodiless(request.Method) && request.Method != http.MethodHead) {
		w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
	w.WriteHeader(r.code())
	if r.bodiless(request.Method) {
		return
	}
	if r.end != complete { // a body that stalls before its first byte must not hold the header back
		_ = http.NewResponseController(w).Flush()
	}
	_, _ = io.Copy(flushing{w}, r.newBody(request.Context()))
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
