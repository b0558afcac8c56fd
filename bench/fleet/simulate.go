package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// succeeds makes one call, which has until the deadline, if there is one.
func succeeds(client peers.Doer, path string, deadline time.Duration) bool {
	ctx := context.Background()
	if deadline > 0 {
		limited, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		ctx = limited
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://model.example.com"+path, nil)
	if err != nil {
		panic(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// bucket is how finely the figures are kept.
const bucket = 100 * time.Millisecond

// A result counts what happened, by the bucket in which calls and attempts began.
type result struct {
	calls, succeeded, attempts []int
	hopeless                   []int           // those of the calls that go to a bad path
	answered                   []int           // successes again, by the bucket in which they came
	latencies                  []time.Duration // of the successes begun during the trouble, in order
	commands, told             int64           // to a store that they share, from the trouble on: in the worst second, and in all
	from, to                   int             // the buckets of the trouble
}

// simulate lets a fleet of clients meet a scenario. It must run in a synctest bubble.
func simulate(s setting, c scenario, library peers.Library) result {
	total := s.before + c.lasting + s.after
	r := result{
		calls: make([]int, total/bucket+1), succeeded: make([]int, total/bucket+1), hopeless: make([]int, total/bucket+1),
		attempts: make([]int, 2*total/bucket+1), answered: make([]int, 2*total/bucket+1),
		from: int(s.before / bucket), to: int((s.before + c.lasting) / bucket),
	}
	m := &model{
		sick: func(client int, t trouble) bool {
			return within(client, s.sick, s.clients) || within(client, t.cutOff, s.clients)
		},
		random: rand.New(rand.NewPCG(s.seed, 1)), begin: time.Now(), free: make([]time.Time, s.workers),
		service: s.service, patience: s.patience,
		seen: func(since time.Duration) { count(r.attempts, since) },
		trouble: func(since time.Duration) trouble {
			if since >= s.before && since < s.before+c.lasting {
				return c.trouble
			}
			return trouble{}
		},
	}
	clients := make([]peers.Doer, s.clients)
	h := newHub(s)
	for i := range clients {
		if library.Client == nil {
			clients[i] = h.client(i, connection{m, i})
		} else {
			clients[i] = library.Client(connection{m, i})
		}
	}
	r.drive(s, c.trouble, total, clients)
	h.close()
	r.commands, r.told = h.store.since(s.before)
	slices.Sort(r.latencies)
	return r
}

// drive makes the calls: a Poisson process, of which each call falls to a client and to a path by chance.
func (r *result) drive(s setting, t trouble, total time.Duration, clients []peers.Doer) {
	random, pathOf := rand.New(rand.NewPCG(s.seed, 2)), rand.New(rand.NewPCG(s.seed, 3))
	var group sync.WaitGroup
	var mu sync.Mutex
	begin := time.Now()
	for at := time.Duration(0); at < total; at += time.Duration(random.ExpFloat64() / s.rate * float64(time.Second)) {
		time.Sleep(time.Until(begin.Add(at)))
		who, path := random.IntN(len(clients)), t.path(pathOf)
		client := clients[who]
		group.Go(func() {
			succeeded := succeeds(client, path, s.deadline)
			mu.Lock()
			defer mu.Unlock()
			count(r.calls, at)
			if t.isHopeless(path) || within(who, s.sick, s.clients) || within(who, t.cutOff, s.clients) {
				count(r.hopeless, at)
			} else if succeeded {
				r.succeed(at, time.Since(begin))
			}
		})
	}
	group.Wait()
}

// succeed counts a success of a call begun at a time, and when it came.
func (r *result) succeed(at, came time.Duration) {
	count(r.succeeded, at)
	count(r.answered, came)
	if index := int(at / bucket); index >= r.from && index < r.to {
		r.latencies = append(r.latencies, came-at)
	}
}

// count counts what happened then; the last bucket stands for all time after it.
func count(counts []int, since time.Duration) { counts[min(int(since/bucket), len(counts)-1)]++ }

func sum(counts []int) (total int) {
	for _, count := range counts {
		total += count
	}
	return total
}

// success is the share of the calls begun in those buckets that succeeded, but for those that could not; of no
// calls, none failed.
func (r result) success(from, to int) float64 {
	calls := sum(r.calls[from:to]) - sum(r.hopeless[from:to])
	if calls == 0 {
		return 1
	}
	return float64(sum(r.succeeded[from:to])) / float64(calls)
}

// load is attempts over calls.
func (r result) load(from, to int) float64 {
	return float64(sum(r.attempts[from:to])) / float64(max(1, sum(r.calls[from:to])))
}

func (r result) during() float64 { return r.success(r.from, r.to) }
func (r result) before() float64 { return r.success(0, r.from) }
func (r result) after() float64  { return r.success(r.to, len(r.calls)-1) }

// latency is what that share of the calls begun during the trouble that succeeded took at most; 0 of none.
func (r result) latency(share float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[int(share*float64(len(r.latencies)-1))]
}

// loadDuring is the load while the trouble lasts.
func (r result) loadDuring() float64 { return r.load(r.from, r.to) }

// peak is the load of the worst second, from the trouble's beginning on.
func (r result) peak() float64 {
	const second = int(time.Second / bucket)
	worst := 0.0
	for from := r.from; from+second < len(r.calls); from++ {
		worst = max(worst, r.load(from, from+second))
	}
	return worst
}

// recovery is how long after the trouble's end calls went on failing: until the beginning of the first
// half second from which on each half second sees at least 95 % of its calls succeed.
func (r result) recovery() time.Duration {
	back := r.to
	for from := r.to; from+half < len(r.calls); from++ {
		if !r.well(from) {
			back = from + 1
		}
	}
	return time.Duration(back-r.to) * bucket
}

const half = int(500 * time.Millisecond / bucket) // a second

// well reports whether calls succeed in the half second from there on.
func (r result) well(from int) bool { return r.success(from, from+half) >= 0.95 }

// recovered reports whether there is an end to recovery before the figures end.
func (r result) recovered() bool { return r.well(len(r.calls) - 1 - half) }
