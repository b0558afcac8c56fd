package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/bench/peers"
	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

// A sharing is how the clients of a fleet share what they see.
type sharing struct {
	on      bool
	delay   time.Duration // from a client to the store, and back
	silent  float64       // share of the clients that do not share
	from    time.Duration // when the store is there: from then
	until   time.Duration // until then; 0: for ever
	flushed time.Duration // when the store forgets all; 0: never
}

// withSharing is steadyhttp with steadyfleet: the setting says how they share.
func withSharing() peers.Library {
	return peers.Library{Name: "steadyhttp, sharing", Chosen: "the defaults, and steadyfleet over a store in memory", Breaks: true, Retries: true}
}

// A hub is the store that clients share, and who shares.
type hub struct {
	setting setting
	store   *flakyStore
	fleets  []*steadyfleet.Fleet
}

func newHub(s setting) *hub { return &hub{setting: s, store: newFlakyStore(s.sharing)} }

// client joins, unless it is one that does not.
func (h *hub) client(i int, base http.RoundTripper) peers.Doer {
	if within(i, h.setting.sharing.silent, h.setting.clients) {
		return peers.Steady().Client(base)
	}
	fleet, err := steadyfleet.Join(h.store, "model")
	if err != nil {
		panic(err)
	}
	h.fleets = append(h.fleets, fleet)
	return peers.Steady(steadyhttp.WithFleet(fleet)).Client(base)
}

func (h *hub) close() {
	for _, fleet := range h.fleets {
		fleet.Close()
	}
}

// within reports whether a client is one of a share of them, which is spread evenly.
func within(client int, share float64, clients int) bool {
	of := float64(clients) * share
	return int(float64(client+1)*of/float64(clients)) > int(float64(client)*of/float64(clients))
}

func (s sharing) String() string { return fmt.Sprintf("%+v", s.delay) }
