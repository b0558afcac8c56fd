package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const checkClaim = "claim: Check has bounds\ntest: TestCheck\nmutant: sample.go Check: removed: n = -1\n"

func TestClaims_WhatTheyNameExists(t *testing.T) {
	p := generateSample(t)
	for name, test := range map[string]struct{ claims, err string }{
		"all exists":    {"# comment\n\n" + checkClaim + "\n\n# comment\n" + strings.ReplaceAll(checkClaim, "bounds", "two bounds"), ""},
		"no such test":  {strings.ReplaceAll(checkClaim, "TestCheck", "TestChecks"), ":2: no test TestChecks\n\tnearest: TestCheck, TestSum"},
		"no such code":  {strings.ReplaceAll(checkClaim, "n = -1", "n = -2"), ":3: no mutant sample.go Check: removed: n = -2\n\tnearest: sample.go Check: removed: n = -1\n"},
		"no such key":   {strings.ReplaceAll(checkClaim, "sample.go Check: ", ""), ":3: no mutant removed: n = -1"},
		"without test":  {"claim: a\nmutant: sample.go Check: removed: n = -1", `:1: the block has no "test:"`},
		"without claim": {"\ntest: TestCheck\nmutant: sample.go Check: removed: n = -1", `:2: the block has no "claim:"`},
		"two claims":    {"claim: a\n" + checkClaim, ":1: a block is about one claim, this about 2"},
		"said twice":    {checkClaim + "\n" + checkClaim, `:5: "Check has bounds" stands in line 1 already`},
		"unknown name":  {"claim: a\ntets: TestCheck", `:2: "tets: TestCheck" does not begin with one of ["claim" "test" "mutant"]`},
		"without name":  {"claim: a\nTestCheck", `:2: "TestCheck" does not begin with`},
		"without value": {"claim: a\ntest:", `:2: nothing stands behind "test:"`},
		"empty":         {"# comment\n", ": it is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := readLists(settings{claims: writeFile(t, test.claims)}, p.mutants)
			if test.err == "" {
				assert.NoError(t, err)
				assert.Len(t, l.claims, 2)
				return
			}
			assert.ErrorContains(t, err, test.err)
		})
	}
}

func TestKnown_WhatItNamesExists(t *testing.T) {
	p := generateSample(t)
	const known = "mutant: sample.go Sum: boundary excluded: sum >= 100\nmutant: sample.go Wait: always true: ready\nwhy: a reason\n"
	l, err := readLists(settings{known: writeFile(t, known)}, p.mutants)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"sample.go Sum: boundary excluded: sum >= 100": true, "sample.go Wait: always true: ready": true}, l.known)

	for problem, text := range map[string]string{
		`:1: the block has no "why:"`: strings.ReplaceAll(known, "why: a reason", ""),
		":2: no mutant sample.go Want: always true: ready\n\tnearest: sample.go Wait: always true: ready": strings.ReplaceAll(known, "Wait", "Want"),
		`stands in line 1 already`: known + "\n" + known,
	} {
		_, err := readLists(settings{known: writeFile(t, text)}, p.mutants)
		assert.ErrorContains(t, err, problem)
	}
	_, err = readLists(settings{known: filepath.Join(t.TempDir(), "none")}, p.mutants)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestPage_ShowsTheClaimsAndTheirTests(t *testing.T) {
	p := generateSample(t)
	const row = "| Check has bounds | [`TestCheck`](sample_test.go) |\n"
	for name, test := range map[string]struct{ page, err string }{
		"it does":       {"# Title\n\n| claim | tests |\n| --- | --- |\n" + row + "\n[`TestOther`](x) outside a table\n", ""},
		"another claim": {row + "| Sum has none | [`TestSum`](sample_test.go) |", ":2: no claim \"Sum has none\" in the file of claims"},
		"not the claim": {"nothing", ":1: the claim is not on"},
		"said twice":    {row + row, `:2: no claim "Check has bounds"`},
		"another test":  {strings.ReplaceAll(row, "TestCheck", "TestSum"), ":1: it shows [TestSum], but"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readLists(settings{claims: writeFile(t, checkClaim), page: writeFile(t, test.page)}, p.mutants)
			if test.err == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, test.err)
		})
	}
}

func TestNearest_PrefersTheCodeToThePlace(t *testing.T) {
	p := generateSample(t)
	assert.Equal(t, "sample.go Sum: always true: sum >= 100", nearest("other.go Total: always true: total >= 100", p.mutants)[0])
	assert.Len(t, nearest("other.go Total: always true: total >= 100", p.mutants), maxCandidates)
}

func TestFix_ReplacesTheKeysOfCodeThatMoved(t *testing.T) {
	p := generateSample(t)
	file := writeFile(t, "mutant: other.go Moved: removed: n = -1\nmutant: sample.go Renamed: always true: ready\n"+
		"mutant: sample.go Sum: removed: sum += numbers[i]\nmutant: sample.go limit: doubled: 10\nwhy: a reason\n")
	_, err := readLists(settings{known: file, fix: true}, p.mutants)
	assert.ErrorContains(t, err, ":3: no mutant sample.go Sum: removed: sum += numbers[i]", "nothing would show whether another key is right")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "mutant: sample.go Check: removed: n = -1\nmutant: sample.go Wait: always true: ready\n"+
		"mutant: sample.go Sum: removed: sum += numbers[i]\nmutant: sample.go limit: doubled: 10\nwhy: a reason\n", string(text))
}

func TestFix_ReplacesTheKeysOfClaimsWhoseCodeChangedALittle(t *testing.T) {
	p := generateSample(t)
	file := writeFile(t, "claim: a\ntest: TestSum\nmutant: sample.go Sum: removed: sum += numbers[i]\nmutant: sample.go Sum: removed: another = thing\n")
	_, err := readLists(settings{claims: file, fix: true}, p.mutants)
	assert.ErrorContains(t, err, ":4: no mutant sample.go Sum: removed: another = thing")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "claim: a\ntest: TestSum\nmutant: sample.go Sum: removed: sum += 2 * numbers[i]\nmutant: sample.go Sum: removed: another = thing\n", string(text))
}

func TestGenerate_EveryMutantHasAKeyOfItsOwn(t *testing.T) {
	p := generateSample(t)
	assert.Len(t, byKey(p.mutants), len(p.mutants))
	for key, m := range byKey(p.mutants) {
		parsed, ok := parseKey(key)
		assert.True(t, ok, key)
		assert.Equal(t, []string{m.file, m.function, m.change}, []string{parsed.file, parsed.function, parsed.change})
	}
}
