package main

import (
	"fmt"
	"sync"
)

// Violations are the errors that the soak finds, by kind. All are counted, and the first few of each kind are kept, so
// that many of one kind do not hide another.
type violations struct {
	mu     sync.Mutex
	kinds  []string // in the order in which they were found
	kept   map[string][]string
	counts map[string]int
}

// keptPerKind is enough to see what is wrong.
const keptPerKind = 5

// add notes a violation. Its kind is the format.
func (v *violations) add(format string, arguments ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.counts == nil {
		v.kept, v.counts = make(map[string][]string), make(map[string]int)
	}
	if v.counts[format]++; v.counts[format] == 1 {
		v.kinds = append(v.kinds, format)
	}
	if v.counts[format] <= keptPerKind {
		v.kept[format] = append(v.kept[format], fmt.Sprintf(format, arguments...))
	}
}

func (v *violations) list() (all []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, kind := range v.kinds {
		all = append(all, v.kept[kind]...)
		if more := v.counts[kind] - len(v.kept[kind]); more > 0 {
			all = append(all, fmt.Sprintf("and %d more of the last kind", more))
		}
	}
	return all
}
