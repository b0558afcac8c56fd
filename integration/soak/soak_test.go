package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/steadyhttp/steadyhttp"
)

// TestMain lets the test binary be the process of the proxies.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == proxyFlag {
		must(runProxies(os.Args[2:], os.Stdin, os.Stdout))
		return
	}
	os.Exit(m.Run())
}

func TestSoak_SameSeedMakesTheSameChoices(t *testing.T) {
	t.Parallel()
	for id := range uint64(100) {
		assert.Equal(t, randomOrder(newRandom(7, callerOrders, id), id), randomOrder(newRandom(7, callerOrders, id), id))
		assert.NotEqual(t, newRandom(7, backendActions, id).content(8), newRandom(7, backendActions, id+1).content(8))
		assert.NotEqual(t, newRandom(7, backendActions, id).content(8), newRandom(8, backendActions, id).content(8))
		assert.NotEqual(t, newRandom(7, backendActions, id).content(8), newRandom(7, callerOrders, id).content(8))
	}
}

func TestSoak_ShortRunFindsNothing(t *testing.T) {
	assert.Empty(t, soak(settings{
		duration: 3 * time.Second, seed: 7, callers: 32, minResponses: 100, tolerance: machineTime, settleTime: machineTime,
	}))
}

func TestSoak_ViolationsOfOneKindHideNoOther(t *testing.T) {
	t.Parallel()
	var found violations
	for i := range 100 {
		found.add("one of many: %d", i)
	}
	found.add("the only one")
	assert.Equal(t, []string{
		"one of many: 0", "one of many: 1", "one of many: 2", "one of many: 3", "one of many: 4", "and 95 more of the last kind",
		"the only one",
	}, found.list())
}

// A brokenClient is broken on purpose. The soak must find violations that contain each of these texts.
type brokenClient struct {
	name        string
	violations  []string
	breakClient func(*testing.T, *client)
	options     []steadyhttp.Option
	noTolerance bool // whether a call is stuck as soon as it takes longer than its caller's timeout
}

func TestSoak_FindsABrokenClient(t *testing.T) {
	for _, broken := range brokenClients {
		t.Run(broken.name, func(t *testing.T) {
			s := settings{
				seed: 7, callers: 16, minResponses: 50, tolerance: machineTime, settleTime: 200 * time.Millisecond, options: broken.options,
			}
			if broken.noTolerance {
				s.tolerance = 0
			}
			if broken.breakClient != nil {
				s.breakClient = func(c *client) { broken.breakClient(t, c) }
			}
			found := strings.Join(soak(s), "\n")
			for _, want := range broken.violations {
				assert.Contains(t, found, want)
			}
		})
	}
}

var brokenClients = []brokenClient{
	{
		name:        "everything sent five times",
		violations:  []string{"was processed 2 times", "was sent 5 times", "the response has 1 attempts, the report 5"},
		breakClient: around(sendFiveTimes),
	},
	{
		name:       "unsafe requests retried",
		violations: []string{"was processed 2 times", "was retried after transient"},
		options:    []steadyhttp.Option{steadyhttp.WithRetryNonIdempotent()},
	},
	{
		name:        "an order that nobody sent",
		violations:  []string{"arrived, which nobody sent", "succeeded, but was never processed"},
		breakClient: around(sendAnotherOrder),
	},
	{
		name:        "another request body",
		violations:  []string{"arrived with another body"},
		breakClient: around(sendAnotherBody),
	},
	{
		name:        "a request body not closed",
		violations:  []string{"request bodies are not closed"},
		breakClient: around(closeNoRequestBody),
	},
	{
		name:        "the response to another request",
		violations:  []string{"got the response to order"},
		breakClient: swapResponses,
	},
	{
		name:        "a response truncated without an error",
		violations:  []string{"got another body, or a part of its own"},
		breakClient: around(truncateResponses),
	},
	{
		name:        "a response's body ended by its client",
		violations:  []string{"its client ended the response's body: context canceled"},
		breakClient: around(cancelResponses),
	},
	{
		name:        "a response dropped and not closed",
		violations:  []string{"connections are open"},
		breakClient: dropResponses,
	},
	{
		name:        "a response and an error",
		violations:  []string{"has response &{"},
		breakClient: around(returnBoth),
	},
	{
		name:        "neither response nor error",
		violations:  []string{"has response <nil> and error <nil>"},
		breakClient: around(returnNeither),
	},
	{
		name:        "an error that blames the breaker",
		violations:  []string{" with steadyhttp: circuit open"},
		breakClient: around(blameBreaker),
	},
	{
		name:        "a caller that is stuck until it is canceled",
		violations:  []string{" is stuck: ", "soak.waitForCancel+"},
		breakClient: getStuck(waitForCancel),
		noTolerance: true,
	},
	{
		name:        "a caller that is stuck for ever",
		violations:  []string{" is stuck: ", "do not return although they are canceled", "soak.waitForTheEnd+"},
		breakClient: getStuck(waitForTheEnd),
		noTolerance: true,
	},
	{
		name:        "goroutines left running",
		violations:  []string{"goroutines, "},
		breakClient: leaveGoroutines,
	},
	{
		name:        "memory kept",
		violations:  []string{"bytes of heap"},
		breakClient: keepMemory,
	},
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// around puts a function around the transport of a client.
func around(send func(next http.RoundTripper, request *http.Request) (*http.Response, error)) func(*testing.T, *client) {
	return func(_ *testing.T, c *client) {
		next := c.transport
		c.transport = roundTripper(func(request *http.Request) (*http.Response, error) { return send(next, request) })
	}
}

func sendFiveTimes(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	for range 4 {
		retry := request.WithContext(request.Context())
		if request.GetBody != nil {
			retry.Body, _ = request.GetBody()
		} else if request.Body != nil {
			break
		}
		if response, err := next.RoundTrip(retry); err == nil {
			_ = response.Body.Close()
		}
	}
	return next.RoundTrip(request)
}

func sendAnotherOrder(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	changed := request.WithContext(request.Context())
	changed.Header = request.Header.Clone()
	changed.Header.Set(orderHeader, "4711")
	return next.RoundTrip(changed)
}

type readCloser struct {
	io.Reader
	io.Closer
}

func sendAnotherBody(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	changed := request.WithContext(request.Context())
	if request.Body != nil {
		changed.Body = readCloser{io.MultiReader(strings.NewReader("X"), request.Body), request.Body}
		changed.ContentLength, changed.GetBody = -1, nil
	}
	return next.RoundTrip(changed)
}

func closeNoRequestBody(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	changed := request.WithContext(request.Context())
	if request.Body != nil {
		changed.Body = io.NopCloser(request.Body)
	}
	return next.RoundTrip(changed)
}

// swapResponses gives each caller of a client the response to the previous caller.
func swapResponses(t *testing.T, c *client) {
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
			last = twice(response)
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

// twice returns another response with the same body, which two callers may read at the same time.
func twice(response *http.Response) *http.Response {
	content, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	body := func() io.ReadCloser {
		if err != nil {
			return io.NopCloser(io.MultiReader(bytes.NewReader(content), iotest.ErrReader(err)))
		}
		return io.NopCloser(bytes.NewReader(content))
	}
	other := *response
	response.Body, other.Body = body(), body()
	return &other
}

func truncateResponses(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if err == nil {
		response.Body = readCloser{io.LimitReader(response.Body, 100), response.Body}
	}
	return response, err
}

func cancelResponses(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(request.Context())
	defer cancel()
	return next.RoundTrip(request.WithContext(ctx))
}

// dropResponses drops responses that no deadline closes, of clients that need not wait for a connection of another call.
func dropResponses(t *testing.T, c *client) {
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

func returnBoth(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if response != nil {
		err = http.ErrNotSupported
	}
	return response, err
}

func returnNeither(next http.RoundTripper, request *http.Request) (*http.Response, error) {
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

func blameBreaker(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if request.Method == http.MethodDelete && err == nil {
		closeAll(response)
		return nil, steadyhttp.ErrCircuitOpen
	}
	return response, err
}

// getStuck makes the first caller without a deadline wait, of each client with keys.
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
	kept := make([]byte, 2*heapTolerance)
	t.Cleanup(func() { clear(kept[:1]) })
}
