package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

// maxCandidates is how many are printed for what does not exist.
const maxCandidates = 3

// nearest returns the keys of the mutants that are most like a key. What the code reads counts most, then what is
// done to it, then where it stands: functions are renamed and moved more often than rewritten.
func nearest(key string, mutants []*mutant) []string {
	want, _ := parseKey(key)
	likeness := func(m *mutant) float64 {
		is, _ := parseKey(m.key())
		sum := 4*similarity(want.source, is.source) + 2*similarity(want.function, is.function) + similarity(want.file, is.file)
		if want.change == is.change {
			sum += 2
		}
		return sum
	}
	var keys []string
	for _, m := range best(mutants, likeness) {
		keys = append(keys, m.key())
	}
	return keys
}

// mostLike returns the names that are most like a name.
func mostLike(name string, names []string) []string {
	return best(names, func(n string) float64 { return similarity(name, n) })
}

// best returns the few candidates that score highest, the best first.
func best[T any](candidates []T, score func(T) float64) []T {
	type scored struct {
		candidate T
		score     float64
	}
	var all []scored
	for _, c := range candidates {
		all = append(all, scored{c, score(c)})
	}
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	var found []T
	for _, s := range all[:min(maxCandidates, len(all))] {
		found = append(found, s.candidate)
	}
	return found
}

// similarity is the Dice coefficient of two texts' pairs of letters: 1 for the same text, 0 for nothing in common.
func similarity(a, b string) float64 {
	if a == b {
		return 1
	}
	pairs := map[string]int{}
	for i := range len(a) - 1 {
		pairs[a[i:i+2]]++
	}
	common := 0
	for i := range len(b) - 1 {
		if pairs[b[i:i+2]] > 0 {
			pairs[b[i:i+2]]--
			common++
		}
	}
	return 2 * float64(common) / float64(max(1, len(a)+len(b)-2))
}

// fix replaces, in a file, the keys of mutants whose code has only moved. With similar it also replaces those whose code
// has changed a little: right for claims, since a run then shows whether their tests kill the mutant.
func fix(file string, similar bool, mutants []*mutant) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	index := byKey(mutants)
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		key, isMutant := strings.CutPrefix(line, "mutant: ")
		if !isMutant || index[key] != nil {
			continue
		}
		found := moved(key, mutants)
		if found == "" && similar {
			found = changed(key, mutants)
		}
		if found != "" {
			lines[i] = "mutant: " + found
			fmt.Printf("%s:%d: %s\n\tis now  %s\n", file, i+1, key, found)
		}
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600)
}

// moved returns the key of the only mutant with the same change of the same code, or else of the only one in the same
// file or in a function of the same name; or nothing.
func moved(key string, mutants []*mutant) string {
	want, _ := parseKey(key)
	var same []mutant
	for _, m := range mutants {
		if is, _ := parseKey(m.key()); is.change == want.change && is.source == want.source {
			same = append(same, is)
		}
	}
	for _, matches := range []func(mutant) bool{
		func(mutant) bool { return true },
		func(m mutant) bool { return m.function == want.function },
		func(m mutant) bool { return m.file == want.file },
	} {
		if candidates := filter(same, matches); len(candidates) == 1 {
			return candidates[0].key()
		}
	}
	return ""
}

// similarEnough is from which similarity on code counts as changed a little.
const similarEnough = 0.6

// changed returns the key of the nearest mutant, if it is the same change of similar code; or nothing.
func changed(key string, mutants []*mutant) string {
	want, _ := parseKey(key)
	candidates := nearest(key, mutants)
	if len(candidates) == 0 {
		return ""
	}
	is, _ := parseKey(candidates[0])
	if is.change != want.change || similarity(is.source, want.source) < similarEnough {
		return ""
	}
	return candidates[0]
}

func filter[T any](all []T, matches func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(one T) bool { return !matches(one) })
}
