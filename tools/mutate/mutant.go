package main

import (
	"fmt"
	"strings"
)

// A result is what the tests say about a mutant.
type result int

const (
	notBuilt result = iota // it does not compile
	killed                 // a test fails
	survived               // all tests pass
)

// A mutant is one small change of the code.
type mutant struct {
	id       int
	file     string
	line     int
	function string // or the variable or constant
	change   string // what is done
	source   string // the code to which it is done
	nth      int    // of those in the function that read the same
	content  []byte // of the file with the change in it, for a mutant that needs a build of its own; else nil
	result   result
}

// key names the mutant in the files of claims and of known mutants. It stays the same when lines move.
func (m *mutant) key() string {
	key := fmt.Sprintf("%s %s: %s: %s", m.file, m.function, m.change, m.source)
	if m.nth > 1 {
		key += fmt.Sprintf(" (%d)", m.nth)
	}
	return key
}

// parseKey takes a key apart, as far as [nearest] needs it: nth stays a part of the source.
func parseKey(key string) (m mutant, ok bool) {
	place, rest, hasChange := strings.Cut(key, ": ")
	m.file, m.function, ok = strings.Cut(place, " ")
	var hasSource bool
	m.change, m.source, hasSource = strings.Cut(rest, ": ")
	return m, ok && hasChange && hasSource && strings.HasSuffix(m.file, ".go")
}

// byKey finds mutants by their keys.
func byKey(mutants []*mutant) map[string]*mutant {
	index := make(map[string]*mutant, len(mutants))
	for _, m := range mutants {
		index[m.key()] = m
	}
	return index
}
