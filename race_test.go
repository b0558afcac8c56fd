//go:build race

package steadyhttp_test

func init() { underRace = true }
