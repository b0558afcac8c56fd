package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// assess prints the score of each file. It is an error if a mutant survives that is not known, or if too few of a
// file's mutants are killed.
func assess(mutants []*mutant, known map[string]bool, least float64) error {
	var problems []error
	scores := map[string]*score{}
	for _, m := range mutants {
		if scores[m.file] == nil {
			scores[m.file] = &score{file: m.file}
		}
		isKnown := known[m.key()]
		scores[m.file].add(m, isKnown)
		switch {
		case m.result == survived && !isKnown:
			problems = append(problems, fmt.Errorf("no test kills %s (%s:%d)", m.key(), m.file, m.line))
		case m.result == killed && isKnown: // no error, since a test may fail by chance
			fmt.Printf("killed, though it is known to survive: %s (%s:%d)\n", m.key(), m.file, m.line)
		}
	}
	fmt.Printf("%-16s %8s %8s %8s %8s\n", "file", "mutants", "killed", "known", "score")
	for _, s := range slices.SortedFunc(maps.Values(scores), func(a, b *score) int { return cmp.Compare(a.file, b.file) }) {
		fmt.Println(s)
		if s.percentage() < least {
			problems = append(problems, fmt.Errorf("%s: less than %g %% are killed", s.file, least))
		}
	}
	return errors.Join(problems...)
}

// A score counts what became of the mutants of a file.
type score struct {
	file               string
	all, killed, known int // known: those of them that survived as expected
}

func (s *score) add(m *mutant, isKnown bool) {
	switch {
	case m.result == notBuilt:
		return
	case m.result == killed:
		s.killed++
	case isKnown:
		s.known++
	}
	s.all++
}

// percentage is the share of the mutants that were killed, without those that were known to survive.
func (s *score) percentage() float64 {
	if s.all == s.known {
		return 100
	}
	return 100 * float64(s.killed) / float64(s.all-s.known)
}

func (s *score) String() string {
	return fmt.Sprintf("%-16s %8d %8d %8d %7.1f%%", s.file, s.all, s.killed, s.known, s.percentage())
}
