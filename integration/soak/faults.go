package main

import (
	"fmt"
	"sync"
)

// Faults are what was found, by kind: of each kind some are told and all are counted, so that many of one
// kind hide none of another.
type faults struct {
	mu     sync.Mutex
	kinds  []string // in the order in which they were found first
	told   map[string][]string
	counts map[string]int
}

// some faults of a kind are enough to see what is wrong.
const some = 5

// add notes a fault, whose kind is its format.
func (f *faults) add(format string, arguments ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.told, f.counts = make(map[string][]string), make(map[string]int)
	}
	if f.counts[format]++; f.counts[format] == 1 {
		f.kinds = append(f.kinds, format)
	}
	if f.counts[format] <= some {
		f.told[format] = append(f.told[format], fmt.Sprintf(format, arguments...))
	}
}

func (f *faults) list() (found []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, kind := range f.kinds {
		found = append(found, f.told[kind]...)
		if more := f.counts[kind] - len(f.told[kind]); more > 0 {
			found = append(found, fmt.Sprintf("and %d more of the last kind", more))
		}
	}
	return found
}
