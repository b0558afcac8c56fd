package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const source = `
// Package sample has prose that must not show.
package sample

import "io"

// A Kind is documented.
type Kind uint8

const (
	First Kind = iota + 1
	second
	Third
	Text = "soon"
)

// String is documented.
func (k Kind) String() string { return "" }

var Failed error

type base struct{ Promoted int }

func (base) Value()    {}
func (*base) Pointer() {}

type Record struct {
	io.Reader
	base
	Name string ` + "`json:\"name\"`" + `
	kept int
}

func (r *Record) Rename(name string) (old string, err error) { return }
func (r *Record) hidden()                                    {}

type (
	Pair[K comparable, V any] struct{ Key K }
	Number                    interface{ ~int | ~float64 }
	Sealed                    interface {
		io.Closer
		sealed()
	}
	Alias = io.Reader
	Hook  func(name string) error
)

func Map[T any](from []T, with func(T) T) []T { return from }
func unexported()                             {}
`

func checked(t *testing.T, text string) *types.Package {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "sample.go", text, parser.ParseComments)
	require.NoError(t, err)
	config := types.Config{Importer: importer.ForCompiler(files, "source", nil)}
	p, err := config.Check("example.com/sample", files, []*ast.File{parsed}, nil)
	require.NoError(t, err)
	return p
}

func TestDescribe_HasEveryExportedDeclarationAndNoProse(t *testing.T) {
	t.Parallel()
	assert.Equal(t, strings.TrimLeft(`
package sample // import "example.com/sample"
const First Kind = 1
const Text = "soon"
const Third Kind = 3
var Failed error
func Map[T any](from []T, with func(T) T) []T
type Alias = io.Reader
type Hook func(name string) error
type Kind uint8
	func (Kind) String() string
type Number interface
	Number is one of ~int | ~float64
type Pair[K comparable, V any] struct
	Pair.Key K
type Record struct
	Record embeds io.Reader
	Record.Name string "json:\"name\""
	Record has unexported fields
	func (*Record) Pointer()
	func (Record) Read(p []byte) (n int, err error)
	func (*Record) Rename(name string) (old string, err error)
	func (Record) Value()
type Sealed interface
	Sealed.Close() error
	Sealed has unexported methods
`, "\n"), describe(checked(t, source)))
}

func TestDescribe_DoesNotChangeWithProse(t *testing.T) {
	t.Parallel()
	var code []string
	for line := range strings.Lines(source) {
		if !strings.HasPrefix(line, "//") {
			code = append(code, line)
		}
	}
	require.Less(t, len(code), strings.Count(source, "\n"))
	assert.Equal(t, describe(checked(t, source)), describe(checked(t, strings.Join(code, ""))))
}

func TestFileName_IsThePackagesPathOnOneLevel(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"": "root.txt", "/kit": "kit.txt", "/kit/fault": "kit-fault.txt"} {
		assert.Equal(t, want, fileName("example.com/root", "example.com/root"+path))
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

func TestRun_WritesAFileForEachPackageThatUsersCanImport(t *testing.T) {
	t.Parallel()
	to := t.TempDir()
	root := repository(t, map[string]string{
		"go.mod": "module example.com/root\n", "root.go": "package root\n", "kit/fault/fault.go": "package fault\n",
		"internal/hidden/hidden.go": "package hidden\n", "examples/first/main.go": "package main\n",
		"nested/go.mod": "module example.com/root/nested\n", "nested/nested.go": "package nested\n\nfunc New() {}\n",
		"bench/go.mod": "module example.com/root/bench\n", "bench/bench.go": "package bench\n",
	})
	require.NoError(t, run(root, to))
	written, err := filepath.Glob(filepath.Join(to, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(to, "kit-fault.txt"), filepath.Join(to, "nested.txt"), filepath.Join(to, "root.txt")}, written)
	nested, err := os.ReadFile(filepath.Join(to, "nested.txt"))
	require.NoError(t, err)
	assert.Equal(t, "package nested // import \"example.com/root/nested\"\nfunc New()\n", string(nested))
}

func TestRun_CodeThatDoesNotCompileIsAnError(t *testing.T) {
	t.Parallel()
	root := repository(t, map[string]string{
		"go.mod": "module example.com/root\n", "root.go": "package root\n\nvar V int = missing\n",
	})
	assert.ErrorContains(t, run(root, t.TempDir()), "missing")
}
