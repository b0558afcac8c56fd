package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/steadyhttp/steadyhttp/tools/internal/modules"
)

const licence = "LICENSE"

// publish writes one version of a module as the module proxy protocol has it: list, .info, .mod and .zip.
// See https://go.dev/ref/mod#goproxy-protocol.
func publish(m modules.Module, version, to string) error {
	escaped, err := module.EscapePath(m.Path())
	if err != nil {
		return err
	}
	folder := filepath.Join(to, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	gomod, err := os.ReadFile(filepath.Join(m.Folder(), "go.mod"))
	if err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC()})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"list": []byte(version + "\n"), version + ".info": info, version + ".mod": gomod,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	return writeZip(m, version, filepath.Join(folder, version+".zip"))
}

func writeZip(m modules.Module, version, name string) error {
	files, err := filesOf(m)
	if err != nil {
		return err
	}
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	err = zip.Create(out, module.Version{Path: m.Path(), Version: version}, files)
	return errors.Join(err, out.Close())
}

// filesOf returns what git tracks of the module, and the repository's licence where it has none of its own, as
// the go command does (modfetch.codeRepo.Zip). Nested modules are left out by [zip.Create].
func filesOf(m modules.Module) ([]zip.File, error) {
	names, err := modules.Files(m.Folder())
	if err != nil {
		return nil, err
	}
	var files []zip.File
	for _, name := range names {
		files = append(files, file{name, filepath.Join(m.Folder(), filepath.FromSlash(name))})
	}
	if !slices.Contains(names, licence) {
		files = append(files, file{licence, filepath.Join(m.Root, licence)})
	}
	return files, nil
}

// A file is one of a module's.
type file struct{ name, place string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(f.place) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.place) }
