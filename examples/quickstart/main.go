// Quickstart shows what a steadyhttp client does when a server fails.
//
// It starts real servers on loopback ports, which fail by script, and calls them over real HTTP. For each call it
// prints every attempt, its response, and how long the client waited before the next one. It checks what it says: if
// anything is different, it exits with 1.
//
//	go run ./examples/quickstart
//
// With -serve it goes on calling a server that fails and works in turn, until you end it, and serves the page of package
// steadydebug that shows what the breaker does.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

func main() {
	stay := flag.Bool("serve", false, "serve a page that shows the breaker, and stay until interrupted")
	flag.Parse()
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(interrupted, os.Stdout, *stay); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// timeLimit keeps a broken quickstart from hanging. It takes about seven seconds.
const timeLimit = 20 * time.Second

func run(interrupted context.Context, out io.Writer, stay bool) error {
	ctx, cancel := context.WithTimeout(interrupted, timeLimit)
	defer cancel()
	outage, err := startOutage(stay)
	if err != nil {
		return err
	}
	defer outage.stop()
	start := time.Now()
	fmt.Fprintln(out, "steadyhttp quickstart: a client with the default settings unless noted, and a server that fails")

	// The rest is worth seeing even if a scenario failed.
	err = errors.Join(
		runScenarios(ctx, out),
		outage.show(ctx, out, len(scenarios)+1),
		runDownload(ctx, out, len(scenarios)+2),
	)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n✓ everything happened as described, in %s\n", readable(time.Since(start)))
	if stay {
		outage.goOn(interrupted, out)
	}
	return nil
}

// A scenario is one call, what the server responds, and what must follow.
type scenario struct {
	title       string
	method      string
	key         string     // sent as Idempotency-Key
	responses   []response // of the server, in order
	explanation string

	stopped steadyhttp.StopReason
	waits   []time.Duration // the least wait before each attempt after the first
}

var scenarios = []scenario{
	{
		title:     "GET: the server responds with 503, 503 and then 200",
		method:    http.MethodGet,
		responses: []response{{status: 503}, {status: 503}, {status: 200}},
		explanation: "A 503 is often over soon, and a GET may be repeated, so it is retried. The waits double on " +
			"average, each spread by half: from 150 to 450, then from 300 to 900 ms. So a thousand clients do not " +
			"come back at the same moment.",
		stopped: steadyhttp.StopSuccess,
		waits:   []time.Duration{150 * time.Millisecond, 300 * time.Millisecond},
	},
	{
		title:     "GET: the server responds with 429 and Retry-After: 1, then 200",
		method:    http.MethodGet,
		responses: []response{{status: 429, retryAfter: "1"}, {status: 200}},
		explanation: "The server says when to come back. The client waits that long or up to 50 % longer (at most " +
			"5 s), and never less.",
		stopped: steadyhttp.StopSuccess,
		waits:   []time.Duration{time.Second},
	},
	{
		title:       "GET: the server responds with 404",
		method:      http.MethodGet,
		responses:   []response{{status: 404}},
		explanation: "A 404 is an error of the request. The same request would get the same response, so it is not retried.",
		stopped:     steadyhttp.StopNotRetryable,
	},
	{
		title:     "POST: the server responds with 500",
		method:    http.MethodPost,
		responses: []response{{status: 500}},
		explanation: "The server may have processed the order before it failed, and a retry could create a second " +
			"order. So the caller gets the 500, and decides.",
		stopped: steadyhttp.StopNotIdempotent,
	},
	{
		title:     "POST with an Idempotency-Key: the server responds with 500, then 201",
		method:    http.MethodPost,
		key:       "order-4711",
		responses: []response{{status: 500}, {status: 201}},
		explanation: "By the key the server recognizes an order that it has processed already. So the POST is " +
			"retried, with the same key and the same body.",
		stopped: steadyhttp.StopSuccess,
		waits:   []time.Duration{150 * time.Millisecond},
	},
}

// runScenarios calls one server for all of them, with a client without any option.
func runScenarios(ctx context.Context, out io.Writer) error {
	server := newScriptedServer(scenarios)
	address, stop, err := serve(server)
	if err != nil {
		return err
	}
	defer stop()
	client, err := steadyhttp.NewClient()
	if err != nil {
		return err
	}

	var failures []error
	for i, s := range scenarios {
		printTitle(out, i+1, s.title)
		if err := s.run(ctx, out, client, address+pathOf(i), server.scripts[i]); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", s.title, err))
		}
	}
	return errors.Join(failures...)
}

func (s scenario) run(ctx context.Context, out io.Writer, client *http.Client, address string, server *script) error {
	ctx, report := steadyhttp.WithReport(ctx)
	response, err := s.call(ctx, client, address)
	if err != nil {
		return err
	}
	defer response.Body.Close()

	printAttempts(out, report)
	printResult(out, response, report, len(server.received()))
	failure := s.check(response, report, server.received())
	printExplanation(out, failure, s.explanation)
	return failure
}

const order = `{"item":42}`

func (s scenario) call(ctx context.Context, client *http.Client, address string) (*http.Response, error) {
	var body io.Reader
	if s.method == http.MethodPost {
		body = strings.NewReader(order)
	}
	request, err := http.NewRequestWithContext(ctx, s.method, address, body)
	if err != nil {
		return nil, err
	}
	if s.key != "" {
		request.Header.Set("Idempotency-Key", s.key)
	}
	return client.Do(request)
}

// check compares what the client reports and what the server received with what must follow.
func (s scenario) check(response *http.Response, report *steadyhttp.Report, received []receivedRequest) error {
	last := s.responses[len(s.responses)-1]
	return cmp.Or(
		expect("requests that the server received", len(received), len(s.responses)),
		expect("attempts", len(report.Attempts), len(s.responses)),
		expect("attempts of the response", steadyhttp.Attempts(response), len(s.responses)),
		expect("status", response.StatusCode, last.status),
		expect("reason to stop", report.Stopped, s.stopped),
		s.checkWaits(report.Attempts),
		s.checkRequests(received),
	)
}

func (s scenario) checkWaits(attempts []steadyhttp.Attempt) error {
	for i, least := range s.waits {
		if attempts[i].Wait < least {
			return fmt.Errorf("wait %d: got %s, want at least %s", i+1, attempts[i].Wait, least)
		}
	}
	return nil
}

// checkRequests sees that each attempt sent the same key and the whole body.
func (s scenario) checkRequests(received []receivedRequest) error {
	want := receivedRequest{key: s.key}
	if s.method == http.MethodPost {
		want.body = order
	}
	for _, got := range received {
		if err := expect("key and body", got, want); err != nil {
			return err
		}
	}
	return nil
}

func expect[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}
