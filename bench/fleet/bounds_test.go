package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// A figure of the table, and the bounds that it must keep in every fleet.
type bound struct {
	scenario, figure string
	of               func(result) float64
	least, most      float64
	missed           map[int]float64 // where a fleet of that size does not keep it: what it must not be worse than
}

var (
	during   = result.during
	after    = result.after
	load     = result.loadDuring
	peak     = result.peak
	recovery = func(r result) float64 { return r.recovery().Seconds() }
)

// The bounds of the defaults. What is missed is told in docs/fleet.md.
var bounds = []bound{
	{scenario: "blip", figure: "during", of: during, least: 0.99, most: 1, missed: map[int]float64{1000: 0.985}}, // by chance: there are 500 calls
	{scenario: "flaky", figure: "during", of: during, least: 0.999, most: 1},
	{scenario: "flaky", figure: "load", of: load, most: 1.13},
	{scenario: "outage", figure: "load", of: load, most: 0.6, missed: map[int]float64{1000: 0.85}},
	{scenario: "outage", figure: "peak", of: peak, most: 2, missed: map[int]float64{1000: 2.4}},
	{scenario: "outage", figure: "after", of: after, least: 0.985, most: 1},
	{scenario: "outage", figure: "back in", of: recovery, most: 1},
	{scenario: "brownout", figure: "after", of: after, least: 0.98, most: 1, missed: map[int]float64{1000: 0.89}},
	{scenario: "brownout", figure: "back in", of: recovery, most: 2, missed: map[int]float64{1000: 4.5}},
	{scenario: "overload", figure: "during", of: during, least: 0.75, most: 1}, // what the server can serve
	{scenario: "overload", figure: "after", of: after, least: 0.995, most: 1},
	{scenario: "overload", figure: "load", of: load, most: 1.5},
	{scenario: "slow", figure: "after", of: after, least: 0.97, most: 1},
	{scenario: "slow", figure: "load", of: load, most: 0.75},
	{scenario: "429 storm", figure: "load", of: load, most: 1.6},
	{scenario: "429 storm", figure: "after", of: after, least: 0.999, most: 1},
	{scenario: "rate limit", figure: "during", of: during, least: 0.5, most: 1}, // what the server lets in
	{scenario: "rate limit", figure: "after", of: after, least: 0.995, most: 1},
	{scenario: "rate limit", figure: "load", of: load, most: 1.35, missed: map[int]float64{1000: 1.5}},
	{scenario: "one limited endpoint", figure: "during", of: during, least: 0.999, most: 1},
	{scenario: "one limited endpoint", figure: "load", of: load, most: 1.35},
	{scenario: "restart", figure: "during", of: during, least: 0.999, most: 1},
	{scenario: "restart", figure: "load", of: load, most: 1.1},
	// What calls without retries get is the least. The breaker makes of a partial failure a larger one, which is missed.
	{scenario: "partial", figure: "during", of: during, least: 0.395, most: 1, missed: map[int]float64{50: 0.27, 200: 0.36}},
	{scenario: "partial", figure: "load", of: load, most: 1.3, missed: map[int]float64{1000: 1.4}},
	{scenario: "partial, silent", figure: "during", of: during, least: 0.395, most: 1, missed: map[int]float64{50: 0.28, 200: 0.29}},
	{scenario: "partial, silent", figure: "load", of: load, most: 1.3},
	{scenario: "one replica of three hangs", figure: "during", of: during, least: 0.66, most: 1},
	{scenario: "one replica of three hangs", figure: "load", of: load, most: 1.3},
	{scenario: "one bad path", figure: "during", of: during, least: 0.99, most: 1, missed: map[int]float64{50: 0.92, 200: 0.91, 1000: 0.96}},
	{scenario: "one bad path", figure: "load", of: load, most: 1.35},
}

func (b bound) keeps(value float64, clients int) bool {
	least, most := b.least, b.most
	if worst, ok := b.missed[clients]; ok && least > 0 {
		least = worst
	} else if ok {
		most = worst
	}
	return value >= least && value <= most
}

func TestDefaultsKeepTheirBoundsInEveryFleet(t *testing.T) {
	for _, c := range scenarios {
		for _, clients := range fleets() {
			t.Run(fmt.Sprint(c.name, " ", clients), func(t *testing.T) {
				t.Parallel()
				s := defaults()
				s.clients = clients
				r := play(t, s, c, peers.Steady())
				for _, b := range bounds {
					if value := b.of(r); b.scenario == c.name && !b.keeps(value, clients) {
						t.Errorf("%s is %.4f", b.figure, value)
					}
				}
			})
		}
	}
}

func TestEveryScenarioHasBoundsAndEveryBoundAScenario(t *testing.T) {
	var bounded []string
	for _, b := range bounds {
		bounded = append(bounded, b.scenario)
	}
	for _, c := range scenarios {
		if !slices.Contains(bounded, c.name) {
			t.Errorf("%s has none", c.name)
		}
		bounded = slices.DeleteFunc(bounded, func(name string) bool { return name == c.name })
	}
	if len(bounded) > 0 {
		t.Errorf("no scenario is called %q", bounded)
	}
}

// A brownout of another length ends when the breakers are at something else.
func TestFleetOf200IsBackAfterABrownoutOfAnyLength(t *testing.T) {
	brownout := scenarios[slices.IndexFunc(scenarios, func(c scenario) bool { return c.name == "brownout" })]
	for step := range time.Duration(5) {
		c := brownout
		c.lasting += step * 700 * time.Millisecond
		t.Run(c.lasting.String(), func(t *testing.T) {
			t.Parallel()
			if after := play(t, defaults(), c, peers.Steady()).after(); after < 0.98 {
				t.Errorf("%.4f of the calls succeed after it", after)
			}
		})
	}
}
