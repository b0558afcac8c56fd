package main

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// go-retryablehttp has no randomness of its own.
func TestFigures_SameSeedGivesTheSame(t *testing.T) {
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

func TestModel_RefusedAndThrottledSharesAddUp(t *testing.T) {
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

// In an outage of a second nothing succeeds, but some of the calls that begin in it succeed after it.
func TestFigures_SuccessCountsWhereItsCallBeganAndIsDrawnWhereItCame(t *testing.T) {
	s, c := defaults(), scenario{"out", trouble{refused: 1}, time.Second}
	s.before, s.after = time.Second, 5*time.Second
	r := play(t, s, c, peers.Steady())
	if came := sum(r.answered[r.from+1 : r.to]); came != 0 || r.during() == 0 {
		t.Errorf("%d successes came during the outage, of %.4f of its calls", came, r.during())
	}
	if sum(r.answered) != sum(r.succeeded) {
		t.Errorf("%d successes came, %d were counted", sum(r.answered), sum(r.succeeded))
	}
}

func TestFigures_AreInTheOrderOfTheTable(t *testing.T) {
	r := result{
		calls:     []int{5, 5, 0, 4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 9},
		succeeded: []int{5, 4, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		hopeless:  make([]int, 15),
		attempts:  []int{5, 5, 0, 8, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0},
		latencies: []time.Duration{time.Millisecond, 2 * time.Millisecond, 3 * time.Second},
		from:      3, to: 8,
	}
	want := []string{"90.00 %", "15.00 %", "100.00 %", "×2.00", "×2.00", "0.0 s", "2 ms", "2 ms"} // no calls, and none failed
	if got := r.figures(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func newResult(buckets int) result {
	return result{calls: make([]int, buckets), succeeded: make([]int, buckets), hopeless: make([]int, buckets), attempts: make([]int, buckets)}
}

func TestFigures_CallsThatCouldNotSucceedAreNotCounted(t *testing.T) {
	s, c := defaults(), scenario{"bad path", trouble{badPath: true}, 2 * time.Second}
	s.before, s.after = time.Second, time.Second
	library, err := choose("library", virtual(), nameOf, []string{"no retries"})
	if err != nil {
		t.Fatal(err)
	}
	r := play(t, s, c, library[0])
	if r.during() != 1 || r.loadDuring() != 1 {
		t.Errorf("%.4f of the calls succeeded, load %.4f", r.during(), r.loadDuring())
	}
	if share := float64(sum(r.hopeless)) / float64(sum(r.calls)); share < 0.2 || share > 0.3 {
		t.Errorf("%.4f of the calls could not succeed", share)
	}
}

func TestModel_DeadlineEndsACall(t *testing.T) {
	s, c := defaults(), scenario{"silent", trouble{hung: 1}, time.Second}
	s.before, s.after, s.patience, s.deadline = time.Second, 5*time.Second, 30*time.Second, 500*time.Millisecond
	if during := play(t, s, c, peers.Steady()).during(); during != 0 {
		t.Errorf("%.4f of the calls succeeded", during)
	}
	s.patience, s.deadline = time.Second, 0
	// A second of silence is enough to suspend retries, so that one call in seven fails.
	if r := play(t, s, c, peers.Steady()); r.during() < 0.8 || r.latency(0.5) < time.Second || r.latency(0.99) < r.latency(0.5) {
		t.Errorf("%.4f of the calls succeeded, after %v and %v", r.during(), r.latency(0.5), r.latency(0.99))
	}
}

func TestFigures_SayWhenThereIsNoRecovery(t *testing.T) {
	calls := func(succeeded ...int) result {
		r := result{from: 0, to: 5}
		for _, n := range succeeded {
			r.calls, r.succeeded, r.attempts, r.hopeless = append(r.calls, 10), append(r.succeeded, n), append(r.attempts, 10), append(r.hopeless, 0)
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

func TestModel_AttemptTakesAsLongAsTheServerNeedsWhenItIsBegun(t *testing.T) {
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
