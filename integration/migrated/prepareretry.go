package migrated

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// A PrepareRetry that signs each attempt, for a server that takes no signature twice.

// A signer signs until its key is locked.
type signer struct{ left int }

var errKeyLocked = errors.New("the key is locked")

func (s *signer) sign(request *http.Request) error {
	if s.left == 0 {
		return errKeyLocked
	}
	request.Header.Set("Signature", strconv.Itoa(s.left))
	s.left--
	return nil
}

func prepareRetryBefore(signatures int) program {
	return func(base http.RoundTripper) (caller, error) {
		s := &signer{signatures}
		client := retryablehttp.NewClient()
		client.HTTPClient.Transport = base
		client.Logger = nil
		client.PrepareRetry = s.sign
		standard := client.StandardClient()
		return callFunc(func(request *http.Request) (*http.Response, error) {
			if err := s.sign(request); err != nil { // PrepareRetry is for the attempts after the first
				return nil, err
			}
			return standard.Do(request)
		}), nil
	}
}

// A signingTransport signs each attempt anew. It is below steadyhttp.
type signingTransport struct {
	base http.RoundTripper
	sign func(*http.Request) error
}

func (s signingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	signed := request.Clone(request.Context()) // the caller's request stays as it is
	if err := s.sign(signed); err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, steadyhttp.LocalError(err) // ends the call, and is not counted against the server
	}
	return s.base.RoundTrip(signed)
}

func prepareRetryAfter(signatures int) program {
	return func(base http.RoundTripper) (caller, error) {
		s := &signer{signatures}
		return steadyhttp.Wrap(&http.Client{Transport: signingTransport{base, s.sign}})
	}
}
