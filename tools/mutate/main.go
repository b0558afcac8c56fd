// Command mutate breaks the package in the current folder on purpose, in one small way after another, and names the
// mutants that no test kills.
//
// A mutant removes a statement, makes a condition always true or always false, negates a comparison or moves its
// boundary, swaps an operator, increments a number, doubles a constant, or changes a string that others are compared
// with. All mutants are compiled into one test binary, and a variable of the environment says which of them is alive:
// a mutant costs a run of the tests and no build. Only constants need a build each.
//
// A mutant that survives is a missing test, or an equivalent of the original. The equivalents stand in a file of known
// mutants, each with the reason; any other survivor is an error:
//
//	mutate -known tools/mutate/known.txt classify.go retry.go
//
// A second file says of each claim which tests show it, and which mutants these must kill. This runs no other tests
// and no other mutants:
//
//	mutate -claims tools/mutate/claims.txt -page docs/proof.md
//
// Both files name mutants by their keys: file, function, change and code, as -list prints them. A key goes stale when
// the code changes. With -check the command looks at nothing else, which takes a second, and shows for each stale key
// the mutants that are most like it. With -fix it first replaces the keys of code that has only moved, and in the file of
// claims also of code that has changed a little.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// settings are what the flags say.
type settings struct {
	claims  string
	page    string
	known   string
	check   bool
	fix     bool
	list    bool
	only    string
	slow    string
	workers int
	timeout time.Duration
	least   float64
	files   []string // empty: all files of the package
}

func main() {
	var s settings
	flag.StringVar(&s.claims, "claims", "", "the `file` of claims: see that the tests of each claim kill its mutants, and run nothing else")
	flag.StringVar(&s.page, "page", "", "a Markdown `file` whose tables show the same claims and tests as -claims")
	flag.StringVar(&s.known, "known", "", "the `file` of the mutants that are known to survive")
	flag.BoolVar(&s.check, "check", false, "only check that what the files name exists")
	flag.BoolVar(&s.fix, "fix", false, "first replace stale keys, where it is clear what they are now")
	flag.BoolVar(&s.list, "list", false, "only print the keys of the mutants")
	flag.StringVar(&s.only, "only", "", "run only the mutants whose key contains this `text`")
	flag.StringVar(&s.slow, "slow", "", "tests that match this `regexp` run only for mutants that the others do not kill")
	flag.IntVar(&s.workers, "workers", 2, "how many mutants run at once")
	flag.DurationVar(&s.timeout, "timeout", 0, "after which a mutant counts as killed; 0: five times what the tests take without one")
	flag.Float64Var(&s.least, "least", 95, "the `percentage` of the mutants of each file that must be killed")
	flag.Parse()
	s.files = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	p, err := generate()
	if err != nil {
		return err
	}
	mutants, err := p.in(s.files)
	if err != nil {
		return err
	}
	if s.list {
		for _, m := range mutants {
			fmt.Println(m.key())
		}
		return nil
	}
	l, err := readLists(s, p.mutants)
	if err != nil {
		return err
	}
	if s.check {
		fmt.Printf("%d claims and %d known mutants: all that they name exists\n", len(l.claims), len(l.known))
		return nil
	}
	return runMutants(ctx, s, p, l, mutants)
}

// runMutants runs the claims' tests and mutants, or all tests for each mutant of the files.
func runMutants(ctx context.Context, s settings, p *mutatedPackage, l lists, mutants []*mutant) error {
	folder, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	r := &runner{ctx: ctx, settings: s, folder: folder}
	if s.claims != "" {
		return r.verify(p, l.claims)
	}
	mutants = containing(mutants, s.only)
	if len(mutants) == 0 {
		return errors.New("no mutants; name the files to mutate, and see -only")
	}
	if err := r.runAll(p, mutants); err != nil {
		return err
	}
	return assess(mutants, l.known, s.least)
}

func containing(mutants []*mutant, text string) (found []*mutant) {
	for _, m := range mutants {
		if strings.Contains(m.key(), text) {
			found = append(found, m)
		}
	}
	return found
}
