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

// TestRecipes_AreTakenFromTests checks that the code of each section of these pages is part of the test that it names.
func TestRecipes_AreTakenFromTests(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"recipes.md", "operating.md"} {
		content, err := os.ReadFile(filepath.Join(docs, page))
		require.NoError(t, err)
		sections := strings.Split(string(content), "\n## ")[1:]
		assert.GreaterOrEqual(t, len(sections), 10)
		snippets := 0
		for _, section := range sections {
			name, _, _ := strings.Cut(section, "\n")
			blocks := code.FindAllStringSubmatch(section, -1)
			snippets += len(blocks)
			t.Run(page+" "+name, func(t *testing.T) {
				t.Parallel()
				named := link.FindStringSubmatch(section)
				require.NotNil(t, named, "it names no test")
				test, err := os.ReadFile(filepath.Join(docs, named[1]))
				require.NoError(t, err)
				for _, block := range blocks {
					assert.True(t, strings.Contains(unindented(string(test)), unindented(block[1])), "not in %s:\n%s", named[1], block[1])
				}
			})
		}
		assert.GreaterOrEqual(t, snippets, len(sections)-1, "all sections but one have code")
	}
}

func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
