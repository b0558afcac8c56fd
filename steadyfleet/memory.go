package steadyfleet

import (
	"context"
	"sync"
	"time"
)

// InMemory returns a store within this process, for tests: of a program that shares, and, in a testing/synctest bubble,
// of how a whole fleet behaves. Each word takes delay each way; 0 is no time.
func InMemory(delay time.Duration) Store {
	return &memory{delay: delay, epoch: time.Now(), origins: map[string]*remembered{}, members: map[string]map[string]time.Time{}, listeners: map[string]map[*listener]struct{}{}}
}

type memory struct {
	delay time.Duration
	epoch time.Time

	mu        sync.Mutex
	origins   map[string]*remembered
	forgot    int64 // when forget last looked
	members   map[string]map[string]time.Time
	listeners map[string]map[*listener]struct{}
}

// A listener has the words that are on their way to it.
type listener struct {
	words []spoken
	wake  chan struct{}
}

type spoken struct {
	word   Word
	arrive time.Time
}

func (m *memory) Tell(ctx context.Context, group string, r Report) (Word, error) {
	if err := m.travel(ctx); err != nil {
		return Word{}, err
	}
	w := m.tell(group, r)
	return w, m.travel(ctx)
}

func (m *memory) tell(group string, r Report) Word {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	key := group + " " + r.Origin
	s := m.origins[key]
	if s == nil {
		s = &remembered{state: newState()}
		m.origins[key] = s
	}
	s.told = m.now()
	w, publish := s.tell(m.now(), r)
	if publish {
		m.publish(group, w)
	}
	return w
}

// A remembered state is forgotten when nobody has told of it for as long as Redis keeps it.
type remembered struct {
	*state
	told int64
}

// forget looks at all of them, once a second. m.mu is held.
func (m *memory) forget() {
	now := m.now()
	if now-m.forgot < 1000 {
		return
	}
	m.forgot = now
	for key, s := range m.origins {
		if now-s.told > forgetFor {
			delete(m.origins, key)
		}
	}
}

// now is never 0, as a real clock is not.
func (m *memory) now() int64 { return 1 + time.Since(m.epoch).Milliseconds() }

// publish leaves a word to the listeners. m.mu is held.
func (m *memory) publish(group string, w Word) {
	w.Granted, w.Wait = false, 0
	for e := range m.listeners[group] {
		e.words = append(e.words, spoken{w, time.Now().Add(m.delay)})
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

func (m *memory) Beat(ctx context.Context, group, process string) (int64, error) {
	if err := m.travel(ctx); err != nil {
		return 0, err
	}
	members := m.beat(group, process)
	return members, m.travel(ctx)
}

func (m *memory) beat(group, process string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.members[group]
	if known == nil {
		known = map[string]time.Time{}
		m.members[group] = known
	}
	known[process] = time.Now()
	for other, seen := range known {
		if time.Since(seen) > memberFor {
			delete(known, other)
		}
	}
	return int64(len(known))
}

func (m *memory) Listen(ctx context.Context, group string, hear func(Word)) error {
	e := &listener{wake: make(chan struct{}, 1)}
	m.addListener(group, e)
	defer m.removeListener(group, e)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.wake:
		}
		for next, ok := m.take(e); ok; next, ok = m.take(e) {
			if err := sleep(ctx, time.Until(next.arrive)); err != nil {
				return err
			}
			hear(next.word)
		}
	}
}

func (m *memory) addListener(group string, e *listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listeners[group] == nil {
		m.listeners[group] = map[*listener]struct{}{}
	}
	m.listeners[group][e] = struct{}{}
}

func (m *memory) removeListener(group string, e *listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.listeners[group], e)
}

func (m *memory) take(e *listener) (next spoken, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(e.words) == 0 {
		return spoken{}, false
	}
	next, e.words = e.words[0], e.words[1:]
	return next, true
}

func (m *memory) travel(ctx context.Context) error { return sleep(ctx, m.delay) }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
