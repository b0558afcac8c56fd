package steadyhttp

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// retrying is the layer that sends again. It has the one loop of the package.
func retrying(policy *policy) layer {
	return func(next sender) sender {
		return func(x *exchange) {
			c := call{exchange: x, directives: directivesOf(x.original.Context()), policy: policy, next: next}
			c.run()
		}
	}
}

// A call is one RoundTrip under way.
type call struct {
	*exchange
	*directives
	policy *policy
	next   sender

	lastStatus int             // of the last response seen
	asked      time.Duration   // by the last response's Retry-After
	backoff    backoff.BackOff // nil before the first retry
	wait       time.Duration   // before the next attempt
	waited     bool
	places     []int // of the last attempt in each report
	finished   bool
}

func (c *call) run() {
	defer c.release()
	if err := c.prepare(); err != nil {
		c.refuse(err)
		return
	}
	for {
		c.try()
		if reason := c.decide(); reason != 0 {
			c.finish(reason)
			return
		}
		if c.pause(); ended(c.original) != nil {
			c.interrupt()
			return
		}
	}
}

// release closes what the call holds when one of the user's functions panics or exits.
func (c *call) release() {
	if c.finished {
		return
	}
	closeBody(c.response)
	if c.unsent {
		closeRequest(c.request)
	}
}

// prepare makes of the caller's request the one that is sent. It is the same one unless an option asks
// for more.
func (c *call) prepare() (err error) {
	c.unsent = true
	if err := checkURL(c.request.URL); err != nil {
		return err
	}
	if c.sent != 0 { // of another call, which this one is made within
		c.original = c.original.WithContext(c.marked(c.original.Context(), 0, Unclassified))
		c.request = c.original
	}
	c.timed = c.policy.observe != nil || len(c.reporters) > 0
	if c.policy.idempotencyKeys {
		c.request = withIdempotencyKey(c.request)
	}
	if c.policy.replayBuffer > 0 && !c.origin.breaker.openFor(0) { // a call that is rejected must not wait for its body
		c.request, err = withReplayBuffer(c.request, c.policy.replayBuffer)
	}
	return err
}

// refuse ends a call of which nothing was sent.
func (c *call) refuse(err error) {
	c.err, c.class = err, classify(c.original, nil, err, bodyFailed)
	reason := StopNotRetryable
	if why := ended(c.original); why != nil {
		reason = reasonFor(why)
	}
	c.finish(reason)
}

// try sends the request once.
func (c *call) try() {
	before := c.outcome
	c.outcome = outcome{}
	c.attempt++
	c.next(c.exchange)
	if c.rejected {
		c.recall(before)
		return
	}
	if c.verdict == healthy {
		c.origin.budget.earn(c.at)
	}
	if c.response != nil {
		c.lastStatus = c.status
	}
	if c.timed {
		c.note()
	}
}

// recall counts a rejected attempt out again. What the ones before it came to still holds: the server
// may have acted on them. A caller who has given up is told so, and not that a breaker is open.
func (c *call) recall(before outcome) {
	c.attempt--
	c.status = before.status
	if why := ended(c.original); why != nil {
		c.rejected, c.class = false, classifyContext(c.original)
		c.err = &ending{why: causeOf(c.original, why), ended: why, last: before.err}
		return
	}
	if c.attempt > 0 {
		c.class = before.class
		c.err = &ending{why: c.err, last: before.err}
	}
}

// note tells reports and observer of an attempt.
func (c *call) note() {
	c.places = c.places[:0]
	for _, r := range c.reporters {
		c.places = append(c.places, r.add(Attempt{
			Start: c.began, Duration: c.took(), StatusCode: c.status, Err: c.err, Class: c.class,
		}))
	}
	c.observe(Event{Kind: EventAttempt, Duration: c.took()})
}

func (c *call) observe(event Event) {
	if c.policy.observe == nil {
		return
	}
	event.Request, event.Origin, event.Attempt = c.original, c.origin.name, c.attempt
	event.Class, event.StatusCode, event.Err = c.class, c.status, c.err
	c.policy.observe(c.original.Context(), event)
}

// decide says why there is to be no further attempt, or 0. Whatever could make the wait useless is
// looked at before it, because after it the response is gone.
func (c *call) decide() StopReason {
	switch {
	case c.class == Success && c.response != nil:
		return StopSuccess
	case c.rejected:
		return StopCircuitOpen
	case c.class == Canceled:
		return StopCanceled
	case !c.retryable():
		return StopNotRetryable
	case ended(c.original) != nil:
		return reasonFor(ended(c.original))
	case c.noRetry:
		return StopNoRetry
	case c.attempt >= c.policy.maxAttempts:
		return StopMaxAttempts
	case c.class == Transient && !c.mayRepeat():
		return StopNotIdempotent
	case !replayable(c.request):
		return StopBodyNotReplayable
	default:
		return c.plan()
	}
}

// retryable reports whether the outcome allows another attempt, and notes what the server asked for.
func (c *call) retryable() bool {
	if c.class != Transient && c.class != Unprocessed && c.class != Throttled {
		return false
	}
	asked, found := retryAfter(c.response, time.Now())
	c.asked = asked
	return found || c.class != Throttled
}

func (c *call) mayRepeat() bool {
	return c.policy.retryNonIdempotent || c.idempotent || idempotent(c.request)
}

// plan fixes the wait and the next attempt's request. The budget is asked last, so that it never pays
// for a retry that is not made. The breaker is asked about the wait as it was before a timeout lengthened
// it: who waits longer on an origin that hangs would be one of a second wave.
func (c *call) plan() StopReason {
	if c.asked > c.policy.maxRetryAfter {
		return StopRetryAfterTooLong
	}
	if c.backoff == nil {
		c.backoff = c.policy.backoff.start()
	}
	wait, ok := c.policy.backoff.next(c.backoff, c.asked)
	if !ok {
		return StopMaxAttempts
	}
	if c.origin.breaker.openFor(wait) {
		return StopCircuitOpen
	}
	if c.wait = c.policy.backoff.patiently(wait, c.silence()); !c.leavesTime(c.wait) {
		c.wait = wait // rather soon than never
	}
	if !c.leavesTime(c.wait) {
		return StopDeadline
	}
	return c.renew()
}

// leavesTime reports whether the caller's deadline is later than the wait.
func (c *call) leavesTime(wait time.Duration) bool {
	deadline, ok := c.request.Context().Deadline()
	return !ok || time.Until(deadline) > c.pauseFor(wait)
}

// renew makes the next attempt's request, while the response is still there to be returned.
func (c *call) renew() StopReason {
	request, err := again(c.marked(c.original.Context(), c.attempt+1, Unclassified), c.request)
	if err != nil {
		return StopBodyNotReplayable
	}
	if !c.origin.budget.spend(c.at) {
		closeRequest(request)
		return StopBudgetExhausted
	}
	c.request, c.unsent = request, true
	return 0
}

// pauseFor is how long a pause may take: letting go of the response is part of the wait, but may outlast
// a short one.
func (c *call) pauseFor(wait time.Duration) time.Duration {
	if c.response == nil {
		return wait
	}
	return max(wait, drainTime)
}

// pause lets go of the response and waits, unless the caller gives up.
func (c *call) pause() {
	c.observe(Event{Kind: EventRetry, Wait: c.wait})
	c.waited = true
	start := time.Now()
	if dropped := c.response; dropped != nil {
		c.response = nil
		discard(c.original, dropped.Body)
	}
	sleep(c.original, c.wait-time.Since(start))
	for i, place := range c.places {
		c.reporters[i].setWait(place, time.Since(start))
	}
}

// finish ends the call with the last outcome: a response is never dropped for an error.
func (c *call) finish(reason StopReason) {
	for _, r := range c.reporters {
		r.setStopped(reason)
	}
	if reason != StopSuccess {
		c.observe(Event{Kind: EventEnd, Stopped: reason})
	}
	switch {
	case c.response != nil:
		c.mark()
	case c.explains(reason):
		c.err = c.failure(reason)
	}
	if c.unsent {
		closeRequest(c.request)
	}
	c.finished = true
}

// mark writes the number of attempts where [Attempts] finds it, and the class where [CheckResponse] does,
// if they are not what those take for granted.
func (c *call) mark() {
	overruled := c.class
	if overruled == classifyStatus(c.status) {
		overruled = Unclassified
	}
	if c.attempt == 1 && overruled == Unclassified {
		return
	}
	c.response.Request = c.original.WithContext(c.marked(c.original.Context(), c.attempt, overruled))
}

// interrupt ends a call whose caller gave up during a wait. The response is gone, its status is not.
func (c *call) interrupt() {
	why := ended(c.original)
	reason := reasonFor(why)
	if reason == StopCanceled {
		c.class = Canceled
	}
	c.err = &ending{why: causeOf(c.original, why), ended: why, last: c.err}
	c.finish(reason)
}

// explains reports whether the error says more when it is wrapped. What the caller brought about, and
// what is permanent, is returned as it is: http.Client looks for some errors by type assertion.
func (c *call) explains(reason StopReason) bool {
	if c.class == Permanent {
		return false
	}
	if c.attempt != 1 {
		return c.attempt > 1
	}
	switch reason {
	case StopBudgetExhausted, StopNotIdempotent, StopBodyNotReplayable, StopCircuitOpen:
		return true
	case StopDeadline:
		return c.waited || ended(c.original) == nil
	default:
		return c.waited
	}
}

func (c *call) failure(reason StopReason) *Error {
	return &Error{
		Method: methodOf(c.original), URL: redact(c.original.URL), Attempts: c.attempt,
		Class: c.class, StatusCode: c.lastStatus, Stopped: reason, Err: c.err,
	}
}
