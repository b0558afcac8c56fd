package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// The bounds of fleets that share. What is missed is missed by chance, with a store far away or some sick: a probe of a
// process that is sick costs all the others another fifth of a second. See docs/fleet-sharing.md.
var sharingBounds = []bound{
	{scenario: "blip", figure: "during", of: during, least: 0.985, most: 1},
	{scenario: "flaky", figure: "during", of: during, least: 0.999, most: 1},
	{scenario: "flaky", figure: "load", of: load, most: 1.13},
	{scenario: "outage", figure: "load", of: load, most: 0.1, missed: map[int]float64{1000: 0.11}},
	{scenario: "outage", figure: "peak", of: peak, most: 1.3, missed: map[int]float64{1000: 1.37}},
	{scenario: "outage", figure: "after", of: after, least: 0.985, most: 1, missed: map[int]float64{200: 0.98, 1000: 0.98}},
	{scenario: "outage", figure: "back in", of: recovery, most: 1},
	{scenario: "brownout", figure: "during", of: during, least: 0.25, most: 1},
	{scenario: "brownout", figure: "after", of: after, least: 0.98, most: 1, missed: map[int]float64{1000: 0.97}},
	{scenario: "brownout", figure: "back in", of: recovery, most: 1.5},
	{scenario: "overload", figure: "during", of: during, least: 0.75, most: 1},
	{scenario: "overload", figure: "after", of: after, least: 0.995, most: 1},
	{scenario: "overload", figure: "load", of: load, most: 1.5},
	{scenario: "partial", figure: "during", of: during, least: 0.54, most: 1},
}

func checkSharing(t *testing.T, s setting, name string, bounds []bound) {
	t.Run(fmt.Sprint(name, " ", s.clients), func(t *testing.T) {
		t.Parallel()
		r := play(t, s, scenarioNamed(t, name), withSharing())
		for _, b := range bounds {
			if value := b.of(r); b.scenario == name && !b.keeps(value, s.clients) {
				t.Errorf("%s is %.4f", b.figure, value)
			}
		}
		if r.commands > 1500 {
			t.Errorf("the store had %d commands in a second", r.commands)
		}
	})
}

func TestFleetsThatShareKeepTheirBounds(t *testing.T) {
	for _, clients := range fleets() {
		s := defaults()
		s.clients, s.sharing.delay = clients, 2*time.Millisecond
		for _, name := range []string{"blip", "flaky", "outage", "brownout", "overload", "partial"} {
			checkSharing(t, s, name, sharingBounds)
		}
	}
}

// largeFleets are those to which others' words matter most; all with FLEET_ALL.
func largeFleets() []int {
	if os.Getenv("FLEET_ALL") != "" {
		return fleets()
	}
	return fleets()[len(fleets())-1:]
}

func TestFleetsThatShareOverAStoreFarAwayKeepTheirBounds(t *testing.T) {
	for _, clients := range largeFleets() {
		s := defaults()
		s.clients, s.sharing.delay = clients, 50*time.Millisecond
		for _, name := range []string{"blip", "outage", "brownout"} {
			checkSharing(t, s, name, sharingBounds)
		}
	}
}

func TestFleetsOfWhichSomeAreSickKeepTheirBounds(t *testing.T) {
	for _, clients := range largeFleets() {
		s := defaults()
		s.clients, s.sharing.delay, s.sick = clients, 2*time.Millisecond, 0.05
		for _, name := range []string{"flaky", "outage", "brownout"} {
			checkSharing(t, s, name, sharingBounds)
		}
	}
}

// Nobody for whom the server works is shut out, however many say that it does not.
func TestAZoneThatIsCutOffShutsOutNobodyElse(t *testing.T) {
	for _, clients := range largeFleets() {
		for _, share := range []float64{0.03, 0.6, 0.97} {
			t.Run(fmt.Sprint(clients, " ", share), func(t *testing.T) {
				t.Parallel()
				s := defaults()
				s.clients, s.sharing.delay, s.after = clients, 2*time.Millisecond, 2*time.Second
				r := play(t, s, scenario{"cut off", trouble{cutOff: share}, 10 * time.Second}, withSharing())
				if r.during() < 1 || r.after() < 1 {
					t.Errorf("%.4f of the others' calls succeed, and %.4f after", r.during(), r.after())
				}
			})
		}
	}
}

// What a fleet does not do worse than without a store; docs/fleet.md has those figures.
var aloneBounds = []bound{
	{scenario: "outage", figure: "load", of: load, most: 0.6, missed: map[int]float64{1000: 0.87}},
	{scenario: "outage", figure: "after", of: after, least: 0.985, most: 1},
	{scenario: "outage", figure: "back in", of: recovery, most: 1.4},
	{scenario: "brownout", figure: "after", of: after, least: 0.98, most: 1, missed: map[int]float64{1000: 0.88}},
	{scenario: "brownout", figure: "back in", of: recovery, most: 2, missed: map[int]float64{1000: 4.6}},
}

func TestAStoreInTroubleMakesNothingWorse(t *testing.T) {
	for name, sharing := range map[string]sharing{
		"dead":                          {until: 1},
		"far too slow":                  {delay: 500 * time.Millisecond},
		"dies in the trouble":           {delay: 2 * time.Millisecond, until: 18 * time.Second},
		"forgets all in the trouble":    {delay: 2 * time.Millisecond, flushed: 20 * time.Second},
		"not shared by one of five":     {delay: 2 * time.Millisecond, silent: 0.2},
		"comes back before all is well": {delay: 2 * time.Millisecond, from: 22 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			for _, clients := range largeFleets() {
				s := defaults()
				s.clients, s.sharing = clients, sharing
				checkSharing(t, s, "outage", aloneBounds)
				checkSharing(t, s, "brownout", aloneBounds)
			}
		})
	}
}
