package steadyhttp_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// The model of a budget is a ledger: when what came in, and what was spent.
type budgetModel struct {
	ratio   float64
	burst   float64
	fixed   bool
	entries []entry
}

// An entry is a moment at which something happened to a budget. The first one is its beginning.
type entry struct {
	at      time.Duration
	success bool // else it was asked for a token,
	spent   bool // and gave it
	refund  bool // whether the success gave one back
}

// holds is how many tokens there are. Whenever a budget was asked, it held no more than fits, and has
// since got what came in, and lost what was spent. So of all those moments the worst one counts.
func (m *budgetModel) holds(now time.Duration) float64 {
	least := m.capacity(now, len(m.entries))
	for i, e := range m.entries {
		if !e.success {
			least = min(least, m.capacity(e.at, i)+m.income(i, now)-m.spent(i))
		}
	}
	return least
}

// income is what came in since an entry: a tenth of a token a second, and the ratio for each success.
func (m *budgetModel) income(since int, now time.Duration) float64 {
	earned := 0.1 * (now - m.entries[since].at).Seconds()
	for _, e := range m.entries[since:] {
		if e.success {
			earned += m.ratio
		}
		if e.refund {
			earned++
		}
	}
	return earned
}

func (m *budgetModel) spent(since int) float64 {
	count := 0.0
	for _, e := range m.entries[since:] {
		if e.spent {
			count++
		}
	}
	return count
}

// capacity grows with the successes of the last ten seconds, unless the user has fixed it.
func (m *budgetModel) capacity(now time.Duration, before int) float64 {
	if m.fixed {
		return m.burst
	}
	recent := 0.0
	for _, e := range m.entries[:before] {
		if e.success && e.at/time.Second > now/time.Second-10 {
			recent++
		}
	}
	return max(m.burst, 0.3*recent)
}

// A budgetRun plays a schedule on a Transport and on models of its budgets. A call is retried once at most,
// so it asks the budget once at most.
type budgetRun struct {
	t         *testing.T
	schedule  *schedule
	transport *steadyhttp.Transport
	rules     budgetModel
	models    map[string]*budgetModel
	epoch     time.Time
	trace     []string

	mu   sync.Mutex
	sent int
}

func playBudget(t *testing.T, bytes []byte) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(bytes)
		run := &budgetRun{t: t, schedule: s, models: map[string]*budgetModel{}, epoch: time.Now(), rules: budgetModel{ratio: 0.2, burst: 5}}
		options := []steadyhttp.Option{
			steadyhttp.WithoutBreaker(), steadyhttp.WithMaxAttempts(2),
			steadyhttp.WithBackoff(1, choose(s, time.Duration(1), time.Millisecond)),
		}
		if s.chance(50) {
			run.rules = budgetModel{ratio: choose(s, 0.2, 0, 1), burst: choose(s, 1.0, 2, 10), fixed: true}
			options = append(options, steadyhttp.WithRetryBudget(run.rules.ratio, int(run.rules.burst)))
		}
		run.transport = newTransport(t, baseFunc{run.base}, options...)
		defer run.tell()
		for !s.done() {
			run.step()
		}
	})
}

func (run *budgetRun) tell() {
	if run.t.Failed() {
		run.t.Logf("ratio %v, burst %v, fixed %v\n%s", run.rules.ratio, run.rules.burst, run.rules.fixed, strings.Join(run.trace, "\n"))
	}
}

func (run *budgetRun) now() time.Duration { return time.Since(run.epoch) }

// base answers with the statuses that the path lists, one for each attempt.
func (run *budgetRun) base(r *http.Request) (*http.Response, error) {
	run.mu.Lock()
	run.sent++
	run.mu.Unlock()
	var first, second int
	if _, err := fmt.Sscanf(r.URL.Path, "/%d/%d", &first, &second); err != nil {
		panic(err)
	}
	code := first
	if steadyhttp.AttemptFromContext(r.Context()) == 2 {
		code = second
	}
	return &http.Response{StatusCode: code, Body: http.NoBody}, nil
}

func (run *budgetRun) step() {
	s := run.schedule
	switch s.pick(8) {
	case 0, 1, 2:
		run.fail(1, choose(s, 200, 503))
	case 3:
		run.fail(choose(s, 3, 20, 100), choose(s, 200, 503))
	case 4, 5:
		run.succeed(choose(s, 1, 5, 30, 100))
	default:
		time.Sleep(choose(s, 100*time.Millisecond, 999*time.Millisecond, time.Second, 3*time.Second, 9*time.Second, 10*time.Second, time.Hour, 30*24*time.Hour))
	}
}

func (run *budgetRun) model(origin string) *budgetModel {
	if run.models[origin] == nil {
		rules := run.rules
		rules.entries = []entry{{at: run.now()}}
		run.models[origin] = &rules
	}
	return run.models[origin]
}

func (run *budgetRun) drawOrigin() string { return choose(run.schedule, "a", "a", "b") }

// succeed makes calls that go well, one after the other, and so takes no time.
func (run *budgetRun) succeed(calls int) {
	origin, code := run.drawOrigin(), choose(run.schedule, 200, 404, 501)
	model := run.model(origin)
	run.trace = append(run.trace, fmt.Sprintf("%12v  %s: %d calls are answered %d", run.now(), origin, calls, code))
	for range calls {
		model.entries = append(model.entries, entry{at: run.now(), success: true})
		run.send(fmt.Sprintf("https://%s/%d/0", origin, code))
	}
}

// fail makes calls that fail at the same moment, and ask the budget for one retry each.
func (run *budgetRun) fail(calls, second int) {
	origin := run.drawOrigin()
	model := run.model(origin)
	asked := run.now()
	held := model.holds(asked)
	before := run.sent
	var group sync.WaitGroup
	for range calls {
		group.Go(func() { run.send(fmt.Sprintf("https://%s/503/%d", origin, second)) })
	}
	group.Wait()
	retried := run.sent - before - calls
	run.trace = append(run.trace, fmt.Sprintf("%12v  %s: %d calls fail, %d are retried of at most %.3f", asked, origin, calls, retried, held))
	require.GreaterOrEqual(run.t, held, 0.0)
	require.LessOrEqual(run.t, held, model.capacity(asked, len(model.entries)))
	for range retried {
		require.Greater(run.t, model.holds(asked), 1-tokenTolerance, "a token that is spent was there")
		model.entries = append(model.entries, entry{at: asked, spent: true})
	}
	if retried < calls {
		require.Less(run.t, model.holds(asked), 1+tokenTolerance, "a token that was there was not refused")
		model.entries = append(model.entries, entry{at: asked})
	}
	if second == 200 {
		for range retried {
			model.entries = append(model.entries, entry{at: run.now(), success: true, refund: !model.fixed})
		}
	}
}

// tokenTolerance is for sums of fractions.
const tokenTolerance = 1e-6

func (run *budgetRun) send(address string) {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		panic(err)
	}
	_, _ = run.transport.RoundTrip(r)
}

func TestBudget_DoesAsItsModel(t *testing.T) {
	t.Parallel()
	explore(t, 500, 100, playBudget)
}

func FuzzBudgetModel(f *testing.F) {
	f.Add([]byte("a budget"))
	f.Fuzz(playBudget)
}
