package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// survivors are the mutants of the sample that its tests do not kill.
var survivors = []string{
	"sample.go unnoticed: doubled: 3 * time.Second",
	"sample.go Sum: boundary excluded: sum >= 100", // it would be 100 all the same
	"sample.go Sum: incremented: 100 in sum >= 100",
	"sample.go Wait: always true: ready",
	"sample.go Wait: always false: ready",
	"sample.go Wait: incremented: 0 in return 0",
}

// newRunner returns a runner for the package in the current folder.
func newRunner(t *testing.T) *runner {
	t.Helper()
	return &runner{ctx: t.Context(), settings: settings{workers: 2, timeout: 10 * time.Second}, folder: t.TempDir()}
}

// generateSample makes the sample's folder the current one, and returns the sample's mutants.
func generateSample(t *testing.T) *mutatedPackage {
	t.Helper()
	t.Chdir(filepath.Join("testdata", "sample"))
	p, err := generate()
	require.NoError(t, err)
	return p
}

// writeFile makes a file with this content, and returns its path.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.txt")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestRunner_OnlyWhatNoTestKillsSurvives(t *testing.T) {
	p := generateSample(t)
	require.NoError(t, newRunner(t).runAll(p, p.mutants))
	var found []string
	for _, m := range p.mutants {
		assert.NotEqual(t, notBuilt, m.result, m.key())
		if m.result == survived {
			found = append(found, m.key())
		}
	}
	assert.ElementsMatch(t, survivors, found)
	assert.Greater(t, len(p.mutants), 3*len(found))

	err := assess(p.mutants, nil, 95)
	for _, key := range survivors {
		assert.ErrorContains(t, err, key)
	}
	assert.ErrorContains(t, err, "less than 95 % are killed")
	known := map[string]bool{}
	for _, key := range survivors {
		known[key] = true
	}
	assert.NoError(t, assess(p.mutants, known, 95))
	known["sample.go Check: removed: n = -1"] = true
	assert.NoError(t, assess(p.mutants, known, 95), "a test may fail by chance")
}

func TestRunner_TestsMustPassWithoutAMutant(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"go.mod":      "module broken\n\ngo 1.25\n",
		"one.go":      "package broken\n\nfunc One() int { return 2 }\n",
		"one_test.go": "package broken\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tif One() != 1 {\n\t\tt.Error()\n\t}\n}\n",
	} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	assert.ErrorContains(t, run(t.Context(), settings{workers: 1}), "the tests fail without a mutant")
}

func TestRun_NamesAFileThatDoesNotExist(t *testing.T) {
	generateSample(t)
	assert.ErrorContains(t, run(t.Context(), settings{files: []string{"simple.go"}}), "simple.go is no file of the package")
	assert.ErrorContains(t, run(t.Context(), settings{only: "nothing"}), "no mutants")
}

func TestClaims_TestsMustKillTheMutants(t *testing.T) {
	p := generateSample(t)
	for name, test := range map[string]struct{ claims, err string }{
		"they do": {
			"claim: a\ntest: TestCheck\nmutant: sample.go Check: removed: n = -1\nmutant: sample.go limit: doubled: 10\n\n" +
				"claim: b\ntest: TestSum\ntest: TestCheck\nmutant: sample.go Check: always true: n > limit || n < 0", "",
		},
		"they do not": {
			"\nclaim: a\ntest: TestSum\nmutant: sample.go Check: removed: n = -1", ":2: its tests do not kill sample.go Check: removed: n = -1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			claims, err := readClaims(writeFile(t, test.claims))
			require.NoError(t, err)
			if err := newRunner(t).verify(p, claims); test.err == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.err)
			}
		})
	}
}
