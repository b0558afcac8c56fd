package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/steadyhttp/steadyhttp"
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
	assert.Empty(t, soak(settings{duration: 3 * time.Second, seed: 7, callers: 32, answers: 100, slack: patience, settling: patience}))
}

func TestFaultsOfOneKindHideNoOther(t *testing.T) {
	t.Parallel()
	var found faults
	for i := range 100 {
		found.add("one of many: %d", i)
	}
	found.add("the only one")
	assert.Equal(t, []string{
		"one of many: 0", "one of many: 1", "one of many: 2", "one of many: 3", "one of many: 4", "and 95 more of the last kind",
		"the only one",
	}, found.list())
}

// A sabotage breaks the client on purpose. The soak must find something that contains each of these.
type sabotage struct {
	name     string
	found    []string
	sabotage func(*testing.T, *client)
	options  []steadyhttp.Option
	hasty    bool // whether orders are stuck that take longer than their callers' patience
}

func TestWhatIsBrokenOnPurposeIsFound(t *testing.T) {
	for _, broken := range sabotages {
		t.Run(broken.name, func(t *testing.T) {
			s := settings{seed: 7, callers: 16, answers: 50, slack: patience, settling: 200 * time.Millisecond, options: broken.options}
			if broken.hasty {
				s.slack = 0
			}
			if broken.sabotage != nil {
				s.sabotage = func(c *client) { broken.sabotage(t, c) }
			}
			found := strings.Join(soak(s), "\n")
			for _, want := range broken.found {
				assert.Contains(t, found, want)
			}
		})
	}
}

var sabotages = []sabotage{
	{
		name:     "everything sent five times",
		found:    []string{"was processed 2 times", "was sent 5 times", "the response tells of 1 attempts, the report of 5"},
		sabotage: around(sendFiveTimes),
	},
	{
		name:    "unsafe requests sent again",
		found:   []string{"was processed 2 times", "was sent again after transient"},
		options: []steadyhttp.Option{steadyhttp.WithRetryNonIdempotent()},
	},
	{
		name:     "an order that nobody sent",
		found:    []string{"arrived, which nobody sent", "was answered, and never processed"},
		sabotage: around(sendUnderAnotherName),
	},
	{
		name:     "a foreign request body",
		found:    []string{"arrived with a foreign body"},
		sabotage: around(sendMore),
	},
	{
		name:     "a request body not closed",
		found:    []string{"request bodies are not closed"},
		sabotage: around(closeNoRequest),
	},
	{
		name:     "a foreign answer",
		found:    []string{"got the answer to order"},
		sabotage: swapAnswers,
	},
	{
		name:     "an answer cut short in silence",
		found:    []string{"got a foreign body, or not all of its own"},
		sabotage: around(cutAnswers),
	},
	{
		name:     "an answer cut off by its client",
		found:    []string{"its client cut the answer off: context canceled"},
		sabotage: around(cancelAnswers),
	},
	{
		name:     "an answer dropped and not closed",
		found:    []string{"connections are open"},
		sabotage: dropAnswers,
	},
	{
		name:     "a response and an error",
		found:    []string{"came to response &{"},
		sabotage: around(answerBoth),
	},
	{
		name:     "neither response nor error",
		found:    []string{"came to response <nil> and error <nil>"},
		sabotage: around(answerNothing),
	},
	{
		name:     "an error that blames the breaker",
		found:    []string{" with steadyhttp: circuit open"},
		sabotage: around(blameTheBreaker),
	},
	{
		name:     "a caller who is stuck until cancelled",
		found:    []string{" is stuck: ", "soak.waitForCancel+"},
		sabotage: getStuck(waitForCancel),
		hasty:    true,
	},
	{
		name:     "a caller who is stuck for good",
		found:    []string{" is stuck: ", "do not come back although they are cancelled", "soak.waitForTheEnd+"},
		sabotage: getStuck(waitForTheEnd),
		hasty:    true,
	},
	{
		name:     "goroutines left behind",
		found:    []string{"goroutines, "},
		sabotage: leaveGoroutines,
	},
	{
		name:     "memory kept",
		found:    []string{"bytes of heap"},
		sabotage: keepMemory,
	},
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// around puts a function around a client's transport.
func around(send func(next http.RoundTripper, request *http.Request) (*http.Response, error)) func(*testing.T, *client) {
	return func(_ *testing.T, c *client) {
		next := c.transport
		c.transport = roundTripper(func(request *http.Request) (*http.Response, error) { return send(next, request) })
	}
}

func sendFiveTimes(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	for range 4 {
		again := request.WithContext(request.Context())
		if request.GetBody != nil {
			again.Body, _ = request.GetBody()
		} else if request.Body != nil {
			break
		}
		if response, err := next.RoundTrip(again); err == nil {
			_ = response.Body.Close()
		}
	}
	return next.RoundTrip(request)
}

func sendUnderAnotherName(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	changed := request.WithContext(request.Context())
	changed.Header = request.Header.Clone()
	changed.Header.Set(orderHeader, "4711")
	return next.RoundTrip(changed)
}

type readCloser struct {
	io.Reader
	io.Closer
}

func sendMore(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	changed := request.WithContext(request.Context())
	if request.Body != nil {
		changed.Body = readCloser{io.MultiReader(strings.NewReader("X"), request.Body), request.Body}
		changed.ContentLength, changed.GetBody = -1, nil
	}
	return next.RoundTrip(changed)
}

func closeNoRequest(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	changed := request.WithContext(request.Context())
	if request.Body != nil {
		changed.Body = io.NopCloser(request.Body)
	}
	return next.RoundTrip(changed)
}

// swapAnswers gives each caller of a client the response to the one before.
func swapAnswers(t *testing.T, c *client) {
	var mu sync.Mutex
	var last *http.Response
	around(func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err != nil || response.StatusCode != http.StatusOK {
			return response, err
		}
		mu.Lock()
		defer mu.Unlock()
		if last == nil {
			last = response
			return response, nil
		}
		response, last = last, response
		return response, nil
	})(t, c)
	t.Cleanup(func() {
		if last != nil {
			_ = last.Body.Close()
		}
	})
}

func cutAnswers(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if err == nil {
		response.Body = readCloser{io.LimitReader(response.Body, 100), response.Body}
	}
	return response, err
}

func cancelAnswers(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(request.Context())
	defer cancel()
	return next.RoundTrip(request.WithContext(ctx))
}

// dropAnswers drops those that no deadline closes, of clients that wait for no other call's connection.
func dropAnswers(t *testing.T, c *client) {
	if c.connections > 0 {
		return
	}
	around(func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if _, bounded := request.Context().Deadline(); bounded || err != nil {
			return response, err
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		return nil, io.ErrUnexpectedEOF
	})(t, c)
}

func answerBoth(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if response != nil {
		err = http.ErrNotSupported
	}
	return response, err
}

func answerNothing(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if errors.Is(err, steadyhttp.ErrCircuitOpen) || request.Method == http.MethodDelete {
		closeAll(response)
		return nil, nil
	}
	return response, err
}

func closeAll(response *http.Response) {
	if response != nil {
		_ = response.Body.Close()
	}
}

func blameTheBreaker(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if request.Method == http.MethodDelete && err == nil {
		closeAll(response)
		return nil, steadyhttp.ErrCircuitOpen
	}
	return response, err
}

// getStuck lets the first caller without a deadline wait, of each client with keys.
func getStuck(wait func(*testing.T, *http.Request)) func(*testing.T, *client) {
	return func(t *testing.T, c *client) {
		if !c.keys {
			return
		}
		var first sync.Once
		around(func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
			if _, bounded := request.Context().Deadline(); !bounded {
				first.Do(func() { wait(t, request) })
			}
			return next.RoundTrip(request)
		})(t, c)
	}
}

func waitForCancel(_ *testing.T, request *http.Request) { <-request.Context().Done() }

func waitForTheEnd(t *testing.T, _ *http.Request) { <-t.Context().Done() }

func leaveGoroutines(t *testing.T, c *client) {
	around(func(next http.RoundTripper, request *http.Request) (*http.Response, error) {
		go func() { <-t.Context().Done() }()
		return next.RoundTrip(request)
	})(t, c)
}

func keepMemory(t *testing.T, _ *client) {
	kept := make([]byte, 2*spare)
	t.Cleanup(func() { clear(kept[:1]) })
}
