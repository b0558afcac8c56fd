// Soak runs many callers against a server and a network that misbehave at random, and checks while it runs
// that nothing is lost, mixed up, processed twice or left behind.
//
// What the server does with an arrival, what a caller sends, and what the network is like at a time are drawn
// from a seed, which is printed. With the same seed the same is drawn again; who meets whom when is up to the
// machine.
//
//	go run -race ./soak -duration 60s -seed 7
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// patience is what a loaded machine is given.
const patience = time.Minute

func main() {
	if len(os.Args) > 1 && os.Args[1] == stationFlag {
		must(runStation(os.Args[2:], os.Stdin, os.Stdout))
		return
	}
	s := settings{answers: 100, slack: patience, settling: patience}
	flag.DurationVar(&s.duration, "duration", 10*time.Minute, "how long to run")
	flag.Uint64Var(&s.seed, "seed", 0, "what to draw from; 0 means any")
	flag.IntVar(&s.callers, "callers", 128, "how many goroutines call")
	flag.Parse()
	for s.seed == 0 {
		s.seed = rand.Uint64()
	}
	fmt.Printf("soak: %d callers for %v; replay with -seed %d -callers %d -duration %v\n", s.callers, s.duration, s.seed, s.callers, s.duration)
	found := soak(s)
	for _, f := range found {
		fmt.Println("FAULT:", f)
	}
	if len(found) > 0 {
		fmt.Printf("%d faults; replay with -seed %d\n", len(found), s.seed)
		os.Exit(1)
	}
	fmt.Println("no faults")
}
