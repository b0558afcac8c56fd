package bench

import (
	"net/http"
	"testing"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// The list says which comparisons a library takes part in.
func TestPeers_RetryAndBreakAsTheyAreListed(t *testing.T) {
	for _, library := range peers.All(open) {
		t.Run(library.Name, func(t *testing.T) {
			t.Parallel()
			response, err := library.Client(failingOnceBase()).Do(newRequest(t, http.MethodGet, targetURL))
			if err != nil {
				t.Fatal(err)
			}
			drain(response)
			if retried := response.StatusCode == http.StatusOK; retried != library.Retries {
				t.Errorf("retried: %v", retried)
			}
			if broke := rejection(t, library) != nil; broke != library.Breaks {
				t.Errorf("rejected: %v", broke)
			}
		})
	}
}

func TestPeers_TolerantSetupAllowsEveryOtherAttemptToFail(t *testing.T) {
	for _, library := range filter(peers.All(tolerant), retries) {
		t.Run(library.Name, func(t *testing.T) {
			t.Parallel()
			client := library.Client(failingOnceBase())
			for range 1000 {
				mustSucceed(t, client, newRequest(t, http.MethodGet, targetURL))
			}
		})
	}
}
