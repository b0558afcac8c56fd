package sdk

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const docs = "../../docs"

var (
	code = regexp.MustCompile("(?s)```go\n(.*?)```")
	link = regexp.MustCompile(`\]\(([^)]*_test\.go)\)`)
)

// TestRecipes_AreTakenFromTests checks that the code of each recipe is part of the test that it names.
func TestRecipes_AreTakenFromTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(docs, "recipes.md"))
	require.NoError(t, err)
	recipes := strings.Split(string(page), "\n## ")[1:]
	assert.GreaterOrEqual(t, len(recipes), 10)
	for _, recipe := range recipes {
		name, _, _ := strings.Cut(recipe, "\n")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			named := link.FindStringSubmatch(recipe)
			require.NotNil(t, named, "it names no test")
			test, err := os.ReadFile(filepath.Join(docs, named[1]))
			require.NoError(t, err)
			blocks := code.FindAllStringSubmatch(recipe, -1)
			require.NotEmpty(t, blocks)
			for _, block := range blocks {
				assert.Contains(t, unindented(string(test)), unindented(block[1]))
			}
		})
	}
}

func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
