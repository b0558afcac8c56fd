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

// evidence is what the attempt itself showed, for errors whose type does not tell.
type evidence uint8

const (
	bodyFailed     evidence = 1 << iota // reading the request's body failed
	neverConnected                      // a connection was asked for, and none was ever got
)

func watch(base http.RoundTripper, x *exchange) (*http.Response, evidence, error) {
	request, witness := witnessed(x)
	response, err := roundTrip(base, request)
	return response, witness.evidence(), err
}

// witnessed returns the request to send in x's place, and the witness that watches it.
func witnessed(x *exchange) (*http.Request, *witness) {
	seen := &witness{}
	ctx := x.request.Context()
	if x.attempt > 1 || !x.origin.answers.Load() {
		ctx = httptrace.WithClientTrace(ctx, seen.trace())
	}
	request := x.request.WithContext(ctx)
	if !isReliable(request) {
		seen.body = watchedBody{onceBody: onceBody{ReadCloser: request.Body}, length: request.ContentLength}
		request.Body = &seen.body
	}
	return request, seen
}

// A witness notes what no error type tells. Its hooks may run after RoundTrip has returned.
type witness struct {
	asked atomic.Bool // for a connection,
	got   atomic.Bool // and got one
	body  watchedBody
}

func (w *witness) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.got.Store(true) },
	}
}

func (w *witness) evidence() evidence {
	var seen evidence
	if w.body.failed.Load() {
		seen |= bodyFailed
	}
	if w.asked.Load() && !w.got.Load() {
		seen |= neverConnected
	}
	return seen
}

// A watchedBody notes an error of the caller's body, to tell it from an error of the connection. Not to
// be as long as was promised is one.
type watchedBody struct {
	onceBody
	failed atomic.Bool
	length int64 // promised; less than 1: none
	read   int64
}

// Read does not blame the body for what it says once it is closed, an early EOF for example: net/http closes
// it under a blocked Read when the connection fails.
func (b *watchedBody) Read(p []byte) (int, error) {
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
