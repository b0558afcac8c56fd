package steadyhttp_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A staleCache keeps the last good response to each GET, and gives it where the server has none (stale-if-error,
// RFC 5861 §4). It is a sketch: it has no bound, and takes Vary and Cache-Control for granted.
type staleCache struct {
	next  http.RoundTripper // a *steadyhttp.Transport
	stale time.Duration     // how old a response may be

	mu   sync.Mutex
	kept map[string]keptResponse
}

type keptResponse struct {
	http.Response
	body []byte
	at   time.Time
}

func (c *staleCache) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	if request.Method != http.MethodGet || request.Context().Err() != nil {
		return response, err
	}
	if err == nil && response.StatusCode < http.StatusInternalServerError {
		return c.keep(request, response)
	}
	kept, ok := c.find(request) // after all retries, or an open breaker
	if !ok {
		return response, err
	}
	if err == nil {
		response.Body.Close()
	}
	return kept, nil
}

func (c *staleCache) keep(request *http.Request, response *http.Response) (*http.Response, error) {
	if response.StatusCode != http.StatusOK {
		return response, nil
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := *response
	kept.Header = response.Header.Clone() // the caller may change its own
	c.kept[request.URL.String()] = keptResponse{kept, body, time.Now()}
	return response, nil
}

func (c *staleCache) find(request *http.Request) (*http.Response, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, ok := c.kept[request.URL.String()]
	if !ok || time.Since(kept.at) > c.stale {
		return nil, false
	}
	response := kept.Response
	response.Header = response.Header.Clone()
	response.Body = io.NopCloser(bytes.NewReader(kept.body))
	response.Request = request
	return &response, true
}

// A cache belongs above the Transport: a response of its own is neither an attempt nor a success of the server.
func ExampleNewTransport_staleIfError() {
	server := steadyhttptest.NewTransport(steadyhttptest.Status(200).Body("12 °C"), steadyhttptest.Status(503))
	transport, err := steadyhttp.NewTransport(server, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	cache := &staleCache{next: transport, stale: time.Hour, kept: make(map[string]keptResponse)}
	client := &http.Client{Transport: cache}
	for range 2 {
		response, err := client.Get("https://weather.example.com/today")
		if err != nil {
			fmt.Println(err)
			return
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.StatusCode, string(body), err)
	}
	fmt.Println(len(server.Attempts()), "attempts")
	// Output:
	// 200 12 °C <nil>
	// 200 12 °C <nil>
	// 5 attempts
}
