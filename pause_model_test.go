package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A pauseCall is one call of a schedule, and what became of it. It makes one attempt.
type pauseCall struct {
	at       time.Duration
	latency  time.Duration // of the server
	response pauseResponse
	deadline time.Duration // since the beginning; 0: none
	giveUp   time.Duration // since the beginning; 0: never

	fate string
}

// A pauseResponse is how the server answers.
type pauseResponse struct {
	step step
	told time.Duration
	well bool
}

var pauseResponses = map[string]pauseResponse{
	"well":         {status(200), 0, true},
	"not found":    {status(404), 0, true},
	"fails":        {status(500), 0, false},
	"breaks":       {fail(errReset), 0, false},
	"bare 429":     {status(429), 0, false},
	"now":          {status(429, "Retry-After", "0"), 0, false},
	"wait 1":       {status(429, "Retry-After", "1"), time.Second, false},
	"wait 3":       {status(429, "Retry-After", "3"), 3 * time.Second, false},
	"down for 2":   {status(503, "Retry-After", "2"), 2 * time.Second, false},
	"wait for all": {status(429, "Retry-After", "9"), 9 * time.Second, false}, // more than some wait for
}

// end is when the call is over for its caller, if nothing ends it before.
func (c *pauseCall) end() time.Duration {
	end := time.Duration(math.MaxInt64)
	for _, limit := range []time.Duration{c.deadline, c.giveUp} {
		if limit != 0 {
			end = min(end, limit)
		}
	}
	return end
}

// A pauseModel is the rules of a pause, for one key of one origin, as a simulation that goes from one event to
// the next.
type pauseModel struct {
	waiters int
	max     time.Duration // WithMaxRetryAfter
	calls   []*pauseCall
	jitter  []time.Duration // until when each pause was seen to last: the one thing that is chance

	now      time.Duration
	arrivals []*pauseCall // to come
	flying   []flight
	queue    []*pauseCall // that wait
	fates    map[*pauseCall]string
	changes  []string

	gate    bool // whether any response has said "wait" lately
	sweptAt time.Duration
	state   string
	phase   int
	next    time.Duration
	run     []time.Duration // when the responses in a row came that said "wait"
	toldAt  time.Duration
	told    time.Duration
	until   time.Duration // when the last pause was to end

	since       time.Duration
	came        []time.Duration
	usualRate   float64
	pace        float64
	pacedAt     time.Duration
	slowedUntil time.Duration
}

// A flight is an attempt under way.
type flight struct {
	call  *pauseCall
	lands time.Duration
	phase int
}

func (m *pauseModel) play() {
	m.fates, m.state = make(map[*pauseCall]string), "idle"
	m.arrivals = slices.Clone(m.calls)
	for m.step() {
	}
}

// step lets the next thing happen.
func (m *pauseModel) step() bool {
	type happening struct {
		at time.Duration
		do func()
	}
	var next []happening
	if len(m.arrivals) > 0 {
		next = append(next, happening{m.arrivals[0].at, m.arrive})
	}
	for i, f := range m.flying {
		next = append(next, happening{f.lands, func() { m.land(i) }})
	}
	for _, c := range m.queue {
		next = append(next, happening{c.end(), func() { m.giveUp(c) }})
		next = append(next, happening{c.at + m.max, func() { m.leave(c, "refused", "the wait is longer than WithMaxRetryAfter") }})
	}
	if len(m.queue) > 0 {
		next = append(next, happening{max(m.now, m.next), m.release})
	}
	if len(next) == 0 {
		return false
	}
	first := slices.MinFunc(next, func(a, b happening) int { return int(a.at - b.at) })
	m.now = first.at
	first.do()
	m.remove()
	return true
}

func (m *pauseModel) change(to string) {
	if m.state != to {
		m.changes = append(m.changes, fmt.Sprint(m.state, " to ", to, " at ", m.now))
		m.state = to
		m.phase++
	}
}

// find makes the gate notice, once a second, that nobody has come for long.
func (m *pauseModel) find() bool {
	if m.gate && m.now-m.sweptAt >= time.Second {
		m.sweptAt = m.now
		m.advance()
		m.remove()
	}
	return m.gate
}

// remove forgets a gate that is as good as none.
func (m *pauseModel) remove() {
	if m.gate && m.state == "idle" && len(m.run) == 0 {
		m.gate = false
	}
}

func (m *pauseModel) advance() {
	if m.state == "releasing" {
		for m.now-m.pacedAt >= time.Second {
			m.pacedAt += time.Second
			m.pace = min(1.5, m.pace+0.3)
		}
	}
	last := m.toldAt
	if m.state == "paused" || m.state == "probing" {
		last = max(last, m.until)
	}
	if m.now-last <= 2*m.told+time.Second {
		return
	}
	m.run = nil
	switch {
	case len(m.queue) == 0 && (m.state != "releasing" || m.pace >= 1):
		m.change("idle")
	case m.state == "probing":
		m.change("releasing")
		m.next, m.pacedAt = m.now, m.now
	}
}

func (m *pauseModel) arrive() {
	c := m.arrivals[0]
	m.arrivals = m.arrivals[1:]
	if !m.find() {
		m.send(c)
		return
	}
	m.advance()
	m.came = append(m.came, m.now)
	turn := m.now + max(0, m.next-m.now) + time.Duration(len(m.queue))*m.gap()
	switch {
	case m.state == "idle", len(m.queue) == 0 && m.now >= m.next:
		m.letGo(c)
	case c.deadline != 0 && turn >= c.deadline:
		m.fates[c] = fmt.Sprint("refused at ", m.now, ": the wait outlasts the caller's deadline")
	case turn > m.now+m.max:
		m.fates[c] = fmt.Sprint("refused at ", m.now, ": the wait is longer than WithMaxRetryAfter")
	case len(m.queue) >= m.waiters:
		m.fates[c] = fmt.Sprint("refused at ", m.now, ": as many calls wait as WithOriginPause allows")
	default:
		m.queue = append(m.queue, c)
	}
}

func (m *pauseModel) send(c *pauseCall) {
	m.fates[c] = fmt.Sprint("sent at ", m.now)
	m.flying = append(m.flying, flight{c, min(m.now+c.latency, c.end()), m.phase})
}

func (m *pauseModel) letGo(c *pauseCall) {
	switch m.state {
	case "paused", "probing":
		m.change("probing")
		m.next = m.now + time.Second
	case "releasing":
		m.next = max(m.next, m.now-10*time.Millisecond) + m.gap()
	}
	m.send(c)
}

func (m *pauseModel) release() {
	for len(m.queue) > 0 && m.now >= m.next { // all calls have made no attempt, so the first is the probe
		c := m.queue[0]
		m.queue = m.queue[1:]
		m.letGo(c)
	}
}

func (m *pauseModel) giveUp(c *pauseCall) { m.leave(c, "gave up", "") }

func (m *pauseModel) leave(c *pauseCall, how, why string) {
	m.queue = slices.DeleteFunc(m.queue, func(other *pauseCall) bool { return other == c })
	m.fates[c] = fmt.Sprint(how, " at ", m.now)
	if why != "" {
		m.fates[c] += ": " + why
	}
}

// rate is how many calls came in a second, of the last five, in steps of half a second.
func (m *pauseModel) rate() float64 {
	count := 0
	for _, came := range m.came {
		if came/(500*time.Millisecond) > m.now/(500*time.Millisecond)-10 {
			count++
		}
	}
	return float64(count) / min(5, max(1, (m.now-m.since).Seconds()))
}

func (m *pauseModel) gap() time.Duration {
	rate := m.rate()
	if rate == 0 {
		rate = max(m.usualRate, 0.2)
	}
	return time.Duration(float64(time.Second) / (rate * m.pace))
}

// land is an attempt's outcome. Its caller may have gone.
func (m *pauseModel) land(i int) {
	f := m.flying[i]
	m.flying = slices.Delete(m.flying, i, i+1)
	response := f.call.response
	if f.call.end() <= f.lands {
		response = pauseResponse{}
	}
	found := m.find()
	tooLong := response.told > m.max
	if !found && response.told > 0 && !tooLong {
		found = true
		*m = pauseModel{
			waiters: m.waiters, max: m.max, calls: m.calls, jitter: m.jitter, now: m.now, arrivals: m.arrivals, flying: m.flying,
			fates: m.fates, changes: m.changes, sweptAt: m.sweptAt, phase: m.phase + 1,
			gate: true, state: "idle", since: m.now, pace: 1.5,
		}
	}
	if !found || tooLong && m.state == "idle" {
		return
	}
	m.advance()
	switch {
	case response.told > 0:
		m.wait(min(response.told, m.max))
	case response.well:
		m.run = nil
		if m.state == "probing" && f.phase == m.phase {
			m.change("releasing")
			m.next, m.pacedAt = m.now, m.now
		}
	}
	m.release()
}

func (m *pauseModel) wait(told time.Duration) {
	m.run = append(m.run, m.now)
	m.toldAt, m.told = m.now, told
	sure := len(m.run) >= 3 && m.now-m.run[0] >= 300*time.Millisecond
	switch {
	case m.state == "paused":
		m.next = max(m.next, m.now+told)
		m.until = m.next
		m.refuseLate()
	case m.state == "probing", sure:
		m.pause(told)
	case m.state == "releasing":
		m.pacedAt = m.now
		if m.now >= m.slowedUntil {
			m.pace, m.slowedUntil = max(0.1, 0.8*m.pace), m.now+told
		}
	}
}

func (m *pauseModel) pause(told time.Duration) {
	if m.state == "idle" {
		m.pace, m.usualRate = 1.5, m.rate()
	}
	m.change("paused")
	m.next = m.now + told
	if len(m.jitter) > 0 { // else there is nothing to compare with, and the trace tells
		seen := m.jitter[0] - m.next
		if seen < 0 || seen > min(told/2, 5*time.Second) {
			m.changes = append(m.changes, fmt.Sprint("a jitter of ", seen, " on top of ", told))
		}
		m.next, m.jitter = m.jitter[0], m.jitter[1:]
	}
	m.until = m.next
	m.refuseLate()
}

func (m *pauseModel) refuseLate() {
	for _, c := range slices.Clone(m.queue) {
		switch {
		case c.deadline != 0 && m.next >= c.deadline:
			m.leave(c, "refused", "the wait outlasts the caller's deadline")
		case m.next > c.at+m.max:
			m.leave(c, "refused", "the wait is longer than WithMaxRetryAfter")
		}
	}
}

// A pauseRun plays a schedule on a Transport.
type pauseRun struct {
	t         *testing.T
	model     *pauseModel
	transport *steadyhttp.Transport
	epoch     time.Time

	mu      sync.Mutex
	changes []string
	untils  []time.Duration
	most    int // that waited at a time
}

func playPause(t *testing.T, bytes []byte) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(bytes)
		run := &pauseRun{t: t, epoch: time.Now(), model: drawPauses(s)}
		run.transport = newTransport(t, baseFunc{run.base}, steadyhttp.WithoutBreaker(), steadyhttp.WithMaxAttempts(1),
			steadyhttp.WithOriginPause(run.model.waiters), steadyhttp.WithMaxRetryAfter(run.model.max), steadyhttp.WithObserver(run.observe))
		var group sync.WaitGroup
		for _, c := range run.model.calls {
			time.Sleep(c.at - run.now())
			group.Go(func() { run.call(c) })
			synctest.Wait()
			run.most = max(run.most, onlyOrigin(t, run.transport).Waiting)
		}
		group.Wait()
		run.compare()
		run.end()
	})
}

// drawPauses draws calls that come, end and give up each at a nanosecond of its own.
func drawPauses(s *schedule) *pauseModel {
	m := &pauseModel{waiters: choose(s, 1000, 0, 1, 3), max: choose(s, time.Minute, 3*time.Second, 5*time.Second)}
	at := time.Duration(0)
	mood := "well"
	for i := 0; !s.done(); i++ {
		own := time.Duration(i+1) * 7919 // a prime, so that no two sums of a few are the same
		at += choose(s, 100*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond, time.Second, 4*time.Second, 12*time.Second) + 13
		if s.chance(25) {
			mood = choose(s, "wait 1", "well", "wait 3", "well", "well", "not found", "well", "wait 3", "fails", "breaks", "bare 429", "now", "down for 2", "wait for all")
		}
		c := &pauseCall{at: at + own, response: pauseResponses[mood], latency: choose(s, time.Millisecond, 0, 5*time.Millisecond, 50*time.Millisecond, time.Second, 5*time.Second) + own*3}
		if s.chance(20) {
			c.deadline = c.at + choose(s, time.Second, 100*time.Millisecond, 3*time.Second, 10*time.Second) + own*5
		}
		if s.chance(10) {
			c.giveUp = c.at + choose(s, 10*time.Millisecond, 2*time.Second, 4*time.Second) + own*11
		}
		m.calls = append(m.calls, c)
	}
	return m
}

type pauseCallKey struct{}

func (run *pauseRun) now() time.Duration { return time.Since(run.epoch) }

func (run *pauseRun) call(c *pauseCall) {
	ctx := context.WithValue(run.t.Context(), pauseCallKey{}, c)
	if c.deadline != 0 {
		limited, cancel := context.WithDeadline(ctx, run.epoch.Add(c.deadline))
		defer cancel()
		ctx = limited
	}
	if c.giveUp != 0 {
		given, cancel := context.WithCancel(ctx)
		stop := time.AfterFunc(c.giveUp-run.now(), cancel)
		defer stop.Stop()
		ctx = given
	}
	response, err := run.transport.RoundTrip(newRequest(run.t, ctx, http.MethodGet, ""))
	var paused *steadyhttp.PausedError
	switch {
	case response != nil:
		_ = response.Body.Close()
	case errors.As(err, &paused):
		c.fate = fmt.Sprint("refused at ", run.now(), ": ", paused.Reason)
	case c.fate == "":
		c.fate = fmt.Sprint("gave up at ", run.now())
	}
}

func (run *pauseRun) base(r *http.Request) (*http.Response, error) {
	c := r.Context().Value(pauseCallKey{}).(*pauseCall)
	c.fate = fmt.Sprint("sent at ", run.now())
	timer := time.NewTimer(c.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return c.response.step.RoundTrip(r)
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
}

func (run *pauseRun) observe(_ context.Context, e steadyhttp.Event) {
	if e.Kind != steadyhttp.EventPause {
		return
	}
	status := run.transport.Origins()[0]
	run.mu.Lock()
	defer run.mu.Unlock()
	run.changes = append(run.changes, fmt.Sprint(e.PauseFrom, " to ", e.PauseTo, " at ", run.now()))
	if e.PauseTo == steadyhttp.PausePaused {
		run.untils = append(run.untils, status.PausedUntil.Sub(run.epoch))
	}
}

func (run *pauseRun) compare() {
	t, m := run.t, run.model
	m.jitter = slices.Clone(run.untils)
	m.play()
	if !run.same() {
		for i, c := range m.calls {
			t.Logf("call %d at %v, deadline %v, gives up %v, takes %v, told %v, well %v: %s; by the model %s",
				i, c.at, c.deadline, c.giveUp, c.latency, c.response.told, c.response.well, c.fate, m.fates[c])
		}
	}
	require.Equal(t, strings.Join(m.changes, "\n"), strings.Join(run.changes, "\n"))
	for i, c := range m.calls {
		require.Equal(t, m.fates[c], c.fate, "call %d of those that came %v", i, c.at)
	}
	require.LessOrEqual(t, run.most, m.waiters)
}

func (run *pauseRun) same() bool {
	for _, c := range run.model.calls {
		if run.model.fates[c] != c.fate {
			return false
		}
	}
	return slices.Equal(run.model.changes, run.changes)
}

// end shows that nothing is left once it is quiet.
func (run *pauseRun) end() {
	time.Sleep(10 * time.Minute)
	c := &pauseCall{at: run.now(), response: pauseResponses["well"]}
	run.call(c)
	require.Equal(run.t, fmt.Sprint("sent at ", c.at), c.fate)
	origin := onlyOrigin(run.t, run.transport)
	require.Equal(run.t, steadyhttp.PauseIdle, origin.Pause)
	require.Zero(run.t, origin.Waiting+origin.Calls)
}

func TestPause_DoesAsItsModel(t *testing.T) {
	t.Parallel()
	explore(t, 500, 400, playPause)
}

func FuzzPauseModel(f *testing.F) {
	f.Add([]byte("a pause"))
	f.Fuzz(playPause)
}
