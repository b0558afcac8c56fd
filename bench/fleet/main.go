// Fleet lets many clients, each a real one of some library, share a model server that gets into trouble,
// in virtual time. It shows what a retry policy does to a service and to its callers; docs/fleet.md
// explains the model, and how to read the figures.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
)

func main() {
	p, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(os.Stdout)
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(2)
	}
	withTest(func(t *testing.T) error { return p.run(t, os.Stdout) })
}

// withTest runs what needs a test, as testing/synctest does, and exits.
func withTest(run func(*testing.T) error) {
	os.Args = os.Args[:1] // the flags were not testing's
	every := func(string, string) (bool, error) { return true, nil }
	testing.Main(every, []testing.InternalTest{{Name: "fleet", F: func(t *testing.T) {
		if err := run(t); err != nil {
			fmt.Fprintln(os.Stderr, "fleet:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}}}, nil, nil)
}

func (p *plan) run(t *testing.T, out io.Writer) error {
	switch {
	case p.list:
		p.listLibraries(out)
	case p.plot != "":
		return p.draw(t, out)
	default:
		p.tabulate(t, out)
	}
	return nil
}
