// Package steadyhttptest helps to test code that calls HTTP servers: what it does when they fail.
//
// A script is a list of steps, each for one attempt: [Status] answers, a [Fault] such as [Reset] or [Hang]
// fails as networks do. It is played by a [Transport], which needs no network and so takes no time, or
// by a [Server], which does it all for real, on loopback or over an in-memory pipe. Both write down what
// arrived, and can be asserted on.
//
//	base := steadyhttptest.NewTransport(
//		steadyhttptest.Status(503).Header("Retry-After", "2"),
//		steadyhttptest.Reset,
//		steadyhttptest.Status(200).Body("hello"),
//	)
//	client := &http.Client{Transport: wrapped(base)}
//	// ... call it ...
//	base.AssertAttempts(t, 3)
//
// A Transport and the pipe servers work in a [testing/synctest] bubble, where waits take no time. Make
// them within it, and contexts too.
//
// [CheckRoundTripper] tells whether a wrapper keeps the contract of [http.RoundTripper]. An [Injector]
// brings the same faults, at a rate, to a real client in staging.
package steadyhttptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// A Transport is an [http.RoundTripper] that plays a script. The zero value answers 200 for ever.
//
// It keeps to the contract of http.RoundTripper, and does what net/http's HTTP/1 does: it reads and
// closes the request's body, refuses one that has not the length promised, returns the cause of the
// context's end, and lets a response's body fail after that. It is safe for concurrent use, and attempts
// are numbered in the order in which they arrive.
//
// It remembers every attempt, with its body, so it is not made for load tests.
type Transport struct{ script }

// NewTransport returns a Transport that plays these steps, one for each attempt, and repeats the last.
// See [End] for a script that does not.
func NewTransport(steps ...Step) *Transport {
	t := &Transport{}
	t.Play(steps...)
	return t
}

// RoundTrip plays the next step. Nothing arrives of a request whose context has ended.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := unsendable(request); err != nil {
		return refuse(request, err)
	}
	r := t.take(arrival(request, request.URL.String()))
	return perform(r.Step, request, r)
}

// unsendable tells why net/http sends nothing at all.
func unsendable(request *http.Request) error {
	if request.URL == nil {
		return errNoURL
	}
	if request.Context().Err() != nil {
		return context.Cause(request.Context())
	}
	return nil
}

var errNoURL = errors.New("http: nil Request.URL") // as http.Transport.roundTrip says it

func refuse(request *http.Request, err error) (*http.Response, error) {
	closeBody(request)
	return nil, err
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

// perform plays a step in place of a network, and notes in the record, if there is one, what it sees.
func perform(step Step, request *http.Request, r *record) (*http.Response, error) {
	if request.URL == nil {
		return refuse(request, errNoURL)
	}
	if request.Body == nil || request.Body == http.NoBody || step.stage() < answering {
		defer closeBody(request)
		return r.count(step.play(request))
	}
	sent := sending(request, r)
	defer func() { _ = sent.Close() }()
	if step.stage() == handling {
		given := request.WithContext(request.Context())
		given.Body = sent
		response, err := r.count(step.play(given))
		if response != nil && response.Request == given {
			response.Request = request
		}
		return afterwards(response, err, sent.drain(request.Context()))
	}
	if err := sent.drain(request.Context()); err != nil {
		return nil, err
	}
	return r.count(step.play(request))
}

// afterwards lets go of a response to a request that could not be sent after all.
func afterwards(response *http.Response, err, unsent error) (*http.Response, error) {
	if err != nil || unsent == nil {
		return response, err
	}
	if response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
	return nil, unsent
}

// A sentBody is a request's body on its way to the server.
type sentBody struct {
	body   io.ReadCloser
	record *record
	length int64 // promised; less than 1: none
	read   int64
	once   sync.Once
}

// sending also knows a body that is on its way already: a Func may play another step. If it sends through
// another Transport, that one has a record of its own, and the first one still sees to the length.
func sending(request *http.Request, r *record) *sentBody {
	sent, ok := request.Body.(*sentBody)
	switch {
	case !ok:
		return &sentBody{body: request.Body, record: r, length: request.ContentLength}
	case r == nil:
		return sent
	default:
		return &sentBody{body: sent, record: r}
	}
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.read += int64(n)
	b.record.read(p[:n])
	return n, err
}

func (b *sentBody) Close() (err error) {
	b.once.Do(func() { err = b.body.Close() })
	return err
}

// drain reads what is left. A body that has no end is closed under its reader when the caller gives up.
func (b *sentBody) drain(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = b.Close() })()
	_, err := io.Copy(io.Discard, b)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case b.length > 0 && b.read != b.length:
		return fmt.Errorf("http: ContentLength=%d with Body length %d", b.length, b.read) // transferWriter.writeBody
	default:
		return nil
	}
}

// count has the record count how often the response's body is closed.
func (r *record) count(response *http.Response, err error) (*http.Response, error) {
	if r == nil || response == nil || response.Body == nil || response.Body == http.NoBody {
		return response, err
	}
	r.answered()
	counted := countedBody{response.Body, r}
	response.Body = counted
	if writer, ok := counted.ReadCloser.(io.Writer); ok {
		response.Body = duplex{counted, writer}
	}
	return response, err
}

type countedBody struct {
	io.ReadCloser
	record *record
}

func (b countedBody) Close() error {
	b.record.closed()
	return b.ReadCloser.Close()
}

// A duplex is the body of a 101.
type duplex struct {
	countedBody
	io.Writer
}
