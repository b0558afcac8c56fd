package main

import (
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// pictured are the scenarios that are drawn unless others are asked for.
func pictured() []scenario {
	return slices.DeleteFunc(slices.Clone(scenarios), func(c scenario) bool { return c.name != "outage" && c.name != "brownout" && c.name != drawnOverShares })
}

// draw makes a picture of each scenario.
func (p *plan) draw(t *testing.T, out io.Writer) error {
	for _, c := range p.scenarios {
		pic := p.pictureOf(t, c)
		file := filepath.Join(p.plot, strings.ReplaceAll(c.name, " ", "-")+".png")
		if err := pic.save(file); err != nil {
			return err
		}
		fmt.Fprintln(out, file)
	}
	return nil
}

func (p *plan) pictureOf(t *testing.T, c scenario) *picture {
	if c.name == drawnOverShares {
		return p.overShares(t, c)
	}
	games := p.games(c)
	pic := newPicture(games[0].setting, c)
	for g, r := range playAll(t, games) {
		pic.add(g.library.Name, r)
	}
	return pic
}

// A picture has two panels that share their horizontal axis: what becomes of the calls, above what the server gets.
type picture struct {
	goodput, load *plot.Plot
	curves        []curve
}

// A curve is a library's in both panels.
type curve struct {
	name          string
	style         draw.LineStyle
	goodput, load plotter.XYs
}

func newPicture(s setting, c scenario) *picture {
	plot.DefaultFont.Variant = "Sans"
	pic := &picture{goodput: newTimePanel(s, c), load: newTimePanel(s, c)}
	pic.goodput.Title.Text = fmt.Sprintf("%v; %d clients, %v calls/s", c, s.clients, s.rate)
	pic.goodput.Y.Label.Text = "goodput: successes/s"
	pic.goodput.X.Tick.Label.Color = color.Transparent // it is the load's
	pic.load.Y.Label.Text = "load: attempts/s"
	pic.load.X.Label.Text = "seconds since the trouble began (shaded: while it lasts)"
	return pic
}

// How long before and after the trouble a picture shows.
const shownBefore, shownAfter = 5 * time.Second, 20 * time.Second

func newTimePanel(s setting, c scenario) *plot.Plot {
	panel := newPanel(shade{0, c.lasting.Seconds()})
	panel.X.Min, panel.X.Max = -min(s.before, shownBefore).Seconds(), (c.lasting + min(s.after, shownAfter)).Seconds()
	panel.Y.Min, panel.Y.Max = 0, 1.2*s.rate
	return panel
}

func newPanel(background ...plot.Plotter) *plot.Plot {
	panel := plot.New()
	panel.X.Padding, panel.Y.Padding = 0, 0
	panel.Title.TextStyle.Font.Size, panel.Title.Padding = 18, 8
	for _, axis := range []*plot.Axis{&panel.X, &panel.Y} {
		axis.Label.TextStyle.Font.Size, axis.Tick.Label.Font.Size = 15, 14
		axis.Tick.Marker = ticks{}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = pale, pale
	panel.Add(append(background, grid)...)
	return panel
}

var pale = color.Gray{Y: 225}

// A shade is the time of the trouble.
type shade struct{ from, to float64 }

func (s shade) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	left, right := x(s.from), x(s.to)
	c.FillPolygon(color.RGBA{R: 255, G: 243, B: 224, A: 255}, []vg.Point{
		{X: left, Y: c.Min.Y}, {X: right, Y: c.Min.Y}, {X: right, Y: c.Max.Y}, {X: left, Y: c.Max.Y},
	})
}

// ticks are round numbers, not too many of them.
type ticks struct{}

func (ticks) Ticks(least, most float64) (marks []plot.Tick) {
	step := 1.0
	for factors := []float64{5, 2}; (most-least)/step > 10; factors[0], factors[1] = factors[1], factors[0] {
		step *= factors[0]
	}
	for value := math.Ceil(least/step) * step; value <= most; value += step {
		marks = append(marks, plot.Tick{Value: value, Label: fmt.Sprint(value)})
	}
	return marks
}

func (pic *picture) add(name string, r result) {
	pic.curves = append(pic.curves, curve{
		name, styles[name], perSecond(r.answered, r.from, pic.goodput.X), perSecond(r.attempts, r.from, pic.load.X),
	})
}

// drawCurves puts the first above the rest.
func (pic *picture) drawCurves() {
	for _, c := range slices.Backward(pic.curves) {
		addLine(pic.goodput, c.goodput, c.style)
		addLine(pic.load, c.load, c.style)
	}
}

func addLine(panel *plot.Plot, points plotter.XYs, style draw.LineStyle) {
	for _, point := range points {
		panel.Y.Max = max(panel.Y.Max, 1.05*point.Y)
	}
	panel.Add(&plotter.Line{XYs: points, LineStyle: style})
}

// perSecond makes points of counts: what there is of them in the second around each bucket's beginning.
func perSecond(counts []int, begin int, shown plot.Axis) (points plotter.XYs) {
	const second = 2 * half
	for from := 0; from+second <= len(counts); from++ {
		x := float64(from+half-begin) * bucket.Seconds()
		if x >= shown.Min && x <= shown.Max {
			points = append(points, plotter.XY{X: x, Y: float64(sum(counts[from : from+second]))})
		}
	}
	return points
}

// styles are the libraries' looks: what the picture is about is bold, the rest thin.
var styles = map[string]draw.LineStyle{
	"yours":                {Color: color.RGBA{R: 230, B: 120, A: 255}, Width: 3.5},
	"steadyhttp":           {Color: color.RGBA{R: 0, G: 70, B: 215, A: 255}, Width: 3.5},
	"steadyhttp, sharing":  {Color: color.RGBA{R: 0, G: 150, B: 60, A: 255}, Width: 3.5},
	"no retries":           {Color: color.Gray{Y: 110}, Width: 1.5, Dashes: []vg.Length{2, 2}},
	"go-retryablehttp":     {Color: color.RGBA{R: 213, G: 94, A: 255}, Width: 1.5},
	"failsafehttp":         {Color: color.RGBA{G: 158, B: 115, A: 255}, Width: 1.5},
	"failsafehttp, budget": {Color: color.RGBA{G: 158, B: 115, A: 255}, Width: 1.5, Dashes: []vg.Length{6, 3}},
	"rehttp":               {Color: color.RGBA{R: 204, G: 90, B: 160, A: 255}, Width: 1.5},
	"rehttp + gobreaker":   {Color: color.RGBA{R: 204, G: 90, B: 160, A: 255}, Width: 1.5, Dashes: []vg.Length{6, 3}},
	"heimdall":             {Color: color.RGBA{R: 140, G: 86, B: 75, A: 255}, Width: 1.5},
	"resty":                {Color: color.RGBA{R: 200, G: 150, A: 255}, Width: 1.5, Dashes: []vg.Length{6, 3, 2, 3}},
	"by hand":              {Color: color.Gray{Y: 40}, Width: 1.5, Dashes: []vg.Length{6, 3}},
}

// The picture's size in points, which are pixels at the width of a README, and how much sharper it is
// drawn than that.
const (
	width, height = 900, 700
	sharpness     = 2
)

// save draws the panels, and the legend under them.
func (pic *picture) save(file string) (err error) {
	pic.drawCurves()
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(72*sharpness))
	whole := draw.New(canvas)
	whole.FillPolygon(color.White, corners(whole))
	whole = draw.Crop(whole, 12, -20, 10, -10)
	panels := [][]*plot.Plot{{pic.goodput}, {pic.load}}
	canvases := plot.Align(panels, draw.Tiles{Rows: 2, Cols: 1, PadY: 6}, draw.Crop(whole, 0, 0, pic.legendHeight(), 0))
	for i, panel := range panels {
		panel[0].Draw(canvases[i][0])
	}
	pic.drawLegend(whole)
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	small := png.Encoder{CompressionLevel: png.BestCompression}
	return errors.Join(small.Encode(f, canvas.Image()), f.Close())
}

// The legend's layout.
const (
	columns    = 4
	lineHeight = 22
	sample     = 34
)

func (pic *picture) legendHeight() vg.Length {
	rows := (len(pic.curves) + columns - 1) / columns
	return vg.Length(rows)*lineHeight + 10
}

func (pic *picture) drawLegend(c draw.Canvas) {
	text := pic.load.X.Tick.Label
	text.XAlign, text.YAlign = draw.XLeft, draw.YCenter
	step := c.Size().X / columns
	for i, curve := range pic.curves {
		x := c.Min.X + vg.Length(i%columns)*step + 20
		y := c.Min.Y + pic.legendHeight() - 10 - vg.Length(i/columns)*lineHeight - lineHeight/2
		c.StrokeLine2(curve.style, x, y, x+sample, y)
		c.FillText(text, vg.Point{X: x + sample + 8, Y: y}, curve.name)
	}
}

func corners(c draw.Canvas) []vg.Point {
	return []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}}
}
