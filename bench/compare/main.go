// Compare shows what retry libraries do when a server fails, each set up as its own README does it: how often a request
// is sent, and what the caller gets.
package main

import (
	"context"
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

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// A scenario is one request to a server that always responds in the same way.
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

// shortWaits change no decision.
var shortWaits = peers.Setup{Shortest: time.Millisecond, Longest: 2 * time.Millisecond}

// timeLimit is how long a caller waits for a library that waits.
const timeLimit = 2 * time.Second

func main() {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "call, response\tlibrary\tsent\tthe caller gets")
	for _, s := range scenarios {
		for _, library := range peers.All(shortWaits) {
			sent, got := run(s, library)
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", s.name, library.Name, sent, got)
		}
	}
	if err := table.Flush(); err != nil {
		log.Fatal(err)
	}
}

// run returns how often the request was sent, and what the caller got.
func run(s scenario, library peers.Library) (sent int64, got string) {
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
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	ctx, stop := context.WithTimeout(context.Background(), timeLimit)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, s.method, server.URL, strings.NewReader("payload"))
	if err != nil {
		log.Fatal(err)
	}
	got = outcome(library.Client(base).Do(request))
	if ctx.Err() != nil {
		got = fmt.Sprintf("nothing in %v", timeLimit)
	}
	return requests.Load(), got
}

func outcome(response *http.Response, err error) string {
	if err != nil {
		return "an error, without the response"
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "a response that cannot be read: " + err.Error()
	}
	return fmt.Sprintf("the %d and its body %q", response.StatusCode, body)
}
