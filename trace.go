package steadyhttp

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"strings"
	"sync/atomic"
)

// traceFlags are what the attempt itself showed, for errors whose type does not tell.
type traceFlags uint8

const (
	bodyFailed     traceFlags = 1 << iota // reading the request's body failed
	neverConnected                        // a connection was asked for, and none was ever got
)

// needsTrace reports whether the attempt must be traced to be judged rightly. A body that can fail always
// must. The connection is traced only where trouble is likely, in a retry and after an error, so that a healthy
// origin costs nothing: there a TLS handshake that is cut off counts as [Transient], which is the safe side,
// the first time.
func needsTrace(c *call) bool {
	return tracesConnection(c) || !isReliable(c.attempt.request)
}

func tracesConnection(c *call) bool {
	return c.attempt.number > 1 || !c.origin.answered.Load()
}

func sendTraced(base http.RoundTripper, c *call) (*http.Response, traceFlags, error) {
	t := &tracer{}
	request := t.traced(c)
	response, err := roundTrip(base, request)
	return response, t.flags(), err
}

// A tracer notes what no error type tells. Its hooks may run after RoundTrip has returned.
type tracer struct {
	asked atomic.Bool // for a connection,
	got   atomic.Bool // and got one
	body  tracedBody
}

// traced returns the request to send in the attempt's place.
func (t *tracer) traced(c *call) *http.Request {
	ctx := c.attempt.request.Context()
	if tracesConnection(c) {
		ctx = httptrace.WithClientTrace(ctx, t.hooks())
	}
	request := c.attempt.request.WithContext(ctx)
	if !isReliable(request) {
		t.body = tracedBody{onceBody: onceBody{ReadCloser: request.Body}, length: request.ContentLength}
		request.Body = &t.body
	}
	return request
}

func (t *tracer) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { t.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.got.Store(true) },
	}
}

func (t *tracer) flags() traceFlags {
	var flags traceFlags
	if t.body.failed.Load() {
		flags |= bodyFailed
	}
	if t.asked.Load() && !t.got.Load() {
		flags |= neverConnected
	}
	return flags
}

// A tracedBody notes an error of the caller's body, to tell it from an error of the connection. Not to
// be as long as was promised is one.
type tracedBody struct {
	onceBody
	failed atomic.Bool
	length int64 // promised; less than 1: none
	read   int64
}

// Read does not blame the body for what it says once it is closed, an early EOF for example: net/http closes
// it under a blocked Read when the connection fails.
func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	broken := err != nil && err != io.EOF
	short := err == io.EOF && b.read < b.length
	long := b.length > 0 && b.read > b.length
	if (broken || short || long) && !b.closed.Load() {
		b.failed.Store(true)
	}
	return n, err
}

// isReliable reports whether the request's body is sure to be read as promised. A file's may not be:
// with sendfile its error looks like one of the connection.
func isReliable(request *http.Request) bool {
	return !hasBody(request) || isInMemory(request.Body, request.ContentLength)
}

// nopCloser is what http.NewRequest puts around readers that can write themselves, as those in memory do.
var nopCloser = reflect.TypeOf(io.NopCloser((*bytes.Reader)(nil)))

// isInMemory knows the bodies that http.NewRequest makes of a bytes.Buffer, bytes.Reader or
// strings.Reader, as net/http's isKnownInMemoryReader does, if they have the length promised.
func isInMemory(body io.ReadCloser, length int64) bool {
	if reflect.TypeOf(body) != nopCloser {
		return false
	}
	switch reader := reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader:
		return length < 1 || int64(reader.(interface{ Len() int }).Len()) == length
	default:
		return false
	}
}
