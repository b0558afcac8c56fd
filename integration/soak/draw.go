package main

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// A draw is a source of random choices that can be drawn again from the same seed.
type draw struct {
	*rand.Rand
	bytes *rand.ChaCha8
}

// drawFrom returns a source of its own for each subject.
func drawFrom(seed uint64, subject ...uint64) draw {
	var key [32]byte
	for i, part := range append([]uint64{seed}, subject...) {
		for b := range 8 {
			key[(i*8+b)%len(key)] ^= byte(part >> (8 * b))
		}
	}
	bytes := rand.NewChaCha8(key)
	return draw{rand.New(bytes), bytes}
}

// percent is true in so many of a hundred draws.
func (d draw) percent(share int) bool { return d.IntN(100) < share }

// between draws a time.
func (d draw) between(shortest, longest time.Duration) time.Duration {
	return shortest + time.Duration(d.Int64N(int64(longest-shortest)))
}

// noise draws so many bytes.
func (d draw) noise(size int) []byte {
	content := make([]byte, size)
	_, _ = d.bytes.Read(content) // never fails
	return content
}

// size draws a small size mostly, and a large one at times.
func (d draw) size() int {
	if d.percent(3) {
		return d.IntN(1 << 19)
	}
	return d.IntN(1 << 15)
}

// oneOf draws from a list in which each is as likely as its weight says.
func oneOf[T any](d draw, choices []weighted[T]) T {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	at := d.IntN(total)
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
