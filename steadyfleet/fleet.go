package steadyfleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// A Fleet is this process's membership in a group of processes that call the same origins from the same place. It is a
// [steadyhttp.Fleet], for [steadyhttp.WithFleet]; several Transports may share it.
//
// [Join] makes one. It is safe for concurrent use.
type Fleet struct {
	store   Store
	group   string
	process string
	rank    int64

	begin   time.Time // what the times of this process are counted from
	end     context.CancelFunc
	running sync.WaitGroup
	wake    chan struct{}
	alone   atomic.Bool // whether the store did not reply in time when it was last told something

	mu      sync.Mutex
	origins map[string][]*watch // by digest: each Transport may have the origin
	members int64
	lag     time.Duration // of the store's last reply
}

const (
	patience  = 250 * time.Millisecond // a store that takes longer is none
	beatEvery = 10 * time.Second
	firstBeat = time.Second
	memberFor = 30 * time.Second
	listenGap = time.Second // after listening has failed
)

// Join lets this process share with the others of a group what it sees. End it by [Fleet.Close].
//
// A group is what fails and recovers together: the processes of one service in one zone. Zones that can be cut off alone
// are groups of their own. The store need not be there: without it, each process is on its own until it is. Join
// starts two goroutines, one that works and one that listens, however many origins there are. The error is for a
// nil store and an empty group.
func Join(store Store, group string) (*Fleet, error) {
	if store == nil {
		return nil, errors.New("steadyfleet: Join: the store is nil: want one of New or InMemory")
	}
	if group == "" {
		return nil, errors.New(`steadyfleet: Join: the group "" is invalid: want a name, such as that of the service`)
	}
	ctx, end := context.WithCancel(context.Background())
	f := &Fleet{
		store: store, group: group, process: rand.Text(), rank: mathrand.Int64N(maxRank),
		begin: time.Now(), end: end, wake: make(chan struct{}, 1), origins: map[string][]*watch{},
	}
	f.running.Go(func() { f.work(ctx) })
	f.running.Go(func() { f.listen(ctx) })
	return f, nil
}

// Close leaves the group. It waits until nothing runs any more, which takes no longer than the store's reply. Breakers go on
// by their own rules.
func (f *Fleet) Close() {
	f.end()
	f.running.Wait()
	f.goAlone()
}

// Add is called by steadyhttp.
func (f *Fleet) Add(origin string, breaker *steadyhttp.FleetBreaker) steadyhttp.FleetOrigin {
	digest := sha256.Sum256([]byte(origin))
	w := &watch{fleet: f, name: origin, key: hex.EncodeToString(digest[:12]), breaker: breaker}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.origins[w.key] = append(f.origins[w.key], w)
	return w
}

func (f *Fleet) remove(w *watch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.origins[w.key] = slices.DeleteFunc(f.origins[w.key], func(o *watch) bool { return o == w }); len(f.origins[w.key]) == 0 {
		delete(f.origins, w.key)
	}
}

// Status is a snapshot of what a [Fleet] knows.
type Status struct {
	// Members is how many processes are in the group, this one included; 0 if it is not known yet.
	Members int
	// Lag is how long the store took to reply lately.
	Lag time.Duration
	// Alone is whether the store did not reply within 250 ms when it was last asked. Then breakers are on their own.
	Alone bool
	// Origins are those on which the group has a word at present, sorted by name. Calm ones are left out.
	Origins []OriginStatus
}

// OriginStatus is the word on one origin.
type OriginStatus struct {
	Origin string // "https://api.example.com:443", or what WithOriginKey returned
	Phase  Phase
	Since  time.Time // when this process heard of it
}

// Status returns a snapshot.
func (f *Fleet) Status() Status {
	f.mu.Lock()
	s := Status{Members: int(f.members), Lag: f.lag, Alone: f.alone.Load()}
	f.mu.Unlock()
	for _, w := range f.watches() {
		if phase, since := w.advice(); phase != Calm {
			s.Origins = append(s.Origins, OriginStatus{w.name, phase, since})
		}
	}
	slices.SortFunc(s.Origins, func(a, b OriginStatus) int { return cmp.Compare(a.Origin, b.Origin) })
	return s
}

func (f *Fleet) watches() []*watch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Concat(slices.Collect(maps.Values(f.origins))...)
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
			beat = f.now() + beatEvery*4/5 + mathrand.N(beatEvery*2/5) // lest all beat together
		}
		next := beat
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
		w, err = f.store.Tell(ctx, f.group, r)
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
			if !f.alone.Load() {
				f.hear(w)
			}
		})
		_ = sleep(ctx, listenGap)
	}
}

func (f *Fleet) hear(word Word) {
	f.mu.Lock()
	heard := slices.Clone(f.origins[word.Origin])
	f.mu.Unlock()
	for _, w := range heard {
		w.hear(word)
	}
}
