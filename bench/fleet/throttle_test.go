package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// A pauseBound is one of a fleet whose clients have WithOriginPause(1000), and whose calls have a deadline or none.
type pauseBound struct {
	scenario, figure string
	deadline         time.Duration
	of               func(result) float64
	least, most      map[int]float64 // by the number of clients; none for what is not bounded
}

var pauseBounds = []pauseBound{
	{scenario: "429 storm", figure: "during", of: during, least: all(0.99)},
	{scenario: "429 storm", figure: "after", of: after, least: all(0.99)},
	{scenario: "429 storm", figure: "load", of: load, most: map[int]float64{50: 0.1, 200: 0.2, 1000: 0.6}},
	{scenario: "429 storm", figure: "peak", of: peak, most: all(2)},
	{scenario: "429 storm", deadline: 5 * time.Second, figure: "during", of: during, least: all(0.28)},
	{scenario: "429 storm", deadline: 5 * time.Second, figure: "after", of: after, least: all(0.99)},
	{scenario: "rate limit", figure: "during", of: during, least: map[int]float64{50: 0.8, 200: 0.95, 1000: 0.93}},
	{scenario: "rate limit", figure: "after", of: after, least: all(0.98)},
	{scenario: "rate limit", figure: "load", of: load, most: map[int]float64{50: 1, 200: 1, 1000: 1.3}},
	{scenario: "rate limit", figure: "peak", of: peak, most: all(2)},
	{scenario: "one limited endpoint", figure: "during", of: during, least: all(0.999)},
	{scenario: "one limited endpoint", figure: "after", of: after, least: all(0.999)},
}

// fleetSizes are how many clients the fleets have.
var fleetSizes = []int{50, 200, 1000}

// fleets returns the sizes to play: one of them with -short, since each takes long.
func fleets() []int {
	if testing.Short() {
		return fleetSizes[1:2]
	}
	return fleetSizes
}

// all is the same for every fleet.
func all(bound float64) map[int]float64 {
	bounds := make(map[int]float64)
	for _, clients := range fleetSizes {
		bounds[clients] = bound
	}
	return bounds
}

func (b pauseBound) title() string { return fmt.Sprint(b.scenario, ", deadline ", b.deadline) }

func (b pauseBound) keeps(value float64, clients int) bool {
	if least, ok := b.least[clients]; ok && value < least {
		return false
	}
	most, ok := b.most[clients]
	return !ok || value <= most
}

func scenarioNamed(t *testing.T, name string) scenario {
	t.Helper()
	at := slices.IndexFunc(scenarios, func(c scenario) bool { return c.name == name })
	if at < 0 {
		t.Fatalf("no scenario is called %q", name)
	}
	return scenarios[at]
}

func TestPause_KeepsItsBoundsInEveryFleet(t *testing.T) {
	titles := make(map[string][]pauseBound)
	for _, b := range pauseBounds {
		titles[b.title()] = append(titles[b.title()], b)
	}
	for title, bounds := range titles {
		for _, clients := range fleets() {
			t.Run(fmt.Sprint(title, ", ", clients, " clients"), func(t *testing.T) {
				t.Parallel()
				s := defaults()
				s.clients, s.deadline = clients, bounds[0].deadline
				r := play(t, s, scenarioNamed(t, bounds[0].scenario), peers.Steady(steadyhttp.WithOriginPause(1000)))
				for _, b := range bounds {
					if value := b.of(r); !b.keeps(value, clients) {
						t.Errorf("%s is %.4f", b.figure, value)
					}
				}
			})
		}
	}
}

// Who has five seconds gets more with a pause than without one.
func TestPause_HelpsCallersWithDeadlines(t *testing.T) {
	for _, clients := range fleets() {
		t.Run(fmt.Sprint(clients), func(t *testing.T) {
			t.Parallel()
			s := defaults()
			s.clients, s.deadline = clients, 5*time.Second
			c := scenarioNamed(t, "rate limit")
			with, without := play(t, s, c, peers.Steady(steadyhttp.WithOriginPause(1000))), play(t, s, c, peers.Steady())
			if with.during() <= without.during() || with.loadDuring() >= without.loadDuring() {
				t.Errorf("%.4f succeed at a load of %.2f with a pause, %.4f at %.2f without", with.during(), with.loadDuring(), without.during(), without.loadDuring())
			}
		})
	}
}

func TestLimiter_LetsInWhatItSays(t *testing.T) {
	begin := time.Now()
	l := &limiter{}
	in := 0
	for ms := range 10_000 {
		if l.allows(begin.Add(time.Duration(ms)*time.Millisecond), 500) {
			in++
		}
	}
	if in < 5000 || in > 5050 {
		t.Errorf("%d of 10,000 in ten seconds", in)
	}
	idle := begin.Add(time.Hour)
	burst := 0
	for l.allows(idle, 500) {
		burst++
	}
	if burst != 50 {
		t.Errorf("%d at once", burst)
	}
}
