package steadyhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
)

// hasBody treats nil and http.NoBody alike, as net/http does.
func hasBody(request *http.Request) bool {
	return request.Body != nil && request.Body != http.NoBody
}

// isEmpty reports whether a response's body is surely none: http.NoBody, or what net/http returns in its place over HTTP/2,
// which has a type of its own (http2noBodyReader), without any state. It is told by its EOF from one that was promised and
// is missing (http2missingBody).
func isEmpty(body io.ReadCloser) bool {
	if body == nil || body == http.NoBody {
		return true
	}
	kind := reflect.TypeOf(body)
	if kind.Size() > 0 || !strings.HasPrefix(kind.PkgPath(), "net/http") {
		return false
	}
	_, err := body.Read(nil)
	return err == io.EOF
}

// replayable reports whether the request can be sent once more. A body is replayed from GetBody alone:
// a reader that was handed on belongs to the transport, which may read it still.
func replayable(request *http.Request) bool {
	return !hasBody(request) || request.GetBody != nil
}

var errNoBody = errors.New("steadyhttp: Request.GetBody returned no body")

// replayBody gives next, a copy of the request, a body of its own.
func replayBody(next, request *http.Request) error {
	if !hasBody(request) {
		return nil
	}
	body, err := request.GetBody()
	if err == nil && isNil(body) {
		err = errNoBody
	}
	next.Body = body
	return err
}

// withReplayBuffer makes a body replayable that ends within limit bytes. A longer one is streamed on
// behind what was read of it. Should the caller give up while it is read, it is closed, since nothing
// else ends a Read; hence the onceBody.
func withReplayBuffer(request *http.Request, limit int64) (*http.Request, error) {
	if replayable(request) || request.ContentLength > limit {
		return request, nil
	}
	source := &onceBody{ReadCloser: request.Body}
	buffered := request.WithContext(request.Context())
	buffered.Body = source
	settled := context.AfterFunc(request.Context(), func() { _ = source.Close() })
	defer settled() // should Read panic: then the call closes the body
	var start bytes.Buffer
	read, err := io.CopyN(&start, source, min(limit, math.MaxInt64-1)+1) // one more, to see the end
	if gaveUp := !settled(); gaveUp {
		return buffered, context.Cause(request.Context())
	}
	if err != nil && err != io.EOF {
		return buffered, err
	}
	if read > limit {
		buffered.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&start, source), source}
		return buffered, nil
	}
	setBody(buffered, start.Bytes())
	return buffered, source.Close()
}

// setBody gives the request a body whose content is known, and with it the length, which was not known if there was
// none: a chunked body is what some servers reject with a 411. A length that was promised stays as it is, right or
// wrong, and so does an encoding that was asked for. Trailers need chunks (RFC 9112 §7.1.2).
func setBody(request *http.Request, content []byte) {
	request.GetBody = func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	if request.ContentLength <= 0 && len(request.Trailer) == 0 && len(request.TransferEncoding) == 0 {
		request.ContentLength = int64(len(content))
		if len(content) == 0 {
			request.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
		}
	}
	request.Body, _ = request.GetBody()
}

// A onceBody is closed once, however many close it.
type onceBody struct {
	io.ReadCloser
	closed atomic.Bool
}

func (b *onceBody) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.ReadCloser.Close()
}

func closeRequest(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

func closeBody(response *http.Response) {
	if response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
}
