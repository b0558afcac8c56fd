package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The bounds of fleets that share, over a store 2 ms away. docs/fleet-sharing.md has what was measured with six seeds: each
// bound leaves room of a tenth and more beside the worst.
var sharingBounds = []bound{
	{scenario: "blip", figure: "during", of: during, least: 0.985, most: 1},
	{scenario: "flaky", figure: "during", of: during, least: 0.999, most: 1},
	{scenario: "flaky", figure: "load", of: load, most: 1.13},
	{scenario: "outage", figure: "load", of: load, most: 0.1},
	{scenario: "outage", figure: "peak", of: peak, most: 1.3},
	{scenario: "outage", figure: "after", of: after, least: 0.985, most: 1},
	{scenario: "outage", figure: "back in", of: recovery, most: 1},
	{scenario: "brownout", figure: "during", of: during, least: 0.25, most: 1, missed: map[int]float64{1000: 0.24}},
	{scenario: "brownout", figure: "after", of: after, least: 0.98, most: 1},
	{scenario: "brownout", figure: "back in", of: recovery, most: 1},
	{scenario: "overload", figure: "during", of: during, least: 0.75, most: 1},
	{scenario: "overload", figure: "after", of: after, least: 0.995, most: 1},
	{scenario: "overload", figure: "load", of: load, most: 1.5},
	{scenario: "partial", figure: "during", of: during, least: 0.54, most: 1},
}

// With a store 50 ms away a word takes a tenth of a second from one process to the others. That is as many first tries
// more in an outage; and if a brownout ends when the fleet has just found it out once more, all are shut out for 0.7 s.
var farBounds = []bound{
	{scenario: "outage", figure: "load", of: load, most: 0.11},
	{scenario: "outage", figure: "peak", of: peak, most: 1.45},
	{scenario: "outage", figure: "after", of: after, least: 0.98, most: 1},
	{scenario: "outage", figure: "back in", of: recovery, most: 1},
	{scenario: "brownout", figure: "during", of: during, least: 0.24, most: 1, missed: map[int]float64{50: 0.21}},
	{scenario: "brownout", figure: "after", of: after, least: 0.98, most: 1, missed: map[int]float64{50: 0.97, 200: 0.97}},
	{scenario: "brownout", figure: "back in", of: recovery, most: 1.5},
	{scenario: "blip", figure: "during", of: during, least: 0.985, most: 1},
}

// The probe of a process that is sick costs all the others a fifth of a second.
var sickBounds = []bound{
	{scenario: "flaky", figure: "during", of: during, least: 0.999, most: 1},
	{scenario: "outage", figure: "load", of: load, most: 0.1},
	{scenario: "outage", figure: "after", of: after, least: 0.98, most: 1},
	{scenario: "outage", figure: "back in", of: recovery, most: 1},
	{scenario: "brownout", figure: "after", of: after, least: 0.98, most: 1},
	{scenario: "brownout", figure: "back in", of: recovery, most: 1},
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

// allShare reports whether everything is to be played, which takes minutes, and not what takes less than one.
func allShare() bool { return os.Getenv("FLEET_ALL") != "" }

func TestSharing_FleetsKeepTheirBounds(t *testing.T) {
	for _, clients := range fleets() {
		s := defaults()
		s.clients, s.sharing.delay = clients, 2*time.Millisecond
		names := []string{"outage", "brownout"}
		switch {
		case allShare():
			names = []string{"blip", "flaky", "outage", "brownout", "overload", "partial"}
		case clients == 200:
			names = append(names, "flaky", "overload", "partial")
		case clients == 1000:
			names = append(names, "blip")
		}
		for _, name := range names {
			checkSharing(t, s, name, sharingBounds)
		}
	}
}

// largeFleets are those to which others' words matter most; all with FLEET_ALL.
func largeFleets() []int {
	if allShare() {
		return fleets()
	}
	return fleets()[len(fleets())-1:]
}

func TestSharing_FleetsOverAStoreFarAwayKeepTheirBounds(t *testing.T) {
	for _, clients := range largeFleets() {
		s := defaults()
		s.clients, s.sharing.delay = clients, 50*time.Millisecond
		checkSharing(t, s, "outage", farBounds)
		checkSharing(t, s, "brownout", farBounds)
		if allShare() {
			checkSharing(t, s, "blip", farBounds)
		}
	}
}

func TestSharing_FleetsOfWhichSomeAreSickKeepTheirBounds(t *testing.T) {
	for _, clients := range largeFleets() {
		s := defaults()
		s.clients, s.sharing.delay, s.sick = clients, 2*time.Millisecond, 0.05
		checkSharing(t, s, "outage", sickBounds)
		if allShare() {
			checkSharing(t, s, "brownout", sickBounds)
			checkSharing(t, s, "flaky", sickBounds)
		}
	}
}

// Nobody for whom the server works is shut out, however many say that it does not: thirty of a thousand, or a zone.
func TestSharing_ZoneThatIsCutOffShutsOutNobodyElse(t *testing.T) {
	for _, clients := range largeFleets() {
		for _, share := range []float64{0.03, 0.9, 0.97} {
			t.Run(fmt.Sprint(clients, " ", share), func(t *testing.T) {
				t.Parallel()
				s := defaults()
				s.clients, s.sharing.delay, s.before, s.after = clients, 2*time.Millisecond, 5*time.Second, 2*time.Second
				r := play(t, s, scenario{"cut off", trouble{cutOff: share}, 10 * time.Second}, withSharing())
				if r.during() < 1 || r.after() < 1 {
					t.Errorf("%.4f of the others' calls succeed, and %.4f after", r.during(), r.after())
				}
			})
		}
	}
}

// A long partial failure, or an overload, does not keep everybody talking.
func TestSharing_FailureThatStaysPartialDoesNotKeepAFleetTalking(t *testing.T) {
	s := defaults()
	s.clients, s.sharing.delay, s.before, s.after = largeFleets()[0], 2*time.Millisecond, 2*time.Second, time.Second
	for _, share := range []float64{0.25, 0.8} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			t.Parallel()
			r := play(t, s, scenario{"partial", trouble{refused: share}, 20 * time.Second}, withSharing())
			if r.told > 20*475 {
				t.Errorf("the store had %d commands in 20 s", r.told)
			}
		})
	}
}

// What a fleet does not do worse than one that shares nothing, which gets 0.84 and 89 % here, back in 4.2 s; see
// docs/fleet.md.
func storeBounds(load1000, after1000, back1000 float64) []bound {
	return []bound{
		{scenario: "outage", figure: "load", of: load, most: 0.6, missed: map[int]float64{1000: load1000}},
		{scenario: "outage", figure: "after", of: after, least: 0.985, most: 1},
		{scenario: "outage", figure: "back in", of: recovery, most: 1.4},
		{scenario: "brownout", figure: "after", of: after, least: 0.97, most: 1, missed: map[int]float64{1000: after1000}},
		{scenario: "brownout", figure: "back in", of: recovery, most: 2, missed: map[int]float64{1000: back1000}},
	}
}

func TestSharing_StoreInTroubleMakesNothingWorse(t *testing.T) {
	const near = 2 * time.Millisecond
	for name, c := range map[string]struct {
		sharing   sharing
		bounds    []bound
		scenarios string // without FLEET_ALL
	}{
		"dead":                       {sharing{until: 1}, storeBounds(0.95, 0.87, 4.8), ""},
		"far too slow":               {sharing{delay: 500 * time.Millisecond}, storeBounds(0.95, 0.87, 4.8), "outage"},
		"dies in the trouble":        {sharing{delay: near, until: 18 * time.Second}, storeBounds(0.65, 0.94, 2.7), "outage brownout"},
		"forgets all in the trouble": {sharing{delay: near, flushed: 20 * time.Second}, storeBounds(0.12, 0.965, 2.3), "outage brownout"},
		"not shared by one of five":  {sharing{delay: near, silent: 0.2}, storeBounds(0.27, 0.985, 1), "outage"},
		"comes back in the trouble":  {sharing{delay: near, from: 22 * time.Second}, storeBounds(0.6, 0.91, 2.7), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, clients := range largeFleets() {
				s := defaults()
				s.clients, s.sharing = clients, c.sharing
				for _, scenario := range []string{"outage", "brownout"} {
					if allShare() || strings.Contains(c.scenarios, scenario) {
						checkSharing(t, s, scenario, c.bounds)
					}
				}
			}
		})
	}
}

// Ten thousand processes of one call a second, each with a breaker of its own and a member of the fleet. It takes minutes.
func TestSharing_TenThousandAreAsOne(t *testing.T) {
	if !allShare() {
		t.Skip("FLEET_ALL is not set")
	}
	s := defaults()
	s.clients, s.rate, s.workers, s.sharing.delay = 10_000, 10_000, 150, 2*time.Millisecond
	s.before, s.after = 5*time.Second, 10*time.Second
	for _, name := range []string{"outage", "brownout"} {
		r := play(t, s, scenarioNamed(t, name), withSharing())
		t.Logf("%s: load ×%.3f, peak ×%.2f, during %.4f, after %.4f, back in %v, %d commands in the worst second, %d in all",
			name, r.loadDuring(), r.peak(), r.during(), r.after(), r.recovery(), r.commands, r.told)
		if name == "outage" && (r.loadDuring() > 0.12 || r.recovery() > time.Second) || r.after() < 0.95 || r.commands > 4000 {
			t.Error("is not as one")
		}
	}
}
