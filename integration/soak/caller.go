package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// An order is what a caller sends, and how.
type order struct {
	id       uint64
	method   string
	keyed    bool          // with an Idempotency-Key
	marked   bool          // as idempotent, by its context
	streamed bool          // without GetBody
	content  []byte        // nil: no body
	patience time.Duration // the caller's
	trusting bool          // whether the caller has no deadline, and loses patience only with an answer that stalls
	leaves   bool          // whether the caller gives up sooner
	ignores  bool          // whether the caller does not read the answer
}

var methods = []weighted[string]{
	{30, http.MethodGet}, {30, http.MethodPost}, {10, http.MethodPut}, {10, http.MethodPatch}, {10, http.MethodDelete},
	{5, http.MethodHead}, {5, http.MethodOptions},
}

func drawOrder(d draw, id uint64) order {
	o := order{
		id: id, method: oneOf(d, methods), keyed: d.percent(10), marked: d.percent(5), streamed: d.percent(20),
		patience: d.between(500*time.Millisecond, 8*time.Second), trusting: d.percent(30), leaves: d.percent(3), ignores: d.percent(5),
	}
	if o.method == http.MethodPost || o.method == http.MethodPatch || o.method == http.MethodPut {
		o.content = d.noise(d.size())
	}
	return o
}

// unsafe reports whether the order must not be processed twice.
func (o order) unsafe() bool {
	return (o.method == http.MethodPost || o.method == http.MethodPatch) && !o.keyed && !o.marked
}

// request makes the order's request. Each of its bodies is counted until it is closed, but not those for an HTTP/2
// resend: net/http forgets to close one that it opened itself, when it then finds no other connection
// (http2shouldRetryRequest).
func (o order) request(ctx context.Context, major int, bodies *atomic.Int64) (*http.Request, error) {
	if o.marked {
		ctx = steadyhttp.Idempotent(ctx)
	}
	request, err := http.NewRequestWithContext(ctx, o.method, "/", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(orderHeader, strconv.FormatUint(o.id, 10))
	request.Header.Set(checksumHeader, checksum(o.content))
	if o.keyed {
		request.Header.Set("Idempotency-Key", strconv.FormatUint(o.id, 10))
	}
	if len(o.content) == 0 {
		return request, nil
	}
	request.ContentLength = int64(len(o.content))
	request.Body = o.body(bodies)
	if o.streamed {
		return request, nil
	}
	request.GetBody = func() (io.ReadCloser, error) {
		if major == 2 {
			return io.NopCloser(bytes.NewReader(o.content)), nil
		}
		return o.body(bodies), nil
	}
	return request, nil
}

func (o order) body(open *atomic.Int64) io.ReadCloser {
	open.Add(1)
	return &countedBody{Reader: bytes.NewReader(o.content), open: open}
}

// A countedBody is counted until it is closed.
type countedBody struct {
	io.Reader
	closed atomic.Bool
	open   *atomic.Int64
}

func (b *countedBody) Close() error {
	if !b.closed.Swap(true) {
		b.open.Add(-1)
	}
	return nil
}

// A caller sends orders, one after the other, and checks what they come to.
type caller struct {
	*field
	whereabouts
	draw draw
	sent uint64
}

// run calls until the end, and for some time after it if there were too few good answers.
func (c *caller) run(end time.Time) {
	defer c.gone.Store(true)
	c.label()
	for c.goesOn(end) {
		client := c.clients[c.draw.IntN(len(c.clients))]
		o := drawOrder(c.draw, c.nextID())
		if client.keys { // it is made safe
			o.keyed = true
		}
		c.tally.count("orders")
		c.errand.Store(&errand{order: o, client: client, limit: o.patience + c.slack})
		c.call(client, o)
		c.errand.Store(nil)
		time.Sleep(c.draw.between(0, 100*time.Millisecond))
	}
}

func (c *caller) goesOn(end time.Time) bool {
	left := time.Until(end)
	if c.tally.of("body: whole") < c.answers {
		left += patience
	}
	return left > 0 && c.ctx.Err() == nil
}

// nextID is the same in each run, whatever the others do, and so is what the shop does with it.
func (c *caller) nextID() uint64 {
	c.sent++
	return uint64(c.number)*1_000_000_000 + c.sent
}

// call sends an order, and settles it.
func (c *caller) call(client *client, o order) {
	c.ledger.open(o.id, o.unsafe())
	ctx, report := steadyhttp.WithReport(c.ctx)
	if !o.trusting {
		bounded, cancel := context.WithTimeout(ctx, o.patience)
		defer cancel()
		ctx = bounded
		if o.leaves {
			defer time.AfterFunc(o.patience/4, cancel).Stop()
		}
	}
	request, err := o.request(ctx, client.major, &c.bodies)
	if err != nil {
		c.faults.add("order %d cannot be made: %v", o.id, err)
		return
	}
	request.URL = &client.url
	response, err := client.transport.RoundTrip(request)
	check := verdict{caller: c, client: client, order: o, ctx: ctx, report: report}
	check.contract(response, err)
	check.attempts(response)
	if response != nil {
		check.answer(response)
	}
	if err != nil {
		check.failure(err)
	}
	check.settle(response, err)
}

// A verdict checks what one order came to.
type verdict struct {
	*caller
	client *client
	order
	ctx    context.Context
	report *steadyhttp.Report
	hungUp atomic.Bool // whether the caller closed an answer that it was reading
}

func (v *verdict) contract(response *http.Response, err error) {
	if (response == nil) == (err == nil) {
		v.faults.add("order %d came to response %v and error %v", v.id, response, err)
	}
}

// attempts checks the report: of an unsafe order, only what surely was not processed may have been sent again.
func (v *verdict) attempts(response *http.Response) {
	made := v.report.Attempts
	if len(made) > maxAttempts {
		v.faults.add("order %d was sent %d times", v.id, len(made))
	}
	if response != nil && steadyhttp.Attempts(response) != len(made) {
		v.faults.add("order %d: the response tells of %d attempts, the report of %d", v.id, steadyhttp.Attempts(response), len(made))
	}
	v.tally.count("stopped: " + v.report.Stopped.String())
	for i, attempt := range made {
		v.tally.count("attempt: " + attempt.Class.String())
		last := i == len(made)-1
		if !last && v.unsafe() && attempt.Class != steadyhttp.Unprocessed && attempt.Class != steadyhttp.Throttled {
			v.faults.add("unsafe order %d was sent again after %v: %d %v", v.id, attempt.Class, attempt.StatusCode, attempt.Err)
		}
		if !last && attempt.Wait <= 0 {
			v.faults.add("order %d was sent again without a wait", v.id)
		}
	}
}

// answer checks the response, and closes it.
func (v *verdict) answer(response *http.Response) {
	defer func() { _ = response.Body.Close() }()
	if v.trusting {
		defer time.AfterFunc(v.patience, func() {
			v.hungUp.Store(true)
			_ = response.Body.Close()
		}).Stop()
	}
	v.tally.count("status: " + strconv.Itoa(response.StatusCode))
	if came := response.Header.Get(orderHeader); came != strconv.FormatUint(v.id, 10) {
		v.faults.add("order %d got the answer to order %s", v.id, came)
	}
	if v.ignores {
		return
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		v.cutOff(err)
		return
	}
	if response.StatusCode == http.StatusOK {
		v.tally.count("body: whole")
	}
	if v.method != http.MethodHead && checksum(content) != response.Header.Get(checksumHeader) {
		v.faults.add("order %d got a foreign body, or not all of its own: %d bytes", v.id, len(content))
	}
}

// cutOff checks that it was not the client that cut a body off, on which the caller was still waiting.
func (v *verdict) cutOff(err error) {
	v.tally.count("body: cut off")
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if ended && v.ctx.Err() == nil && !v.hungUp.Load() && !v.client.timeout {
		v.faults.add("order %d: its client cut the answer off: %v", v.id, err)
	}
}

// failure counts what kind of error it is, and checks that it tells the truth.
func (v *verdict) failure(err error) {
	if stopped := v.report.Stopped; stopped != steadyhttp.StopCircuitOpen && errors.Is(err, steadyhttp.ErrCircuitOpen) {
		v.faults.add("order %d: stopped for %v with %v", v.id, stopped, err)
	}
	switch {
	case errors.Is(err, steadyhttp.ErrCircuitOpen):
		v.tally.count("error: circuit open")
	case errors.Is(err, context.Canceled):
		v.tally.count("error: cancelled")
	case errors.Is(err, steadyhttp.ErrAttemptTimeout):
		v.tally.count("error: attempt timeout")
	case errors.Is(err, context.DeadlineExceeded):
		v.tally.count("error: deadline")
	default:
		v.tally.count("error: other")
	}
}

// settle ends the order. One that was answered was processed.
func (v *verdict) settle(response *http.Response, err error) {
	processed := v.ledger.settle(v.id)
	if response != nil && response.StatusCode == http.StatusOK && processed == 0 {
		v.faults.add("order %d was answered, and never processed", v.id)
	}
	if err != nil && v.report.Stopped == steadyhttp.StopCircuitOpen && len(v.report.Attempts) == 0 && processed > 0 {
		v.faults.add("order %d was rejected by an open breaker, and processed", v.id)
	}
}
