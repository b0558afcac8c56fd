package bench

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// Allocations do not depend on the machine, so they are tested, and not only measured.

func allocations(call func()) float64 { return testing.AllocsPerRun(1000, call) }

func TestAllocations_SuccessAddsNoneToTheBase(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		of := func(client peers.Doer) float64 {
			return allocations(func() { mustSucceed(t, client, newRequest(t, method, targetURL)) })
		}
		bare := of(&http.Client{Transport: healthyBase()})
		if got := of(peers.Steady().Client(healthyBase())); got != bare {
			t.Errorf("%s: %v allocations; http.Client alone has %v", method, got, bare)
		}
	}
}

func TestAllocations_RetryHasTwoLessThanAnyPeer(t *testing.T) {
	of := func(library peers.Library) float64 {
		client, request := library.Client(failingOnceBase()), newRequest(t, http.MethodGet, targetURL)
		return allocations(func() { mustSucceed(t, client, request) })
	}
	ours := of(peers.Steady(tolerant.Options()...))
	for _, library := range filter(peers.Others(tolerant), retries) {
		if theirs := of(library); ours > theirs-2 {
			t.Errorf("%v allocations; %s has %v", ours, library.Name, theirs)
		}
	}
}

func TestAllocations_NewcomerPastTheLimitAddsAtMostThree(t *testing.T) {
	requests := make([]*http.Request, 5000) // more than the default limit
	for i := range requests {
		requests[i] = newRequest(t, http.MethodGet, fmt.Sprintf("https://host%d.example.com/things", i))
	}
	of := func(client peers.Doer) float64 {
		next := 0
		return testing.AllocsPerRun(len(requests)-1, func() { // which makes one call before it counts
			mustSucceed(t, client, requests[next])
			next++
		})
	}
	bare := of(&http.Client{Transport: healthyBase()})
	if got := of(peers.Steady(steadyhttp.WithOriginLimit(16)).Client(healthyBase())); got > bare+3 {
		t.Errorf("%v allocations; http.Client alone has %v", got, bare)
	}
}

// Over HTTP/2 calls are traced, but for a GET over the built-in transport; a test of the module itself holds that. The
// trace is one allocation, its three hooks are, and the channel that ends it.
func TestAllocations_LoopbackHTTP2AddsAtMostFive(t *testing.T) {
	server := newServer("HTTP2")
	defer server.Close()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		of := func(client peers.Doer) float64 {
			return allocations(func() { mustSucceed(t, client, newRequest(t, method, server.URL)) })
		}
		bare := of(server.Client())
		if got := of(peers.Steady().Client(server.Client().Transport)); got > bare+5 {
			t.Errorf("%s: %v allocations; http.Client alone has %v", method, got, bare)
		}
	}
}

// A retry is traced, so that it can be kept off the connection that failed, and has its number in its context. Over HTTP/2 the
// first attempt is traced as well, and each trace has one hook more, and a channel to end the attempt by.
func TestAllocations_LoopbackRetryHasNoMoreThanAPeersButOverHTTP2(t *testing.T) {
	for protocol, most := range map[string]float64{"HTTP1": 0, "HTTP2": 7} {
		of := func(library peers.Library) float64 {
			server := newServer(protocol)
			defer server.Close()
			var requests atomic.Int64
			server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1)%2 == 1 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			client, request := library.Client(server.Client().Transport), newRequest(t, http.MethodGet, server.URL)
			return allocations(func() { mustSucceed(t, client, request) })
		}
		ours := of(peers.Steady(tolerant.Options()...))
		for _, library := range filter(peers.Others(tolerant), isRehttpGobreaker) {
			if theirs := of(library); ours > theirs+most {
				t.Errorf("%s: %v allocations; %s has %v", protocol, ours, library.Name, theirs)
			}
		}
	}
}

func isRehttpGobreaker(library peers.Library) bool { return library.Name == "rehttp + gobreaker" }

func TestAllocations_LoopbackHTTP1AddsAtMostTwoPercent(t *testing.T) {
	server := newServer("HTTP1")
	defer server.Close()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		of := func(client peers.Doer) float64 {
			return allocations(func() { mustSucceed(t, client, newRequest(t, method, server.URL)) })
		}
		bare := of(server.Client())
		if got := of(peers.Steady().Client(server.Client().Transport)); got > 1.02*bare {
			t.Errorf("%s: %v allocations; http.Client alone has %v", method, got, bare)
		}
	}
}

// An errorBase returns an error, and does nothing else.
type errorBase struct{}

var errBase = errors.New("base error")

func (errorBase) RoundTrip(*http.Request) (*http.Response, error) { return nil, errBase }

func TestAllocations_RejectionAddsNoneToAnyError(t *testing.T) {
	bare, request := &http.Client{Transport: errorBase{}}, newRequest(t, http.MethodGet, targetURL)
	least := allocations(func() { _, _ = bare.Do(request) })
	if got := allocations(rejection(t, peers.Steady(open.Options()...))); got > least {
		t.Errorf("%v allocations; an error of the base has %v", got, least)
	}
}

func TestAllocations_RejectionHasNoMoreThanAnyPeer(t *testing.T) {
	ours := allocations(rejection(t, peers.Steady(open.Options()...)))
	for _, library := range filter(peers.Others(open), breaks) {
		if theirs := allocations(rejection(t, library)); ours > theirs {
			t.Errorf("%v allocations; %s has %v", ours, library.Name, theirs)
		}
	}
}
