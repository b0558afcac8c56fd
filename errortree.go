package steadyhttp

import (
	"slices"
	"strings"
)

// anyError reports whether a condition holds for err or for any error within it, as errors.Is walks them.
func anyError(err error, holds func(error) bool) bool {
	if err == nil {
		return false
	}
	if holds(err) {
		return true
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		return anyError(wrapper.Unwrap(), holds)
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			if anyError(inner, holds) {
				return true
			}
		}
	}
	return false
}

// anyText does so for texts. It skips that of errors that join others, which begins with one of theirs.
func anyText(err error, holds func(text string) bool) bool {
	return anyError(err, func(err error) bool {
		_, joined := err.(interface{ Unwrap() []error })
		return !joined && holds(err.Error())
	})
}

// hasErrorText finds an error by its whole text, for want of a type.
func hasErrorText(err error, texts ...string) bool {
	return anyText(err, func(text string) bool { return slices.Contains(texts, text) })
}

// hasErrorPrefix finds an error by how its text begins.
func hasErrorPrefix(err error, prefixes ...string) bool {
	return anyText(err, func(text string) bool {
		begins := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
		return slices.ContainsFunc(prefixes, begins)
	})
}
