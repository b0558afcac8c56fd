package main

import (
	"fmt"
	"image/color"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// drawnOverShares is the scenario that is drawn over the share of the attempts that fail, and not over time: how much
// of a partial failure remains one.
const drawnOverShares = "partial"

// shares are how many in a hundred attempts fail.
var shares = []int{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100}

// overShares plays a scenario for each share of refused attempts.
func (p *plan) overShares(t *testing.T, c scenario) *picture {
	var games []game
	for _, g := range p.games(c) {
		g.setting.after = least // it does not show
		for _, share := range shares {
			g.scenario.trouble.refused = float64(share) / 100
			games = append(games, g)
		}
	}
	pic := newSharePicture(games[0].setting, c)
	var played []result
	for g, r := range playAll(t, games) {
		if played = append(played, r); len(played) == len(shares) {
			pic.curves = append(pic.curves, newShareCurve(g.library.Name, played))
			played = nil
		}
	}
	return pic
}

func newSharePicture(s setting, c scenario) *picture {
	plot.DefaultFont.Variant = "Sans"
	pic := &picture{goodput: newSharePanel(), load: newSharePanel()}
	pic.goodput.Title.Text = fmt.Sprintf("a share of the attempts answered 503 for %v, the others well; %d clients, %v calls/s", c.lasting, s.clients, s.rate)
	pic.goodput.Y.Label.Text = "goodput: % of the calls that succeed"
	pic.goodput.X.Tick.Label.Color = color.Transparent // it is the load's
	pic.load.Y.Label.Text = "load: attempts a call"
	pic.load.X.Label.Text = "% of the attempts that fail"
	return pic
}

func newSharePanel() *plot.Plot {
	panel := newPanel()
	panel.X.Min, panel.X.Max = 0, 100
	panel.Y.Min, panel.Y.Max = 0, 1
	return panel
}

// newShareCurve makes points of what was played, one for each share.
func newShareCurve(name string, played []result) curve {
	c := curve{name: name, style: styles[name]}
	for i, r := range played {
		x := float64(shares[i])
		c.goodput = append(c.goodput, plotter.XY{X: x, Y: 100 * r.during()})
		c.load = append(c.load, plotter.XY{X: x, Y: r.loadDuring()})
	}
	return c
}

// partialFailureOf is a failure of a part of the attempts, and nothing after it.
func partialFailureOf(clients int, t trouble) (setting, scenario) {
	s := defaults()
	s.clients, s.after = clients, least
	return s, scenario{"partial", t, 20 * time.Second}
}
