package migrated

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	sections = regexp.MustCompile(`(?m)^##+ `)
	code     = regexp.MustCompile("(?s)```go\n(.*?)```")
	link     = regexp.MustCompile(`\]\(\.\./integration/migrated/(\w+\.go)\)`)
	option   = regexp.MustCompile(`\bWith[A-Z]\w*`)
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func page(t *testing.T) string {
	t.Helper()
	return read(t, "../../docs/migrating.md")
}

// The code of each section is part of a program that the section links to.
func TestMigrating_CodeIsTakenFromThePrograms(t *testing.T) {
	t.Parallel()
	found := 0
	for _, section := range sections.Split(page(t), -1) {
		var programs string
		for _, file := range link.FindAllStringSubmatch(section, -1) {
			programs += unindented(read(t, file[1]))
		}
		for _, block := range code.FindAllStringSubmatch(section, -1) {
			assert.Contains(t, programs, unindented(block[1]))
			found++
		}
	}
	assert.GreaterOrEqual(t, found, 10)
}

func TestMigrating_EveryProgramIsNamed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if file != "doc.go" && !strings.HasSuffix(file, "_test.go") {
			assert.Contains(t, page(t), "../integration/migrated/"+file)
		}
	}
}

// All columns of a table but the first are about steadyhttp.
func TestMigrating_OptionsExist(t *testing.T) {
	t.Parallel()
	api := read(t, "../../api/steadyhttp.txt")
	found := 0
	for line := range strings.Lines(page(t)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		_, here, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, name := range option.FindAllString(here, -1) {
			assert.Contains(t, api, "func "+name+"(", line)
			found++
		}
	}
	assert.GreaterOrEqual(t, found, 50)
}

func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
