package main

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// A random is a source of random choices. The same seed gives the same choices again.
type random struct {
	*rand.Rand
	bytes *rand.ChaCha8
}

// The first part of a source's subject, so that no two kinds share a source.
const (
	successRates = iota + 1
	backendActions
	networkToxics
	callerOrders
)

// newRandom returns a source of its own for each subject.
func newRandom(seed uint64, subject ...uint64) random {
	var key [32]byte
	for i, part := range append([]uint64{seed}, subject...) {
		for b := range 8 {
			key[(i*8+b)%len(key)] ^= byte(part >> (8 * b))
		}
	}
	bytes := rand.NewChaCha8(key)
	return random{rand.New(bytes), bytes}
}

// percent is true in so many of a hundred cases.
func (r random) percent(share int) bool { return r.IntN(100) < share }

// duration is at least shortest, and less than longest.
func (r random) duration(shortest, longest time.Duration) time.Duration {
	return shortest + time.Duration(r.Int64N(int64(longest-shortest)))
}

func (r random) content(size int) []byte {
	content := make([]byte, size)
	_, _ = r.bytes.Read(content) // never fails
	return content
}

// size is small in most cases.
func (r random) size() int {
	if r.percent(3) {
		return r.IntN(1 << 19)
	}
	return r.IntN(1 << 15)
}

// choose picks an element of a list, each with the probability that its weight gives it.
func choose[T any](r random, choices []weighted[T]) T {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	at := r.IntN(total)
	for _, c := range choices {
		if at -= c.weight; at < 0 {
			return c.choice
		}
	}
	panic("unreachable: the weights add up to the total")
}

type weighted[T any] struct {
	weight int
	choice T
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
