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
	id         uint64
	method     string
	keyed      bool          // with an Idempotency-Key
	marked     bool          // as idempotent, by its context
	streamed   bool          // without GetBody
	body       []byte        // nil: none
	timeout    time.Duration // of the caller
	noDeadline bool          // whether the timeout is no deadline, but only ends the reading of a response that stalls
	canceled   bool          // by the caller, before the timeout
	unread     bool          // whether the caller does not read the response's body
}

var methods = []weighted[string]{
	{30, http.MethodGet}, {30, http.MethodPost}, {10, http.MethodPut}, {10, http.MethodPatch}, {10, http.MethodDelete},
	{5, http.MethodHead}, {5, http.MethodOptions},
}

func randomOrder(r random, id uint64) order {
	o := order{
		id: id, method: choose(r, methods), keyed: r.percent(10), marked: r.percent(5), streamed: r.percent(20),
		timeout: r.duration(500*time.Millisecond, 8*time.Second), noDeadline: r.percent(30), canceled: r.percent(3), unread: r.percent(5),
	}
	if o.method == http.MethodPost || o.method == http.MethodPatch || o.method == http.MethodPut {
		o.body = r.content(r.size())
	}
	return o
}

// unsafe reports whether the order must not be processed twice.
func (o order) unsafe() bool {
	return (o.method == http.MethodPost || o.method == http.MethodPatch) && !o.keyed && !o.marked
}

// newRequest makes the order's request. Each of its bodies is counted until it is closed, but not those that GetBody
// makes for HTTP/2: net/http itself calls GetBody, and does not close that body if it then finds no other connection
// (http2shouldRetryRequest).
func (o order) newRequest(ctx context.Context, major int, bodies *atomic.Int64) (*http.Request, error) {
	if o.marked {
		ctx = steadyhttp.Idempotent(ctx)
	}
	request, err := http.NewRequestWithContext(ctx, o.method, "/", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(orderHeader, strconv.FormatUint(o.id, 10))
	request.Header.Set(checksumHeader, checksum(o.body))
	if o.keyed {
		request.Header.Set("Idempotency-Key", strconv.FormatUint(o.id, 10))
	}
	if len(o.body) == 0 {
		return request, nil
	}
	request.ContentLength = int64(len(o.body))
	request.Body = o.newBody(bodies)
	if o.streamed {
		return request, nil
	}
	request.GetBody = func() (io.ReadCloser, error) {
		if major == 2 {
			return io.NopCloser(bytes.NewReader(o.body)), nil
		}
		return o.newBody(bodies), nil
	}
	return request, nil
}

func (o order) newBody(open *atomic.Int64) io.ReadCloser {
	open.Add(1)
	return &countedBody{Reader: bytes.NewReader(o.body), open: open}
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

// A caller sends one order after another, and checks the result of each.
type caller struct {
	*soakRun
	progress
	random random
	sent   uint64
}

// run calls until the end, and longer if there are too few whole responses.
func (c *caller) run(end time.Time) {
	defer c.done.Store(true)
	c.label()
	for c.goesOn(end) {
		client := c.clients[c.random.IntN(len(c.clients))]
		o := randomOrder(c.random, c.nextID())
		if client.keys {
			o.keyed = true
		}
		c.counters.add("orders")
		c.progress.call.Store(&runningCall{order: o, client: client, limit: o.timeout + c.tolerance})
		c.call(client, o)
		c.progress.call.Store(nil)
		time.Sleep(c.random.duration(0, 100*time.Millisecond))
	}
}

func (c *caller) goesOn(end time.Time) bool {
	left := time.Until(end)
	if c.counters.get("body: whole") < c.minResponses {
		left += machineTime
	}
	return left > 0 && c.ctx.Err() == nil
}

// nextID is the same in each run with the same seed, and so is what the backend does with the order.
func (c *caller) nextID() uint64 {
	c.sent++
	return uint64(c.number)*1_000_000_000 + c.sent
}

// call sends an order, and checks its result.
func (c *caller) call(client *client, o order) {
	c.orderLog.open(o.id, o.unsafe())
	ctx, report := steadyhttp.WithReport(c.ctx)
	if !o.noDeadline {
		bounded, cancel := context.WithTimeout(ctx, o.timeout)
		defer cancel()
		ctx = bounded
		if o.canceled {
			defer time.AfterFunc(o.timeout/4, cancel).Stop()
		}
	}
	request, err := o.newRequest(ctx, client.major, &c.bodies)
	if err != nil {
		c.violations.add("no request for order %d: %v", o.id, err)
		return
	}
	request.URL = &client.url
	response, err := client.transport.RoundTrip(request)
	k := checker{caller: c, client: client, order: o, ctx: ctx, report: report}
	k.checkContract(response, err)
	k.checkAttempts(response)
	if response != nil {
		k.checkResponse(response)
	}
	if err != nil {
		k.checkError(err)
	}
	k.checkProcessed(response, err)
}

// A checker checks the result of one order.
type checker struct {
	*caller
	client *client
	order
	ctx    context.Context
	report *steadyhttp.Report
	closed atomic.Bool // whether the caller closed the response while it was reading it
}

func (k *checker) checkContract(response *http.Response, err error) {
	if (response == nil) == (err == nil) {
		k.violations.add("order %d has response %v and error %v", k.id, response, err)
	}
}

// checkAttempts checks the report: an unsafe order may have been retried only if it certainly was not processed.
func (k *checker) checkAttempts(response *http.Response) {
	made := k.report.Attempts
	if len(made) > maxAttempts {
		k.violations.add("order %d was sent %d times", k.id, len(made))
	}
	if response != nil && steadyhttp.Attempts(response) != len(made) {
		k.violations.add("order %d: the response has %d attempts, the report %d", k.id, steadyhttp.Attempts(response), len(made))
	}
	k.counters.add("stopped: " + k.report.Stopped.String())
	for i, attempt := range made {
		k.counters.add("attempt: " + attempt.Class.String())
		last := i == len(made)-1
		if !last && k.unsafe() && attempt.Class != steadyhttp.Unprocessed && attempt.Class != steadyhttp.Throttled {
			k.violations.add("unsafe order %d was retried after %v: %d %v", k.id, attempt.Class, attempt.StatusCode, attempt.Err)
		}
		if !last && attempt.Wait <= 0 {
			k.violations.add("order %d was retried without a wait", k.id)
		}
	}
}

// checkResponse checks the response, and closes it.
func (k *checker) checkResponse(response *http.Response) {
	defer func() { _ = response.Body.Close() }()
	if k.noDeadline {
		defer time.AfterFunc(k.timeout, func() {
			k.closed.Store(true)
			_ = response.Body.Close()
		}).Stop()
	}
	k.counters.add("status: " + strconv.Itoa(response.StatusCode))
	if got := response.Header.Get(orderHeader); got != strconv.FormatUint(k.id, 10) {
		k.violations.add("order %d got the response to order %s", k.id, got)
	}
	if k.unread {
		return
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		k.checkReadError(err)
		return
	}
	if response.StatusCode == http.StatusOK {
		k.counters.add("body: whole")
	}
	if k.method != http.MethodHead && checksum(content) != response.Header.Get(checksumHeader) {
		k.violations.add("order %d got another body, or a part of its own: %d bytes", k.id, len(content))
	}
}

// checkReadError checks that it was not the client that ended a body for which the caller was still waiting.
func (k *checker) checkReadError(err error) {
	k.counters.add("body: cut off")
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if ended && k.ctx.Err() == nil && !k.closed.Load() && !k.client.timeout {
		k.violations.add("order %d: its client ended the response's body: %v", k.id, err)
	}
}

// checkError counts the error, and checks that the reported reason agrees with it.
func (k *checker) checkError(err error) {
	if stopped := k.report.Stopped; stopped != steadyhttp.StopCircuitOpen && errors.Is(err, steadyhttp.ErrCircuitOpen) {
		k.violations.add("order %d: stopped for %v with %v", k.id, stopped, err)
	}
	switch {
	case errors.Is(err, steadyhttp.ErrCircuitOpen):
		k.counters.add("error: circuit open")
	case errors.Is(err, context.Canceled):
		k.counters.add("error: canceled")
	case errors.Is(err, steadyhttp.ErrAttemptTimeout):
		k.counters.add("error: attempt timeout")
	case errors.Is(err, context.DeadlineExceeded):
		k.counters.add("error: deadline")
	default:
		k.counters.add("error: other")
	}
}

// checkProcessed ends the order. If it succeeded it was processed; if it was rejected it was not.
func (k *checker) checkProcessed(response *http.Response, err error) {
	processed := k.orderLog.end(k.id)
	if response != nil && response.StatusCode == http.StatusOK && processed == 0 {
		k.violations.add("order %d succeeded, but was never processed", k.id)
	}
	if err != nil && k.report.Stopped == steadyhttp.StopCircuitOpen && len(k.report.Attempts) == 0 && processed > 0 {
		k.violations.add("order %d was rejected by an open breaker, but was processed", k.id)
	}
}
