// Command api writes down what the importable packages of the repository export, one file for each package: its
// declarations, one a line, without their documentation. A change to the public API shows in review as a change
// to such a file.
//
//	api -root .. -to ../api
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"

	"github.com/steadyhttp/steadyhttp/tools/internal/modules"
)

func main() {
	root := flag.String("root", ".", "the repository's `folder`")
	to := flag.String("to", "api", "the `folder` of the files")
	flag.Parse()
	if err := run(*root, *to); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(root, to string) error {
	found, err := modules.Importable(root)
	if err != nil {
		return err
	}
	for _, m := range found {
		loaded, err := load(m)
		if err != nil {
			return err
		}
		for _, p := range loaded {
			name := filepath.Join(to, fileName(found[0].Path(), p.PkgPath))
			if err := os.WriteFile(name, []byte(describe(p.Types)), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// load returns the packages of a module that its users can import, with their types.
func load(m modules.Module) ([]*packages.Package, error) {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedDeps,
		Dir:  m.Folder(),
	}, "./...")
	if err != nil {
		return nil, err
	}
	loaded = slices.DeleteFunc(loaded, func(p *packages.Package) bool { return !isImportable(p) })
	var errs []error
	for _, p := range loaded {
		for _, err := range p.Errors {
			errs = append(errs, err)
		}
	}
	return loaded, errors.Join(errs...)
}

func isImportable(p *packages.Package) bool {
	return p.Name != "main" && !slices.Contains(strings.Split(p.PkgPath, "/"), "internal")
}

// fileName is the package's path within the root module, on one level: steadyhttptest-fault.txt.
func fileName(rootPath, packagePath string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(packagePath, rootPath), "/")
	return cmp.Or(strings.ReplaceAll(name, "/", "-"), filepath.Base(rootPath)) + ".txt"
}
