package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestMain lets the test's own program be the station.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == stationFlag {
		must(runStation(os.Args[2:], os.Stdin, os.Stdout))
		return
	}
	os.Exit(m.Run())
}

func TestTheSameIsDrawnFromTheSameSeed(t *testing.T) {
	t.Parallel()
	for id := range uint64(100) {
		assert.Equal(t, drawOrder(drawFrom(7, wishes, id), id), drawOrder(drawFrom(7, wishes, id), id))
		assert.NotEqual(t, drawFrom(7, deeds, id).noise(8), drawFrom(7, deeds, id+1).noise(8))
		assert.NotEqual(t, drawFrom(7, deeds, id).noise(8), drawFrom(8, deeds, id).noise(8))
		assert.NotEqual(t, drawFrom(7, deeds, id).noise(8), drawFrom(7, wishes, id).noise(8))
	}
}

func TestAShortSoakFindsNothing(t *testing.T) {
	assert.Empty(t, soak(settings{duration: 3 * time.Second, seed: 7, callers: 32, settling: 20 * time.Second}))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// sabotages are ways to break the client on purpose, and what the soak must find then.
var sabotages = []struct {
	name, found string
	sabotage    func(http.RoundTripper) http.RoundTripper
}{
	{"a POST sent twice", "was processed 2 times", func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.GetBody != nil {
				again := request.WithContext(request.Context())
				again.Body, _ = request.GetBody()
				if response, err := next.RoundTrip(again); err == nil {
					_ = response.Body.Close()
				}
			}
			return next.RoundTrip(request)
		})
	}},
	{"a foreign request body", "arrived with a foreign body", withRequest(func(request *http.Request) {
		if request.Body != nil {
			request.Body = readCloser{io.MultiReader(strings.NewReader("X"), request.Body), request.Body}
			request.ContentLength, request.GetBody = -1, nil
		}
	})},
	{"a request body not closed", "request bodies are not closed", withRequest(func(request *http.Request) {
		if request.Body != nil {
			request.Body = io.NopCloser(request.Body)
		}
	})},
	{"a foreign answer", "got the answer to order", swapped},
	{"an answer cut short in silence", "got a foreign body, or not all of its own", withResponse(func(response *http.Response) error {
		response.Body = readCloser{io.LimitReader(response.Body, 100), response.Body}
		return nil
	})},
	{"an answer not closed", "connections are open", func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request.WithContext(context.WithoutCancel(request.Context())))
			if err == nil {
				response.Body = readCloser{io.LimitReader(response.Body, 100), io.NopCloser(nil)}
			}
			return response, err
		})
	}},
	{"a response and an error", "came to response", withResponse(func(response *http.Response) error {
		if response.StatusCode == http.StatusNotFound {
			return http.ErrNotSupported
		}
		return nil
	})},
	{"goroutines left behind", "goroutines, ", withRequest(func(*http.Request) {
		go func() { time.Sleep(20 * time.Second) }()
	})},
	{"memory kept", "bytes of heap", withRequest(func(*http.Request) {
		kept = append(kept, make([]byte, spare))
	})},
}

var kept [][]byte

type readCloser struct {
	io.Reader
	io.Closer
}

func withRequest(change func(*http.Request)) func(http.RoundTripper) http.RoundTripper {
	var mu sync.Mutex
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			changed := request.WithContext(request.Context())
			mu.Lock()
			change(changed)
			mu.Unlock()
			return next.RoundTrip(changed)
		})
	}
}

func withResponse(change func(*http.Response) error) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil {
				err = change(response)
			}
			return response, err
		})
	}
}

// swapped gives each caller the response to the one before.
func swapped(next http.RoundTripper) http.RoundTripper {
	var mu sync.Mutex
	var last *http.Response
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err != nil || response.StatusCode != http.StatusOK {
			return response, err
		}
		mu.Lock()
		defer mu.Unlock()
		if last != nil {
			response, last = last, response
		} else {
			last = response
		}
		return response, nil
	})
}

func TestWhatIsBrokenOnPurposeIsFound(t *testing.T) {
	for _, broken := range sabotages {
		t.Run(broken.name, func(t *testing.T) {
			kept = nil
			found := soak(settings{duration: time.Second, seed: 7, callers: 32, settling: time.Second, sabotage: broken.sabotage})
			assert.Contains(t, strings.Join(found, "\n"), broken.found)
		})
	}
}
