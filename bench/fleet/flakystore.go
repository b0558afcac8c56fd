package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

// A flakyStore is one that is away, or forgets everything, at times.
type flakyStore struct {
	sharing
	begin    time.Time
	stores   [2]steadyfleet.Store // before and after it forgets
	commands []atomic.Int64       // by the second
}

func newFlakyStore(s sharing) *flakyStore {
	return &flakyStore{
		sharing: s, begin: time.Now(), commands: make([]atomic.Int64, 1000),
		stores: [2]steadyfleet.Store{steadyfleet.InMemory(s.delay), steadyfleet.InMemory(s.delay)},
	}
}

var errAway = errors.New("the store is away")

// now returns the store of the moment.
func (s *flakyStore) now() (steadyfleet.Store, error) {
	since := time.Since(s.begin)
	s.commands[min(int(since/time.Second), len(s.commands)-1)].Add(1)
	switch {
	case since < s.from || s.until > 0 && since >= s.until:
		return nil, errAway
	case s.flushed > 0 && since >= s.flushed:
		return s.stores[1], nil
	default:
		return s.stores[0], nil
	}
}

func (s *flakyStore) Tell(ctx context.Context, group string, r steadyfleet.Report) (steadyfleet.Word, error) {
	store, err := s.now()
	if err != nil {
		return steadyfleet.Word{}, err
	}
	return store.Tell(ctx, group, r)
}

func (s *flakyStore) Beat(ctx context.Context, group, process string) (int64, error) {
	store, err := s.now()
	if err != nil {
		return 0, err
	}
	return store.Beat(ctx, group, process)
}

// Listen hears both: a store that is away says nothing, since nobody can tell it anything.
func (s *flakyStore) Listen(ctx context.Context, group string, hear func(steadyfleet.Word)) error {
	other := make(chan struct{})
	go func() {
		defer close(other)
		_ = s.stores[1].Listen(ctx, group, hear)
	}()
	defer func() { <-other }()
	return s.stores[0].Listen(ctx, group, hear)
}

// since counts the commands from a second on: in all, and in the worst second. When all join there is a beat of each.
func (s *flakyStore) since(from time.Duration) (worst, total int64) {
	for i := int(from / time.Second); i < len(s.commands); i++ {
		n := s.commands[i].Load()
		worst, total = max(worst, n), total+n
	}
	return worst, total
}
