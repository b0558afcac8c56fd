package main

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
)

// A claim names the tests that show it, and mutants that they kill.
type claim struct {
	entry   // its text
	tests   []entry
	mutants []entry
}

// lists are what the files hold, checked.
type lists struct {
	claims []claim
	known  map[string]bool // keys of mutants that survive
}

// readLists reads the files that the settings name. What they name must exist.
func readLists(s settings, mutants []*mutant) (l lists, err error) {
	tests, err := testNames()
	if err != nil {
		return l, err
	}
	if s.fix {
		if err := errors.Join(fix(s.claims, true, mutants), fix(s.known, false, mutants)); err != nil {
			return l, err
		}
	}
	claims, claimsErr := readClaims(s.claims)
	known, knownErr := readKnown(s.known)
	problems := []error{claimsErr, knownErr, checkMutants(known, mutants), checkPage(s.page, claims)}
	for _, c := range claims {
		problems = append(problems, checkTests(c.tests, tests), checkMutants(c.mutants, mutants))
	}
	l.claims, l.known = claims, make(map[string]bool, len(known))
	for _, e := range known {
		l.known[e.value] = true
	}
	return l, errors.Join(problems...)
}

// readClaims reads a file of claims, if there is one.
func readClaims(file string) (claims []claim, err error) {
	if file == "" {
		return nil, nil
	}
	blocks, err := readBlocks(file, "claim", "test", "mutant")
	var texts []entry
	for _, b := range blocks {
		text := b.all("claim")
		if len(text) != 1 {
			err = errors.Join(err, b[0].errorf("a block is about one claim, this about %d", len(text)))
			continue
		}
		texts = append(texts, text[0])
		claims = append(claims, claim{entry: text[0], tests: b.all("test"), mutants: b.all("mutant")})
	}
	return claims, errors.Join(err, checkOnce(texts))
}

// readKnown reads a file of mutants that are known to survive, if there is one.
func readKnown(file string) (mutants []entry, err error) {
	if file == "" {
		return nil, nil
	}
	blocks, err := readBlocks(file, "mutant", "why")
	for _, b := range blocks {
		mutants = append(mutants, b.all("mutant")...)
	}
	return mutants, errors.Join(err, checkOnce(mutants))
}

func checkOnce(entries []entry) error {
	var problems []error
	lines := map[string]int{}
	for _, e := range entries {
		if line, twice := lines[e.value]; twice {
			problems = append(problems, e.errorf("%q stands in line %d already", e.value, line))
		}
		lines[e.value] = e.line
	}
	return errors.Join(problems...)
}

func checkMutants(entries []entry, mutants []*mutant) error {
	var problems []error
	index := byKey(mutants)
	for _, e := range entries {
		if index[e.value] == nil {
			problems = append(problems, e.errorf("no mutant %s\n\tnearest: %s", e.value, strings.Join(nearest(e.value, mutants), "\n\t         ")))
		}
	}
	return errors.Join(problems...)
}

func checkTests(entries []entry, tests []string) error {
	var problems []error
	for _, e := range entries {
		if !slices.Contains(tests, e.value) {
			problems = append(problems, e.errorf("no test %s\n\tnearest: %s", e.value, strings.Join(mostLike(e.value, tests), ", ")))
		}
	}
	return errors.Join(problems...)
}

// testNames are those of the package in the current folder.
func testNames() (names []string, err error) {
	folder, err := build.ImportDir(".", 0)
	if err != nil {
		return nil, err
	}
	for _, file := range append(folder.TestGoFiles, folder.XTestGoFiles...) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, declaration := range parsed.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if ok && function.Recv == nil && testName.MatchString(function.Name.Name) {
				names = append(names, function.Name.Name)
			}
		}
	}
	return names, nil
}

var (
	testName   = regexp.MustCompile(`^(Test|Fuzz)\w+$`)
	linkedTest = regexp.MustCompile("\\[`((?:Test|Fuzz)\\w+)`\\]")
)

// checkPage sees that a page, if there is one, shows the same claims and tests, each claim in a row of a table.
func checkPage(page string, claims []claim) error {
	if page == "" {
		return nil
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	var problems []error
	left := map[string]claim{}
	for _, c := range claims {
		left[c.value] = c
	}
	for i, line := range strings.Split(string(text), "\n") {
		shown := linkedTest.FindAllStringSubmatch(line, -1)
		if !strings.HasPrefix(line, "| ") || len(shown) == 0 {
			continue
		}
		row := entry{file: page, line: i + 1, value: strings.TrimSpace(strings.Split(line, " | ")[0][2:])}
		c, found := left[row.value]
		if !found {
			problems = append(problems, row.errorf("no claim %q in the file of claims", row.value))
			continue
		}
		delete(left, row.value)
		problems = append(problems, checkRow(row, shown, c))
	}
	for _, c := range claims {
		if _, missing := left[c.value]; missing {
			problems = append(problems, c.errorf("the claim is not on %s", page))
		}
	}
	return errors.Join(problems...)
}

// checkRow sees that a row shows the tests of its claim, in the same order.
func checkRow(row entry, shown [][]string, c claim) error {
	var there, here []string
	for _, e := range c.tests {
		there = append(there, e.value)
	}
	for _, match := range shown {
		here = append(here, match[1])
	}
	if !slices.Equal(there, here) {
		return row.errorf("it shows %v, but %s:%d names %v", here, c.file, c.line, there)
	}
	return nil
}
