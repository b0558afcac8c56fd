package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// The headings of the two parts of a proof.
const (
	claimsHeading     = "## Claims"
	equivalentHeading = "## What changes nothing"
)

// A proof is a Markdown file that says which test notices which mutant, claim by claim, and which mutants
// change nothing.
type proof struct {
	rows       []row
	equivalent map[string]bool
}

// A row is one claim: a line of a table that names tests, and mutants that they notice.
type row struct {
	line    int
	tests   []string
	mutants []string
}

var (
	inCode     = regexp.MustCompile("``? ?([^`]+?(?:`[^`]+)*?) ?``?")
	testName   = regexp.MustCompile(`^(Test|Fuzz)\w+$`)
	mutantName = regexp.MustCompile(`^\w+\.go \S+: \w.*: .`)
)

func readProof(name string) (*proof, error) {
	p := &proof{equivalent: map[string]bool{}}
	if name == "" {
		return p, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	heading := ""
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "## ") {
			heading = line
		}
		if strings.HasPrefix(line, "|") {
			p.add(heading, rowOf(i+1, line))
		}
	}
	return p, nil
}

func rowOf(number int, line string) row {
	r := row{line: number}
	for _, match := range inCode.FindAllStringSubmatch(strings.ReplaceAll(line, `\|`, "|"), -1) {
		switch name := match[1]; {
		case testName.MatchString(name):
			r.tests = append(r.tests, name)
		case mutantName.MatchString(name):
			r.mutants = append(r.mutants, name)
		}
	}
	return r
}

func (p *proof) add(heading string, r row) {
	switch {
	case heading == equivalentHeading:
		for _, name := range r.mutants {
			p.equivalent[name] = true
		}
	case heading == claimsHeading && len(r.tests)+len(r.mutants) > 0:
		p.rows = append(p.rows, r)
	}
}

// verify sees each claim's tests fail once each of its mutants is alive, and pass while none is.
func (l *laboratory) verify() error {
	p, err := readProof(l.claims)
	if err != nil {
		return err
	}
	all, err := breed(l.files)
	if err != nil {
		return err
	}
	if err := l.prepare(all); err != nil {
		return err
	}
	var problems []error
	for _, r := range p.rows {
		if err := l.verifyRow(r, all.mutants); err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", l.claims, r.line, err))
		}
	}
	fmt.Printf("%d claims, %d of them without what they name\n", len(p.rows), len(problems))
	if len(p.rows) == 0 {
		return errors.New("no claims found below " + claimsHeading)
	}
	return errors.Join(problems...)
}

func (l *laboratory) verifyRow(r row, mutants []*mutant) error {
	if len(r.tests) == 0 || len(r.mutants) == 0 {
		return errors.New("a claim names a test and a mutant")
	}
	run := "-test.run=^(" + strings.Join(r.tests, "|") + ")$"
	output, ok := l.pass(l.binary, 0, run, "-test.v")
	for _, test := range r.tests {
		if !bytes.Contains(output, []byte("=== RUN   "+test+"\n")) {
			return fmt.Errorf("no test %s", test)
		}
	}
	if !ok {
		return fmt.Errorf("fails without a mutant:\n%s", output)
	}
	for _, name := range r.mutants {
		if err := l.verifyNoticed(name, run, mutants); err != nil {
			return err
		}
	}
	return nil
}

func (l *laboratory) verifyNoticed(name, run string, mutants []*mutant) error {
	i := slices.IndexFunc(mutants, func(m *mutant) bool { return m.name() == name })
	if i < 0 {
		return fmt.Errorf("no mutant %s", name)
	}
	if l.runOne(mutants[i], run); mutants[i].fate != noticed {
		return fmt.Errorf("its tests do not notice %s", name)
	}
	return nil
}
