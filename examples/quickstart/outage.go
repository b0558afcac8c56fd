package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// What the client does by default, which the outage counts on.
const (
	maxAttempts = 4
	budgetBurst = 5 // the retries that a client without any success is allowed
)

const (
	callers  = 32                     // the breaker opens when at least half of at least 30 attempts in 5 s failed
	interval = 100 * time.Millisecond // between calls while it is open
)

var outageLesson = fmt.Sprintf("A server that is down needs rest: those %d calls would have sent it %d requests had "+
	"each made its %d attempts. Instead the breaker opened. It lets one probe through about every 0.7 s, rejects "+
	"all other calls at once, and closes with the first probe that succeeds.", callers, callers*maxAttempts, maxAttempts)

// An outage is a service of its own that fails, and a client that goes on calling it.
type outage struct {
	service *failingService
	address string
	client  *http.Client
	log     *timeline

	rejected int // calls that came while the breaker was open

	mu      sync.Mutex
	changes []change
}

// A change is one of the breaker's.
type change struct{ from, to steadyhttp.BreakerState }

func playOutage(ctx context.Context, out io.Writer, number int) error {
	printTitle(out, number, "GET during an outage: answered 503 until the service is repaired")
	service := &failingService{}
	address, stop, err := serve(service)
	if err != nil {
		return err
	}
	defer stop()
	o := &outage{service: service, address: address, log: newTimeline(out, service.seen)}
	if o.client, err = steadyhttp.NewClient(steadyhttp.WithObserver(o.observe)); err != nil {
		return err
	}

	failure := o.play(ctx)
	fmt.Fprintln(out)
	printClaim(out, failure, outageLesson)
	if failure != nil {
		return fmt.Errorf("outage: %w", failure)
	}
	return nil
}

// observe is called in the middle of the calls, so what it writes needs a lock.
func (o *outage) observe(_ context.Context, event steadyhttp.Event) {
	if event.Kind != steadyhttp.EventBreaker {
		return
	}
	o.mu.Lock()
	o.changes = append(o.changes, change{event.From, event.To})
	o.mu.Unlock()
	o.log.add("breaker: %s → %s", event.From, event.To)
}

func (o *outage) play(ctx context.Context) error {
	acts := []func(context.Context) error{
		o.callAllAtOnce,
		o.probeInVain,
		o.repair,
		o.probeWithSuccess,
		o.check,
	}
	for _, act := range acts {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// callAllAtOnce opens the breaker. The claim is steadyhttp's about load: it is at most the first attempts
// plus what the retry budget allows, however many attempts each call might make.
func (o *outage) callAllAtOnce(ctx context.Context) error {
	o.log.add("%d calls at once", callers)
	errs := make([]error, callers)
	var calls sync.WaitGroup
	for i := range errs {
		calls.Go(func() { errs[i] = o.call(ctx, http.StatusServiceUnavailable) })
	}
	calls.Wait()

	if seen := o.service.seen(); seen > callers+budgetBurst {
		return fmt.Errorf("the server saw %d requests, claimed were at most %d", seen, callers+budgetBurst)
	}
	return o.countEndings(errs)
}

func (o *outage) countEndings(errs []error) error {
	rejected := 0
	for _, err := range errs {
		switch {
		case errors.Is(err, steadyhttp.ErrCircuitOpen):
			rejected++
		case err != nil:
			return err
		}
	}
	o.log.add("they ended: %d with the 503, %d with a CircuitOpenError", len(errs)-rejected, rejected)
	return nil
}

// call makes one call, and returns an error if the answer is not the expected one.
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

func (o *outage) probeInVain(ctx context.Context) error {
	return o.callUntilProbe(ctx, http.StatusServiceUnavailable)
}

func (o *outage) probeWithSuccess(ctx context.Context) error {
	if err := o.callUntilProbe(ctx, http.StatusOK); err != nil {
		return err
	}
	if err := o.call(ctx, http.StatusOK); err != nil {
		return err
	}
	o.log.add("a call got 200: business as usual")
	return nil
}

func (o *outage) repair(context.Context) error {
	o.service.repaired.Store(true)
	o.log.add("the service is repaired")
	return nil
}

// callUntilProbe calls again and again, as users do, until a call is not rejected but sent.
func (o *outage) callUntilProbe(ctx context.Context, want int) error {
	for rejected := 0; ctx.Err() == nil; rejected++ {
		before := o.service.seen()
		err := o.call(ctx, want)
		sent := o.service.seen() - before

		var open *steadyhttp.CircuitOpenError
		if !errors.As(err, &open) {
			return errors.Join(err, o.probed(rejected, sent))
		}
		if rejected == 0 {
			o.log.add("CircuitOpenError for %s, retry in %s", open.Origin, readable(time.Until(open.RetryAt)))
		}
		if err := expect("requests sent by a rejected call", sent, 0); err != nil {
			return err
		}
		time.Sleep(interval)
	}
	return ctx.Err()
}

func (o *outage) probed(rejected, sent int) error {
	o.rejected += rejected
	o.log.add("%s rejected; the next one was sent, as a probe", count(rejected, "call"))
	return expect("requests sent by the probe", sent, 1)
}

// check allows for a machine so slow that a resend comes late enough to be a probe.
func (o *outage) check(context.Context) error {
	const closed, halfOpen, open = steadyhttp.BreakerClosed, steadyhttp.BreakerHalfOpen, steadyhttp.BreakerOpen
	o.mu.Lock()
	defer o.mu.Unlock()
	last := len(o.changes) - 1
	switch {
	case last < 0 || o.changes[0] != change{closed, open} || o.changes[last] != change{halfOpen, closed}:
		return fmt.Errorf("the breaker went %v, claimed was that it opens first and closes last", o.changes)
	case !slices.Contains(o.changes, change{halfOpen, open}):
		return fmt.Errorf("the breaker went %v, claimed was that a failed probe opens it again", o.changes)
	case o.rejected == 0:
		return errors.New("the open breaker rejected no call")
	default:
		return nil
	}
}
