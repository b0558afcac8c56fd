package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// The breaker opens after so many failures in a row, if they have lasted so long. By default that takes longer, which
// is right for a server, and too long for a demonstration.
const (
	failures = 5
	lasting  = 500 * time.Millisecond
)

const (
	callers     = 4
	interval    = 100 * time.Millisecond // between two calls of one caller
	maxAttempts = 4                      // of a call, by default
)

// An outage is a server of its own that fails, and a client that goes on calling it.
type outage struct {
	server  *failingServer
	address string
	client  *http.Client
	page    string // its address, if there is one
	stop    func()
	log     *timeline

	mu       sync.Mutex // the observer is called by all callers
	calls    int
	ends     map[end]int
	changes  []change
	rejected int // calls since the last change
}

// An end is how a call ended.
type end struct {
	rejected bool // by the open breaker
	waited   bool // for a retry that was not sent any more: the response was gone by then
	stopped  steadyhttp.StopReason
}

// A change is one of the breaker's state.
type change struct{ from, to steadyhttp.BreakerState }

// startOutage starts the servers that the scene needs, and the page if it is asked for.
func startOutage(withPage bool) (o *outage, err error) {
	o = &outage{server: &failingServer{}, ends: map[end]int{}, stop: func() {}}
	o.client, err = steadyhttp.NewClient(
		steadyhttp.WithBreakerConsecutiveFailures(failures, lasting),
		steadyhttp.WithObserver(o.observe),
	)
	if err != nil {
		return nil, err
	}
	if o.address, o.stop, err = serve(o.server); err != nil {
		return nil, err
	}
	if withPage {
		err = o.servePage(o.client.Transport.(*steadyhttp.Transport))
	}
	return o, err
}

// show is the scene.
func (o *outage) show(ctx context.Context, out io.Writer, number int) error {
	printTitle(out, number, "GET during an outage: the server responds with 503 until it is repaired")
	if o.page != "" {
		fmt.Fprintf(out, "   watch it: %s\n\n", o.page)
	}
	o.log = newTimeline(out, o.server.received)
	failure := o.run(ctx)
	fmt.Fprintln(out)
	printExplanation(out, failure, o.explanation())
	if failure != nil {
		return fmt.Errorf("outage: %w", failure)
	}
	return nil
}

func (o *outage) run(ctx context.Context) error {
	steps := []func(context.Context) error{
		o.callUntilOpen,
		o.callUntilProbeFails,
		o.repair,
		o.callUntilProbeSucceeds,
		o.check,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// observe is called in the middle of the calls.
func (o *outage) observe(_ context.Context, event steadyhttp.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch event.Kind {
	case steadyhttp.EventEnd:
		e := end{rejected: errors.Is(event.Err, steadyhttp.ErrCircuitOpen), stopped: event.Stopped}
		e.waited = event.Err != nil && !e.rejected
		o.calls++
		o.ends[e]++
		if e.rejected {
			o.rejected++
		}
	case steadyhttp.EventBreaker:
		o.log.add("breaker: %s → %s %s", event.From, event.To, o.reason(event))
		o.changes = append(o.changes, change{event.From, event.To})
		o.rejected = 0
	}
}

// reason says why the breaker changed.
func (o *outage) reason(event steadyhttp.Event) string {
	switch {
	case event.To == steadyhttp.BreakerHalfOpen:
		return fmt.Sprintf("after %s: a probe is sent", count(o.rejected, "rejected call"))
	case event.To == steadyhttp.BreakerClosed:
		return "because the probe succeeded"
	case event.From == steadyhttp.BreakerHalfOpen:
		return "because the probe failed"
	default:
		return fmt.Sprintf("after %d failures in a row, in %s or more", failures, readable(lasting))
	}
}

// callUntilOpen calls as users do, who try again at once. All calls fail, so that the breaker opens.
func (o *outage) callUntilOpen(ctx context.Context) error {
	o.log.add("%d callers call again and again", callers)
	errs := make([]error, callers)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() { errs[i] = o.callUntilRejected(ctx) })
	}
	running.Wait()
	o.logEnds()
	return errors.Join(errs...)
}

func (o *outage) callUntilRejected(ctx context.Context) error {
	for ctx.Err() == nil {
		err := o.call(ctx, http.StatusServiceUnavailable)
		if errors.Is(err, steadyhttp.ErrCircuitOpen) {
			return nil
		}
		if err != nil && !isSuspended(err) {
			return err
		}
		time.Sleep(interval)
	}
	return ctx.Err()
}

// isSuspended reports whether retries were suspended while the call waited for its own.
func isSuspended(err error) bool {
	var failed *steadyhttp.Error
	return errors.As(err, &failed) && failed.Stopped == steadyhttp.StopRetriesSuspended
}

// logEnds says how the calls ended, the most frequent first.
func (o *outage) logEnds() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range slices.SortedFunc(maps.Keys(o.ends), func(a, b end) int {
		return cmp.Or(o.ends[b]-o.ends[a], int(a.stopped)-int(b.stopped))
	}) {
		if e.rejected {
			o.log.add("%s got a CircuitOpenError", count(o.ends[e], "call"))
			continue
		}
		got := "the 503"
		if e.waited {
			got = "an Error after the wait"
		}
		o.log.add("%s got %s, stopped: %s", count(o.ends[e], "call"), got, e.stopped)
	}
}

// call makes one call, and returns an error if the status is another one.
func (o *outage) call(ctx context.Context, want int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.address, nil)
	if err != nil {
		return err
	}
	response, err := o.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return expect("status", response.StatusCode, want)
}

func (o *outage) callUntilProbeFails(ctx context.Context) error {
	return o.callUntilSent(ctx, http.StatusServiceUnavailable)
}

func (o *outage) repair(context.Context) error {
	o.server.repaired.Store(true)
	o.log.add("the server is repaired")
	return nil
}

func (o *outage) callUntilProbeSucceeds(ctx context.Context) error {
	if err := o.callUntilSent(ctx, http.StatusOK); err != nil {
		return err
	}
	if err := o.call(ctx, http.StatusOK); err != nil {
		return err
	}
	o.log.add("a call got the 200")
	return nil
}

// callUntilSent calls again and again, until a call is not rejected but sent.
func (o *outage) callUntilSent(ctx context.Context, want int) error {
	for first := true; ctx.Err() == nil; first = false {
		before := o.server.received()
		err := o.call(ctx, want)
		var open *steadyhttp.CircuitOpenError
		if !errors.As(err, &open) {
			return err
		}
		if err := expect("requests sent by a rejected call", o.server.received()-before, 0); err != nil {
			return err
		}
		if first && !open.RetryAt.IsZero() {
			o.log.add("a call got a CircuitOpenError: next probe in %s", readable(time.Until(open.RetryAt)))
		}
		time.Sleep(interval)
	}
	return ctx.Err()
}

// check sees that the breaker did all that the explanation says.
func (o *outage) check(context.Context) error {
	const closed, halfOpen, open = steadyhttp.BreakerClosed, steadyhttp.BreakerHalfOpen, steadyhttp.BreakerOpen
	o.mu.Lock()
	defer o.mu.Unlock()
	last := len(o.changes) - 1
	switch {
	case last < 0 || o.changes[0] != change{closed, open} || o.changes[last] != change{halfOpen, closed}:
		return fmt.Errorf("the breaker went %v, but must open first and close last", o.changes)
	case !slices.Contains(o.changes, change{halfOpen, open}):
		return fmt.Errorf("the breaker went %v, but must open again when a probe fails", o.changes)
	case o.ends[end{rejected: true, stopped: steadyhttp.StopCircuitOpen}] == 0:
		return errors.New("the open breaker rejected no call")
	case o.server.received() >= o.calls*maxAttempts:
		return fmt.Errorf("the server received %d requests of %d calls", o.server.received(), o.calls)
	default:
		return nil
	}
}

// notRetried says why a call that got the 503 was not retried, or not once more.
var notRetried = map[steadyhttp.StopReason]string{
	steadyhttp.StopBudgetExhausted:  "retries take from a budget that only successes fill (budget_exhausted)",
	steadyhttp.StopRetriesSuspended: "nothing had succeeded for a while (retries_suspended)",
	steadyhttp.StopCircuitOpen:      "the breaker would have rejected the retry (circuit_open)",
	steadyhttp.StopMaxAttempts:      "it had made all its attempts (max_attempts)",
}

func (o *outage) explanation() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fmt.Sprintf("A server that is down needs rest. With %d attempts each, these %d calls would have sent %d "+
		"requests; they sent %d. A call that got the 503 was not retried because %s. The open breaker rejects calls at "+
		"once, lets a probe through from time to time, and closes when a probe succeeds. (Here it opens after %s, so "+
		"that you need not wait; by default it takes longer.)",
		maxAttempts, o.calls, o.calls*maxAttempts, o.server.received(), o.whyNotRetried(), readable(lasting))
}

// whyNotRetried joins the reasons of the calls that got the 503.
func (o *outage) whyNotRetried() string {
	var reasons []string
	for _, e := range slices.SortedFunc(maps.Keys(o.ends), func(a, b end) int { return int(a.stopped) - int(b.stopped) }) {
		if e.rejected || e.stopped == steadyhttp.StopSuccess {
			continue
		}
		reasons = append(reasons, cmp.Or(notRetried[e.stopped], "of "+e.stopped.String()))
	}
	return strings.Join(slices.Compact(reasons), ", or because ")
}
