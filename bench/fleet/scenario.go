package main

import "time"

// A scenario is a trouble and how long it lasts.
type scenario struct {
	name    string
	trouble trouble
	lasting time.Duration
}

var scenarios = []scenario{
	{"blip", trouble{refused: 1}, 500 * time.Millisecond},
	{"flaky", trouble{refused: 0.1}, 20 * time.Second},
	{"outage", trouble{refused: 1}, 20 * time.Second},
	{"brownout", trouble{capacity: 0.3}, 10 * time.Second},
	{"overload", trouble{capacity: 0.5, shedding: 100}, 20 * time.Second},
	{"slow", trouble{delay: 3 * time.Second}, 20 * time.Second},
	{"429 storm", trouble{throttled: 1, retryAfter: 2}, 10 * time.Second},
	{"restart", trouble{restarting: true}, 20 * time.Second},
	{"partial", trouble{refused: 0.6}, 20 * time.Second},
	{"partial, silent", trouble{hung: 0.6}, 20 * time.Second},
	{"one replica of three hangs", trouble{hung: 1.0 / 3}, 20 * time.Second}, // the balancer chooses one by chance for each attempt
	{"one bad path", trouble{badPath: true}, 20 * time.Second},
	{"rate limit", trouble{limit: 500, retryAfter: 1}, 30 * time.Second},
	{"one limited endpoint", trouble{limitedPath: true, retryAfter: 2}, 20 * time.Second},
}

// A setting is what all scenarios have in common.
type setting struct {
	clients  int
	rate     float64 // calls a second, of all clients together
	workers  int
	service  time.Duration
	patience time.Duration // of an attempt
	deadline time.Duration // of a call; 0: none
	before   time.Duration // in health, so that windows and budgets fill
	after    time.Duration // in health again
	seed     uint64
	sick     float64 // share of the clients that are answered 503 always; their calls are not counted
	sharing  sharing
}

func defaults() setting {
	return setting{
		clients: 200, rate: 1000, workers: 15, service: 10 * time.Millisecond, patience: time.Second,
		before: 15 * time.Second, after: 30 * time.Second, seed: 1,
	}
}
