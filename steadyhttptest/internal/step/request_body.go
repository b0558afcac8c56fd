package step

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// A RequestBody is a request's body on its way to the server.
type RequestBody struct {
	body   io.ReadCloser
	record func([]byte) // nil: nothing is recorded
	length int64        // as Content-Length promises; less than 1: nothing is promised
	read   int64
	once   sync.Once
}

// NewRequestBody returns a RequestBody of no promised length. A record that is not nil sees each piece that is read.
func NewRequestBody(body io.ReadCloser, record func([]byte)) *RequestBody {
	return &RequestBody{body: body, record: record}
}

// sending also takes a body that is on its way already: the function of a Func may play another step. If the function
// sends through another Transport, that one has a record of its own, and the first one still checks the length.
func sending(request *http.Request, record func([]byte)) *RequestBody {
	sent, ok := request.Body.(*RequestBody)
	switch {
	case !ok:
		return &RequestBody{body: request.Body, record: record, length: request.ContentLength}
	case record == nil:
		return sent
	default:
		return NewRequestBody(sent, record)
	}
}

// Read fulfils io.Reader.
func (b *RequestBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.read += int64(n)
	if b.record != nil {
		b.record(p[:n])
	}
	return n, err
}

// Close closes the body once, however often it is called.
func (b *RequestBody) Close() (err error) {
	b.once.Do(func() { err = b.body.Close() })
	return err
}

// Drain reads the rest. If the caller gives up, the body is closed under its reader, which may wait for ever.
func (b *RequestBody) Drain(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = b.Close() })()
	_, err := io.Copy(io.Discard, b)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case b.length > 0 && b.read != b.length:
		return fmt.Errorf("http: ContentLength=%d with Body length %d", b.length, b.read) // as transferWriter.writeBody says it
	default:
		return nil
	}
}
