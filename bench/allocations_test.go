package bench

import (
	"errors"
	"net/http"
	"testing"

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

// An errorBase returns an error, and does nothing else.
type errorBase struct{}

var errBase = errors.New("base error")

func (errorBase) RoundTrip(*http.Request) (*http.Response, error) { return nil, errBase }

func TestAllocations_RejectionAddsAtMostTwoToAnyError(t *testing.T) {
	bare, request := &http.Client{Transport: errorBase{}}, newRequest(t, http.MethodGet, targetURL)
	least := allocations(func() { _, _ = bare.Do(request) })
	if got := allocations(rejection(t, peers.Steady(open.Options()...))); got > least+2 {
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
