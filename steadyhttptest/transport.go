package steadyhttptest

import (
	"io"
	"net/http"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// A Transport is an [http.RoundTripper] that plays a script. The zero value responds with 200 to every request.
//
// It keeps the contract of http.RoundTripper and behaves like net/http's HTTP/1. It reads and closes the request's body. It
// refuses a body that is not as long as Content-Length says. When the request's context ends, it returns the cause, and a
// response's body fails with the cause. A Transport is safe for concurrent use; attempts are numbered in the order of their
// arrival.
//
// It records every attempt with its body, so it is not made for load tests.
type Transport struct{ script }

// NewTransport returns a Transport that plays these steps, one for each attempt, and then repeats the last. [End] makes a
// script that does not.
func NewTransport(steps ...Step) *Transport {
	t := &Transport{}
	t.Play(steps...)
	return t
}

// RoundTrip plays the next step. A request whose context has already ended is not an attempt: it plays and records nothing.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := step.Unsendable(request); err != nil {
		step.CloseBody(request)
		return nil, err
	}
	r, behavior := t.next(newAttempt(request, request.URL.String()))
	play := behavior.Play
	behavior.Play = func(request *http.Request) (*http.Response, error) {
		response, err := play(request)
		r.countCloses(response)
		return response, err
	}
	return step.Play(behavior, request, r.addBody)
}

// countCloses makes the record count how often the response's body is closed.
func (r *record) countCloses(response *http.Response) {
	if response == nil || response.Body == nil || response.Body == http.NoBody {
		return
	}
	r.expectClose()
	counted := countedBody{response.Body, r}
	response.Body = counted
	if writer, ok := counted.ReadCloser.(io.Writer); ok {
		response.Body = countedWriter{counted, writer}
	}
}

type countedBody struct {
	io.ReadCloser
	record *record
}

func (b countedBody) Close() error {
	b.record.addClose()
	return b.ReadCloser.Close()
}

// A countedWriter is the body of a 101, which can be written to.
type countedWriter struct {
	countedBody
	io.Writer
}
