package bench

import (
	"net/http"
	"testing"

	"github.com/steadyhttp/steadyhttp/bench/peers"
)

// What a library is listed for decides which comparisons it takes part in.
func TestLibrariesRetryAndBreakIfTheyAreListedSo(t *testing.T) {
	for _, library := range peers.All(open) {
		t.Run(library.Name, func(t *testing.T) {
			t.Parallel()
			response, err := library.Client(stumbling()).Do(newRequest(t, http.MethodGet, somewhere))
			if err != nil {
				t.Fatal(err)
			}
			finish(response)
			if retried := response.StatusCode == http.StatusOK; retried != library.Retries {
				t.Errorf("retried: %v", retried)
			}
			if broke := rejection(t, library) != nil; broke != library.Breaks {
				t.Errorf("rejected: %v", broke)
			}
		})
	}
}

func TestTolerantSetupBearsThatEveryOtherAttemptFails(t *testing.T) {
	for _, library := range that(peers.All(tolerant), retries) {
		t.Run(library.Name, func(t *testing.T) {
			t.Parallel()
			client := library.Client(stumbling())
			for range 1000 {
				succeed(t, client, newRequest(t, http.MethodGet, somewhere))
			}
		})
	}
}
