// Package modules finds the Go modules of a repository.
package modules

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// notImported are the folders whose modules are there for the project itself.
var notImported = []string{"bench", "examples", "integration", "tools"}

// A Module is one module of the repository.
type Module struct {
	Root string        // the repository's folder
	Dir  string        // within it, "." for the root module
	File *modfile.File // its go.mod
}

// Path is the module's path.
func (m Module) Path() string { return m.File.Module.Mod.Path }

// Folder is where the module lies.
func (m Module) Folder() string { return filepath.Join(m.Root, filepath.FromSlash(m.Dir)) }

// Tag is the tag in the repository's git that publishes a version of the module.
func (m Module) Tag(version string) string {
	if m.Dir == "." {
		return version
	}
	return m.Dir + "/" + version
}

// IsImportable reports whether the module is meant for users.
func (m Module) IsImportable() bool {
	top, _, _ := strings.Cut(m.Dir, "/")
	return !slices.Contains(notImported, top)
}

// Importable returns the modules that users can import, the root module first.
func Importable(root string) ([]Module, error) {
	all, err := find(root)
	return slices.DeleteFunc(all, func(m Module) bool { return !m.IsImportable() }), err
}

// find returns all modules that git tracks, the root module first.
func find(root string) ([]Module, error) {
	files, err := Files(root)
	if err != nil {
		return nil, err
	}
	var found []Module
	for _, name := range files {
		if path.Base(name) != "go.mod" || strings.Contains(name, "testdata/") {
			continue
		}
		file, err := parse(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		found = append(found, Module{Root: root, Dir: path.Dir(name), File: file})
	}
	slices.SortFunc(found, func(a, b Module) int { return strings.Compare(a.Path(), b.Path()) })
	if len(found) == 0 || found[0].Dir != "." {
		return nil, fmt.Errorf("%s has no root module that git tracks", root)
	}
	return found, nil
}

// parse reads a go.mod. One without a module line names no module.
func parse(name string) (*modfile.File, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	file, err := modfile.Parse(name, content, nil)
	if err == nil && file.Module == nil {
		err = fmt.Errorf("%s: no module line", name)
	}
	return file, err
}

// Files returns the names of the files below the folder that git tracks and that exist, slash-separated.
func Files(folder string) ([]string, error) {
	command := exec.Command("git", "ls-files", "-z")
	command.Dir = folder
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files in %s: %w", folder, withOutput(err))
	}
	names := strings.FieldsFunc(string(output), func(r rune) bool { return r == 0 })
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(folder, filepath.FromSlash(name)))
		return errors.Is(err, os.ErrNotExist)
	}), nil
}

// withOutput adds what a command wrote to standard error.
func withOutput(err error) error {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(failed.Stderr))
	}
	return err
}
