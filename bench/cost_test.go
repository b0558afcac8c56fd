// Package bench measures what a call costs through each library, by the clock and by the allocator.
package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// A base answers at once, so that what is measured is the library.
type base func() *http.Response

func (b base) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		_, _ = io.Copy(io.Discard, request.Body)
		_ = request.Body.Close()
	}
	return b(), nil
}

// answering is a base that allocates nothing, for one call at a time. Some libraries wrap the response's
// body, so it is set anew for each.
func answering(status func() int) base {
	response := new(http.Response)
	return func() *http.Response {
		*response = http.Response{StatusCode: status(), Body: http.NoBody}
		return response
	}
}

func healthy() base { return answering(func() int { return http.StatusOK }) }

// stumbling fails each call once.
func stumbling() base {
	var asked atomic.Int64
	return answering(func() int {
		if asked.Add(1)%2 == 1 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
}

// failing counts how often it is asked.
func failing(asked *atomic.Int64) base {
	return answering(func() int {
		asked.Add(1)
		return http.StatusServiceUnavailable
	})
}

// healthyForMany gives each of many calls at once a response of its own, which it allocates.
func healthyForMany() base {
	return func() *http.Response { return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody} }
}

// moment is as little of a wait as every library allows, so that what is measured is the work.
const moment = time.Nanosecond

var (
	tolerant = peers.Setup{Shortest: moment, Longest: 2 * moment, Tolerant: true}
	open     = peers.Setup{Shortest: moment, Longest: 2 * moment, OpenFor: time.Hour} // for good, once it is
)

func newRequest(t testing.TB, method, url string) *http.Request {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("payload")
	}
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

const somewhere = "https://api.example.com/things"

// finish does with a response what a careful caller does.
func finish(response *http.Response) {
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// succeed makes a call that must not fail.
func succeed(t testing.TB, client peers.Doer, request *http.Request) {
	response, err := client.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	finish(response)
}

// each runs a benchmark for every library that is fit for it.
func each(b *testing.B, libraries []peers.Library, run func(*testing.B, peers.Library)) {
	for _, library := range libraries {
		b.Run("library="+library.Name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, library)
		})
	}
}

func that(libraries []peers.Library, fit func(peers.Library) bool) (fitting []peers.Library) {
	for _, library := range libraries {
		if fit(library) {
			fitting = append(fitting, library)
		}
	}
	return fitting
}

func retries(library peers.Library) bool { return library.Retries }
func breaks(library peers.Library) bool  { return library.Breaks }

// BenchmarkSuccess is a GET that succeeds at once, as a caller sees it. "no retries" is http.Client
// alone: what a library has more than it has, it adds.
func BenchmarkSuccess(b *testing.B) {
	each(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
		client, request := library.Client(healthy()), newRequest(b, http.MethodGet, somewhere)
		for b.Loop() {
			succeed(b, client, request)
		}
	})
}

// BenchmarkParallel is BenchmarkSuccess on all processors at once.
func BenchmarkParallel(b *testing.B) {
	each(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
		client := library.Client(healthyForMany())
		b.RunParallel(func(more *testing.PB) {
			request := newRequest(b, http.MethodGet, somewhere)
			for more.Next() {
				succeed(b, client, request)
			}
		})
	})
}

// BenchmarkRoundTrip is BenchmarkSuccess without http.Client around, for the libraries that are a
// transport.
func BenchmarkRoundTrip(b *testing.B) {
	each(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
		client, request := library.Client(healthy()), newRequest(b, http.MethodGet, somewhere)
		around, ok := client.(*http.Client)
		if !ok {
			b.Skip("it is no transport")
		}
		for b.Loop() {
			response, err := around.Transport.RoundTrip(request)
			if err != nil {
				b.Fatal(err)
			}
			_ = response.Body.Close()
		}
	})
}

// BenchmarkPost is a POST with a body in memory, its request made anew for each call.
func BenchmarkPost(b *testing.B) {
	each(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
		client := library.Client(healthy())
		for b.Loop() {
			succeed(b, client, newRequest(b, http.MethodPost, somewhere))
		}
	})
}

// BenchmarkRetry is a GET that is answered 503 first, and 200 then.
func BenchmarkRetry(b *testing.B) {
	each(b, that(peers.All(tolerant), retries), func(b *testing.B, library peers.Library) {
		client, request := library.Client(stumbling()), newRequest(b, http.MethodGet, somewhere)
		for b.Loop() {
			succeed(b, client, request)
		}
	})
}

// BenchmarkRejection is a call that an open breaker does not let through. Where a library retries that
// too, its retries are part of the cost, and its waits are left out.
func BenchmarkRejection(b *testing.B) {
	each(b, that(peers.All(open), breaks), func(b *testing.B, library peers.Library) {
		reject := rejection(b, library)
		for b.Loop() {
			reject()
		}
	})
}

// rejection opens the library's breaker, and returns a call that it rejects; nil if it never does.
func rejection(t testing.TB, library peers.Library) func() {
	var asked atomic.Int64
	client, request := library.Client(failing(&asked)), newRequest(t, http.MethodGet, somewhere)
	call := func() {
		if response, err := client.Do(request); err == nil {
			finish(response)
		}
	}
	for range 500 {
		before := asked.Load()
		if call(); asked.Load() == before {
			return call
		}
		time.Sleep(time.Millisecond) // hystrix counts in the background
	}
	return nil
}

// BenchmarkOrigins is BenchmarkSuccess over 10,000 hosts in turn. The default of steadyhttp remembers
// 1,024 of them; the peers keep one breaker for all.
func BenchmarkOrigins(b *testing.B) {
	const hosts = 10_000
	requests := make([]*http.Request, hosts)
	for i := range requests {
		requests[i] = newRequest(b, http.MethodGet, fmt.Sprintf("https://host%d.example.com/things", i))
	}
	roomy := peers.Steady(steadyhttp.WithOriginLimit(hosts))
	roomy.Name += ", limit 10000"
	each(b, append([]peers.Library{roomy}, peers.All(peers.Setup{})...), func(b *testing.B, library peers.Library) {
		client, next := library.Client(healthy()), 0
		for _, request := range requests {
			succeed(b, client, request)
		}
		for b.Loop() {
			succeed(b, client, requests[next%hosts])
			next++
		}
	})
}

// BenchmarkLoopback is calls over real servers.
func BenchmarkLoopback(b *testing.B) {
	for _, protocol := range []string{"HTTP1", "HTTP2"} {
		server := newServer(protocol)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			b.Run("protocol="+protocol+"/call="+method, func(b *testing.B) {
				each(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
					client := library.Client(server.Client().Transport)
					for b.Loop() {
						succeed(b, client, newRequest(b, method, server.URL))
					}
				})
			})
		}
		b.Run("protocol="+protocol+"/call=parallel", func(b *testing.B) {
			each(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
				client := library.Client(server.Client().Transport)
				b.RunParallel(func(more *testing.PB) {
					for more.Next() {
						succeed(b, client, newRequest(b, http.MethodGet, server.URL))
					}
				})
			})
		})
		server.Close()
	}
}

func newServer(protocol string) *httptest.Server {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	if server.EnableHTTP2 = protocol == "HTTP2"; server.EnableHTTP2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	return server
}
