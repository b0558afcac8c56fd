package step

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Play plays a step in place of a network, and does with the request's body what net/http's HTTP/1 does. A record that is
// not nil sees each piece of the body that is read.
func Play(b Behavior, request *http.Request, record func([]byte)) (*http.Response, error) {
	if request.URL == nil {
		CloseBody(request)
		return nil, errNoURL
	}
	if request.Body == nil || request.Body == http.NoBody || b.Stage < AtBody {
		defer CloseBody(request)
		return b.Play(request)
	}
	body := sending(request, record)
	defer func() { _ = body.Close() }()
	if b.Stage == ReadsBody {
		return playReader(b, request, body)
	}
	if err := body.Drain(request.Context()); err != nil {
		return nil, err
	}
	return b.Play(request)
}

// playReader plays a step that reads the body by itself, and reads the rest of the body for it.
func playReader(b Behavior, request *http.Request, body *RequestBody) (*http.Response, error) {
	given := request.WithContext(request.Context())
	given.Body = body
	response, err := b.Play(given)
	if response != nil && response.Request == given {
		response.Request = request
	}
	unsent := body.Drain(request.Context())
	if err != nil || unsent == nil {
		return response, err
	}
	drop(response)
	return nil, unsent
}

// drop closes a response to a request that could not be sent after all.
func drop(response *http.Response) {
	if response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
}

// Unsendable returns why net/http would send nothing at all; nil if it would.
func Unsendable(request *http.Request) error {
	if request.URL == nil {
		return errNoURL
	}
	if request.Context().Err() != nil {
		return context.Cause(request.Context())
	}
	return nil
}

var errNoURL = errors.New("http: nil Request.URL") // the text of http.Transport.roundTrip

// CloseBody closes the request's body, if there is one.
func CloseBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

// Wait lets d pass. If the context ends first, it returns the cause, as net/http's HTTP/1 does.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
