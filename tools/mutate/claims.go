package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// verify sees that the tests of each claim pass, and kill each of its mutants.
func (r *runner) verify(p *mutatedPackage, claims []claim) error {
	index := byKey(p.mutants)
	var named []*mutant
	for _, c := range claims {
		for _, e := range c.mutants {
			named = append(named, index[e.value])
		}
	}
	if err := r.buildWith(p, named); err != nil {
		return err
	}
	var problems []error
	for _, c := range claims {
		if err := r.verifyClaim(c, index); err != nil {
			problems = append(problems, c.errorf("%w", err))
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
	}
	fmt.Printf("%d claims and %d mutants; %d claims fail\n", len(claims), len(named), len(problems))
	return errors.Join(problems...)
}

func (r *runner) verifyClaim(c claim, index map[string]*mutant) error {
	var names []string
	for _, e := range c.tests {
		names = append(names, e.value)
	}
	chosen := "-test.run=^(" + strings.Join(names, "|") + ")$"
	output, err := r.measure(chosen, "-test.v")
	if err != nil {
		return err
	}
	for _, name := range names {
		if !bytes.Contains(output, []byte("=== RUN   "+name+"\n")) {
			return fmt.Errorf("%s did not run", name)
		}
	}
	var problems []error
	for _, e := range c.mutants {
		m := index[e.value]
		if r.run(m, chosen); m.result != killed {
			problems = append(problems, fmt.Errorf("its tests do not kill %s", e.value))
		}
	}
	return errors.Join(problems...)
}
