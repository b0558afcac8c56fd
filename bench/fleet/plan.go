package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// A plan is what the command line asks for.
type plan struct {
	setting   setting
	sizes     []int // of the fleets
	scenarios []scenario
	libraries []peers.Library

	repeat   int
	markdown bool
	plot     string // the folder for pictures in place of a table
	list     bool

	asked   asked
	changes []func(*scenario)
	options []steadyhttp.Option
	given   []string // the options as they were given
}

// asked are names, or parts of names.
type asked struct{ scenarios, libraries []string }

// complete makes of what was asked for what is to be done.
func (p *plan) complete() (err error) {
	if p.scenarios, err = p.chooseScenarios(); err != nil {
		return err
	}
	if p.libraries, err = p.chooseLibraries(); err != nil {
		return err
	}
	if len(p.sizes) == 0 {
		p.sizes = []int{50, 200, 1000}
		if p.plot != "" {
			p.sizes = []int{200}
		}
	}
	return errors.Join(p.checkPlot(), p.setting.check())
}

// checkPlot looks for the folder before minutes are spent.
func (p *plan) checkPlot() error {
	if p.plot == "" {
		return nil
	}
	if len(p.sizes) > 1 || p.repeat > 1 {
		return errors.New("-plot draws each library once: give one number of -clients, and no -repeat")
	}
	folder, err := os.Stat(p.plot)
	if err == nil && !folder.IsDir() {
		err = fmt.Errorf("-plot %s is no folder", p.plot)
	}
	return err
}

// games are what the plan wants played of a scenario.
func (p *plan) games(c scenario) (games []game) {
	for _, size := range p.sizes {
		s := p.setting
		s.clients = size
		for _, l := range p.libraries {
			games = append(games, slices.Repeat([]game{{s, c, l}}, p.repeat)...)
		}
	}
	return games
}

// chooseScenarios applies the changes to the scenarios that were asked for, or makes one of them.
func (p *plan) chooseScenarios() ([]scenario, error) {
	var chosen []scenario
	switch {
	case len(p.asked.scenarios) > 0:
		var err error
		if chosen, err = choose("scenario", scenarios, scenario.title, p.asked.scenarios); err != nil {
			return nil, err
		}
	case len(p.changes) > 0:
		chosen = []scenario{{name: "yours", lasting: 20 * time.Second}}
	case p.plot != "":
		chosen = pictured()
	default:
		chosen = slices.Clone(scenarios)
	}
	for i := range chosen {
		for _, change := range p.changes {
			change(&chosen[i])
		}
		if err := chosen[i].check(); err != nil {
			return nil, err
		}
	}
	return chosen, nil
}

func (c scenario) title() string { return c.name }

// check refuses a scenario that means something else than it says.
func (c scenario) check() error {
	t := c.trouble
	switch {
	case t == trouble{}:
		return fmt.Errorf("scenario %q has no trouble: give it some, such as -refused 1, or choose a -scenario", c.name)
	case t.refused+t.hung+t.throttled > 1:
		return fmt.Errorf("scenario %q: -refused, -hung and -throttled are %v together, of at most 1", c.name, t.refused+t.hung+t.throttled)
	case t.retryAfter > 0 && t.throttled == 0 && t.limit == 0 && !t.limitedPath:
		return fmt.Errorf("scenario %q: -retry-after is sent with 429 only, and -throttled is 0", c.name)
	default:
		return nil
	}
}

// check refuses a server that is in trouble all the time.
func (s setting) check() error {
	if need := s.rate * s.service.Seconds(); need >= float64(s.workers) {
		return fmt.Errorf("%v calls a second, each of %v, keep %v workers busy, and there are %d: the server would never be in health",
			s.rate, s.service, math.Ceil(need), s.workers)
	}
	if s.service >= s.patience {
		return fmt.Errorf("-service %v is not shorter than -patience %v, so that no attempt could succeed", s.service, s.patience)
	}
	return nil
}

// chooseLibraries puts a steadyhttp with the options given beside the default one.
func (p *plan) chooseLibraries() ([]peers.Library, error) {
	if err := checkVirtual(p.asked.libraries); err != nil {
		return nil, err
	}
	known := virtual()
	if p.setting.sharing.on {
		known = append([]peers.Library{withSharing()}, known...)
	}
	chosen, err := choose("library", known, nameOf, p.asked.libraries)
	if err != nil || len(p.options) == 0 {
		return chosen, err
	}
	if _, err := steadyhttp.NewTransport(http.DefaultTransport, p.options...); err != nil {
		return nil, err
	}
	yours := peers.Steady(p.options...)
	yours.Name, yours.Chosen = "yours", "steadyhttp with "+strings.Join(p.given, " ")
	return append([]peers.Library{yours}, chosen...), nil
}

func nameOf(l peers.Library) string { return l.Name }

func checkVirtual(asked []string) error {
	for _, l := range peers.All(peers.Setup{}) {
		if l.Real && slices.Contains(asked, l.Name) {
			return fmt.Errorf("%s works only in real time: its goroutines outlive their calls, and serve all clients", l.Name)
		}
	}
	return nil
}

// virtual are the libraries that work in virtual time.
func virtual() []peers.Library {
	return slices.DeleteFunc(peers.All(peers.Setup{}), func(l peers.Library) bool { return l.Real })
}

// choose returns the things that have a name asked for, or else a part of it in theirs; all, if nothing
// was asked for.
func choose[T any](kind string, things []T, name func(T) string, asked []string) (chosen []T, err error) {
	if len(asked) == 0 {
		return things, nil
	}
	wanted := make([]bool, len(things))
	for _, text := range asked {
		if !want(wanted, things, func(t T) bool { return name(t) == text }) &&
			!want(wanted, things, func(t T) bool { return strings.Contains(name(t), text) }) {
			return nil, fmt.Errorf("no %s is called %q: there are %s", kind, text, names(things, name))
		}
	}
	for i, thing := range things {
		if wanted[i] {
			chosen = append(chosen, thing)
		}
	}
	return chosen, nil
}

// want marks the things that are fit, and reports whether there is any.
func want[T any](wanted []bool, things []T, fit func(T) bool) (found bool) {
	for i, thing := range things {
		if fit(thing) {
			wanted[i], found = true, true
		}
	}
	return found
}

func names[T any](things []T, name func(T) string) string {
	var all []string
	for _, thing := range things {
		all = append(all, fmt.Sprintf("%q", name(thing)))
	}
	return strings.Join(all, ", ")
}
