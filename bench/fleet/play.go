package main

import (
	"iter"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// play lets a fleet meet a scenario in virtual time.
func play(t *testing.T, s setting, c scenario, l peers.Library) (r result) {
	synctest.Test(t, func(*testing.T) { r = simulate(s, c, l) })
	return r
}

// A game is one fleet that meets one scenario.
type game struct {
	setting  setting
	scenario scenario
	library  peers.Library
}

// playAll plays the games on all processors, and gives the results in order. What happens in a bubble
// takes one processor, and knows nothing of the others.
func playAll(t *testing.T, games []game) iter.Seq2[game, result] {
	results := make([]chan result, len(games))
	for i := range results {
		results[i] = make(chan result, 1)
	}
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for i := next.Add(1) - 1; i < int64(len(games)); i = next.Add(1) - 1 {
				g := games[i]
				t.Run("", func(t *testing.T) { results[i] <- play(t, g.setting, g.scenario, g.library) })
			}
		}()
	}
	return func(yield func(game, result) bool) {
		for i, g := range games {
			if !yield(g, <-results[i]) {
				return
			}
		}
	}
}
