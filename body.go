package steadyhttp

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math"
	"net/http"
)

// hasBody treats nil and http.NoBody alike, as net/http does.
func hasBody(request *http.Request) bool {
	return request.Body != nil && request.Body != http.NoBody
}

// replayable reports whether the request can be sent once more. A body is replayed from GetBody alone:
// a reader that was handed on belongs to the transport, which may read it still.
func replayable(request *http.Request) bool {
	return !hasBody(request) || request.GetBody != nil
}

var errNoBody = errors.New("steadyhttp: Request.GetBody returned no body")

// again returns the request for the next attempt. It is a shallow copy, on which trailers that are set
// while the body is read still arrive: Clone would cut them off.
func again(request *http.Request) (*http.Request, error) {
	next := request.WithContext(request.Context())
	if !hasBody(request) {
		return next, nil
	}
	body, err := request.GetBody()
	if err == nil && isNil(body) {
		err = errNoBody
	}
	next.Body = body
	return next, err
}

// withIdempotencyKey gives a POST or PATCH a key of its own, if it has none. RFC 9110 calls no other
// method that clients use unsafe to repeat; deployed servers take the key unquoted.
func withIdempotencyKey(request *http.Request) *http.Request {
	unsafe := request.Method == http.MethodPost || request.Method == http.MethodPatch
	if !unsafe || hasIdempotencyKey(request.Header) {
		return request
	}
	keyed := request.WithContext(request.Context())
	keyed.Header = request.Header.Clone()
	if keyed.Header == nil {
		keyed.Header = make(http.Header)
	}
	keyed.Header.Set(idempotencyKey, rand.Text())
	return keyed
}

// withReplayBuffer makes a body replayable that ends within limit bytes. A longer one is streamed on
// behind what was read of it. On an error it returns the request as it was.
func withReplayBuffer(request *http.Request, limit int64) (*http.Request, error) {
	if replayable(request) || request.ContentLength > limit {
		return request, nil
	}
	source := request.Body
	var start bytes.Buffer
	read, err := io.CopyN(&start, source, min(limit, math.MaxInt64-1)+1) // one more, to see the end
	if err != nil && err != io.EOF {
		return request, err
	}
	buffered := request.WithContext(request.Context())
	if read > limit {
		buffered.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&start, source), source}
		return buffered, nil
	}
	buffered.GetBody = func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(start.Bytes())), nil
	}
	buffered.Body, _ = buffered.GetBody()
	return buffered, source.Close()
}
