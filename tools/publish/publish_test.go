package main

import (
	"archive/zip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is a repository with a root module and three nested ones, of which users import one.
func sample() map[string]string {
	return map[string]string{
		"CHANGELOG.md":     "# Changelog\n\n## [0.2.0] - unreleased\n\n## [0.1.0] - 2026-11-22\n",
		"LICENSE":          "MIT",
		"go.mod":           "module example.com/Root\n\ngo 1.25\n",
		"root.go":          "package root\n",
		"kit/kit.go":       "package kit\n",
		"nested/go.mod":    "module example.com/Root/nested\n\ngo 1.25\n\nreplace example.com/Root => ../\n\nrequire example.com/Root v0.2.0\n",
		"nested/nested.go": "package nested\n",
		"bench/go.mod":     "module example.com/Root/bench\n\nreplace example.com/Root => ../\n\nrequire example.com/Root v0.0.0-00010101000000-000000000000\n",
		"bench/bench.go":   "package bench\n",
		"tools/go.mod":     "module example.com/Root/tools\n",
	}
}

// repository writes the files, and lets git track them.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		name = filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
	}
	for _, arguments := range [][]string{{"init", "-q"}, {"add", "."}} {
		output, err := exec.Command("git", append([]string{"-C", root}, arguments...)...).CombinedOutput()
		require.NoError(t, err, string(output))
	}
	return root
}

func with(name, content string) map[string]string {
	files := sample()
	files[name] = content
	return files
}

// zipped are the names of the files in a zip.
func zipped(t *testing.T, name string) (names []string) {
	t.Helper()
	archive, err := zip.OpenReader(name)
	require.NoError(t, err)
	defer func() { require.NoError(t, archive.Close()) }()
	for _, file := range archive.File {
		names = append(names, file.Name)
	}
	return names
}

func TestPublish_WritesWhatAProxyServesOfEachImportableModule(t *testing.T) {
	t.Parallel()
	root := repository(t, sample())
	require.NoError(t, os.WriteFile(filepath.Join(root, "untracked.go"), []byte("package root\n"), 0o644))
	require.NoError(t, os.Remove(filepath.Join(root, "kit", "kit.go")))
	to := filepath.Join(t.TempDir(), "proxy")
	var out strings.Builder
	require.NoError(t, run(root, to, &out))

	assert.Equal(t, "example.com/Root v0.2.0 v0.2.0 .\nexample.com/Root/nested v0.2.0 nested/v0.2.0 nested\n", out.String())
	assert.ElementsMatch(t, []string{
		"example.com/Root@v0.2.0/CHANGELOG.md", "example.com/Root@v0.2.0/LICENSE", "example.com/Root@v0.2.0/go.mod", "example.com/Root@v0.2.0/root.go",
	}, zipped(t, filepath.Join(to, "example.com", "!root", "@v", "v0.2.0.zip")), "a deleted file, one that git does not track, or a nested module is not in it")
	nested := filepath.Join(to, "example.com", "!root", "nested", "@v")
	assert.ElementsMatch(t, []string{
		"example.com/Root/nested@v0.2.0/LICENSE", "example.com/Root/nested@v0.2.0/go.mod", "example.com/Root/nested@v0.2.0/nested.go",
	}, zipped(t, filepath.Join(nested, "v0.2.0.zip")), "the licence is the repository's")
	for name, want := range map[string]string{"list": "v0.2.0\n", "v0.2.0.mod": sample()["nested/go.mod"]} {
		content, err := os.ReadFile(filepath.Join(nested, name))
		require.NoError(t, err)
		assert.Equal(t, want, string(content))
	}
	info, err := os.ReadFile(filepath.Join(nested, "v0.2.0.info"))
	require.NoError(t, err)
	assert.Regexp(t, `"Time":"20.*Z","Version":"v0.2.0"`, string(info))
}

func TestPublish_WithoutAFolderOnlyLists(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, run(repository(t, sample()), "", &out))
	assert.Equal(t, 2, strings.Count(out.String(), "\n"))
}

func TestRequirements_WrongOnesAreNamedWithTheirCure(t *testing.T) {
	t.Parallel()
	nested := sample()["nested/go.mod"]
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"an older version":      {with("nested/go.mod", strings.ReplaceAll(nested, "v0.2.0", "v0.1.0")), []string{"nested/go.mod requires example.com/Root v0.1.0", "v0.2.0", "go mod edit -require=example.com/Root@v0.2.0"}},
		"none that exists":      {with("nested/go.mod", strings.ReplaceAll(nested, "v0.2.0", "v0.0.0-00010101000000-000000000000")), []string{"nested/go.mod requires example.com/Root v0.0.0-"}},
		"no replace":            {with("nested/go.mod", strings.ReplaceAll(nested, "replace", "// replace")), []string{"nested/go.mod has no replace of example.com/Root"}},
		"replaced by a version": {with("nested/go.mod", strings.ReplaceAll(nested, "=> ../", "=> example.com/Other v1.0.0")), []string{"nested/go.mod has no replace"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := filepath.Join(t.TempDir(), "proxy")
			err := run(repository(t, c.files), to, io.Discard)
			for _, want := range c.want {
				assert.ErrorContains(t, err, want)
			}
			assert.NoDirExists(t, to, "nothing is written")
		})
	}
}

func TestVersion_IsThatOfTheNewestHeading(t *testing.T) {
	t.Parallel()
	for heading, want := range map[string]string{
		"## [0.2.0] - unreleased": "v0.2.0", "## [1.10.2] - 2027-01-31": "v1.10.2",
		"## Unreleased": "", "## 0.2.0": "", "## [0.2.0]": "", "## [v0.2.0] - unreleased": "", "## [0.2.0] - soon": "", "": "",
	} {
		root := repository(t, with("CHANGELOG.md", "# Changelog\n\n### [9.9.9] - unreleased\n"+heading+"\n"))
		version, err := newestVersion(root)
		assert.Equal(t, want, version, heading)
		if want == "" {
			assert.ErrorContains(t, err, `the newest heading of CHANGELOG.md is "`+heading+`"`)
		}
	}
}

func TestPublish_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	none := sample()
	delete(none, "go.mod")
	to := t.TempDir()
	assert.ErrorContains(t, run(repository(t, none), to, io.Discard), "no root module")
	assert.ErrorContains(t, run(repository(t, with("nested/go.mod", "go 1.25\n")), to, io.Discard), "no module line")
	assert.ErrorContains(t, run(repository(t, with("nested/go.mod", "modul")), to, io.Discard), "go.mod:1")
	assert.ErrorContains(t, run(t.TempDir(), to, io.Discard), "CHANGELOG.md")
}
