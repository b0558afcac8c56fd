package steadyhttp_test

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// The model of a breaker: it remembers everything since the last change of state, and counts it all anew
// for each question. It is as slow and as plain as can be.
type breakerModel struct {
	rules     breakerRules
	state     steadyhttp.BreakerState
	phase     int            // how many changes of state there were
	trouble   int            // the one by which it was opened: from closed, or by a hand
	outcomes  []modelOutcome // of this phase, none of them neutral
	retryAt   time.Duration  // of an open one,
	wall      time.Time      // and by the clock on the wall
	probes    []*modelCall   // of a half-open one, those that are out
	lastProbe time.Duration  // when the last one began,
	probeAt   time.Duration  // and when another one may go, though that one is out
	hung      time.Duration  // the silence of the failure that opened it
	isolated  bool           // by hand,
	reason    string         // and why; of an open one
	sampled   []modelOutcome // successes, of all phases, that tell how quick the origin is
	changes   []string
}

type breakerRules struct {
	rate           float64
	minRequests    int
	failures       int
	lasting        time.Duration
	timeouts       int
	hanging        time.Duration // how long timeouts must last
	window         time.Duration
	openFor        time.Duration
	attemptTimeout time.Duration
}

func (r breakerRules) lease() time.Duration {
	switch {
	case r.attemptTimeout == unlimitedTime:
		return unlimitedTime
	case r.attemptTimeout > 0:
		return r.attemptTimeout + 100*time.Millisecond
	default:
		return time.Minute
	}
}

// probeTime is how long a probe keeps others back: an open time, or a little longer than what opened the breaker.
func (r breakerRules) probeTime(hung time.Duration) time.Duration {
	return min(max(r.openFor, min(hung*6/5, 2*time.Second)), r.lease())
}

const unlimitedTime = time.Duration(math.MaxInt64)

// modelHealth is what an outcome tells of an origin.
type modelHealth int

const (
	modelNeutral modelHealth = iota
	modelHealthy
	modelFailing
)

// modelOutcome is an outcome that told something.
type modelOutcome struct {
	health  modelHealth
	start   time.Duration
	at      time.Duration
	silence time.Duration // without any answer, if it timed out
}

// admits says what becomes of a call that starts now.
func (m *breakerModel) admits(call *modelCall, now time.Duration) bool {
	if m.state == steadyhttp.BreakerOpen && now >= m.retryAt {
		m.change(steadyhttp.BreakerHalfOpen)
	}
	switch {
	case m.state == steadyhttp.BreakerOpen:
		return false
	case m.state == steadyhttp.BreakerHalfOpen && len(m.probes) > 0 && now < m.probeAt:
		return false
	case m.state == steadyhttp.BreakerHalfOpen:
		call.probe = true
		m.probes, m.lastProbe, m.probeAt = append(m.probes, call), now, endOfTime(now, m.rules.probeTime(m.hung))
	}
	call.phase = m.phase
	return true
}

// ends takes note of an outcome, and reports whether it opened the breaker.
func (m *breakerModel) ends(call *modelCall, outcome modelOutcome) (opened bool) {
	if call.phase != m.phase {
		m.endsLate(call, outcome)
		return false
	}
	if m.state == steadyhttp.BreakerHalfOpen {
		return m.probed(call, outcome)
	}
	if outcome.health == modelNeutral {
		return false
	}
	m.outcomes = append(m.outcomes, outcome)
	if outcome.health == modelFailing && (m.byRate(outcome.at) || m.byRun() || m.byOverload(outcome)) {
		m.open(outcome)
		return true
	}
	return false
}

// endsLate closes it for a probe of the same trouble, where even quick successes take longer than a probe keeps others back.
func (m *breakerModel) endsLate(call *modelCall, outcome modelOutcome) {
	if !call.probe || call.phase < m.trouble || m.state == steadyhttp.BreakerClosed || outcome.health != modelHealthy ||
		outcome.at-outcome.start >= m.rules.lease() || len(m.sampled) == 0 {
		return
	}
	quickest := time.Duration(m.p20()) * time.Microsecond
	if quickest >= m.rules.probeTime(m.hung) && microseconds(outcome) < 2*m.usual() {
		m.change(steadyhttp.BreakerClosed)
	}
}

func endOfTime(now, d time.Duration) time.Duration { return now + min(d, unlimitedTime-now) }

func (m *breakerModel) open(last modelOutcome) {
	m.hung = last.silence
	m.change(steadyhttp.BreakerOpen)
	m.reason = "failures"
}

// isolate opens it until it is reset.
func (m *breakerModel) isolate() {
	m.hung = 0
	m.change(steadyhttp.BreakerOpen)
	m.trouble = m.phase
	m.isolated, m.reason, m.retryAt, m.wall = true, "isolated by a test", unlimitedTime, time.Time{}
}

// trip reports whether it opened for a time, which is to be learned then.
func (m *breakerModel) trip() bool {
	if m.isolated {
		return false
	}
	m.hung = 0
	m.change(steadyhttp.BreakerOpen)
	m.trouble, m.reason = m.phase, "tripped by a test"
	return true
}

// reset lets nothing count that is under way, though it may have been closed all the time.
func (m *breakerModel) reset() {
	if m.state != steadyhttp.BreakerClosed {
		m.change(steadyhttp.BreakerClosed)
	}
	m.outcomes = nil
	m.phase++
}

func (m *breakerModel) probed(call *modelCall, outcome modelOutcome) (opened bool) {
	m.probes = slices.DeleteFunc(m.probes, func(other *modelCall) bool { return other == call })
	if outcome.at-call.start >= m.rules.lease() {
		return false
	}
	switch outcome.health {
	case modelHealthy:
		m.change(steadyhttp.BreakerClosed)
	case modelFailing:
		m.open(outcome)
		return true
	}
	return false
}

func (m *breakerModel) change(to steadyhttp.BreakerState) {
	if m.state == steadyhttp.BreakerClosed {
		m.trouble = m.phase + 1
	}
	m.changes = append(m.changes, fmt.Sprint(m.state, " to ", to))
	m.state, m.outcomes, m.probes, m.retryAt, m.isolated, m.reason = to, nil, nil, 0, false, ""
	m.phase++
}

// counted is what is in the window, which rolls in tenths.
func (m *breakerModel) counted(now time.Duration) (requests, failures int) {
	tenth := m.rules.window / 10
	for _, o := range m.outcomes {
		if o.at/tenth > now/tenth-10 {
			requests++
			if o.health == modelFailing {
				failures++
			}
		}
	}
	return requests, failures
}

func (m *breakerModel) byRate(now time.Duration) bool {
	requests, failures := m.counted(now)
	return m.rules.rate > 0 && requests >= m.rules.minRequests && float64(failures) >= m.rules.rate*float64(requests)
}

// failures are those since the last success. They last from when the first began to be silent, unless a call that
// began later went well.
func (m *breakerModel) failures() (failures, timeouts int, lasting time.Duration) {
	var since, wellSince, last time.Duration
	for _, o := range m.outcomes {
		if o.health == modelFailing && o.start-last > time.Minute {
			failures, timeouts = 0, 0 // it is another trouble
		}
		if o.health == modelFailing {
			last = max(last, o.at)
		}
		switch {
		case o.health == modelHealthy:
			failures, timeouts, wellSince = 0, 0, max(wellSince, o.start)
			continue
		case failures == 0:
			since = max(o.at-o.silence, wellSince)
		}
		failures++
		if o.silence > 0 {
			timeouts++
		}
	}
	return failures, timeouts, m.outcomes[len(m.outcomes)-1].at - since
}

func (m *breakerModel) byRun() bool {
	failures, timeouts, lasting := m.failures()
	return m.rules.failures > 0 && failures >= m.rules.failures && lasting >= m.rules.lasting ||
		m.rules.timeouts > 0 && timeouts >= m.rules.timeouts && lasting >= m.rules.hanging
}

// byOverload looks at how quick the last success was, against those before it and against the timeout. Two timeouts
// since then are enough if they lasted 600 ms.
func (m *breakerModel) byOverload(last modelOutcome) bool {
	if last.silence == 0 || m.rules.timeouts == 0 || len(m.sampled) == 0 {
		return false
	}
	took := microseconds(m.sampled[len(m.sampled)-1])
	slow := took >= 3*m.usual() && took >= microseconds(modelOutcome{at: last.silence})/4
	_, timeouts, lasting := m.failures()
	return slow && timeouts >= 2 && lasting >= 600*time.Millisecond
}

// usual is a moving average of what the successes took.
func (m *breakerModel) usual() int64 {
	usual := microseconds(m.sampled[0])
	for _, o := range m.sampled {
		usual += (microseconds(o) - usual) / 128
	}
	return usual
}

// p20 is an estimate of what four of five successes exceed.
func (m *breakerModel) p20() int64 {
	p20 := microseconds(m.sampled[0])
	for _, o := range m.sampled {
		switch took := microseconds(o); {
		case took < p20:
			p20 = max(took, p20-p20/8)
		default:
			p20 = min(took, p20+p20/32+1)
		}
	}
	return p20
}

func microseconds(o modelOutcome) int64 {
	return max(1, min(o.at-o.start, time.Hour).Microseconds())
}

// sample takes note of a success, unless one that began a moment before was sampled.
func (m *breakerModel) sample(outcome modelOutcome) {
	if outcome.health != modelHealthy {
		return
	}
	before := time.Duration(0)
	if n := len(m.sampled); n > 0 {
		before = m.sampled[n-1].start
	}
	if passed := outcome.start.Milliseconds() - before.Milliseconds(); passed < 0 || passed >= 100 {
		m.sampled = append(m.sampled, outcome)
	}
}

// An attemptEnding is how a base transport ends an attempt, and what that tells of the origin.
type attemptEnding struct {
	name   string
	health modelHealth
	silent bool
	status int // 0: an error
	err    error
	leave  func() // instead of returning
}

var (
	answersWell = attemptEnding{name: "200", health: modelHealthy, status: 200}
	resets      = attemptEnding{name: "reset", health: modelFailing, err: errReset}

	endings = []attemptEnding{ // the first two may come all at once
		answersWell, resets,
		{name: "301", health: modelHealthy, status: 301},
		{name: "404", health: modelHealthy, status: 404},
		{name: "429", health: modelNeutral, status: 429},
		{name: "501", health: modelHealthy, status: 501},
		{name: "503", health: modelFailing, status: 503},
		{name: "dial", health: modelFailing, err: errDial},
		{name: "timeout", health: modelFailing, silent: true, err: timeoutError{}},
		{name: "no port left", health: modelNeutral, err: syscall.EADDRNOTAVAIL},
		{name: "bad certificate", health: modelNeutral, err: x509.UnknownAuthorityError{}},
		{name: "panic", health: modelNeutral, leave: func() { panic("of a test") }},
		{name: "Goexit", health: modelNeutral, leave: runtime.Goexit},
	}
)

func (e attemptEnding) play() (*http.Response, error) {
	if e.leave != nil {
		e.leave()
	}
	if e.err != nil {
		return nil, e.err
	}
	return &http.Response{StatusCode: e.status, Body: http.NoBody}, nil
}

// A modelCall is one RoundTrip of the schedule's.
type modelCall struct {
	origin   string
	start    time.Duration
	deadline time.Duration // 0: none
	stubborn bool          // whether the base goes on when the call has been given up
	ctx      context.Context
	cancel   context.CancelFunc
	answer   chan attemptEnding
	phase    int
	probe    bool

	arrived  bool // at the base
	over     bool
	response *http.Response
	err      error
}

type modelCallKey struct{}

// A breakerRun plays a schedule on a Transport and on models of its breakers at once.
type breakerRun struct {
	t         *testing.T
	schedule  *schedule
	rules     breakerRules
	endings   []attemptEnding
	timeout   []time.Duration // 0 is endless
	byHand    bool            // whether breakers are opened and closed by hand, too
	stubborn  int             // how many of a hundred calls a base does not give up with their contexts
	transport *steadyhttp.Transport
	models    map[string]*breakerModel
	epoch     time.Time
	pending   []*modelCall
	trace     []string

	mu      sync.Mutex // held by the schedule's goroutine but while it waits
	changes map[string][]string
}

// wait lets everything happen that does not take time.
func (run *breakerRun) wait() {
	run.mu.Unlock()
	defer run.mu.Lock()
	synctest.Wait()
}

func (run *breakerRun) pass(d time.Duration) {
	run.mu.Unlock()
	defer run.mu.Lock()
	time.Sleep(d)
	synctest.Wait()
}

// note keeps what happened, for when it turns out wrong.
func (run *breakerRun) note(format string, values ...any) {
	run.trace = append(run.trace, fmt.Sprintf("%12v  ", run.now())+fmt.Sprintf(format, values...))
}

// close lets all goroutines go, also when the run has failed.
func (run *breakerRun) close() {
	for _, call := range run.pending {
		call.answer <- resets
	}
	run.mu.Unlock()
	if run.t.Failed() {
		run.t.Logf("%+v\n%s", run.rules, strings.Join(run.trace, "\n"))
	}
}

func drawBreakerRules(s *schedule) breakerRules {
	rules := breakerRules{
		rate: choose(s, 0, 0.5, 0.1, 1), minRequests: choose(s, 4, 1, 10),
		failures: choose(s, 3, 1, 0, 5), lasting: choose(s, 600*time.Millisecond, 0, 2*time.Second),
		timeouts: choose(s, 2, 0, 1, 4), hanging: choose(s, time.Second, 0, 5*time.Second),
		window: choose(s, 5*time.Second, 100*time.Millisecond, time.Minute), openFor: choose(s, time.Second, time.Second, 10*time.Millisecond, time.Minute, unlimitedTime),
		attemptTimeout: choose(s, 0, 0, 700*time.Millisecond, 3*time.Second, unlimitedTime),
	}
	if rules.rate == 0 && rules.failures == 0 && rules.timeouts == 0 {
		rules.failures = 3
	}
	return rules
}

// strictestRules rules open a breaker at the first failure.
var strictestRules = breakerRules{rate: 0.01, minRequests: 1, failures: 1, window: time.Minute, openFor: time.Hour}

func playBreaker(t *testing.T, bytes []byte) {
	s := newSchedule(bytes)
	run := &breakerRun{
		schedule: s, rules: drawBreakerRules(s), endings: endings,
		timeout: []time.Duration{0, 0, 0, 300 * time.Millisecond, 1500 * time.Millisecond}, stubborn: 20, byHand: true,
	}
	run.play(t)
}

// playHealthy has calls that end in every way in which they can at a server that is well.
func playHealthy(t *testing.T, bytes []byte) {
	fine := slices.DeleteFunc(slices.Clone(endings), func(e attemptEnding) bool { return e.health == modelFailing })
	run := &breakerRun{
		schedule: newSchedule(bytes), rules: strictestRules, endings: fine,
		timeout: []time.Duration{0, 0, time.Millisecond, time.Second - 1},
	}
	run.play(t)
	for origin, model := range run.models {
		require.Empty(t, model.changes, origin)
	}
}

func (run *breakerRun) play(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run.schedule
		run.t, run.epoch = t, time.Now()
		run.models, run.changes = map[string]*breakerModel{}, map[string][]string{}
		run.mu.Lock()
		defer run.close()
		r := run.rules
		options := []steadyhttp.Option{
			steadyhttp.WithMaxAttempts(1), steadyhttp.WithBreakerFailureRate(r.rate, r.minRequests), steadyhttp.WithBreakerConsecutiveFailures(r.failures, r.lasting),
			steadyhttp.WithBreakerConsecutiveTimeouts(r.timeouts, r.hanging),
			steadyhttp.WithBreakerWindow(r.window), steadyhttp.WithBreakerOpenFor(r.openFor), steadyhttp.WithAttemptTimeout(r.attemptTimeout),
		}
		if s.chance(50) {
			options = append(options, steadyhttp.WithObserver(run.observe))
		} else {
			run.changes = nil
		}
		run.transport = newTransport(t, baseFunc{run.base}, options...)
		for !s.done() {
			run.step()
			run.compare()
		}
		run.recover()
	})
}

func (run *breakerRun) now() time.Duration { return time.Since(run.epoch) }

func (run *breakerRun) observe(_ context.Context, event steadyhttp.Event) {
	if event.Kind == steadyhttp.EventBreaker {
		run.mu.Lock()
		defer run.mu.Unlock()
		run.changes[event.Origin] = append(run.changes[event.Origin], fmt.Sprint(event.From, " to ", event.To))
	}
}

// base keeps an attempt until the schedule ends it, or its context does.
func (run *breakerRun) base(r *http.Request) (*http.Response, error) {
	call := r.Context().Value(modelCallKey{}).(*modelCall)
	run.mu.Lock()
	call.arrived = true
	run.mu.Unlock()
	givenUp := r.Context().Done()
	if call.stubborn {
		givenUp = nil
	}
	select {
	case how := <-call.answer:
		return how.play()
	case <-givenUp:
		return nil, context.Cause(r.Context())
	}
}

func (run *breakerRun) model(origin string) *breakerModel {
	if run.models[origin] == nil {
		run.models[origin] = &breakerModel{rules: run.rules}
	}
	return run.models[origin]
}

func (run *breakerRun) step() {
	s := run.schedule
	if run.byHand && s.chance(10) {
		run.operate()
		return
	}
	switch s.pick(10) {
	case 0, 1, 2:
		run.start(choose(s, 1, 1, 1, 1, 2, 7))
	case 3, 4, 5:
		run.end(run.one(), choose(s, run.endings...))
	case 6:
		run.endAll(choose(s, run.endings[0], run.endings[1]))
	case 7:
		if call := run.one(); call != nil {
			run.cancel(call)
		}
	default:
		run.sleep(run.drawTime())
	}
}

// operate does by hand what can be done by hand.
func (run *breakerRun) operate() {
	origin := choose(run.schedule, "a", "a", "b")
	hand, model := run.transport.Breaker("https://"+origin), run.models[origin]
	run.mu.Unlock() // for the observer
	defer run.mu.Lock()
	switch run.schedule.pick(4) {
	case 0:
		model = run.model(origin)
		run.note("%s: isolate", origin)
		hand.Isolate("isolated by a test")
		model.isolate()
	case 1:
		model = run.model(origin)
		d, before := choose(run.schedule, 0, time.Second, time.Hour, unlimitedTime, -1), model.retryAt
		run.note("%s: trip for %v", origin, d)
		hand.Trip(d, "tripped by a test")
		if model.trip() {
			run.tripped(model, d, before)
		}
	default:
		run.note("%s: reset", origin)
		hand.Reset()
		if model != nil { // else nothing is remembered
			model.reset()
		}
	}
}

// tripped learns for how long, which is an ordinary open time at least, and no less than before.
func (run *breakerRun) tripped(model *breakerModel, d, before time.Duration) {
	status := run.status(model)
	model.retryAt, model.wall = status.RetryAt.Sub(run.epoch), status.RetryAt
	open, latest := model.retryAt-run.now(), run.rules.openFor+min(run.rules.openFor/5, unlimitedTime-run.rules.openFor)
	least := max(d, before-run.now(), run.rules.openFor-run.rules.openFor/5)
	require.GreaterOrEqual(run.t, open, min(least, unlimitedTime-run.now()))
	require.LessOrEqual(run.t, open, max(latest, d, before-run.now()))
}

func (run *breakerRun) one() *modelCall {
	if len(run.pending) == 0 {
		return nil
	}
	return run.pending[run.schedule.pick(len(run.pending))]
}

// drawTime prefers the moments around which something changes.
func (run *breakerRun) drawTime() time.Duration {
	times := []time.Duration{run.rules.lasting, run.rules.hanging, 300 * time.Millisecond, time.Millisecond, 100 * time.Millisecond, time.Second, run.rules.window, min(run.rules.openFor, time.Hour), time.Hour, 30 * 24 * time.Hour}
	for _, origin := range slices.Sorted(maps.Keys(run.models)) {
		model := run.models[origin]
		if model.state == steadyhttp.BreakerOpen && model.retryAt < 10*365*24*time.Hour {
			times = append(times, model.retryAt-run.now()-1, model.retryAt-run.now())
		}
		for _, probe := range model.probes {
			if run.rules.lease() < unlimitedTime {
				lease := probe.start + run.rules.lease() - run.now()
				times = append(times, lease-1, lease)
			}
			if model.probeAt < unlimitedTime {
				times = append(times, model.probeAt-run.now()-1, model.probeAt-run.now())
			}
		}
	}
	return max(0, choose(run.schedule, times...))
}

// start starts calls at the same moment, all alike.
func (run *breakerRun) start(calls int) {
	s := run.schedule
	origin := choose(s, "a", "a", "a", "b")
	timeout := choose(s, run.timeout...)
	stubborn, canceled := s.chance(run.stubborn), s.chance(5) && calls == 1 // of several the first one makes room for the next
	started := make([]*modelCall, calls)
	for i := range started {
		started[i] = run.newCall(origin, timeout, stubborn)
		if canceled {
			started[i].cancel()
		}
		go run.send(started[i])
	}
	run.wait()
	run.arrive(started)
}

func (run *breakerRun) newCall(origin string, timeout time.Duration, stubborn bool) *modelCall {
	call := &modelCall{origin: origin, start: run.now(), stubborn: stubborn, answer: make(chan attemptEnding, 1)}
	call.ctx, call.cancel = context.WithCancel(context.WithValue(context.Background(), modelCallKey{}, call))
	if timeout > 0 {
		call.deadline = run.now() + timeout
		call.ctx, call.cancel = context.WithTimeout(call.ctx, timeout)
	}
	return call
}

func (run *breakerRun) send(call *modelCall) {
	var response *http.Response
	var err error
	defer func() {
		_ = recover()
		run.mu.Lock()
		defer run.mu.Unlock()
		call.over, call.response, call.err = true, response, err
	}()
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: call.origin}, Header: http.Header{}}).WithContext(call.ctx)
	response, err = run.transport.RoundTrip(r)
}

// arrive compares who came through with the model, which does not care for the order of calls that are
// alike.
func (run *breakerRun) arrive(started []*modelCall) {
	inOrder := slices.SortedStableFunc(slices.Values(started), func(a, b *modelCall) int {
		return cmp.Compare(callRank(a), callRank(b))
	})
	for _, call := range inOrder {
		admitted := run.model(call.origin).admits(call, run.now())
		run.note("%s: call %p, timeout %v, stubborn %v: admitted %v", call.origin, call, call.deadline, call.stubborn, admitted)
		require.Equal(run.t, admitted, call.arrived, "whether a call to %s is sent at %v", call.origin, run.now())
		switch {
		case admitted && !call.over:
			run.pending = append(run.pending, call)
		case admitted:
			run.settle(call, attemptEnding{name: "canceled before", err: context.Canceled})
		case call.ctx.Err() == nil:
			run.rejected(call)
		default:
			require.ErrorIs(run.t, call.err, context.Canceled)
		}
	}
}

func callRank(call *modelCall) int {
	if call.arrived {
		return 0
	}
	return 1
}

func (run *breakerRun) rejected(call *modelCall) {
	var rejection *steadyhttp.CircuitOpenError
	require.ErrorAs(run.t, call.err, &rejection)
	retryAt := time.Time{}
	if model := run.model(call.origin); model.state == steadyhttp.BreakerOpen {
		retryAt = model.wall
	}
	require.True(run.t, retryAt.Equal(rejection.RetryAt), "%v, want %v", rejection.RetryAt, retryAt)
	require.Equal(run.t, run.model(call.origin).reason, rejection.Reason)
}

// end ends a call by what its base does.
func (run *breakerRun) end(call *modelCall, how attemptEnding) {
	if call == nil {
		return
	}
	call.answer <- how
	run.wait()
	require.True(run.t, call.over, "a call that was answered is over")
	run.settle(call, how)
}

// endAll ends at the same moment all calls for which the order does not matter: only those that took equally long.
func (run *breakerRun) endAll(how attemptEnding) {
	var ended []*modelCall
	for _, call := range run.pending {
		alike := len(ended) == 0 || call.start == ended[0].start
		if run.judge(call, how).silence == 0 && alike {
			ended = append(ended, call)
			call.answer <- how
		}
	}
	run.wait()
	for _, call := range ended {
		run.settle(call, how)
	}
}

func (run *breakerRun) cancel(call *modelCall) {
	call.cancel()
	run.wait()
	if call.over {
		run.settle(call, attemptEnding{name: "canceled", err: context.Canceled})
	}
}

// sleep lets time pass, and takes note of the calls whose time is over meanwhile.
func (run *breakerRun) sleep(d time.Duration) {
	until := run.now() + d
	for {
		next := until
		for _, call := range run.pending {
			if !call.stubborn {
				next = min(next, call.ends(run.rules))
			}
		}
		run.pass(max(0, next-run.now()))
		run.settleAll()
		if next == until {
			return
		}
	}
}

// ends is when the call ends of itself.
func (c *modelCall) ends(rules breakerRules) time.Duration {
	end := unlimitedTime
	if c.deadline > 0 {
		end = c.deadline
	}
	if rules.attemptTimeout > 0 && rules.attemptTimeout < unlimitedTime {
		end = min(end, c.start+rules.attemptTimeout)
	}
	return end
}

func (run *breakerRun) settleAll() {
	for _, call := range slices.Clone(run.pending) {
		if call.over {
			run.settle(call, attemptEnding{name: "out of time", health: modelFailing, silent: true, err: context.DeadlineExceeded})
		}
	}
}

// settle tells the model of an outcome.
func (run *breakerRun) settle(call *modelCall, how attemptEnding) {
	run.pending = slices.DeleteFunc(run.pending, func(other *modelCall) bool { return other == call })
	outcome := run.judge(call, how)
	run.note("%s: call %p ends with %s: health %d, silence %v", call.origin, call, how.name, outcome.health, outcome.silence)
	defer run.model(call.origin).sample(outcome)
	if run.model(call.origin).ends(call, outcome) {
		run.opened(run.model(call.origin), outcome)
	}
	if how.leave == nil {
		require.NotEqual(run.t, call.response == nil, call.err == nil, "exactly one of response and error")
	}
	call.cancel()
}

// judge says what an outcome tells. A response is one, whatever happened besides, unless the attempt's
// time was over; of errors the caller's own reasons come first.
func (run *breakerRun) judge(call *modelCall, how attemptEnding) modelOutcome {
	now := run.now()
	outcome := modelOutcome{health: how.health, start: call.start, at: now}
	took := now - call.start
	timedOut := run.rules.attemptTimeout > 0 && took >= run.rules.attemptTimeout
	if how.leave != nil || how.status != 0 && !timedOut {
		return outcome
	}
	switch {
	case call.ctx.Err() == context.Canceled:
		outcome.health = modelNeutral
	case call.ctx.Err() != nil:
		outcome.health = modelNeutral
		if took >= time.Second {
			outcome.health = modelFailing
		}
	case timedOut:
		outcome.health = modelFailing
	}
	if outcome.health == modelFailing && (how.silent || timedOut) {
		outcome.silence = took
	}
	return outcome
}

// opened learns from the breaker for how long it is open, which is spread, and checks the bounds. The time since the
// last probe began counts towards it, but a quarter remains.
func (run *breakerRun) opened(model *breakerModel, last modelOutcome) {
	waited := time.Duration(0)
	if strings.HasPrefix(model.changes[len(model.changes)-1], "half_open") {
		waited = last.at - model.lastProbe
	}
	fifth := run.rules.openFor / 5
	earliest, latest := run.rules.openFor-fifth, run.rules.openFor+min(fifth, unlimitedTime-run.rules.openFor)
	status := run.status(model)
	if status.State != steadyhttp.BreakerOpen {
		return // compare tells
	}
	model.retryAt, model.wall = status.RetryAt.Sub(run.epoch), status.RetryAt
	open := time.Until(status.RetryAt)
	require.GreaterOrEqual(run.t, open, max(earliest-waited, earliest/4), "open time after a probe of %v", waited)
	require.LessOrEqual(run.t, open, max(latest-waited, latest/4), "open time after a probe of %v", waited)
}

func (run *breakerRun) status(model *breakerModel) steadyhttp.BreakerStatus {
	for _, status := range run.transport.Breakers() {
		if run.models[strings.TrimSuffix(strings.TrimPrefix(status.Origin, "https://"), ":443")] == model {
			return status
		}
	}
	return steadyhttp.BreakerStatus{}
}

// compare checks that breakers and models agree in all that can be seen.
func (run *breakerRun) compare() {
	statuses := run.transport.Breakers()
	require.Len(run.t, statuses, len(run.models))
	for i, origin := range slices.Sorted(maps.Keys(run.models)) {
		model := run.models[origin]
		requests, failures := model.counted(run.now())
		want := steadyhttp.BreakerStatus{Origin: "https://" + origin + ":443", State: model.state, Requests: uint32(requests), Failures: uint32(failures)}
		if model.state == steadyhttp.BreakerOpen {
			want.RetryAt, want.Reason = model.wall, model.reason
			require.True(run.t, want.RetryAt.Equal(statuses[i].RetryAt))
			want.RetryAt = statuses[i].RetryAt
		}
		require.Equal(run.t, want, statuses[i], "at %v", run.now())
		if run.changes != nil {
			require.Equal(run.t, model.changes, run.changes[want.Origin])
		}
	}
}

// recover ends all calls, and shows that no permit is lost: whatever happened, a breaker whose origin is
// well again closes.
func (run *breakerRun) recover() {
	for len(run.pending) > 0 {
		run.end(run.pending[0], run.endings[1])
		run.compare()
	}
	if run.rules.openFor == unlimitedTime {
		return
	}
	for _, origin := range slices.Sorted(maps.Keys(run.models)) {
		if run.models[origin].retryAt > run.now()+2*time.Minute { // by hand
			run.mu.Unlock()
			run.transport.Breaker("https://" + origin).Reset()
			run.mu.Lock()
			run.models[origin].reset()
		}
	}
	run.sleep(2 * time.Minute)
	for range 2 {
		for _, origin := range slices.Sorted(maps.Keys(run.models)) {
			call := run.newCall(origin, 0, false)
			go run.send(call)
			run.wait()
			run.arrive([]*modelCall{call})
			require.True(run.t, call.arrived, "a call to an origin that was left alone is sent")
			run.end(call, answersWell)
			run.compare()
			require.Equal(run.t, steadyhttp.BreakerClosed, run.models[origin].state)
		}
	}
}

func TestBreaker_DoesAsItsModel(t *testing.T) {
	t.Parallel()
	explore(t, 500, 300, playBreaker)
}

func TestBreaker_NeverOpensForAHealthyServer(t *testing.T) {
	t.Parallel()
	explore(t, 500, 300, playHealthy)
}

func FuzzBreakerModel(f *testing.F) {
	f.Add([]byte("a breaker"))
	f.Fuzz(playBreaker)
}

// The model found that such an attempt counted as one that had ended when its time was over.
func TestBreaker_LateResponseIsCountedWhenItCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		deaf := stepFunc(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Hour)
			return answersWell.play()
		})
		transport := newTransport(t, newScript(fail(errReset), deaf), singleAttemptOptions(
			steadyhttp.WithAttemptTimeout(time.Second), steadyhttp.WithBreakerConsecutiveFailures(2, time.Minute))...)
		sendGets(t, transport, 2)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport), "after a failure and an hour of silence")
	})
}
