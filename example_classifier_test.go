package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// What was just created may not be there everywhere yet. With [steadyhttp.NotReady] the 404 is retried, and the
// breaker counts it for what it is, a response of a server that is well. Only the caller knows which 404 is of
// this kind: here it is marked in the context.
func ExampleWithClassifier_notFoundYet() {
	type justCreated struct{}
	server := steadyhttptest.NewTransport(
		steadyhttptest.Status(404), steadyhttptest.Status(404), steadyhttptest.Status(200), // of what was just created
		steadyhttptest.Status(404), // of anything else
	)
	transport, err := steadyhttp.NewTransport(server, shortWaits,
		steadyhttp.WithClassifier(func(request *http.Request, response *http.Response, _ error) steadyhttp.Class {
			isNew := request.Context().Value(justCreated{}) != nil
			if isNew && response != nil && response.StatusCode == http.StatusNotFound {
				return steadyhttp.NotReady
			}
			return steadyhttp.Unclassified
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	get := func(ctx context.Context) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/things/7", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		response, err := client.Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer response.Body.Close()
		fmt.Println(response.StatusCode, "after", steadyhttp.Attempts(response))
	}
	get(context.WithValue(context.Background(), justCreated{}, true))
	get(context.Background())
	fmt.Println("failures:", transport.Breakers()[0].Failures)
	// Output:
	// 200 after 3
	// 404 after 1
	// failures: 0
}

// A resource that is locked is free again in a while. The server refused to act, so that also a POST may be
// retried; where it says when, that is followed.
func ExampleWithClassifier_locked() {
	locked := func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
		if response != nil && (response.StatusCode == http.StatusConflict || response.StatusCode == http.StatusLocked) {
			return steadyhttp.NotReady
		}
		return steadyhttp.Unclassified
	}
	server := steadyhttptest.NewTransport(
		steadyhttptest.Status(409), steadyhttptest.Status(423).Header("Retry-After", "0"), steadyhttptest.Status(201),
	)
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, shortWaits, steadyhttp.WithClassifier(locked))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Post("https://api.example.com/things", "text/plain", strings.NewReader("a thing"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode, "after", steadyhttp.Attempts(response))
	// Output:
	// 201 after 3
}

// A 429 without Retry-After is not retried: nobody knows when. Where experience shows that a short wait is
// enough, NotReady says so, with the usual backoff. (Throttled would not: it is retried only when told.)
func ExampleWithClassifier_bare429() {
	bare429 := func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
		if response != nil && response.StatusCode == http.StatusTooManyRequests && response.Header.Get("Retry-After") == "" {
			return steadyhttp.NotReady
		}
		return steadyhttp.Unclassified
	}
	server := steadyhttptest.NewTransport(steadyhttptest.Status(429), steadyhttptest.Status(200))
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, shortWaits, steadyhttp.WithClassifier(bare429))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get("https://broker.example.com/queues")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode, "after", steadyhttp.Attempts(response))
	// Output:
	// 200 after 2
}

// Some services are throttled by a 200 that says so, Shopify's GraphQL API for one. The server is well, and has
// done nothing: [steadyhttp.NotReady]. The classifier reads a bounded start of the body, and puts it back.
func ExampleWithClassifier_throttledBy200() {
	throttled := func(_ *http.Request, response *http.Response, err error) steadyhttp.Class {
		if err != nil || response.StatusCode != http.StatusOK {
			return steadyhttp.Unclassified
		}
		body := response.Body
		start, err := io.ReadAll(io.LimitReader(body, 64<<10))
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(strings.NewReader(string(start)), body), body}
		if err == nil && strings.Contains(string(start), `"code":"THROTTLED"`) {
			return steadyhttp.NotReady
		}
		return steadyhttp.Unclassified
	}
	server := steadyhttptest.NewTransport(
		steadyhttptest.Status(200).Body(`{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]}`),
		steadyhttptest.Status(200).Body(`{"data":{"shop":{"name":"Corner shop"}}}`),
	)
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, shortWaits, steadyhttp.WithClassifier(throttled))
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Post("https://shop.example.com/graphql", "application/json", strings.NewReader(`{"query":"{shop{name}}"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	fmt.Printf("%s after %d, %v\n", content, steadyhttp.Attempts(response), err)
	// Output:
	// {"data":{"shop":{"name":"Corner shop"}}} after 2, <nil>
}

// "Never send a 500 again, but count it": the server fails at this very request, and each attempt costs it much.
// With [steadyhttp.ServerFault] the breaker still opens where it fails at all of them.
func ExampleWithClassifier_neverRetry500() {
	server := steadyhttptest.NewTransport(steadyhttptest.Status(500))
	transport, err := steadyhttp.NewTransport(server,
		steadyhttp.WithBreakerConsecutiveFailures(3, 0),
		steadyhttp.WithClassifier(func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
			if response != nil && response.StatusCode == http.StatusInternalServerError {
				return steadyhttp.ServerFault
			}
			return steadyhttp.Unclassified
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	for range 4 {
		response, err := client.Get("https://reports.example.com/yearly")
		if err != nil {
			fmt.Println("circuit open:", errors.Is(err, steadyhttp.ErrCircuitOpen))
			continue
		}
		_ = response.Body.Close()
		fmt.Println(response.StatusCode, "after", steadyhttp.Attempts(response))
	}
	// Output:
	// 500 after 1
	// 500 after 1
	// 500 after 1
	// circuit open: true
}
