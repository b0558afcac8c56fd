package steadyfleet_test

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

func Example() {
	rdb := redis.NewClient(&redis.Options{Addr: "redis:6379", MaxRetries: -1}) // not asked before there is a need
	defer func() { _ = rdb.Close() }()
	store, err := steadyfleet.New(rdb)
	if err != nil {
		panic(err)
	}
	fleet, err := steadyfleet.Join(store, "checkout-eu1a") // the service, and the zone it is in
	if err != nil {
		panic(err)
	}
	defer fleet.Close()
	client, err := steadyhttp.NewClient(steadyhttp.WithFleet(fleet))
	if err != nil {
		panic(err)
	}
	_ = client // which is used as ever
}

func ExampleInMemory() {
	fleet, err := steadyfleet.Join(steadyfleet.InMemory(time.Millisecond), "test")
	if err != nil {
		panic(err)
	}
	defer fleet.Close()
	fmt.Println(fleet.Status().Alone, fleet.Status().Advice)
	// Output: false []
}
