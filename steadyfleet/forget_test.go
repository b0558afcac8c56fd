package steadyfleet

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

type failing struct{}

func (failing) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// Somebody may make a Transport for each request.
func TestFleet_ForgetsTransportsThatNobodyUses(t *testing.T) {
	t.Parallel()
	f, err := Join(InMemory(0), "g")
	require.NoError(t, err)
	defer f.Close()
	use := func() *steadyhttp.Transport {
		transport, err := steadyhttp.NewTransport(failing{}, steadyhttp.WithFleet(f), steadyhttp.WithMaxAttempts(1))
		require.NoError(t, err)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com", nil)
		require.NoError(t, err)
		_, err = transport.RoundTrip(request)
		require.NoError(t, err)
		return transport
	}
	kept := use()
	for range 100 {
		use()
	}
	assert.Eventually(t, func() bool {
		runtime.GC()
		return len(f.watches()) <= 2 // the last one may still be on the stack
	}, 20*time.Second, 10*time.Millisecond)
	assert.NotEmpty(t, f.watches())
	runtime.KeepAlive(kept)
}

func TestInMemory_ForgetsWhatNobodySpeaksOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := InMemory(0).(*memory)
		for i := range 1000 {
			_, err := m.Tell(t.Context(), "g", Report{Origin: strings.Repeat("x", i), Kind: Failing, Process: "p"})
			require.NoError(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		assert.LessOrEqual(t, len(m.origins), 320)
	})
}

// There may be a thousand origins, and a thousand failures a second.
func TestFleet_LooksAtItsOriginsAHundredTimesASecondAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, err := Join(InMemory(0), "g")
		require.NoError(t, err)
		defer f.Close()
		time.Sleep(5 * time.Second)
		begin := time.Now()
		f.wake <- struct{}{}
		synctest.Wait()
		assert.Zero(t, time.Since(begin), "at once where there was none before")
		assert.Empty(t, f.wake)
		for range 102 {
			f.wake <- struct{}{}
		}
		assert.GreaterOrEqual(t, time.Since(begin), time.Second)
	})
}
