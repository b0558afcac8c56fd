// Package bench measures the time and the allocations of a call through each library.
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

// A baseFunc is a base transport that responds at once, so that only the library is measured.
type baseFunc func() *http.Response

func (b baseFunc) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		_, _ = io.Copy(io.Discard, request.Body)
		_ = request.Body.Close()
	}
	return b(), nil
}

// newBase returns a base that allocates nothing, for one call at a time. Some libraries wrap the response's body, so it is
// set again for each call.
func newBase(status func() int) baseFunc {
	response := new(http.Response)
	return func() *http.Response {
		*response = http.Response{StatusCode: status(), Body: http.NoBody}
		return response
	}
}

func healthyBase() baseFunc { return newBase(func() int { return http.StatusOK }) }

// failingOnceBase fails the first attempt of each call.
func failingOnceBase() baseFunc {
	var attempts atomic.Int64
	return newBase(func() int {
		if attempts.Add(1)%2 == 1 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
}

// failingBase always fails, and counts its attempts.
func failingBase(attempts *atomic.Int64) baseFunc {
	return newBase(func() int {
		attempts.Add(1)
		return http.StatusServiceUnavailable
	})
}

// concurrentBase allocates a response for each call, since there are many at a time.
func concurrentBase() baseFunc {
	return func() *http.Response { return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody} }
}

// shortWait is the shortest wait that every library allows, so that only the work is measured.
const shortWait = time.Nanosecond

var (
	tolerant = peers.Setup{Shortest: shortWait, Longest: 2 * shortWait, Tolerant: true}
	open     = peers.Setup{Shortest: shortWait, Longest: 2 * shortWait, OpenFor: time.Hour} // an open breaker stays open
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

const targetURL = "https://api.example.com/things"

// drain reads and closes the body, as a careful caller does.
func drain(response *http.Response) {
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// mustSucceed makes a call that must not fail.
func mustSucceed(t testing.TB, client peers.Doer, request *http.Request) {
	response, err := client.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	drain(response)
}

// runEach runs a benchmark for each of the libraries.
func runEach(b *testing.B, libraries []peers.Library, run func(*testing.B, peers.Library)) {
	for _, library := range libraries {
		b.Run("library="+library.Name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, library)
		})
	}
}

func filter(libraries []peers.Library, matches func(peers.Library) bool) (matching []peers.Library) {
	for _, library := range libraries {
		if matches(library) {
			matching = append(matching, library)
		}
	}
	return matching
}

func retries(library peers.Library) bool { return library.Retries }
func breaks(library peers.Library) bool  { return library.Breaks }

// BenchmarkSuccess is a GET that succeeds at once. "no retries" is http.Client alone: the difference is what a library
// adds.
func BenchmarkSuccess(b *testing.B) {
	runEach(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
		client, request := library.Client(healthyBase()), newRequest(b, http.MethodGet, targetURL)
		for b.Loop() {
			mustSucceed(b, client, request)
		}
	})
}

// BenchmarkParallel is BenchmarkSuccess on all processors at once.
func BenchmarkParallel(b *testing.B) {
	runEach(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
		client := library.Client(concurrentBase())
		b.RunParallel(func(more *testing.PB) {
			request := newRequest(b, http.MethodGet, targetURL)
			for more.Next() {
				mustSucceed(b, client, request)
			}
		})
	})
}

// BenchmarkRoundTrip is BenchmarkSuccess without the http.Client around it, for the libraries that are a transport.
func BenchmarkRoundTrip(b *testing.B) {
	runEach(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
		client, request := library.Client(healthyBase()), newRequest(b, http.MethodGet, targetURL)
		outer, ok := client.(*http.Client)
		if !ok {
			b.Skip("not a transport")
		}
		for b.Loop() {
			response, err := outer.Transport.RoundTrip(request)
			if err != nil {
				b.Fatal(err)
			}
			_ = response.Body.Close()
		}
	})
}

// BenchmarkPost is a POST with a body in memory, and a new request for each call.
func BenchmarkPost(b *testing.B) {
	runEach(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
		client := library.Client(healthyBase())
		for b.Loop() {
			mustSucceed(b, client, newRequest(b, http.MethodPost, targetURL))
		}
	})
}

// BenchmarkRetry is a GET that gets a 503 first, and then a 200.
func BenchmarkRetry(b *testing.B) {
	runEach(b, filter(peers.All(tolerant), retries), func(b *testing.B, library peers.Library) {
		client, request := library.Client(failingOnceBase()), newRequest(b, http.MethodGet, targetURL)
		for b.Loop() {
			mustSucceed(b, client, request)
		}
	})
}

// BenchmarkRejection is a call that an open breaker rejects. If a library retries even that, its retries are part of the
// cost, but not its waits.
func BenchmarkRejection(b *testing.B) {
	runEach(b, filter(peers.All(open), breaks), func(b *testing.B, library peers.Library) {
		reject := rejection(b, library)
		for b.Loop() {
			reject()
		}
	})
}

// rejection opens the library's breaker, and returns a call that it rejects, or nil if it never rejects one.
func rejection(t testing.TB, library peers.Library) func() {
	var attempts atomic.Int64
	client, request := library.Client(failingBase(&attempts)), newRequest(t, http.MethodGet, targetURL)
	call := func() {
		if response, err := client.Do(request); err == nil {
			drain(response)
		}
	}
	for range 500 {
		before := attempts.Load()
		if call(); attempts.Load() == before {
			return call
		}
		time.Sleep(time.Millisecond) // hystrix counts in the background
	}
	return nil
}

// BenchmarkOrigins is BenchmarkSuccess over 10,000 hosts in turn. By default steadyhttp remembers 1,024 of them; the
// other libraries have one breaker for all.
func BenchmarkOrigins(b *testing.B) {
	const hosts = 10_000
	requests := make([]*http.Request, hosts)
	for i := range requests {
		requests[i] = newRequest(b, http.MethodGet, fmt.Sprintf("https://host%d.example.com/things", i))
	}
	large := peers.Steady(steadyhttp.WithOriginLimit(hosts))
	large.Name += ", limit 10000"
	runEach(b, append([]peers.Library{large}, peers.All(peers.Setup{})...), func(b *testing.B, library peers.Library) {
		client, next := library.Client(healthyBase()), 0
		for _, request := range requests {
			mustSucceed(b, client, request)
		}
		for b.Loop() {
			mustSucceed(b, client, requests[next%hosts])
			next++
		}
	})
}

// BenchmarkLookUp is what it takes at least to find what is remembered of an origin, and to write to it: a map by scheme and
// host. With 10,000 of them neither the map, nor the names, nor the entries stay in the processor's cache.
func BenchmarkLookUp(b *testing.B) {
	type key struct{ scheme, host string }
	for _, origins := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("origins=%d", origins), func(b *testing.B) {
			entries, keys := make(map[key]*[512]byte), make([]key, origins)
			for i := range keys {
				keys[i] = key{"https", fmt.Sprintf("host%d.example.com", i)}
				entries[key{"https", strings.Clone(keys[i].host)}] = new([512]byte)
			}
			next := 0
			for b.Loop() {
				entry := entries[keys[next%origins]]
				for line := 0; line < len(entry); line += 128 {
					entry[line]++
				}
				next++
			}
		})
	}
}

// BenchmarkLoopback calls real servers.
func BenchmarkLoopback(b *testing.B) {
	for _, protocol := range []string{"HTTP1", "HTTP2"} {
		server := newServer(protocol)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			b.Run("protocol="+protocol+"/call="+method, func(b *testing.B) {
				runEach(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
					client := library.Client(server.Client().Transport)
					for b.Loop() {
						mustSucceed(b, client, newRequest(b, method, server.URL))
					}
				})
			})
		}
		b.Run("protocol="+protocol+"/call=parallel", func(b *testing.B) {
			runEach(b, peers.All(peers.Setup{}), func(b *testing.B, library peers.Library) {
				client := library.Client(server.Client().Transport)
				b.RunParallel(func(more *testing.PB) {
					for more.Next() {
						mustSucceed(b, client, newRequest(b, http.MethodGet, server.URL))
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
