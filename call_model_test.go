package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A callRun plays whole calls through the whole chain, several at a time, and then judges each of them by
// what its base has written down.
type callRun struct {
	t         *testing.T
	rules     callRules
	transport *steadyhttp.Transport
	epoch     time.Time
	calls     []*chainCall

	mu      sync.Mutex
	retries map[string]int // by origin
}

type callRules struct {
	attempts       int
	initial        time.Duration
	longest        time.Duration
	maxRetryAfter  time.Duration
	attemptTimeout time.Duration
	replayBuffer   int64
	budget         bool
	breaker        bool
	opensLate      bool // so that retries are suspended meanwhile
	anyMethod      bool
	keys           bool
	classifier     bool
	observer       bool
}

func drawCallRules(s *schedule) callRules {
	return callRules{
		attempts: choose(s, 4, 1, 2, 7), initial: choose(s, 300*time.Millisecond, time.Millisecond), longest: choose(s, 10*time.Second, 300*time.Millisecond),
		maxRetryAfter: choose(s, time.Minute, 0, time.Hour), attemptTimeout: choose(s, 0, 0, 333*time.Millisecond, 3333*time.Millisecond),
		replayBuffer: choose[int64](s, 0, 0, 4, 1000), budget: s.chance(50), breaker: s.chance(50), opensLate: s.chance(50),
		anyMethod: s.chance(10), keys: s.chance(20), classifier: s.chance(30), observer: s.chance(50),
	}
}

func (run *callRun) options() []steadyhttp.Option {
	r := run.rules
	options := []steadyhttp.Option{
		steadyhttp.WithMaxAttempts(r.attempts), steadyhttp.WithBackoff(r.initial, r.longest), steadyhttp.WithMaxRetryAfter(r.maxRetryAfter),
		steadyhttp.WithAttemptTimeout(r.attemptTimeout), steadyhttp.WithReplayBuffer(r.replayBuffer), steadyhttp.WithOriginLimit(2),
		steadyhttp.WithBreakerConsecutiveFailures(2, 0), steadyhttp.WithBreakerOpenFor(100 * time.Millisecond), steadyhttp.WithRetryBudget(0.2, 5),
	}
	if r.opensLate {
		options = append(options, steadyhttp.WithBreakerConsecutiveFailures(100, time.Hour), steadyhttp.WithBreakerConsecutiveTimeouts(0, 0))
	}
	return append(options, run.switches()...)
}

func (run *callRun) switches() (on []steadyhttp.Option) {
	add := func(wanted bool, option steadyhttp.Option) {
		if wanted {
			on = append(on, option)
		}
	}
	add(!run.rules.budget, steadyhttp.WithoutRetryBudget())
	add(!run.rules.breaker, steadyhttp.WithoutBreaker())
	add(run.rules.anyMethod, steadyhttp.WithRetryNonIdempotent())
	add(run.rules.keys, steadyhttp.WithIdempotencyKeys())
	add(run.rules.classifier, steadyhttp.WithClassifier(run.classify))
	add(run.rules.observer, steadyhttp.WithObserver(run.observe))
	return on
}

// A chainCall is one RoundTrip: what the schedule wants of it, and what came of it.
type chainCall struct {
	origin     string
	offset     time.Duration
	method     string
	keyed      bool
	idempotent bool
	noRetry    bool
	body       bodyKind
	length     int64
	timeout    time.Duration // 0 is endless
	cancelled  time.Duration // when the caller gives up, after the start; negative: never
	beats      []responseScript
	panicsAt   int // event; 0: none

	ctx      context.Context
	report   *steadyhttp.Report // nil: none is asked for
	sent     []*modelAttempt
	bodies   []*modelBody
	events   []steadyhttp.EventKind
	asked    int // how often the classifier was
	start    time.Duration
	returned time.Duration
	left     bool // by a panic or Goexit
	response *http.Response
	err      error
}

type bodyKind int

const (
	noBody      bodyKind = iota
	inMemory             // as http.NewRequest makes it
	replaying            // with GetBody
	replayFails          // with a GetBody that fails
	streamed             // without
	breaking             // streamed, and breaks
	trickling            // with GetBody, and slow
	panicking            // with a GetBody that panics
)

// modelAttempt is an attempt as its base saw it.
type modelAttempt struct {
	beat      responseScript
	start     time.Duration
	end       time.Duration
	ctx       context.Context
	callerErr error // of the caller's context, in the end
	bodyErr   error
	status    int // 0: an error
	body      *modelBody
	key       string
}

type chainCallKey struct{}

func drawCall(s *schedule) *chainCall {
	call := &chainCall{
		origin: choose(s, "a", "a", "b"), offset: choose(s, 0, 0, 101*time.Millisecond, time.Second, 20*time.Second),
		method: choose(s, http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPost), keyed: s.chance(10), idempotent: s.chance(10), noRetry: s.chance(10),
		length:  choose[int64](s, int64(len(modelContent)), -1),
		timeout: choose(s, 0, 0, 0, 77*time.Millisecond, 777*time.Millisecond, 7777*time.Millisecond), cancelled: -1,
	}
	if call.method != http.MethodGet {
		call.body = choose(s, noBody, inMemory, inMemory, replaying, replaying, replayFails, streamed, breaking, trickling, panicking)
	}
	if s.chance(30) {
		call.cancelled = choose(s, 0, 7*time.Millisecond, 507*time.Millisecond, 4007*time.Millisecond)
	}
	if s.chance(70) {
		call.report = &steadyhttp.Report{}
	}
	if s.chance(5) {
		call.panicsAt = s.pick(5) + 1
	}
	for range s.pick(5) + 1 {
		call.beats = append(call.beats, drawResponseScript(s))
	}
	return call
}

func playCalls(t *testing.T, bytes []byte) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(bytes)
		run := &callRun{t: t, rules: drawCallRules(s), epoch: time.Now(), retries: map[string]int{}}
		run.transport = newTransport(t, baseFunc{run.base}, run.options()...)
		for len(run.calls) == 0 || !s.done() {
			run.calls = append(run.calls, drawCall(s))
		}
		var group sync.WaitGroup
		for _, call := range run.calls {
			group.Add(1)
			go func() {
				defer group.Done()
				run.make(call)
			}()
		}
		group.Wait()
		synctest.Wait() // a stalled body is closed behind the caller's back
		for _, call := range run.calls {
			run.judge(call)
		}
		run.recover()
	})
}

func (run *callRun) now() time.Duration { return time.Since(run.epoch) }

func (run *callRun) describe(call *chainCall) {
	run.t.Logf("%+v", run.rules)
	run.t.Logf("%s %s at %v: keyed %v, idempotent %v, once %v, body %d of %d, timeout %v, cancelled %v", call.method, call.origin, call.start,
		call.keyed, call.idempotent, call.noRetry, call.body, call.length, call.timeout, call.cancelled)
	for _, s := range call.sent {
		run.t.Logf("  %v to %v: %s (after %v, deaf %v, opinion %v): status %d, caller %v, body %v", s.start, s.end, s.beat.name, s.beat.after, s.beat.deaf, s.beat.opinion, s.status, s.callerErr, s.bodyErr)
	}
	run.t.Logf("  %v: response %v, error %v, left %v, events %v, report %+v", call.returned, call.response != nil, call.err, call.left, call.events, call.report)
}

// make makes the call, and then uses the response as a caller does.
func (run *callRun) make(call *chainCall) {
	time.Sleep(call.offset)
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), chainCallKey{}, call))
	defer cancel(nil)
	call.start = run.now()
	if call.timeout > 0 {
		limited, stop := context.WithTimeout(ctx, call.timeout)
		defer stop()
		ctx = limited
	}
	call.ctx = ctx
	if call.cancelled == 0 {
		cancel(errGaveUp)
	} else if call.cancelled > 0 {
		defer time.AfterFunc(call.cancelled, func() { cancel(errGaveUp) }).Stop()
	}
	run.roundTrip(call)
	if call.response != nil {
		run.use(call)
	}
}

var errGaveUp = errors.New("the caller of a test gave up")

func (run *callRun) roundTrip(call *chainCall) {
	call.left = true
	defer func() {
		_ = recover()
		call.returned = run.now()
	}()
	call.response, call.err = run.transport.RoundTrip(run.request(call))
	call.left = false
}

func (run *callRun) request(call *chainCall) *http.Request {
	ctx := call.ctx
	if call.idempotent {
		ctx = steadyhttp.Idempotent(ctx)
	}
	if call.noRetry {
		ctx = steadyhttp.NoRetry(ctx)
	}
	if call.report != nil {
		ctx, call.report = steadyhttp.WithReport(ctx)
	}
	var source io.Reader
	if call.body == inMemory {
		source = strings.NewReader(modelContent)
	}
	r, err := http.NewRequestWithContext(ctx, call.method, "https://"+call.origin, source)
	if err != nil {
		panic(err)
	}
	if call.keyed {
		r.Header.Set("Idempotency-Key", "of a test")
	}
	if call.body > inMemory {
		r.Body, r.ContentLength, r.GetBody = run.newBody(call), call.length, run.getBody(call)
	}
	return r
}

func (run *callRun) newBody(call *chainCall) *modelBody {
	how := whole
	switch call.body {
	case breaking:
		how = broken
	case trickling:
		how = slow
	}
	b := newModelBody(context.Background(), how)
	run.mu.Lock()
	call.bodies = append(call.bodies, b)
	run.mu.Unlock()
	return b
}

func (run *callRun) getBody(call *chainCall) func() (io.ReadCloser, error) {
	switch call.body {
	case streamed, breaking:
		return nil
	case replayFails:
		return func() (io.ReadCloser, error) { return nil, errBody }
	case panicking:
		return func() (io.ReadCloser, error) { panic("of GetBody") }
	default:
		return func() (io.ReadCloser, error) { return run.newBody(call), nil }
	}
}

// base writes everything down.
func (run *callRun) base(r *http.Request) (*http.Response, error) {
	call, ok := r.Context().Value(chainCallKey{}).(*chainCall)
	if !ok { // recover's
		return answersWell.play()
	}
	s := run.arrival(call, r)
	defer func() {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		run.mu.Lock()
		s.end, s.callerErr = run.now(), call.ctx.Err()
		run.mu.Unlock()
	}()
	if !s.beat.unread && r.Body != nil {
		if read, err := io.ReadAll(r.Body); err != nil {
			s.bodyErr = err
			return nil, err
		} else if r.Body != http.NoBody && string(read) != modelContent {
			run.t.Errorf("the request's body arrived as %q", read)
		}
	}
	if err := s.beat.wait(r.Context()); err != nil {
		return nil, err
	}
	if s.beat.leave != nil {
		s.beat.leave()
	}
	return run.answer(call, s)
}

func (run *callRun) arrival(call *chainCall, r *http.Request) *modelAttempt {
	run.mu.Lock()
	defer run.mu.Unlock()
	s := &modelAttempt{beat: call.beats[min(len(call.sent), len(call.beats)-1)], start: run.now(), ctx: r.Context(), key: r.Header.Get("Idempotency-Key")}
	if len(call.sent) > 0 {
		run.retries[call.origin]++
	}
	call.sent = append(call.sent, s)
	return s
}

func (b responseScript) wait(ctx context.Context) error {
	if b.deaf {
		time.Sleep(b.after)
		return nil
	}
	timer := time.NewTimer(b.after)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (run *callRun) answer(call *chainCall, s *modelAttempt) (*http.Response, error) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if s.beat.err != nil && !s.beat.both {
		return nil, s.beat.err
	}
	s.body = newModelBody(s.ctx, s.beat.ending)
	response := &http.Response{StatusCode: 200, Header: http.Header{"X-Attempt": {strconv.Itoa(len(call.sent))}}, Body: s.body}
	if s.beat.both {
		return response, s.beat.err
	}
	s.status, response.StatusCode = s.beat.status, s.beat.status
	if s.beat.asks != "" {
		response.Header.Set("Retry-After", s.beat.asks)
	}
	return response, nil
}

func (run *callRun) classify(r *http.Request, response *http.Response, err error) steadyhttp.Class {
	if (response == nil) == (err == nil) {
		run.t.Errorf("the classifier is given %v and %v", response, err)
	}
	call, ok := r.Context().Value(chainCallKey{}).(*chainCall)
	if !ok {
		return steadyhttp.Unclassified
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	call.asked++
	return call.sent[len(call.sent)-1].beat.opinion
}

func (run *callRun) observe(_ context.Context, event steadyhttp.Event) {
	if event.Kind == steadyhttp.EventBreaker {
		return
	}
	call, ok := event.Request.Context().Value(chainCallKey{}).(*chainCall)
	if !ok {
		return
	}
	run.mu.Lock()
	call.events = append(call.events, event.Kind)
	panics := len(call.events) == call.panicsAt
	run.mu.Unlock()
	if panics {
		panic("of an observer")
	}
}

// use reads a response after any attempt's time is over, which must not cut it off, and closes it.
func (run *callRun) use(call *chainCall) {
	last := call.sent[len(call.sent)-1]
	if last.body == nil || !last.body.untouched() {
		run.t.Errorf("the response that is returned has no body, or one that was used")
	}
	time.Sleep(5 * time.Second)
	if last.beat.ending == whole && call.ctx.Err() == nil {
		if read, err := io.ReadAll(call.response.Body); err != nil || string(read) != modelContent {
			run.t.Errorf("the response's body is %q, %v", read, err)
		}
	}
	if err := call.response.Body.Close(); err != nil {
		run.t.Error(err)
	}
	if run.rules.attemptTimeout > 0 && last.ctx.Err() == nil {
		run.t.Errorf("the context of an attempt outlives its body")
	}
}

// judge checks what must hold of every call, whatever happened to it.
func (run *callRun) judge(call *chainCall) {
	t := run.t
	defer func() {
		if t.Failed() {
			run.describe(call)
		}
	}()
	for i, b := range call.bodies {
		require.Equal(t, 1, b.closes(), "closes of the request's body %d", i+1)
	}
	for i, s := range call.sent {
		if s.body != nil {
			require.Equal(t, 1, s.body.closes(), "closes of the body of response %d", i+1)
		}
	}
	require.LessOrEqual(t, len(call.sent), run.rules.attempts)
	run.judgeSafety(call)
	for i, s := range call.sent[:max(0, len(call.sent)-1)] {
		require.Zero(t, run.stops(call, i), "why attempt %d should have been the last one", i+1)
		run.judgeWait(call, i, s, call.sent[i+1])
	}
	if call.left {
		return
	}
	require.NotEqual(t, call.response == nil, call.err == nil, "exactly one of response and error")
	run.judgeEnd(call)
	run.judgeRecords(call)
}

// judgeSafety: a request is retried only if it may be processed twice, or surely was not.
func (run *callRun) judgeSafety(call *chainCall) {
	for i, s := range call.sent[:max(0, len(call.sent)-1)] {
		known := s.beat.sure && (s.status != 0 || s.beat.status == 0) && s.bodyErr == nil
		told := run.rules.classifier && (s.beat.opinion == steadyhttp.Unprocessed || s.beat.opinion == steadyhttp.Throttled)
		require.True(run.t, run.repeatable(call) || known || told, "attempt %d may have been processed, and was repeated", i+1)
		require.Equal(run.t, s.key, call.sent[i+1].key, "a key is the same on every attempt")
	}
}

func (run *callRun) repeatable(call *chainCall) bool {
	return call.method != http.MethodPost || call.keyed || call.idempotent || run.rules.anyMethod || run.rules.keys
}

// came says what an attempt came to.
func (run *callRun) came(s *modelAttempt) (class steadyhttp.Class, answered bool) {
	late := run.rules.attemptTimeout > 0 && s.end-s.start >= run.rules.attemptTimeout
	answered = s.status != 0 && !late
	switch {
	case run.rules.classifier && s.beat.opinion != steadyhttp.Unclassified:
		class = s.beat.opinion
	case answered:
		class = s.beat.class
	case s.callerErr == context.Canceled:
		class = steadyhttp.Canceled
	case s.callerErr != nil, late:
		class = steadyhttp.Transient
	case s.bodyErr != nil:
		class = steadyhttp.Permanent
	default:
		class = s.beat.class
	}
	return class, answered
}

// stops says why an attempt must be the last one; 0: it need not be.
func (run *callRun) stops(call *chainCall, i int) steadyhttp.StopReason {
	s := call.sent[i]
	class, answered := run.came(s)
	asks := answered && s.beat.asks != ""
	switch {
	case class == steadyhttp.Success && answered:
		return steadyhttp.StopSuccess
	case class == steadyhttp.Canceled:
		return steadyhttp.StopCanceled
	case class == steadyhttp.Success, class == steadyhttp.ClientFault, class == steadyhttp.Permanent, class == steadyhttp.Throttled && !asks:
		return steadyhttp.StopNotRetryable
	case s.callerErr == context.Canceled:
		return steadyhttp.StopCanceled
	case s.callerErr != nil:
		return steadyhttp.StopDeadline
	case call.noRetry:
		return steadyhttp.StopNoRetry
	case i+1 >= run.rules.attempts:
		return steadyhttp.StopMaxAttempts
	case class == steadyhttp.Transient && !run.repeatable(call):
		return steadyhttp.StopNotIdempotent
	case (call.body == streamed || call.body == breaking) && run.rules.replayBuffer < int64(len(modelContent)):
		return steadyhttp.StopBodyNotReplayable
	case asks && s.beat.asked > run.rules.maxRetryAfter:
		return steadyhttp.StopRetryAfterTooLong
	default:
		return 0
	}
}

// waits are the bounds of the wait after an attempt.
func (run *callRun) waits(i int, s *modelAttempt) (least, most time.Duration) {
	ceiling := run.rules.longest * 2 / 3
	interval := min(run.rules.initial, ceiling)
	for range i {
		interval = min(2*interval, ceiling)
	}
	least, most = interval/2, min(interval*3/2, run.rules.longest)
	_, answered := run.came(s)
	if answered {
		asked := s.beat.asked
		return max(least, asked), max(most, asked+min(asked/2, 5*time.Second), 50*time.Millisecond)
	}
	late := run.rules.attemptTimeout > 0 && s.end-s.start >= run.rules.attemptTimeout
	if late || errors.Is(s.beat.err, timeoutError{}) && s.bodyErr == nil {
		silence := min(s.end-s.start, time.Second, ceiling)
		return max(least, silence), max(most, silence*3/2)
	}
	return least, most
}

const waitRounding = 10 * time.Nanosecond

func (run *callRun) judgeWait(call *chainCall, i int, s, next *modelAttempt) {
	least, most := run.waits(i, s)
	if call.timeout > 0 {
		_, answered := run.came(s)
		if !answered { // a wait that would be too long is not lengthened
			least = min(least, run.rules.initial/3)
		}
		require.Less(run.t, next.start, call.start+call.timeout, "an attempt after the deadline")
	}
	if call.cancelled >= 0 {
		require.LessOrEqual(run.t, next.start, call.start+call.cancelled, "an attempt after the caller gave up")
	}
	waited := next.start - s.end
	require.GreaterOrEqual(run.t, waited, least-waitRounding, "wait after attempt %d", i+1)
	require.LessOrEqual(run.t, waited, most+waitRounding, "wait after attempt %d", i+1)
}

// judgeEnd: the call ended for a reason that there was, at once, and with what it had.
func (run *callRun) judgeEnd(call *chainCall) {
	if len(call.sent) == 0 {
		run.judgeUnsent(call)
		return
	}
	last := call.sent[len(call.sent)-1]
	want := run.stops(call, len(call.sent)-1)
	_, answered := run.came(last)
	if late := run.rules.attemptTimeout > 0 && last.end-last.start >= run.rules.attemptTimeout; late && last.callerErr != nil {
		require.ErrorIs(run.t, call.err, context.Cause(call.ctx), "the caller's reason counts")
	}
	gaveUp := run.gaveUp(call)
	cancelled := gaveUp && call.cancelled >= 0 && call.start+call.cancelled <= call.returned
	rejected := errors.Is(call.err, steadyhttp.ErrCircuitOpen)
	if rejected {
		require.False(run.t, run.alone(call), "a wait at whose end the breaker is sure to be open is not begun")
	}
	if call.response != nil {
		require.True(run.t, answered, "a response that there was")
		require.Equal(run.t, strconv.Itoa(len(call.sent)), call.response.Header.Get("X-Attempt"))
		require.Equal(run.t, len(call.sent), steadyhttp.Attempts(call.response))
	} else if answered {
		require.True(run.t, cancelled || rejected || run.suspended(call), "a response is not dropped for an error")
	}
	if want != 0 {
		require.Equal(run.t, answered, call.response != nil, "the last outcome is what is returned")
		require.Equal(run.t, last.end, call.returned, "nothing is waited for in vain")
	} else {
		require.True(run.t, run.mayStop(call, last, gaveUp, rejected), "a retry that there should have been")
		want = run.reason(call, want)
	}
	if gaveUp && call.returned > last.end {
		require.True(run.t, cancelled, "a wait that would outlast the deadline is not begun")
		require.LessOrEqual(run.t, call.returned, max(last.end, run.gaveUpAt(call))+50*time.Millisecond, "a caller who gives up is let go")
		require.ErrorIs(run.t, call.err, context.Cause(call.ctx))
	}
	if call.report != nil {
		require.Equal(run.t, want, call.report.Stopped)
	}
}

// alone reports whether no other call could change anything meanwhile.
func (run *callRun) alone(call *chainCall) bool {
	return !slices.ContainsFunc(run.calls, func(other *chainCall) bool {
		return other != call && other.origin == call.origin && other.start <= call.returned && other.returned >= call.start
	})
}

// reason is the reported one where several would do.
func (run *callRun) reason(call *chainCall, otherwise steadyhttp.StopReason) steadyhttp.StopReason {
	if call.report == nil {
		return otherwise
	}
	return call.report.Stopped
}

// mayStop: there was no need to stop, but a reason that depends on chance or on other calls.
func (run *callRun) mayStop(call *chainCall, last *modelAttempt, gaveUp, rejected bool) bool {
	_, most := run.waits(len(call.sent)-1, last)
	holds := map[steadyhttp.StopReason]bool{
		steadyhttp.StopDeadline:          call.timeout > 0 && last.end+most+waitRounding >= call.start+call.timeout,
		steadyhttp.StopCanceled:          gaveUp && call.cancelled >= 0,
		steadyhttp.StopBudgetExhausted:   run.rules.budget && run.spent(call.origin) >= 5,
		steadyhttp.StopCircuitOpen:       run.rules.breaker && !run.rules.opensLate,
		steadyhttp.StopRetriesSuspended:  run.rules.breaker && run.failedBy(call.origin, call.returned) >= max(4, run.rules.attempts),
		steadyhttp.StopBodyNotReplayable: call.body == replayFails,
	}
	if call.report != nil {
		return holds[call.report.Stopped] && (rejected == (call.report.Stopped == steadyhttp.StopCircuitOpen) || call.response != nil || !rejected)
	}
	for _, one := range holds {
		if one {
			return true
		}
	}
	return false
}

// suspended reports whether the call ended because its retry was not made.
func (run *callRun) suspended(call *chainCall) bool {
	return call.err != nil && strings.Contains(call.err.Error(), "retries are suspended")
}

// failedBy is how many attempts may have failed by then.
func (run *callRun) failedBy(origin string, then time.Duration) (count int) {
	for _, call := range run.calls {
		for _, s := range call.sent {
			if call.origin == origin && s.end <= then {
				count++
			}
		}
	}
	return count
}

// spent is how many retries may have been paid for: also those that a call did not live to see.
func (run *callRun) spent(origin string) int {
	count := run.retries[origin]
	for _, call := range run.calls {
		if call.origin == origin && (call.left || run.gaveUp(call) || run.suspended(call) || errors.Is(call.err, steadyhttp.ErrCircuitOpen)) {
			count++
		}
	}
	return count
}

func (run *callRun) gaveUp(call *chainCall) bool { return run.gaveUpAt(call) <= call.returned }

func (run *callRun) gaveUpAt(call *chainCall) time.Duration {
	at := time.Duration(1<<63 - 1)
	if call.cancelled >= 0 {
		at = call.start + call.cancelled
	}
	if call.timeout > 0 {
		at = min(at, call.start+call.timeout)
	}
	return at
}

// judgeUnsent: nothing is sent only for a breaker, or for a body that could not be read ahead.
func (run *callRun) judgeUnsent(call *chainCall) {
	reads := run.rules.replayBuffer > 0 && call.body >= streamed
	switch {
	case errors.Is(call.err, steadyhttp.ErrCircuitOpen):
		require.True(run.t, run.rules.breaker)
	case run.gaveUp(call):
		require.ErrorIs(run.t, call.err, context.Cause(call.ctx))
		require.True(run.t, run.rules.breaker || reads)
	default:
		require.ErrorIs(run.t, call.err, errBody)
		require.True(run.t, reads && call.body == breaking)
	}
}

// judgeRecords: report, events and classifier know of each attempt, and of none besides.
func (run *callRun) judgeRecords(call *chainCall) {
	if call.report != nil {
		require.Len(run.t, call.report.Attempts, len(call.sent))
		for i, s := range call.sent {
			class, answered := run.came(s)
			require.Equal(run.t, class, call.report.Attempts[i].Class, "class of attempt %d", i+1)
			require.Equal(run.t, answered, call.report.Attempts[i].Err == nil)
			require.Equal(run.t, s.start, call.report.Attempts[i].Start.Sub(run.epoch))
		}
	}
	if run.rules.classifier {
		require.Equal(run.t, len(call.sent), call.asked, "how often the classifier is asked")
	}
	if run.rules.observer {
		run.judgeEvents(call)
	}
}

func (run *callRun) judgeEvents(call *chainCall) {
	want := []steadyhttp.EventKind{}
	for i := range call.sent {
		if i > 0 {
			want = append(want, steadyhttp.EventRetry)
		}
		want = append(want, steadyhttp.EventAttempt)
	}
	seen := slices.Clone(call.events)
	require.NotEmpty(run.t, seen)
	require.Equal(run.t, steadyhttp.EventEnd, seen[len(seen)-1])
	seen = seen[:len(seen)-1]
	if len(seen) == len(want)+1 { // a wait that led to no attempt
		require.Equal(run.t, steadyhttp.EventRetry, seen[len(seen)-1])
		require.True(run.t, call.response == nil)
		seen = seen[:len(seen)-1]
	}
	require.Equal(run.t, want, seen)
}

// recover shows that nothing is left of all this: breakers close, and origins can be forgotten.
func (run *callRun) recover() {
	run.judgeBudget()
	time.Sleep(2 * time.Minute)
	run.healthy("a", "b")
	for _, status := range run.transport.Breakers() {
		require.Equal(run.t, steadyhttp.BreakerClosed, status.State, status.Origin)
	}
	time.Sleep(time.Hour)
	run.healthy("c", "d", "c", "d")
	if run.rules.breaker {
		statuses := run.transport.Breakers()
		require.Len(run.t, statuses, 2)
		require.Equal(run.t, []string{"https://c:443", "https://d:443"}, []string{statuses[0].Origin, statuses[1].Origin}, "a call holds on to its origin")
	}
}

func (run *callRun) healthy(origins ...string) {
	for _, origin := range origins {
		r, err := http.NewRequest(http.MethodGet, "https://"+origin, nil)
		require.NoError(run.t, err)
		response, err := run.transport.RoundTrip(r)
		require.NoError(run.t, err, "an origin that is well again")
		require.Equal(run.t, 200, response.StatusCode)
	}
}

// judgeBudget: there are never more retries than the burst, the ratio and the trickle pay for.
func (run *callRun) judgeBudget() {
	if !run.rules.budget {
		return
	}
	for origin, retries := range run.retries {
		attempts := 0
		for _, call := range run.calls {
			if call.origin == origin {
				attempts += len(call.sent)
			}
		}
		most := 5 + 0.2*float64(attempts) + 0.1*run.now().Seconds()
		require.LessOrEqual(run.t, float64(retries), most, fmt.Sprint("retries to ", origin))
	}
}

func TestRetry_CallsDoAsTheirModel(t *testing.T) {
	t.Parallel()
	explore(t, 500, 300, playCalls)
}

func FuzzCallModel(f *testing.F) {
	f.Add([]byte("a call"))
	f.Fuzz(playCalls)
}
