package steadyhttptest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestContract_SteadyhttpKeepsIt(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]steadyhttp.Option{
		"by default": nil,
		"with all that changes what is sent": {
			steadyhttp.WithIdempotencyKeys(), steadyhttp.WithReplayBuffer(1 << 10), steadyhttp.WithAttemptTimeout(time.Second),
			steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {}),
		},
		"with a replay buffer that is too small": {steadyhttp.WithReplayBuffer(4)},
		"without breaker and budget":             {steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget(), steadyhttp.WithRetryNonIdempotent()},
		"with a breaker that opens at once":      {steadyhttp.WithBreakerConsecutiveFailures(1, 0)},
		"with a policy of its own":               {steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return backoff.NewConstantBackOff(time.Millisecond) })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steadyhttptest.CheckRoundTripper(t, func(base http.RoundTripper) http.RoundTripper {
				transport, err := steadyhttp.NewTransport(base, options...)
				require.NoError(t, err)
				return transport
			})
		})
	}
}

// A wrapper only forwards.
type wrapper struct{ base http.RoundTripper }

func (w wrapper) RoundTrip(r *http.Request) (*http.Response, error) { return w.base.RoundTrip(r) }

func (w wrapper) CloseIdleConnections() {
	if closer, ok := w.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

func TestContract_PassesCorrectWrappers(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(http.RoundTripper) http.RoundTripper{
		"a plain wrapper":         func(base http.RoundTripper) http.RoundTripper { return wrapper{base} },
		"no wrapper":              func(base http.RoundTripper) http.RoundTripper { return wrapper{wrapper{base}} },
		"an Injector that is off": func(base http.RoundTripper) http.RoundTripper { return &steadyhttptest.Injector{Base: base} },
		"an Injector that has nothing to do": func(base http.RoundTripper) http.RoundTripper {
			chaos := &steadyhttptest.Injector{Base: base}
			assert.NoError(t, chaos.Start(steadyhttptest.Injection{Rate: 0, Steps: []steadyhttptest.Step{steadyhttptest.Reset}}))
			return chaos
		},
		"an Injector of latency": func(base http.RoundTripper) http.RoundTripper {
			chaos := &steadyhttptest.Injector{Base: base}
			assert.NoError(t, chaos.Start(steadyhttptest.Injection{Rate: 0.5, Latency: time.Second}))
			return chaos
		},
		"one that sends a second request when the first is late": func(base http.RoundTripper) http.RoundTripper {
			return funcWrapper{wrapper{base}, func(r *http.Request) (*http.Response, error) { return hedged(base, r) }}
		},
		"a response of its own": func(base http.RoundTripper) http.RoundTripper {
			var calls atomic.Int64
			return funcWrapper{wrapper{base}, func(r *http.Request) (*http.Response, error) {
				if calls.Add(1) > 20 {
					return steadyhttptest.Status(503).Body("come back later").RoundTrip(r)
				}
				return base.RoundTrip(r)
			}}
		},
		"a header on a copy": func(base http.RoundTripper) http.RoundTripper {
			return funcWrapper{wrapper{base}, func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				r.Header.Set("Tenant", "a")
				return base.RoundTrip(r)
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steadyhttptest.CheckRoundTripper(t, wrap)
		})
	}
}

// hedged sends a second request if the first one is late, and returns the first outcome.
func hedged(base http.RoundTripper, r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut || r.Body != nil && r.GetBody == nil {
		return base.RoundTrip(r)
	}
	type result struct {
		response *http.Response
		err      error
	}
	results := make(chan result, 2)
	send := func(r *http.Request) {
		response, err := base.RoundTrip(r)
		results <- result{response, err}
	}
	go send(r)
	select {
	case first := <-results:
		return first.response, first.err
	case <-time.After(time.Millisecond / 2):
	}
	second := r.WithContext(r.Context())
	if r.GetBody != nil {
		second.Body, _ = r.GetBody()
	}
	go send(second)
	first := <-results
	go func() {
		if late := <-results; late.err == nil {
			_ = late.response.Body.Close()
		}
	}()
	return first.response, first.err
}

// A funcWrapper sends by a function.
type funcWrapper struct {
	wrapper
	send func(*http.Request) (*http.Response, error)
}

func (w funcWrapper) RoundTrip(r *http.Request) (*http.Response, error) { return w.send(r) }

// wrapSend makes a wrapper of a function that sends.
func wrapSend(send func(base http.RoundTripper, r *http.Request) (*http.Response, error)) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper {
		return funcWrapper{wrapper{base}, func(r *http.Request) (*http.Response, error) { return send(base, r) }}
	}
}

// brokenWrappers have the common mistakes of wrappers. CheckRoundTripper must report what is in found; it may report more.
var brokenWrappers = map[string]struct {
	wrap  func(http.RoundTripper) http.RoundTripper
	found string
}{
	"sets a header on the caller's request": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			r.Header.Set("Authorization", "token")
			return base.RoundTrip(r)
		}),
		found: "request is not modified: steadyhttptest: with a body, 200: the request's Header was map[Accept:[text/plain] X-Test:[a b]], and now is map[Accept:[text/plain] Authorization:[token] X-Test:[a b]]",
	},
	"sets a header on the caller's request, and takes it away again": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			r.Header.Set("Authorization", "token")
			defer r.Header.Del("Authorization")
			return base.RoundTrip(r)
		}),
		found: "request is not modified: steadyhttptest: with a body, 200: the request's Header was modified while it was sent",
	},
	"rewrites the caller's URL": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			r.URL.Host = "mirror.example.com"
			return base.RoundTrip(r)
		}),
		found: "request is not modified: steadyhttptest: with a body, 200: the request's URL was https://user:password@api.example.com/",
	},
	"puts a body of its own into the caller's request": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				content, _ := io.ReadAll(r.Body)
				_ = r.Body.Close()
				r.Body = io.NopCloser(bytes.NewReader(content))
			}
			return base.RoundTrip(r)
		}),
		found: "request is not modified: steadyhttptest: with a body, 200: the request's Body was ",
	},
	"gives the caller's request another context": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			*r = *r.WithContext(context.WithValue(r.Context(), requestKey{}, "id"))
			return base.RoundTrip(r)
		}),
		found: "request is not modified: steadyhttptest: with a body, 200: the request has another context",
	},
	"makes the caller's body replayable in place": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			if r.Body != nil && r.GetBody == nil {
				r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("never") }
			}
			return base.RoundTrip(r)
		}),
		found: "request is not modified: steadyhttptest: with a stream, 200: the request's GetBody was set or taken away",
	},
	"leaves the body open when it rejects": {
		wrap: func(base http.RoundTripper) http.RoundTripper {
			var calls atomic.Int64
			return funcWrapper{wrapper{base}, func(r *http.Request) (*http.Response, error) {
				if calls.Add(1) > 20 {
					return nil, errors.New("circuit open")
				}
				return base.RoundTrip(r)
			}}
		},
		found: "request body is closed once: steadyhttptest: with a body, 503 for 30 calls: the request's body was closed 0 times, want once",
	},
	"closes the body once more": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				defer func() { _ = r.Body.Close() }()
			}
			return base.RoundTrip(r)
		}),
		found: "request body is closed once: steadyhttptest: with a body, 200: the request's body was closed 2 times, want once",
	},
	"leaves open the body that it made for a retry": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			if r.GetBody != nil {
				_, _ = r.GetBody() // for a retry that may never come
			}
			return base.RoundTrip(r)
		}),
		found: "request body is closed once: steadyhttptest: with a body, 200: body 1 from GetBody was closed 0 times, want once",
	},
	"retries with the body that was read": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil && response.StatusCode == 503 {
				_ = response.Body.Close()
				return base.RoundTrip(r)
			}
			return response, err
		}),
		found: `every attempt has the whole body: steadyhttptest: with a body, 503: attempt 2 had the body "", want "the request's body"`,
	},
	"is a client": {
		wrap: func(base http.RoundTripper) http.RoundTripper {
			client := &http.Client{Transport: base}
			return funcWrapper{wrapper{base}, func(r *http.Request) (*http.Response, error) { return client.Do(r) }}
		},
		found: "redirect is not followed: steadyhttptest: with a body, 302: attempt 2 went to https://user:password@api.example.com/elsewhere, which is for the client to decide",
	},
	"returns the response beside an error": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil && response.StatusCode >= 500 {
				return response, errors.New("server error")
			}
			return response, err
		}),
		found: `either response or error: steadyhttptest: with a body, 503: got both a response and the error "server error"`,
	},
	"returns nothing when it gives up": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err != nil {
				return nil, nil
			}
			return response, err
		}),
		found: "either response or error: steadyhttptest: with a body, refused connection: got neither a response nor an error",
	},
	"cancels its timeout on return": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
			defer cancel()
			return base.RoundTrip(r.WithContext(ctx))
		}),
		found: `response can be read: steadyhttptest: with a body, 200: the response's body is "" and context canceled, want "OK"`,
	},
	"reads the body of an error for its log": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil && response.StatusCode >= 400 {
				_, _ = io.ReadAll(response.Body)
			}
			return response, err
		}),
		found: `response can be read: steadyhttptest: with a body, 404: the response's body is "" and <nil>, want "Not Found"`,
	},
	"takes the body away": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil && response.StatusCode != 101 {
				_ = response.Body.Close()
				response.Body = nil
			}
			return response, err
		}),
		found: "response can be read: steadyhttptest: with a body, 200: the response's body is nil",
	},
	"leaves open the response that it retries": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil && response.StatusCode == 503 && r.GetBody != nil {
				r = r.Clone(r.Context())
				r.Body, _ = r.GetBody()
				return base.RoundTrip(r)
			}
			return response, err
		}),
		found: "no response is left open: steadyhttptest: with a body, 503: 1 response left open besides the returned one" +
			"\n\t1. PUT https://user:password@api.example.com/things?query=1#fragment (18 bytes): 503" +
			"\n\t2. after 0s: PUT https://user:password@api.example.com/things?query=1#fragment (18 bytes): 503",
	},
	"does not pass on Close": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil {
				response.Body = io.NopCloser(response.Body)
			}
			return response, err
		}),
		found: "no response is left open: steadyhttptest: with a body, 200: closing the response's body did not close the base's",
	},
	"counts the bytes of a 101": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil {
				response.Body = struct {
					io.Reader
					io.Closer
				}{response.Body, response.Body}
			}
			return response, err
		}),
		found: "body of a 101 can be written to: steadyhttptest: the body of a 101 is a struct { io.Reader; io.Closer }, and no io.Writer",
	},
	"refuses a 101": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil && response.StatusCode < 200 {
				_ = response.Body.Close()
				return nil, errors.New("unexpected status")
			}
			return response, err
		}),
		found: "body of a 101 can be written to: steadyhttptest: got no response to an upgrade, but the error unexpected status",
	},
	"loses what is written to a 101": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil {
				response.Body = struct {
					io.ReadCloser
					io.Writer
				}{response.Body, io.Discard}
			}
			return response, err
		}),
		found: `body of a 101 can be written to: steadyhttptest: wrote "hello" to the body of a 101 and read "" back; the error was <nil>`,
	},
	"does not close a 101": {
		wrap: wrapSend(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil && response.StatusCode == 101 {
				body := response.Body.(io.ReadWriter)
				response.Body = struct {
					io.ReadWriter
					io.Closer
				}{body, io.NopCloser(nil)}
			}
			return response, err
		}),
		found: "body of a 101 can be written to: steadyhttptest: closing the body of a 101 did not close the base's",
	},
	"has no CloseIdleConnections": {
		wrap:  func(base http.RoundTripper) http.RoundTripper { return struct{ http.RoundTripper }{base} },
		found: "CloseIdleConnections is forwarded: steadyhttptest: the wrapper has no method CloseIdleConnections, so http.Client's does nothing",
	},
	"closes nobody's idle connections": {
		wrap:  func(base http.RoundTripper) http.RoundTripper { return idleWrapper{wrapper{base}, func() {}} },
		found: "CloseIdleConnections is forwarded: steadyhttptest: the base's CloseIdleConnections was called 0 times, want once",
	},
	"takes every base for one with idle connections": {
		wrap: func(base http.RoundTripper) http.RoundTripper {
			return idleWrapper{wrapper{base}, func() { base.(interface{ CloseIdleConnections() }).CloseIdleConnections() }}
		},
		found: "CloseIdleConnections is forwarded: steadyhttptest: CloseIdleConnections panics if the base has none: interface conversion: ",
	},
	"never responds": {
		wrap: wrapSend(func(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, errors.New("not today")
		}),
		found: "concurrent calls do not mix: steadyhttptest: no call got a 200, although the base gives one to two calls of three",
	},
	"shares one response among concurrent calls": {
		wrap:  func(base http.RoundTripper) http.RoundTripper { return &coalescingWrapper{wrapper: wrapper{base}} },
		found: "concurrent calls do not mix: steadyhttptest: call ",
	},
}

type requestKey struct{}

type idleWrapper struct {
	wrapper
	close func()
}

func (i idleWrapper) CloseIdleConnections() { i.close() }

// A coalescingWrapper sends one request for all calls that come during it, and shares the response.
type coalescingWrapper struct {
	wrapper
	mu      sync.Mutex
	waiting chan struct{}
	status  int
	header  http.Header
	content []byte
	err     error
}

func (s *coalescingWrapper) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	if waiting := s.waiting; waiting != nil {
		s.mu.Unlock()
		if r.Body != nil {
			_ = r.Body.Close()
		}
		<-waiting
		return s.copy()
	}
	s.waiting = make(chan struct{})
	s.mu.Unlock()
	response, err := s.base.RoundTrip(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.status, s.header = response.StatusCode, response.Header
		s.content, s.err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	close(s.waiting)
	s.waiting = nil
	return s.made()
}

func (s *coalescingWrapper) copy() (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made()
}

func (s *coalescingWrapper) made() (*http.Response, error) {
	if s.err != nil {
		return nil, s.err
	}
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(bytes.NewReader(s.content))}, nil
}

func TestContract_FindsTheMistakesOfWrappers(t *testing.T) {
	t.Parallel()
	for name, faulty := range brokenWrappers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(*testing.T) {
				test := &recordingTB{}
				steadyhttptest.CheckRoundTripper(test, faulty.wrap)
				found := false
				for _, failure := range test.failures() {
					found = found || strings.HasPrefix(failure, faulty.found)
				}
				assert.True(t, found, "%q is not in:\n%s", faulty.found, strings.Join(test.failures(), "\n"))
				assert.LessOrEqual(t, len(test.failures()), 10, "one for each claim at most")
			})
		})
	}
}

func TestContract_ReportsNothingOfACorrectWrapper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(*testing.T) {
		test := &recordingTB{}
		steadyhttptest.CheckRoundTripper(test, func(base http.RoundTripper) http.RoundTripper { return wrapper{base} })
		assert.Empty(t, test.failures())
	})
}

func TestContract_FollowedRedirectIsNotTakenForALostBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(*testing.T) {
		test := &recordingTB{}
		steadyhttptest.CheckRoundTripper(test, brokenWrappers["is a client"].wrap)
		assert.NotContains(t, strings.Join(test.failures(), "\n"), "every attempt has the whole body")
	})
}
