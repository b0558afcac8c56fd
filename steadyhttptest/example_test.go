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

// shortWaits keeps the examples fast. A test runs in a synctest bubble instead, where waits take no time.
var shortWaits = steadyhttp.WithBackoff(time.Millisecond, 2*time.Millisecond)

// A printer is a testing.TB that prints its failures.
type printer struct{ testing.TB }

func (printer) Helper() {}

func (printer) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// The connection breaks, then the server is overloaded, then it responds.
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

// A failed assertion shows the attempts. Here t prints its failures.
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

// An attempt after the end of the script fails the test. Here t prints its failures.
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
	// steadyhttptest: the script has ended, but an attempt came: GET https://api.example.com/things
	// Get "https://api.example.com/things": steadyhttptest: the script has ended
}

// A fault is the error that net/http returns for it, so code that inspects the error works.
func ExampleFault() {
	client := &http.Client{Transport: steadyhttptest.Refused}
	_, err := client.Get("https://api.example.com")
	fmt.Println(err)
	fmt.Println("refused:", errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// Get "https://api.example.com": dial tcp api.example.com:443: connect: connection refused
	// refused: true
}

// Does the code under test survive each fault once?
func ExampleFaults() {
	for _, fault := range steadyhttptest.Faults() {
		if fault == steadyhttptest.Hang {
			continue // it needs a deadline
		}
		base := steadyhttptest.NewTransport(fault, steadyhttptest.Status(200))
		client, err := steadyhttp.Wrap(&http.Client{Transport: base}, shortWaits)
		if err != nil {
			fmt.Println(err)
			return
		}
		response, err := client.Get("https://api.example.com")
		if err != nil {
			fmt.Println(fault, "is not retried")
			continue
		}
		response.Body.Close()
	}
	// Output:
	// no such host is not retried
	// bad certificate is not retried
}

// The faults happen on real connections. Here the server goes away during an HTTP/2 call.
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

// A server in memory needs no port. Its client sends every request to it, whatever the host. It also works in a synctest
// bubble.
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

// A tagTransport sets a header on every request. Its mistake: it modifies the caller's request.
type tagTransport struct{ base http.RoundTripper }

func (g tagTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Tag", "blue")
	return g.base.RoundTrip(r)
}

func (g tagTransport) CloseIdleConnections() {
	if closer, ok := g.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// A test passes its own t. Here t prints its failures.
func ExampleCheckRoundTripper() {
	t := printer{}
	steadyhttptest.CheckRoundTripper(t, func(base http.RoundTripper) http.RoundTripper {
		return tagTransport{base}
	})
	// Output:
	// request is not modified: steadyhttptest: with a body, 200: the request's Header was map[Accept:[text/plain] X-Test:[a b]], and now is map[Accept:[text/plain] Tag:[blue] X-Test:[a b]]
}
