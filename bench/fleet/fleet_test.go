package main

import (
	"reflect"
	"testing"
	"time"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// A blip of half a second is what retries are for.
func TestBlipCostsAFleetOf200LessThanOneCallInAHundred(t *testing.T) {
	r := play(t, defaults(), scenarios[0], peers.Steady())
	if r.during() < 0.99 || r.after() < 0.99 {
		t.Errorf("%.4f of the calls succeeded during the blip, %.4f after it", r.during(), r.after())
	}
}

// go-retryablehttp has no randomness of its own.
func TestSameSeedGivesTheSameFigures(t *testing.T) {
	s, c := defaults(), scenario{"both", trouble{refused: 0.2, delay: 10 * time.Millisecond}, 2 * time.Second}
	s.before, s.after = time.Second, 2*time.Second
	library, err := choose("library", virtual(), nameOf, []string{"go-retryablehttp"})
	if err != nil {
		t.Fatal(err)
	}
	first := play(t, s, c, library[0])
	if again := play(t, s, c, library[0]); !reflect.DeepEqual(first, again) {
		t.Error("the same seed gave other figures")
	}
	s.seed++
	if other := play(t, s, c, library[0]); reflect.DeepEqual(first, other) {
		t.Error("another seed gave the same figures")
	}
}

func TestRefusedAndThrottledSharesAddUp(t *testing.T) {
	s, c := defaults(), scenario{"both", trouble{refused: 0.3, throttled: 0.3}, 10 * time.Second}
	s.before, s.after = time.Second, time.Second
	library, err := choose("library", virtual(), nameOf, []string{"no retries"})
	if err != nil {
		t.Fatal(err)
	}
	if during := play(t, s, c, library[0]).during(); during < 0.38 || during > 0.42 {
		t.Errorf("%.4f of the calls succeeded", during)
	}
}

func TestFiguresSayWhenThereIsNoRecovery(t *testing.T) {
	calls := func(succeeded ...int) result {
		r := result{from: 0, to: 5}
		for _, n := range succeeded {
			r.calls, r.succeeded, r.attempts = append(r.calls, 10), append(r.succeeded, n), append(r.attempts, 10)
		}
		return r
	}
	for want, r := range map[string]result{
		"0.0 s": calls(0, 0, 0, 0, 0, 10, 10, 10, 10, 10, 10, 10, 10),
		"0.2 s": calls(0, 0, 0, 0, 0, 0, 0, 10, 10, 10, 10, 10, 10),
		"never": calls(0, 0, 0, 0, 0, 10, 10, 10, 10, 10, 10, 0, 10),
	} {
		if got := r.backIn(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

func TestAttemptTakesAsLongAsTheServerNeedsWhenItIsBegun(t *testing.T) {
	begin := time.Now()
	m := &model{begin: begin, free: make([]time.Time, 1), service: 10 * time.Millisecond, trouble: func(since time.Duration) trouble {
		if since < 100*time.Millisecond {
			return trouble{capacity: 0.1}
		}
		return trouble{}
	}}
	for _, want := range []time.Duration{100 * time.Millisecond, 110 * time.Millisecond, 120 * time.Millisecond} {
		if got := m.enqueue(begin); got != want {
			t.Errorf("answered after %v, not %v", got, want)
		}
	}
}
