package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A network is what lies between a client and a server: toxiproxy, in process.
type network struct {
	protocol
	proxy *toxiproxy.Proxy
	shop  *application // nil if it is another server
}

// Directions of a toxic.
const (
	upstream   = "upstream"
	downstream = "downstream"
)

// eachNetwork runs a test over each protocol, on a network of its own.
func eachNetwork(t *testing.T, test func(*testing.T, *network)) {
	t.Helper()
	eachProtocol(t, func(t *testing.T, p protocol) { test(t, newNetwork(t, p)) })
}

func newNetwork(t *testing.T, p protocol) *network {
	t.Helper()
	shop := deploySpeaking(t, p)
	n := connect(t, p, shop.address)
	n.shop = shop
	return n
}

// connect makes a network before a server.
func connect(t *testing.T, p protocol, target string) *network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{protocol: p, proxy: toxiproxy.NewProxy(server, t.Name(), freeAddress(t), target)}
	require.NoError(t, n.proxy.Start())
	t.Cleanup(n.proxy.Stop)
	return n
}

type attributes map[string]int

// poison adds a toxic, named and set as toxiproxy's own documentation does.
func (n *network) poison(t *testing.T, kind, direction string, values attributes) {
	t.Helper()
	toxic, err := json.Marshal(map[string]any{"type": kind, "stream": direction, "attributes": values})
	require.NoError(t, err)
	_, err = n.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic))
	require.NoError(t, err)
}

// cure takes all toxics away.
func (n *network) cure() { n.proxy.Toxics.ResetToxics(context.Background()) }

func (n *network) order(method string, size int) order {
	return newOrder(method, n.at("/"), size)
}

// client returns a transport whose breaker does not open, so that a test sees every attempt.
func (n *network) client(t *testing.T, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	watchful := []steadyhttp.Option{steadyhttp.WithBreakerConsecutiveFailures(0, 0), steadyhttp.WithBreakerWindow(time.Minute)}
	return steady(t, n.base(), append(watchful, options...)...)
}

// assertFailures checks how many failures the only breaker has counted.
func assertFailures(t *testing.T, transport *steadyhttp.Transport, want int) {
	t.Helper()
	breakers := transport.Breakers()
	require.Len(t, breakers, 1)
	assert.EqualValues(t, want, breakers[0].Failures, "failures counted by the breaker")
}

func TestLatencyIsOnlySlow(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		n.poison(t, "latency", downstream, attributes{"latency": 150})
		transport := n.client(t)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			d := deliver(t.Context(), transport, n.order(method, 1000))
			d.assertAnswered(t)
			d.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
			assert.GreaterOrEqual(t, d.Attempts[0].Duration, 150*time.Millisecond)
		}
	})
}

func TestLatencyBeyondTheAttemptTimeoutIsTransient(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		n.poison(t, "latency", downstream, attributes{"latency": 10_000})
		transport := n.client(t, steadyhttp.WithAttemptTimeout(3*time.Second), onRetry(n.cure))
		if !n.secure { // over TLS the handshake is late already, and nothing was sent
			ordered := deliver(t.Context(), transport, n.order(http.MethodPost, 1000))
			ordered.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
			require.ErrorIs(t, ordered.err, steadyhttp.ErrAttemptTimeout)
			assert.Equal(t, 1, n.shop.times(ordered.id))
		}

		got := deliver(t.Context(), transport, n.order(http.MethodGet, 0))
		got.assertAnswered(t)
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		require.ErrorIs(t, got.Attempts[0].Err, steadyhttp.ErrAttemptTimeout)
	})
}

func TestJitterLosesAndMixesNothing(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		for _, direction := range []string{upstream, downstream} {
			n.poison(t, "latency", direction, attributes{"latency": 20, "jitter": 20})
		}
		transport := n.client(t)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodPut, http.MethodPatch} {
					d := deliver(t.Context(), transport, n.order(method, rand.N(100_000)))
					d.assertAnswered(t)
					d.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
					assert.Equal(t, 1, n.shop.times(d.id))
				}
			})
		}
		callers.Wait()
	})
}

func TestBlackholeEndsEachAttemptByItsTimeout(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		n.poison(t, "timeout", downstream, attributes{"timeout": 0})
		transport := n.client(t, steadyhttp.WithAttemptTimeout(200*time.Millisecond))
		got := deliver(t.Context(), transport, n.order(http.MethodGet, 0))
		got.assertClasses(t, steadyhttp.StopMaxAttempts,
			steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Transient)
		var failed *steadyhttp.Error
		require.ErrorAs(t, got.err, &failed)
		require.ErrorIs(t, failed, steadyhttp.ErrAttemptTimeout)
		assert.Equal(t, 4, failed.Attempts)
		assertFailures(t, transport, 4)
	})
}

func TestBlackholeEndsTheCallByItsDeadlineAndTheImpatientBlameNobody(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		n.poison(t, "timeout", downstream, attributes{"timeout": 0})
		transport := n.client(t)
		for _, patience := range []struct {
			until    time.Duration
			failures int // counted by the breaker so far
		}{
			{100 * time.Millisecond, 0},
			{3 * time.Second, 1},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), patience.until)
			defer cancel()
			got := deliver(ctx, transport, n.order(http.MethodGet, 0))
			require.ErrorIs(t, got.err, context.DeadlineExceeded)
			got.assertClasses(t, steadyhttp.StopDeadline, steadyhttp.Transient)
			assertFailures(t, transport, patience.failures)
		}
	})
}

func TestResetMayHaveBeenProcessed(t *testing.T) {
	t.Parallel()
	for direction, processed := range map[string]int{upstream: 0, downstream: 1} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, protocols[0])
			n.poison(t, "reset_peer", direction, attributes{"timeout": 0})
			transport := n.client(t, onRetry(n.cure))

			ordered := deliver(t.Context(), transport, n.order(http.MethodPost, 1000))
			ordered.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
			require.Error(t, ordered.err)
			assert.Equal(t, processed, n.shop.times(ordered.id))

			got := deliver(t.Context(), transport, n.order(http.MethodGet, 0))
			got.assertAnswered(t)
			got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		})
	}
}

// A connection that is in use is reset here, since over TLS a new one would be in its handshake.
func TestResetOfAConnectionInUseRepeatsNoPost(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		transport := n.client(t)
		deliver(t.Context(), transport, n.order(http.MethodGet, 0)).assertAnswered(t)
		n.poison(t, "reset_peer", downstream, attributes{"timeout": 0})
		ordered := deliver(t.Context(), transport, n.order(http.MethodPost, 1000))
		ordered.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assert.Equal(t, 1, n.shop.times(ordered.id))
	})
}

func TestHandshakeThatIsCutOffIsUnprocessed(t *testing.T) {
	t.Parallel()
	for kind, values := range map[string]attributes{"reset_peer": {"timeout": 0}, "limit_data": {"bytes": 100}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, p := range protocols[1:] {
				n := newNetwork(t, p)
				n.poison(t, kind, downstream, values)
				ordered := deliver(t.Context(), n.client(t, onRetry(n.cure)), n.order(http.MethodPost, 1000))
				ordered.assertAnswered(t)
				ordered.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
				assert.Equal(t, 1, n.shop.times(ordered.id))
			}
		})
	}
}

func TestSlowCloseHarmsNothing(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		n.poison(t, "slow_close", downstream, attributes{"delay": 1000})
		n.shop.firstly(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
		transport := n.client(t)
		for range 5 {
			d := deliver(t.Context(), transport, n.order(http.MethodPost, 1000))
			d.assertAnswered(t)
			d.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
		}
	})
}

// large is the size of a body that takes eight seconds at narrow KB a second.
const (
	large  = 400_000
	narrow = 50
)

func TestNarrowBandwidthOutlastsTheAttemptTimeoutOnceTheHeaderIsThere(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		content := noise(large)
		n.shop.firstly(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
		n.poison(t, "bandwidth", downstream, attributes{"rate": narrow})
		start := time.Now()
		got := deliver(t.Context(), n.client(t, steadyhttp.WithAttemptTimeout(4*time.Second)), n.order(http.MethodGet, 0))
		require.NoError(t, got.err)
		require.NoError(t, got.readErr)
		assert.Equal(t, checksum(append(content, got.answer()...)), checksum(got.content))
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
		assert.Greater(t, time.Since(start), 6*time.Second, "it came slowly")
	})
}

func TestNarrowBandwidthSlowsAnUploadDown(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		n.poison(t, "bandwidth", upstream, attributes{"rate": narrow})
		patient := deliver(t.Context(), n.client(t), n.order(http.MethodPost, large))
		patient.assertAnswered(t)
		patient.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)

		limit := steadyhttp.WithAttemptTimeout(500 * time.Millisecond)
		impatient := deliver(t.Context(), n.client(t, limit), n.order(http.MethodPost, large))
		impatient.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		require.ErrorIs(t, impatient.err, steadyhttp.ErrAttemptTimeout)
		assert.Zero(t, n.shop.times(impatient.id), "not all of it came")
	})
}

func TestCutInMidBodyIsTheReadersErrorAndNothingIsSentAgain(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		content := noise(large)
		n.shop.firstly(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
		n.poison(t, "limit_data", downstream, attributes{"bytes": large / 2})
		got := deliver(t.Context(), n.client(t), n.order(http.MethodGet, 0))
		require.NoError(t, got.err)
		assert.Equal(t, http.StatusOK, got.status)
		require.Error(t, got.readErr, "an unexpected EOF or a reset")
		assert.True(t, bytes.HasPrefix(content, got.content), "what came is right")
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
	})
}

func TestCutInMidHeaderIsTransient(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, protocols[0])
	n.poison(t, "limit_data", downstream, attributes{"bytes": 20})
	transport := n.client(t, onRetry(n.cure))
	ordered := deliver(t.Context(), transport, n.order(http.MethodPost, 1000))
	ordered.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
	assert.Equal(t, 1, n.shop.times(ordered.id))

	got := deliver(t.Context(), transport, n.order(http.MethodGet, 0))
	got.assertAnswered(t)
	got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
}

func TestCutInMidUploadIsSentAgainWholeIfThatIsSafe(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		n.poison(t, "limit_data", upstream, attributes{"bytes": large / 2})
		transport := n.client(t, onRetry(n.cure))
		ordered := deliver(t.Context(), transport, n.order(http.MethodPost, large))
		ordered.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assert.Zero(t, n.shop.times(ordered.id))

		replaced := deliver(t.Context(), transport, n.order(http.MethodPut, large))
		replaced.assertAnswered(t)
		replaced.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		assert.Equal(t, 1, n.shop.times(replaced.id))
	})
}

func TestNobodyListeningIsUnprocessed(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, n *network) {
		n.proxy.Stop()
		transport := n.client(t, onRetry(func() { assert.NoError(t, n.proxy.Start()) }))
		ordered := deliver(t.Context(), transport, n.order(http.MethodPost, 1000))
		ordered.assertAnswered(t)
		ordered.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
		assert.Equal(t, 1, n.shop.times(ordered.id))
	})
}
