// Compare shows what retry libraries do with the same misbehaving server, each set up as its own README
// does it: how often a request is sent, and what the caller gets.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/steadyhttp/steadyhttp"
)

// A scenario is one request to a server that gives one answer for ever.
type scenario struct {
	name, method string
	status       int
	retryAfter   string
}

var scenarios = []scenario{
	{"GET, 503", http.MethodGet, 503, ""},
	{"POST, 500", http.MethodPost, 500, ""},
	{"GET, 503, Retry-After: 9223372037", http.MethodGet, 503, "9223372037"},
	{"GET, 429 without Retry-After", http.MethodGet, 429, ""},
	{"GET, 404", http.MethodGet, 404, ""},
}

// A contestant is a library with its usual policy; waits are shortened, which changes no decision.
type contestant struct {
	name   string
	client *http.Client
}

func contestants() []contestant {
	return []contestant{
		{"steadyhttp", steady()},
		{"go-retryablehttp", retryable()},
		{"failsafehttp", &http.Client{Transport: failsafehttp.NewRoundTripper(nil, failsafehttp.NewRetryPolicyBuilder().Build())}},
		{"rehttp", &http.Client{Transport: rehttp.NewTransport(nil,
			rehttp.RetryAll(rehttp.RetryMaxRetries(3), rehttp.RetryAny(rehttp.RetryStatuses(500, 502, 503, 504), rehttp.RetryTemporaryErr())),
			rehttp.ExpJitterDelay(time.Millisecond, 2*time.Millisecond))}},
	}
}

func steady() *http.Client {
	client, err := steadyhttp.NewClient(steadyhttp.WithBackoff(time.Millisecond, 2*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func retryable() *http.Client {
	client := retryablehttp.NewClient()
	client.RetryWaitMin, client.RetryWaitMax = time.Millisecond, 2*time.Millisecond
	client.Logger = nil
	return client.StandardClient()
}

func main() {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "server answers\tlibrary\tsent\tcaller gets")
	for _, s := range scenarios {
		for _, c := range contestants() {
			sent, got := play(s, c.client)
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", s.name, c.name, sent, got)
		}
	}
	if err := table.Flush(); err != nil {
		log.Fatal(err)
	}
}

// play returns how often the server was asked, and what came of it.
func play(s scenario, client *http.Client) (sent int64, got string) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		if s.retryAfter != "" {
			w.Header().Set("Retry-After", s.retryAfter)
		}
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, "the reason")
	}))
	defer server.Close()
	defer client.CloseIdleConnections()
	request, err := http.NewRequest(s.method, server.URL, strings.NewReader("payload"))
	if err != nil {
		log.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return requests.Load(), "an error, without the response"
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return requests.Load(), "a response that cannot be read: " + err.Error()
	}
	return requests.Load(), fmt.Sprintf("the %d and its body %q", response.StatusCode, body)
}
