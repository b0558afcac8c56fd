// Quickstart shows what a steadyhttp client does when a server misbehaves.
//
// It starts real servers on loopback ports, which fail by script, and calls them over real HTTP through a
// client with the default settings. For each call it prints every attempt, what came of it and how long
// the client waited, and it checks what it claims: if anything went otherwise, it exits with 1.
//
//	go run ./examples/quickstart
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// patience keeps a broken quickstart from hanging; a sound one takes about five seconds.
const patience = 20 * time.Second

func run(out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := time.Now()
	fmt.Fprintln(out, "steadyhttp quickstart: real HTTP on loopback, default settings, a server that misbehaves")

	// The outage is worth seeing even if a scenario went wrong.
	err := errors.Join(playScenarios(ctx, out), playOutage(ctx, out, len(scenarios)+1))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n✓ all as claimed, in %s\n", readable(time.Since(start)))
	return nil
}

// A scenario is one call, and what is claimed of it.
type scenario struct {
	title   string
	method  string
	key     string   // sent as Idempotency-Key
	answers []answer // the server's, in order
	lesson  string

	stopped steadyhttp.StopReason
	waits   time.Duration // at least, before each attempt after the first
}

var scenarios = []scenario{
	{
		title:   "GET, answered 503, 503 and then 200",
		method:  http.MethodGet,
		answers: []answer{{status: 503}, {status: 503}, {status: 200}},
		lesson: "A 503 passes, and a GET may be repeated: it is sent again. The waits double, and are " +
			"spread by half, so that a thousand clients do not come back at once.",
		stopped: steadyhttp.StopSuccess,
	},
	{
		title:   "GET, answered 429 with Retry-After: 1, then 200",
		method:  http.MethodGet,
		answers: []answer{{status: 429, retryAfter: "1"}, {status: 200}},
		lesson:  "The server said when to come back: the client waits that long or a little longer, never less.",
		stopped: steadyhttp.StopSuccess,
		waits:   time.Second,
	},
	{
		title:   "GET, answered 404",
		method:  http.MethodGet,
		answers: []answer{{status: 404}},
		lesson:  "A 4xx is the request's fault, and asking again would not change the answer.",
		stopped: steadyhttp.StopNotRetryable,
	},
	{
		title:   "POST, answered 500",
		method:  http.MethodPost,
		answers: []answer{{status: 500}},
		lesson: "The server may have taken the order before it failed, and sending it again could " +
			"make it two. The caller gets the 500 and decides.",
		stopped: steadyhttp.StopNotIdempotent,
	},
	{
		title:   "POST with an Idempotency-Key, answered 500, then 201",
		method:  http.MethodPost,
		key:     "order-4711",
		answers: []answer{{status: 500}, {status: 201}},
		lesson: "By the key the server knows an order that comes twice: now it may be sent again, " +
			"with the same key and the same body.",
		stopped: steadyhttp.StopSuccess,
	},
}

// playScenarios calls one server for all of them, through a client without any option.
func playScenarios(ctx context.Context, out io.Writer) error {
	service := newScriptedService(scenarios)
	address, stop, err := serve(service)
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
		if err := s.play(ctx, out, client, address+pathOf(i), service.scripts[i]); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", s.title, err))
		}
	}
	return errors.Join(failures...)
}

func (s scenario) play(ctx context.Context, out io.Writer, client *http.Client, address string, played *script) error {
	ctx, report := steadyhttp.WithReport(ctx)
	response, err := s.call(ctx, client, address)
	if err != nil {
		return err
	}
	defer response.Body.Close()

	printAttempts(out, report)
	printResult(out, response, report, len(played.seen()))
	failure := s.check(response, report, played.seen())
	printClaim(out, failure, s.lesson)
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

// check compares what happened with what is claimed: the client's view with the server's.
func (s scenario) check(response *http.Response, report *steadyhttp.Report, seen []arrival) error {
	last := s.answers[len(s.answers)-1]
	return cmp.Or(
		expect("requests that the server saw", len(seen), len(s.answers)),
		expect("attempts", len(report.Attempts), len(s.answers)),
		expect("attempts of the response", steadyhttp.Attempts(response), len(s.answers)),
		expect("status", response.StatusCode, last.status),
		expect("reason to stop", report.Stopped, s.stopped),
		s.checkWaits(report.Attempts),
		s.checkArrivals(seen),
	)
}

func (s scenario) checkWaits(attempts []steadyhttp.Attempt) error {
	for i, attempt := range attempts {
		last := i == len(attempts)-1
		if !last && (attempt.Wait <= 0 || attempt.Wait < s.waits) {
			return fmt.Errorf("waited %s, claimed was at least %s", attempt.Wait, s.waits)
		}
	}
	return nil
}

// checkArrivals wants each attempt to have brought the same key and the whole body.
func (s scenario) checkArrivals(seen []arrival) error {
	want := arrival{key: s.key}
	if s.method == http.MethodPost {
		want.body = order
	}
	for _, got := range seen {
		if err := expect("what arrived", got, want); err != nil {
			return err
		}
	}
	return nil
}

func expect[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: got %v, claimed was %v", what, got, want)
	}
	return nil
}
