package bench

import (
	"errors"
	"net/http"
	"testing"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// Allocations do not depend on the machine, so they are tests, and not only benchmarks.

func allocations(call func()) float64 { return testing.AllocsPerRun(1000, call) }

func TestSuccessAllocatesNothingOverTheBase(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		through := func(client peers.Doer) float64 {
			return allocations(func() { succeed(t, client, newRequest(t, method, somewhere)) })
		}
		bare := through(&http.Client{Transport: healthy()})
		if got := through(peers.Steady().Client(healthy())); got != bare {
			t.Errorf("%s: %v allocations, http.Client alone has %v", method, got, bare)
		}
	}
}

// refusing is a base that fails without any work.
type refusing struct{}

var errRefused = errors.New("refused")

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errRefused }

func TestRejectionAllocatesAtMostTwiceOverAnyError(t *testing.T) {
	bare, request := &http.Client{Transport: refusing{}}, newRequest(t, http.MethodGet, somewhere)
	least := allocations(func() { _, _ = bare.Do(request) })
	if got := allocations(rejection(t, peers.Steady(open.Options()...))); got > least+2 {
		t.Errorf("%v allocations, an error of the base costs %v", got, least)
	}
}

func TestRejectionAllocatesNoMoreThanAnyPeers(t *testing.T) {
	ours := allocations(rejection(t, peers.Steady(open.Options()...)))
	for _, library := range that(peers.Others(open), breaks) {
		if theirs := allocations(rejection(t, library)); ours > theirs {
			t.Errorf("%v allocations, %s has %v", ours, library.Name, theirs)
		}
	}
}
