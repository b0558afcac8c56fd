package steadyfleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/steadyhttp/steadyhttp"
)

// A Fleet is this process's membership in a group of processes that call the same origins from the same place. It is a
// [steadyhttp.Fleet], for [steadyhttp.WithFleet]; several Transports may share it.
//
// [Join] makes one. The zero Fleet is in no group, and shares nothing. It is safe for concurrent use.
type Fleet struct {
	store   Store
	group   string
	process string
	rank    int64

	begin   time.Time       // what the times of this process are counted from
	ctx     context.Context // which Close ends
	end     context.CancelFunc
	running sync.WaitGroup
	wake    chan struct{}
	alone   atomic.Bool // whether the store did not reply in time when it was last told something
	closed  atomic.Bool
	second  time.Duration // of which told is; only work uses the two
	told    int           // how much was told in it

	mu      sync.Mutex
	origins map[string][]weak.Pointer[watch] // nil: nobody joined. By digest: each Transport may have the origin. Its breaker keeps the watch
	members int64
	lag     time.Duration // of the store's last reply
}

const (
	patience  = 250 * time.Millisecond // a store that takes longer is none
	beatEvery = 10 * time.Second
	firstBeat = time.Second
	memberFor = 30 * time.Second
	listenGap = time.Second           // after listening has failed
	mostTold  = 20                    // reports of a process in a second, of all its origins
	lookGap   = 10 * time.Millisecond // from one look at all origins to the next: a thousand calls a second may fail
)

// Join lets this process share with the others of a group what it sees. End it by [Fleet.Close].
//
// A group is what fails and recovers together: the processes of one service in one zone. Zones that can be cut off alone
// are groups of their own. The store need not be there: without it, each process is on its own until it is. Join
// starts two goroutines, one that works and one that listens, however many origins there are. The error is for a
// nil store and an empty group. A breaker that the fleet changes tells its [steadyhttp.Observer] from one of the two.
func Join(store Store, group string) (*Fleet, error) {
	if isNil(store) {
		return nil, errors.New("steadyfleet: Join: the store is nil: want one of New or InMemory")
	}
	if group == "" {
		return nil, errors.New(`steadyfleet: Join: the group "" is invalid: want a name, such as that of the service`)
	}
	ctx, end := context.WithCancel(context.Background())
	f := &Fleet{
		store: store, group: group, process: rand.Text(), rank: mathrand.Int64N(maxRank),
		begin: time.Now(), ctx: ctx, end: end, wake: make(chan struct{}, 1), origins: map[string][]weak.Pointer[watch]{},
	}
	f.running.Go(func() { f.work(ctx) })
	f.running.Go(func() { f.listen(ctx) })
	return f, nil
}

// Close leaves the group. Breakers go on by their own rules.
//
// It waits until nothing runs any more, 250 ms at most: a client of Redis that does not care for its context ends by its own
// timeouts. Further calls do nothing more.
func (f *Fleet) Close() {
	f.closed.Store(true)
	if f.origins == nil {
		return
	}
	f.end()
	f.goAlone()
	ended := make(chan struct{})
	go func() {
		f.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// Add makes the fleet watch an origin. It is called by steadyhttp, and by nobody else.
func (f *Fleet) Add(origin string, breaker *steadyhttp.FleetBreaker) steadyhttp.FleetOrigin {
	if f.origins == nil {
		return nil
	}
	digest := sha256.Sum256([]byte(origin))
	w := &watch{fleet: f, name: origin, key: hex.EncodeToString(digest[:12]), breaker: breaker}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.origins[w.key] = append(f.origins[w.key], weak.Make(w))
	return w
}

// remove forgets a watch, and those of Transports that nobody uses any more. f.mu is held.
func (f *Fleet) remove(key string, w *watch) {
	f.origins[key] = slices.DeleteFunc(f.origins[key], func(o weak.Pointer[watch]) bool { return o.Value() == nil || o.Value() == w })
	if len(f.origins[key]) == 0 {
		delete(f.origins, key)
	}
}

// Status returns a snapshot of what the fleet knows: members as of the last heartbeat, which comes every 10 to 12 s.
// [steadyhttp.Transport.Fleet] returns it, too.
func (f *Fleet) Status() steadyhttp.FleetStatus {
	f.mu.Lock()
	s := steadyhttp.FleetStatus{Members: int(f.members), Lag: f.lag, Alone: f.isAlone()}
	f.mu.Unlock()
	for _, w := range f.watches() {
		if phase, since := w.advice(); phase != Calm {
			s.Advice = append(s.Advice, steadyhttp.FleetAdvice{Origin: w.name, Phase: phase.String(), Since: since})
		}
	}
	slices.SortFunc(s.Advice, func(a, b steadyhttp.FleetAdvice) int { return cmp.Compare(a.Origin, b.Origin) })
	s.Advice = slices.CompactFunc(s.Advice, func(a, b steadyhttp.FleetAdvice) bool { return a.Origin == b.Origin && a.Phase == b.Phase })
	return s
}

func (f *Fleet) watches() (all []*watch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.origins {
		f.remove(key, nil)
		all = append(all, f.watching(key)...)
	}
	return all
}

// watching are those of one origin. f.mu is held.
func (f *Fleet) watching(key string) (all []*watch) {
	for _, o := range f.origins[key] {
		if w := o.Value(); w != nil {
			all = append(all, w)
		}
	}
	return all
}

// mayTell bounds what one process tells of all its origins: of a thousand that fail at once the store would hear too much.
func (f *Fleet) mayTell(now time.Duration) bool {
	if second := now.Truncate(time.Second); second != f.second {
		f.second, f.told = second, 0
	}
	return f.told < mostTold
}

func (f *Fleet) lastLag() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lag
}

func (f *Fleet) now() time.Duration { return time.Since(f.begin) }

// rouse lets the goroutine look at its origins.
func (f *Fleet) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// work is the goroutine that tells the store.
func (f *Fleet) work(ctx context.Context) {
	beat := mathrand.N(firstBeat) // soon, so that there is a connection before there is trouble
	for {
		if f.now() >= beat {
			f.beat(ctx)
			beat = f.now() + beatEvery + mathrand.N(beatEvery/5) // so that not all beat together
		}
		next, looked := beat, f.now()
		for _, w := range f.watches() {
			if again, ok := w.step(ctx); ok {
				next = min(next, again)
			}
		}
		timer := time.NewTimer(max(0, next-f.now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-f.wake:
			timer.Stop()
			_ = sleep(ctx, looked+lookGap-f.now())
		case <-timer.C:
		}
	}
}

func (f *Fleet) beat(ctx context.Context) {
	var members int64
	err := f.ask(ctx, func(ctx context.Context) (err error) {
		members, err = f.store.Beat(ctx, f.group, f.process)
		return err
	})
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = members
}

// tell tells the store something, and lets all who watch the origin here hear its word.
func (f *Fleet) tell(ctx context.Context, r Report) (w Word, err error) {
	r.Process, r.Rank = f.process, f.rank
	err = f.ask(ctx, func(ctx context.Context) (err error) {
		if w, err = f.store.Tell(ctx, f.group, r); err == nil {
			err = w.check()
		}
		return err
	})
	if err == nil {
		f.hear(w)
	}
	return w, err
}

var errLate = errors.New("steadyfleet: the store replied too late")

// ask gives the store its time. One that is late is as good as none, even if it replies.
func (f *Fleet) ask(ctx context.Context, ask func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begin := time.Now()
	err := ask(limited)
	lag := time.Since(begin)
	if err == nil && lag > patience {
		err = errLate
	}
	if err != nil {
		if ctx.Err() == nil { // else it is not the store's fault
			f.goAlone()
		}
		return err
	}
	f.alone.Store(false)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lag = lag
	return nil
}

// isAlone reports whether the store cannot be reached, or is asked no more: it may still reply once the fleet is closed.
func (f *Fleet) isAlone() bool { return f.alone.Load() || f.closed.Load() }

func (f *Fleet) ended() <-chan struct{} { return f.ctx.Done() }

// outlive keeps what a context tells, a trace for example, beyond its end, until the fleet is closed.
func (f *Fleet) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(f.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// goAlone forgets what the fleet has said.
func (f *Fleet) goAlone() {
	f.alone.Store(true)
	for _, w := range f.watches() {
		w.forget()
	}
}

// listen is the goroutine that hears what the store says to all.
func (f *Fleet) listen(ctx context.Context) {
	for ctx.Err() == nil {
		_ = f.store.Listen(ctx, f.group, func(w Word) {
			if !f.isAlone() && w.check() == nil {
				f.hear(w)
			}
		})
		_ = sleep(ctx, listenGap)
	}
}

func (f *Fleet) hear(word Word) {
	f.mu.Lock()
	heard := f.watching(word.Origin)
	f.mu.Unlock()
	for _, w := range heard {
		w.hear(word)
	}
}
