// Soak runs many callers against a server and a network that fail at random. While it runs, it checks that nothing is
// lost, mixed up, processed twice or left behind.
//
// A seed decides what the server does with each request, what the callers send, and what the network is like. It is
// printed, and the same seed makes the same decisions again. The timing is up to the machine.
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

// machineTime is what a busy machine may add to anything.
const machineTime = time.Minute

func main() {
	if len(os.Args) > 1 && os.Args[1] == proxyFlag {
		must(runProxies(os.Args[2:], os.Stdin, os.Stdout))
		return
	}
	s := settings{minResponses: 100, tolerance: machineTime, settleTime: machineTime}
	flag.DurationVar(&s.duration, "duration", 10*time.Minute, "how long to run")
	flag.Uint64Var(&s.seed, "seed", 0, "the seed of all random choices; 0 takes any")
	flag.IntVar(&s.callers, "callers", 128, "how many goroutines call")
	flag.Parse()
	for s.seed == 0 {
		s.seed = rand.Uint64()
	}
	fmt.Printf("soak: %d callers for %v; replay with -seed %d -callers %d -duration %v\n", s.callers, s.duration, s.seed, s.callers, s.duration)
	found := soak(s)
	for _, v := range found {
		fmt.Println("VIOLATION:", v)
	}
	if len(found) > 0 {
		fmt.Printf("%d violations; replay with -seed %d\n", len(found), s.seed)
		os.Exit(1)
	}
	fmt.Println("no violations")
}
