package steadyhttp

import (
	"net/http"
	"time"
)

// A call is one RoundTrip under way. Nobody keeps a pointer to it: it goes back to a pool.
//
// There are three requests, each made of the one before it. caller is what the user gave us, and what
// responses, events and errors show. request is bounded by [WithTimeout], and has the body and the
// headers that options add; what ends the call is looked up in it. attempt.request is what is sent.
type call struct {
	transport *Transport

	caller  *http.Request // never modified
	request *http.Request // never modified
	origin  *origin
	policy  *policy
	base    *baseInfo    // of the base transport; known where the attempt is sent
	options *callOptions // what the context says; never written to
	invalid error        // what is wrong with its [Override]; nil: nothing
	timed   bool         // whether anyone wants to know how long a success takes
	attempt attempt
	*kept

	next       sender        // the rest of the chain, for one attempt
	backoff    Backoff       // nil before the first retry
	wait       time.Duration // before the next attempt
	waited     bool
	ticket     pauseTicket
	paid       bool          // whether the next attempt cost a token of the budget,
	promised   bool          // and comes when the server said
	upcoming   *http.Request // of the next attempt; nil if there is none
	permit     permit        // the breaker's, for an attempt whose outcome is deferred,
	refunds    bool          // and whether its success gives back what it cost the budget
	resumable  *resumableBody
	resuming   bool  // whether the call goes on for a body that broke
	offset     int64 // of where it broke
	renewed    int   // the last attempt that brought some of it
	lastStatus int   // of the last response seen
	reported   []int // the last attempt's index in each reporter; empty unless timed
	finished   bool
}

// kept is what a call leaves to the next one that has its place in the pool. Apart from the call it need not be copied
// when that is cleared.
type kept struct {
	timer       waitTimer
	exponential Backoff // the waits of the last call that waited; nil: none, or the user's
	last        *origin // where the last call went; nil: this is the first
}

// retrying is the layer that retries. It has the one loop of the package.
func retrying(next sender) sender {
	return func(c *call) {
		c.next = next
		c.run()
	}
}

func (c *call) run() {
	if err := c.prepare(); err != nil {
		c.refuse(err)
		return
	}
	c.attempt.number = 1
	c.try(result{})
	c.finish(c.retry())
}

// retry makes further attempts until there is a reason to stop.
func (c *call) retry() StopReason {
	for {
		if reason := c.stopReason(); reason != 0 {
			return reason
		}
		c.drainAndWait()
		if reason := c.interrupted(); reason != 0 {
			return reason
		}
		before := c.attempt.result()
		c.nextAttempt()
		c.try(before)
	}
}

// nextAttempt makes an attempt of the request that was prepared for it.
func (c *call) nextAttempt() {
	number := c.attempt.number + 1
	c.attempt = attempt{number: number, request: c.upcoming, unsent: true}
	c.upcoming = nil
	c.attempt.request.Header = c.policy.headerOf(&c.attempt)
}

// release closes what the call holds when one of the user's functions panics or exits.
func (c *call) release() {
	if c.finished {
		return
	}
	c.giveBack()
	closeBody(c.attempt.response)
	c.closeUnsent()
}

// giveBack gives back what the call holds of its origin: a place in the queue of a pause that is not taken, and what a
// retry cost that was not made.
func (c *call) giveBack() {
	if c.ticket.reserved != nil {
		c.origin.pause.cancel(c)
	}
	if c.paid && (c.upcoming != nil || c.attempt.unsent) {
		c.origin.budget.refund()
	}
}

// closeUnsent closes the bodies that were made or given for an attempt and not handed on to the base.
func (c *call) closeUnsent() {
	if c.attempt.unsent {
		closeRequest(c.attempt.request)
	}
	if c.upcoming != nil {
		closeRequest(c.upcoming)
	}
}

// prepare makes the first attempt's request. It is the caller's own unless an option asks for more.
func (c *call) prepare() error {
	c.attempt.request, c.attempt.unsent = c.request, true
	if err := c.check(); err != nil {
		return err
	}
	if c.options.attempt != 0 {
		c.leaveOuterCall()
	}
	c.timed = c.isWatched()
	if c.policy.idempotencyKeys {
		c.request = withIdempotencyKey(c.request)
	}
	var err error
	if c.policy.replayBuffer > 0 && !c.isRejected() { // a rejected call must not wait for its body
		c.request, err = withReplayBuffer(c.request, c.policy.replayBuffer)
	}
	c.attempt.request = c.request
	return err
}

// isRejected reports whether the breaker, or a pause, would reject the call's first attempt now.
func (c *call) isRejected() bool { return c.origin.breaker.openFor(0) || c.origin.pause.refuses(c) }

// check looks at what is wrong before anything is sent.
func (c *call) check() error {
	if c.invalid != nil {
		return c.invalid
	}
	return checkURL(c.request.URL)
}

// leaveOuterCall: this call is made within an attempt of another one, whose number it must not take for its own.
func (c *call) leaveOuterCall() {
	own := c.options.forAttempt(0)
	c.caller, c.request = own.requestOf(c.caller), own.requestOf(c.request)
}

// isWatched reports whether somebody wants to know how long attempts take.
func (c *call) isWatched() bool { return c.policy.observe != nil || len(c.options.reporters) > 0 }

// refuse ends a call of which nothing was sent. Every error of prepare is the request's own fault.
func (c *call) refuse(err error) {
	c.attempt.err, c.attempt.class = err, Permanent
	reason := StopNotRetryable
	if why := callerErr(c.request); why != nil {
		c.attempt.class = classifyContext(c.request)
		reason = stopReasonOf(why)
	}
	c.finish(reason)
}

// try makes one attempt, after the one that had this result.
func (c *call) try(before result) {
	c.next(c)
	if c.attempt.rejected != 0 {
		c.undoRejected(before)
		return
	}
	c.settleBudget()
	c.origin.suspect(&c.attempt)
	if c.attempt.response != nil {
		c.lastStatus = c.attempt.status
		if c.policy.followsBodies() {
			c.followBody()
		}
	}
	if c.timed {
		c.reportAttempt()
	}
}

// settleBudget earns for a success. It gives back what a retry cost that waited as it was told and was let in: it
// was no burden for the server. It gives back what a retry cost that succeeded as quickly as usual: where a part of
// the origin is broken, retries help and pay for more of them, and where it is overloaded, none is quick.
func (c *call) settleBudget() {
	a := &c.attempt
	if a.health == healthy && a.class != NotReady {
		rest := c.resuming && a.status == http.StatusPartialContent // of a body: nothing is sent twice
		c.refunds = c.paid && !c.promised && (rest || c.isQuick())
		if !a.deferred {
			c.earn()
		}
		if a.measured && c.origin.pace.due(a.start) {
			c.origin.pace.sample(a.start, a.took())
		}
	}
	if c.promised && (a.health == healthy || a.class == Throttled) {
		c.origin.budget.settle(a.letIn())
	}
	c.paid, c.promised = false, false
}

// isQuick reports whether a retry, which is always measured, succeeded as quickly as is usual, and is to be rewarded
// for it.
func (c *call) isQuick() bool {
	return c.origin.budget.rewards() && c.origin.pace.isQuick(c.attempt.took())
}

// earn counts a success in the budget.
func (c *call) earn() {
	c.origin.budget.earn(c.attempt.end)
	if c.refunds {
		c.origin.budget.refund()
	}
}

// undoRejected takes back an attempt that was rejected, by the breaker or by a pause. The outcome of the attempt before it still
// stands, since the server may have acted on that one. A caller who has given up gets that error, and not
// one about a breaker.
func (c *call) undoRejected(before result) {
	a := &c.attempt
	a.number, a.status = before.number, before.status
	if why := callerErr(c.request); why != nil {
		a.rejected, a.class = 0, classifyContext(c.request)
		a.err = &interruptedError{cause: causeOf(c.request, why), ctxErr: why, last: before.err}
		return
	}
	if a.number > 0 {
		a.class = before.class
		a.err = &interruptedError{cause: a.err, last: before.err}
	}
}

// reportAttempt tells reports and observers of an attempt.
func (c *call) reportAttempt() {
	a := &c.attempt
	c.reported = c.reported[:0]
	for _, r := range c.options.reporters {
		c.reported = append(c.reported, r.add(Attempt{
			Start: a.started, Duration: a.took(), StatusCode: a.status, Err: a.err, Class: a.class, Resends: a.resends(), Held: a.held,
		}))
	}
	c.observe(Event{Kind: EventAttempt, Duration: a.took(), Resends: a.resends(), Held: a.held, Shadow: a.shadowed})
}

// reportEnd tells reports and observers that the call ends.
func (c *call) reportEnd(reason StopReason) {
	for _, r := range c.options.reporters {
		r.setStopped(reason)
	}
	c.observe(Event{Kind: EventEnd, Stopped: reason})
}

// observe fills in what all events of a call have.
func (c *call) observe(event Event) {
	if c.policy.observe == nil {
		return
	}
	a := &c.attempt
	event.Request, event.Origin, event.Attempt = c.caller, c.origin.name, a.number
	event.Class, event.StatusCode, event.Err = a.class, a.status, a.err
	c.policy.observe(c.caller.Context(), event)
}

// stopReason says why there is no further attempt, or 0. It checks everything that could make the wait
// useless, because after the wait the response is gone.
func (c *call) stopReason() StopReason {
	a := &c.attempt
	switch {
	case a.class == Success && a.response != nil:
		return StopSuccess
	case a.rejected != 0:
		return a.rejected
	case a.class == Canceled:
		return StopCanceled
	case !a.retryable():
		return StopNotRetryable
	case declined(a.response):
		return StopServerDeclined
	case callerErr(c.request) != nil:
		return stopReasonOf(callerErr(c.request))
	case c.options.noRetry:
		return StopNoRetry
	case a.number-c.renewed >= c.policy.maxAttempts:
		return StopMaxAttempts
	case a.class == Transient && !c.idempotent():
		return StopNotIdempotent
	case !replayable(a.request):
		return StopBodyNotReplayable
	default:
		return c.plan()
	}
}

func (c *call) idempotent() bool {
	return c.policy.retryNonIdempotent || c.options.idempotent || idempotent(c.request)
}

// plan fixes the wait and the next attempt's request. It asks the budget last, so that no retry is paid
// for that is not made. It asks the breaker about the wait as it was before a timeout stretched it:
// otherwise callers held back by timeouts would all arrive together after the breaker closes.
func (c *call) plan() StopReason {
	if c.attempt.retryAfter > c.policy.maxRetryAfter {
		return StopRetryAfterTooLong
	}
	if c.backoff == nil {
		c.backoff = c.policy.backoff.start(&c.exponential)
	}
	wait, ok := c.policy.backoff.next(c.backoff, c.attempt.retryAfter)
	if !ok {
		return StopMaxAttempts
	}
	if c.origin.breaker.openFor(wait) {
		return StopCircuitOpen
	}
	if c.origin.breaker.suspendsRetries(c.policy.maxAttempts) {
		return StopRetriesSuspended
	}
	c.wait = c.policy.backoff.stretchAfterTimeout(wait, c.attempt.timeoutAfter())
	if !c.leavesTime(c.wait) {
		c.wait = wait // rather soon than never
	}
	if !c.leavesTime(c.wait) {
		return StopDeadline
	}
	return c.nextRequest()
}

// leavesTime reports whether the call's deadline is later than the wait.
func (c *call) leavesTime(wait time.Duration) bool {
	deadline, ok := c.request.Context().Deadline()
	return !ok || time.Until(deadline) > c.timeToWait(wait)
}

// nextRequest makes the next attempt's request, while the response is still there to be returned.
func (c *call) nextRequest() StopReason {
	next := c.options.forAttempt(c.attempt.number + 1).requestOf(c.request)
	if err := replayBody(next, c.request); err != nil {
		return StopBodyNotReplayable
	}
	c.upcoming = next // which is closed whatever comes
	switch {
	case !c.origin.pause.reserve(c):
		return StopPaused
	case !c.pay():
		return StopBudgetExhausted
	default:
		return 0
	}
}

// pay spends the budget's price of a retry. One that waits as it was told has it back if it is let in, and does
// not pay at all where a pause bounds the load.
func (c *call) pay() bool {
	told := c.attempt.class == Throttled && c.attempt.retryAfter > 0
	if told && c.ticket.reserved != nil {
		return true
	}
	c.paid, c.promised = c.origin.budget.spend(c.attempt.end), told
	return c.paid
}

// retryEvent says what the wait is for.
func (c *call) retryEvent() Event {
	if c.attempt.broken {
		return Event{Kind: EventResume, Offset: c.offset, Wait: c.wait}
	}
	return Event{Kind: EventRetry, Wait: c.wait}
}

// timeToWait is how long a wait may take. Draining the response is part of the wait, but it may take longer
// than a short one.
func (c *call) timeToWait(wait time.Duration) time.Duration {
	if c.attempt.response == nil {
		return wait
	}
	return max(wait, drainTime)
}

// drainAndWait drains the response and waits, unless the caller gives up.
func (c *call) drainAndWait() {
	c.observe(c.retryEvent())
	c.waited = true
	start := time.Now()
	if response := c.attempt.response; response != nil {
		c.attempt.response = nil
		c.discard(response.Body)
	}
	c.sleep(c.request, c.wait-time.Since(start))
	for i, index := range c.reported {
		c.options.reporters[i].setWait(index, time.Since(start))
	}
}

// finish ends the call with the last outcome. A response is never dropped for an error.
func (c *call) finish(reason StopReason) {
	if c.isWatched() {
		c.reportEnd(reason)
	}
	switch {
	case c.attempt.response != nil:
		c.annotateResponse(reason)
	case c.shouldWrap(reason):
		c.attempt.err = c.failure(reason)
	}
	c.conclude()
}

// conclude closes and gives back what is left once the last attempt is over.
func (c *call) conclude() {
	c.closeUnsent()
	c.giveBack()
	c.finished = true
}

// sendsAsGiven reports whether what an attempt sends differs from the caller's request by the attempt's number alone.
func (c *call) sendsAsGiven() bool {
	return c.request == c.caller && !hasBody(c.request) && c.policy.attemptHeader == ""
}

// annotateResponse puts the number of attempts where [Attempts] finds it, and class and reason where
// [CheckResponse] does, unless all is as those expect of a first attempt, or the retry's own request says it.
func (c *call) annotateResponse(reason StopReason) {
	a := &c.attempt
	said := 1
	a.response.Request = c.caller
	if a.number > 1 && c.sendsAsGiven() {
		a.response.Request, said = a.request, a.number
	}
	overruled := a.class
	if overruled == classifyStatus(a.status) {
		overruled = Unclassified
	}
	expected := a.number == said && overruled == Unclassified && reason == impliedStop(a.class)
	if !expected || c.resumable != nil {
		c.noteOutcome(overruled, reason)
	}
}

func (c *call) noteOutcome(overruled Class, reason StopReason) {
	a := &c.attempt
	note := *c.options
	note.attempt, note.class, note.stopped, note.retryAfter = a.number, overruled, reason, a.retryAfter
	note.resumed = c.resumable
	if c.resumable != nil {
		a.response.Request = c.resumable.annotate(c, note)
		return
	}
	a.response.Request = note.requestOf(c.caller)
}

// interrupted says why the call has ended during its wait, or 0.
func (c *call) interrupted() StopReason {
	switch {
	case callerErr(c.request) != nil:
		return c.interrupt()
	case c.origin.breaker.suspendsRetries(c.policy.maxAttempts):
		return c.suspend()
	default:
		return 0
	}
}

// suspend ends a call whose retry is not made, since retries were suspended during its wait. The response is gone,
// its status is not.
func (c *call) suspend() StopReason {
	c.attempt.err = &interruptedError{cause: errRetriesSuspended, last: c.attempt.err}
	return StopRetriesSuspended
}

// interrupt ends a call whose caller gave up during a wait. The response is gone, its status is not.
func (c *call) interrupt() StopReason {
	why := callerErr(c.request)
	reason := stopReasonOf(why)
	if reason == StopCanceled {
		c.attempt.class = Canceled
	}
	c.attempt.err = &interruptedError{cause: causeOf(c.request, why), ctxErr: why, last: c.attempt.err}
	return reason
}

// shouldWrap reports whether the error says more when it is wrapped. What the caller caused, and what is
// permanent, is returned as it is: http.Client looks for some errors by type assertion.
func (c *call) shouldWrap(reason StopReason) bool {
	switch {
	case c.attempt.class == Permanent, c.attempt.number == 0:
		return false
	case c.attempt.number > 1, c.waited:
		return true
	}
	switch reason {
	case StopBudgetExhausted, StopNotIdempotent, StopBodyNotReplayable, StopCircuitOpen, StopRetriesSuspended, StopPaused:
		return true
	case StopDeadline: // the caller's own deadline is no reason of ours, once it is over
		return callerErr(c.request) == nil || c.timedOut()
	default:
		return false
	}
}

func (c *call) failure(reason StopReason) *Error {
	return &Error{
		Method: methodOf(c.caller), URL: redact(c.caller.URL), Attempts: c.attempt.number,
		Class: c.attempt.class, StatusCode: c.lastStatus, Stopped: reason, Err: c.attempt.err,
	}
}
