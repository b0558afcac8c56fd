package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/mod/modfile"

	"github.com/steadyhttp/steadyhttp/tools/internal/modules"
)

var (
	anyVersion = regexp.MustCompile(`(?m)^## .*$`)
	aVersion   = regexp.MustCompile(`^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d|unreleased)$`)
)

// newestVersion returns the version of the first heading of CHANGELOG.md: the one that is, or is about to be,
// tagged.
func newestVersion(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	heading := string(anyVersion.Find(text))
	parts := aVersion.FindStringSubmatch(heading)
	if parts == nil {
		return "", fmt.Errorf(`the newest heading of CHANGELOG.md is %q, not of the form "## [1.2.3] - 2006-01-02" or "## [1.2.3] - unreleased"`, heading)
	}
	return "v" + parts[1], nil
}

// checkRequirements reports every requirement of one module on another that is not of the version, or that
// nothing replaces: with it alone the modules of a checkout do not build together.
func checkRequirements(found []modules.Module, version string) error {
	own := make(map[string]bool)
	for _, m := range found {
		own[m.Path()] = true
	}
	var errs []error
	for _, m := range found {
		for _, required := range m.File.Require {
			if own[required.Mod.Path] {
				errs = append(errs, checkRequirement(m, required, version))
			}
		}
	}
	return errors.Join(errs...)
}

func checkRequirement(m modules.Module, required *modfile.Require, version string) error {
	name := required.Mod.Path
	if required.Mod.Version != version {
		return fmt.Errorf("%s/go.mod requires %s %s, but the newest version in CHANGELOG.md is %s: users would not get it; run (cd %s && go mod edit -require=%s@%s)",
			m.Dir, name, required.Mod.Version, version, m.Dir, name, version)
	}
	for _, replaced := range m.File.Replace {
		if replaced.Old.Path == name && replaced.New.Version == "" {
			return nil
		}
	}
	return fmt.Errorf("%s/go.mod has no replace of %s by a folder: it would be tested with the published version, not with this one", m.Dir, name)
}
