package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// tabulate prints a row for each scenario, size of the fleet and library.
func (p *plan) tabulate(t *testing.T, out io.Writer) {
	headings := []string{"scenario ", "clients", "library             ",
		"before  ", "during  ", "after   ", "load ", "peak ", "back in", "p50   ", "p99   "}
	if p.setting.sharing.on {
		headings = append(headings, "store/s")
	}
	table := newTable(out, p.markdown, headings...)
	for _, c := range p.scenarios {
		for g, r := range playAll(t, p.games(c)) {
			row := append([]string{c.name, fmt.Sprint(g.setting.clients), g.library.Name}, r.figures()...)
			if p.setting.sharing.on {
				row = append(row, fmt.Sprint(r.commands))
			}
			table.row(row...)
		}
	}
}

// figures are what the table shows of a result.
func (r result) figures() []string {
	return []string{
		percent(r.before()), percent(r.during()), percent(r.after()),
		fmt.Sprintf("×%.2f", r.loadDuring()), fmt.Sprintf("×%.2f", r.peak()), r.backIn(),
		milliseconds(r.latency(0.5)), milliseconds(r.latency(0.99)),
	}
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func (r result) backIn() string {
	if !r.recovered() {
		return "never"
	}
	return fmt.Sprintf("%.1f s", r.recovery().Seconds())
}

// listLibraries prints what was chosen for each library.
func (p *plan) listLibraries(out io.Writer) {
	table := newTable(out, p.markdown, "library             ", "set up with")
	for _, l := range p.libraries {
		table.row(l.Name, l.Chosen)
	}
}

// A table is printed as it grows.
type table struct {
	out      io.Writer
	markdown bool
	headings []string // as wide as their columns
}

func newTable(out io.Writer, markdown bool, headings ...string) table {
	t := table{out, markdown, headings}
	t.row(headings...)
	if markdown {
		t.row(slices.Repeat([]string{"---"}, len(headings))...)
	}
	return t
}

func (t table) row(cells ...string) {
	line := ""
	for i, cell := range cells {
		if t.markdown {
			line += "| " + strings.TrimSpace(cell) + " "
		} else {
			line += fmt.Sprintf("%-*s  ", len(t.headings[i]), cell)
		}
	}
	if t.markdown {
		line += "|"
	}
	fmt.Fprintln(t.out, strings.TrimSpace(line))
}
