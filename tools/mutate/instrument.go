package main

import (
	"cmp"
	"slices"
	"strings"
)

// An edit replaces a part of a source by a text.
type edit struct {
	from, to int
	text     string
}

// rewrite carries edits out. Several insertions can be at one place. Those that close something come first, the inner
// ones before the outer ones; then those that open something, the outer ones before the inner ones, in which order
// they were made.
func rewrite(source []byte, edits []edit) []byte {
	type placed struct {
		edit
		order int
	}
	var all []placed
	for i, e := range edits {
		order := i
		if closes := strings.HasPrefix(e.text, ")") || strings.HasPrefix(e.text, " }"); closes && e.from == e.to {
			order = -i - 1
		}
		all = append(all, placed{e, order})
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.order, b.order))
	})
	var out []byte
	at := 0
	for _, e := range all {
		out = append(out, source[at:e.from]...)
		out = append(out, e.text...)
		at = e.to
	}
	return append(out, source[at:]...)
}

// mutantEnv says which mutant is alive, by its id; 0 is none.
const mutantEnv = "MUTANT"

// switchSource is a file of the package, by which one of its mutants comes alive. Its names begin with mutant, so
// that they are none of the package's.
func switchSource(packageName string) string {
	return `package ` + packageName + `

import (
	"os"
	"strconv"
	"time"
)

// mutantDuration has a name in files that do not import time.
type mutantDuration = time.Duration

var mutantAlive, _ = strconv.Atoi(os.Getenv("` + mutantEnv + `"))

func mutantIs(id int) bool { return mutantAlive == id }

type mutantNumber interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr | ~float32 | ~float64
}

func mutantString[T ~string](id int, text T) T {
	if mutantIs(id) {
		return text + "?"
	}
	return text
}

func mutantNext[T mutantNumber](id int, n T) T {
	if mutantIs(id) {
		return n + 1
	}
	return n
}

func mutantAdd[T mutantNumber](id int, a, b T) T {
	if mutantIs(id) {
		return a - b
	}
	return a + b
}

func mutantSub[T mutantNumber](id int, a, b T) T {
	if mutantIs(id) {
		return a + b
	}
	return a - b
}

func mutantMul[T mutantNumber](id int, a, b T) T {
	if mutantIs(id) {
		return a / b
	}
	return a * b
}

func mutantDiv[T mutantNumber](id int, a, b T) T {
	if mutantIs(id) {
		return a * b
	}
	return a / b
}

func mutantRem[T interface{ ~int | ~int32 | ~int64 | ~uint32 | ~uint64 }](id int, a, b T) T {
	if mutantIs(id) {
		return a * b
	}
	return a % b
}
`
}
