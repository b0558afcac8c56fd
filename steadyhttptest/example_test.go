package steadyhttptest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// shortWaits keeps the examples short. Tests run in a synctest bubble instead, where waits take no time.
var shortWaits = steadyhttp.WithBackoff(time.Millisecond, 2*time.Millisecond)

// A printer is a test that prints its failures.
type printer struct{ testing.TB }

func (printer) Helper() {}

func (printer) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// The connection breaks, the server is overloaded, and then there is an answer.
func ExampleTransport() {
	base := steadyhttptest.NewTransport(
		steadyhttptest.Reset,
		steadyhttptest.Status(503),
		steadyhttptest.Status(200).Body("hello"),
	)
	client, err := steadyhttp.Wrap(&http.Client{Transport: base}, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get("https://api.example.com/greeting")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	fmt.Println(string(content), err)

	for _, attempt := range base.Attempts() {
		fmt.Println(attempt)
	}
	// Output:
	// hello <nil>
	// GET https://api.example.com/greeting: reset
	// GET https://api.example.com/greeting: 503
	// GET https://api.example.com/greeting: 200
}

// An assertion that fails shows what arrived. Here t prints, so that the example has something to show.
func ExampleTransport_AssertAttempts() {
	t := printer{}
	base := steadyhttptest.NewTransport(steadyhttptest.Status(500))
	client := &http.Client{Transport: base}
	response, err := client.Post("https://shop.example.com/orders", "application/json", strings.NewReader(`"boots"`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	base.AssertAttempts(t, 2)
	base.AssertClosed(t)
	// Output:
	// steadyhttptest: got 1 attempt, want 2
	// 	1. POST https://shop.example.com/orders (7 bytes): 500
	// steadyhttptest: the body of the response to attempt 1 was not closed
	// 	1. POST https://shop.example.com/orders (7 bytes): 500
}

// A script that ends fails the test when it is asked for more. Here t prints.
func ExampleEnd() {
	t := printer{}
	base := steadyhttptest.NewTransport(steadyhttptest.Status(404), steadyhttptest.End(t))
	client := &http.Client{Transport: base}
	for range 2 {
		response, err := client.Get("https://api.example.com/things")
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(response.Status)
		response.Body.Close()
	}
	// Output:
	// 404 Not Found
	// steadyhttptest: the script has ended, and there came GET https://api.example.com/things
	// Get "https://api.example.com/things": steadyhttptest: the script has ended
}

// A fault is the error that net/http returns for it, so code that looks closely finds what it looks for.
func ExampleFault() {
	client := &http.Client{Transport: steadyhttptest.Refused}
	_, err := client.Get("https://api.example.com")
	fmt.Println(err)
	fmt.Println("refused:", errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// Get "https://api.example.com": dial tcp api.example.com:443: connect: connection refused
	// refused: true
}

// All faults in turn: does the code under test survive each of them once?
func ExampleFaults() {
	for _, fault := range steadyhttptest.Faults() {
		if fault == steadyhttptest.Hang {
			continue // for as long as the caller lets it
		}
		base := steadyhttptest.NewTransport(fault, steadyhttptest.Status(200))
		client, err := steadyhttp.Wrap(&http.Client{Transport: base}, shortWaits)
		if err != nil {
			fmt.Println(err)
			return
		}
		response, err := client.Get("https://api.example.com")
		if err != nil {
			fmt.Println(fault, "is for the caller to know")
			continue
		}
		response.Body.Close()
	}
	// Output:
	// no such host is for the caller to know
	// bad certificate is for the caller to know
}

// The faults happen on real connections: over HTTP/2, the server goes away in the middle of a call.
func ExampleServer() {
	server := steadyhttptest.NewTLSServer(
		steadyhttptest.Refused,
		steadyhttptest.GoAway,
		steadyhttptest.Status(200).Body("hello"),
	)
	defer server.Close()
	client, err := steadyhttp.Wrap(server.Client(), shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	fmt.Println(response.Proto, string(content), err, "after", steadyhttp.Attempts(response), "attempts")
	// Output:
	// HTTP/2.0 hello <nil> after 3 attempts
}

// A server in memory needs no port, and its client sends everything to it, whatever the host. In a
// synctest bubble its time is virtual.
func ExampleNewPipeServer() {
	server := steadyhttptest.NewPipeServer(steadyhttptest.Status(200).Body("half of it").Truncated())
	defer server.Close()
	response, err := server.Client().Get("http://api.example.com/things")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	fmt.Printf("%s: %v\n", content, err)
	fmt.Println(server.Attempts()[0])
	// Output:
	// half of it: unexpected EOF
	// GET http://api.example.com/things: 200, truncated
}

// A third of the reads fail, until chaos is stopped.
func ExampleInjector() {
	chaos := &steadyhttptest.Injector{Base: steadyhttptest.Status(200)} // in staging, an *http.Transport
	client := &http.Client{Transport: chaos}
	count := func() (faults int) {
		for range 300 {
			response, err := client.Get("https://api.example.com")
			if err != nil || response.StatusCode != 200 {
				faults++
			}
			if err == nil {
				response.Body.Close()
			}
		}
		return faults
	}

	fmt.Println("off:", count())
	err := chaos.Start(steadyhttptest.Injection{
		Rate:  1.0 / 3,
		Match: func(r *http.Request) bool { return r.Method == http.MethodGet },
		Steps: []steadyhttptest.Step{steadyhttptest.Status(503), steadyhttptest.Reset},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	faults := count()
	fmt.Println("on:", faults > 80 && faults < 120)
	chaos.Stop()
	fmt.Println("off:", count())
	// Output:
	// off: 0
	// on: true
	// off: 0
}

// A tagger puts a header on every request, and on the caller's own at that.
type tagger struct{ base http.RoundTripper }

func (g tagger) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Tag", "blue")
	return g.base.RoundTrip(r)
}

func (g tagger) CloseIdleConnections() {
	if closer, ok := g.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// In a test it is called with the test's own t. Here t prints.
func ExampleCheckRoundTripper() {
	t := printer{}
	steadyhttptest.CheckRoundTripper(t, func(base http.RoundTripper) http.RoundTripper {
		return tagger{base}
	})
	// Output:
	// request is not modified: steadyhttptest: with a body, 200: the request's Header was map[Accept:[text/plain] X-Test:[a b]], and now is map[Accept:[text/plain] Tag:[blue] X-Test:[a b]]
}
