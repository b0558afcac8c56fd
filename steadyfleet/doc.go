// Package steadyfleet lets processes tell each other what they see of an origin, over Redis or Valkey, so that a
// thousand processes of one call a second know as much as one process of a thousand calls a second.
//
//	store, err := steadyfleet.New(redis.NewClient(&redis.Options{Addr: "redis:6379", MaxRetries: -1}))
//	...
//	fleet, err := steadyfleet.Join(store, "checkout-eu1a")
//	...
//	defer fleet.Close()
//	client, err := steadyhttp.NewClient(steadyhttp.WithFleet(fleet))
//
// A process that sees failures says so. If three do within a second, all are asked what they see, and if after 0.6 s
// nothing has succeeded at 95 % of the processes that made calls, the origin is down for the fleet. Then a process's breaker opens at
// its first failure, and one probe at a time goes for all. Once a probe succeeds, all breakers close.
//
// What is shared is advice. The store is never on the way of a call, but of one that may be a probe, and is given 250 ms. No process is
// shut out of an origin that works for it: its breaker opens only by what it has seen itself. A store that is
// late, away, wrong or has forgotten everything leaves each breaker to its own rules within 0.7 s. No clock but the store's is looked at.
//
// docs/fleet-sharing.md says when it is worth its while, what it costs and how it fails, with figures.
package steadyfleet
