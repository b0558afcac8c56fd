// Package sample is tested in part.
package sample

import "time"

const limit = 10

const unnoticed = 3 * time.Second

// Check is tested at its bounds.
func Check(n int) int {
	if n > limit || n < 0 {
		n = -1
	}
	return n
}

// Sum is tested, but not its bound.
func Sum(numbers []int) (sum int) {
	for i := 0; i < len(numbers); i++ {
		sum += 2 * numbers[i]
	}
	if sum >= 100 {
		return 100
	}
	return sum
}

// Nobody tests Wait.
func Wait(ready bool) time.Duration {
	switch {
	case ready:
		return 0
	default:
		return unnoticed
	}
}
