package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The files of claims and of known mutants consist of blocks with blank lines between them. Each line of a block is
// "name: value"; a line that begins with # is a comment.

// An entry is one line of a block, or one row of a page.
type entry struct {
	file  string
	line  int
	name  string
	value string
}

func (e entry) errorf(format string, arguments ...any) error {
	return fmt.Errorf("%s:%d: %w", e.file, e.line, fmt.Errorf(format, arguments...))
}

// A block is what stands between two blank lines.
type block []entry

// all returns the entries of this name.
func (b block) all(name string) (found []entry) {
	for _, e := range b {
		if e.name == name {
			found = append(found, e)
		}
	}
	return found
}

// readBlocks reads a file in which each block has at least one entry of each of these names, and no others.
func readBlocks(file string, names ...string) ([]block, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var (
		blocks   []block
		current  block
		problems []error
	)
	for i, line := range append(strings.Split(string(text), "\n"), "") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case line != "":
			e, err := parseEntry(file, i+1, line, names)
			problems = append(problems, err)
			current = append(current, e)
		case current != nil:
			problems = append(problems, current.check(names))
			blocks, current = append(blocks, current), nil
		}
	}
	if len(blocks) == 0 {
		problems = append(problems, fmt.Errorf("%s: it is empty", file))
	}
	return blocks, errors.Join(problems...)
}

func parseEntry(file string, number int, line string, names []string) (entry, error) {
	name, value, found := strings.Cut(line, ":")
	e := entry{file: file, line: number, name: name, value: strings.TrimSpace(value)}
	switch {
	case !found || !slices.Contains(names, name):
		return e, e.errorf("%q does not begin with one of %q", line, names)
	case e.value == "":
		return e, e.errorf("nothing stands behind %q", line)
	default:
		return e, nil
	}
}

func (b block) check(names []string) error {
	for _, name := range names {
		if len(b.all(name)) == 0 {
			return b[0].errorf("the block has no %q", name+":")
		}
	}
	return nil
}
