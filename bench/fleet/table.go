package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// tabulate prints a row for each scenario, size of the fleet and library.
func (p *plan) tabulate(t *testing.T, out io.Writer) error {
	table := newTable(out, p.markdown, "scenario", "clients", "library", "before", "during", "after", "load", "peak", "back in")
	for _, c := range p.scenarios {
		for g, r := range playAll(t, p.games(c)) {
			table.row(append([]string{c.name, fmt.Sprint(g.setting.clients), g.library.Name}, r.figures()...)...)
		}
		if err := table.flush(); err != nil {
			return err
		}
	}
	return nil
}

// figures are what the table shows of a result.
func (r result) figures() []string {
	return []string{
		percent(r.before()), percent(r.during()), percent(r.after()),
		fmt.Sprintf("×%.2f", r.loadDuring()), fmt.Sprintf("×%.2f", r.peak()), r.backIn(),
	}
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

func (r result) backIn() string {
	if !r.recovered() {
		return "never"
	}
	return fmt.Sprintf("%.1f s", r.recovery().Seconds())
}

// listLibraries prints what was chosen for each library.
func (p *plan) listLibraries(out io.Writer) error {
	table := newTable(out, p.markdown, "library", "set up with")
	for _, l := range p.libraries {
		table.row(l.Name, l.Chosen)
	}
	return table.flush()
}

// A table is printed as it grows.
type table struct {
	row   func(cells ...string)
	flush func() error
}

func newTable(out io.Writer, markdown bool, headings ...string) table {
	if markdown {
		return markdownTable(out, headings)
	}
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(columns, strings.Join(cells, "\t")) }
	row(headings...)
	return table{row, columns.Flush}
}

func markdownTable(out io.Writer, headings []string) table {
	row := func(cells ...string) { fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | ")) }
	row(headings...)
	row(slices.Repeat([]string{"---"}, len(headings))...)
	return table{row, func() error { return nil }}
}
