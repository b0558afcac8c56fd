package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// survivors are the mutants of the sample that its tests do not notice.
var survivors = []string{
	"sample.go unnoticed: doubled: 3 * time.Second",
	"sample.go Sum: without its bound: sum >= 100", // it would be 100 all the same
	"sample.go Sum: plus 1: 100",
	"sample.go Wait: always true: ready",
	"sample.go Wait: never true: ready",
	"sample.go Wait: plus 1: 0",
}

func examined(t *testing.T, known string) (*laboratory, []*mutant) {
	t.Helper()
	t.Chdir(filepath.Join("testdata", "sample"))
	l := &laboratory{
		ctx:      t.Context(),
		settings: settings{known: known, workers: 2, timeout: 10 * time.Second, least: 95, files: []string{"sample.go"}},
		folder:   t.TempDir(),
	}
	mutants, err := l.experiment()
	require.NoError(t, err)
	return l, mutants
}

func TestExactlyWhatNoTestNoticesSurvives(t *testing.T) {
	_, mutants := examined(t, "")
	var found []string
	for _, m := range mutants {
		assert.NotEqual(t, unbuilt, m.fate, m.name())
		if m.fate == survived {
			found = append(found, m.name())
		}
	}
	assert.ElementsMatch(t, survivors, found)
	assert.Greater(t, len(mutants), 3*len(found))
}

func TestSurvivorsHaveToBeKnown(t *testing.T) {
	l, mutants := examined(t, "")
	err := l.judge(mutants)
	for _, name := range survivors {
		assert.ErrorContains(t, err, name)
	}
	assert.ErrorContains(t, err, "less than 95 % noticed")

	known := equivalentHeading + "\n"
	for _, name := range survivors {
		known += "| `" + name + "` | for a reason |\n"
	}
	l.known = filepath.Join(t.TempDir(), "known.md")
	require.NoError(t, os.WriteFile(l.known, []byte(known), 0o600))
	assert.NoError(t, l.judge(mutants))

	noticed := "sample.go Check: left out: n = -1"
	require.NoError(t, os.WriteFile(l.known, []byte(known+"| `"+noticed+"` |"), 0o600))
	assert.NoError(t, l.judge(mutants), "a test may fail by chance")
}

func TestTestsThatFailWithoutAMutantAreAnError(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"go.mod":      "module broken\n\ngo 1.25\n",
		"one.go":      "package broken\n\nfunc One() int { return 2 }\n",
		"one_test.go": "package broken\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tif One() != 1 {\n\t\tt.Error()\n\t}\n}\n",
	} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	l := &laboratory{ctx: t.Context(), settings: settings{timeout: 10 * time.Second, files: []string{"one.go"}}, folder: t.TempDir()}
	_, err := l.experiment()
	assert.ErrorContains(t, err, "the tests fail without a mutant")
	l.files = []string{"two.go"}
	_, err = l.experiment()
	assert.ErrorContains(t, err, "no mutants")
}

func TestClaimsAreVerified(t *testing.T) {
	t.Chdir(filepath.Join("testdata", "sample"))
	const negative = "| [`TestCheck`](sample_test.go) | `sample.go Check: left out: n = -1`, `sample.go limit: doubled: 10` |"
	for name, test := range map[string]struct{ claims, err string }{
		"true":                   {claimsHeading + "\n" + negative, ""},
		"of the wrong test":      {claimsHeading + "\n" + "| `TestSum` | `sample.go Check: left out: n = -1` |", "do not notice sample.go Check"},
		"of no test":             {claimsHeading + "\n" + "| `TestNone` | `sample.go Check: left out: n = -1` |", "no test TestNone"},
		"of no mutant":           {claimsHeading + "\n" + "| `TestSum` | `sample.go Check: left out: n = -2` |", "no mutant sample.go"},
		"half":                   {claimsHeading + "\n" + "| `TestSum` | nothing |", "names a test and a mutant"},
		"none":                   {"nothing", "no claims found"},
		"with a pipe in it":      {claimsHeading + "\n" + "| `TestCheck` | `sample.go Check: always true: n > limit \\|\\| n < 0` |", ""},
		"under another heading":  {"## Others\n" + negative, "no claims found"},
		"true, and another part": {claimsHeading + "\n" + negative + "\n## Others\n| `TestNone` |", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "proof.md")
			require.NoError(t, os.WriteFile(file, []byte(test.claims), 0o600))
			l := &laboratory{
				ctx:      t.Context(),
				settings: settings{claims: file, timeout: 10 * time.Second, files: []string{"sample.go"}},
				folder:   t.TempDir(),
			}
			if err := l.verify(); test.err == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.err)
			}
		})
	}
}
