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

// A network is what lies between a client and a server: a toxiproxy, in this process.
type network struct {
	protocol
	proxy *toxiproxy.Proxy
	app   *application // nil if it is another server
}

// Directions of a toxic.
const (
	upstream   = "upstream"
	downstream = "downstream"
)

// runEachNetwork runs a test with each protocol, on a network of its own.
func runEachNetwork(t *testing.T, test func(*testing.T, *network)) {
	t.Helper()
	runEachProtocol(t, func(t *testing.T, p protocol) { test(t, newNetwork(t, p)) })
}

func newNetwork(t *testing.T, p protocol) *network {
	t.Helper()
	app := startDirectApplication(t, p)
	n := newNetworkTo(t, p, app.address)
	n.app = app
	return n
}

// newNetworkTo returns a network in front of a server.
func newNetworkTo(t *testing.T, p protocol, target string) *network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{protocol: p, proxy: toxiproxy.NewProxy(server, t.Name(), freeAddress(t), target)}
	require.NoError(t, n.proxy.Start())
	t.Cleanup(n.proxy.Stop)
	return n
}

type attributes map[string]int

// addToxic adds a toxic, with the names of toxiproxy's documentation.
func (n *network) addToxic(t *testing.T, kind, direction string, values attributes) {
	t.Helper()
	toxic, err := json.Marshal(map[string]any{"type": kind, "stream": direction, "attributes": values})
	require.NoError(t, err)
	_, err = n.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic))
	require.NoError(t, err)
}

// removeToxics removes all of them.
func (n *network) removeToxics() { n.proxy.Toxics.ResetToxics(context.Background()) }

func (n *network) order(method string, size int) order {
	return newOrder(method, n.url("/"), size)
}

// transport returns one whose breaker does not open, so that a test sees every attempt.
func (n *network) transport(t *testing.T, options ...steadyhttp.Option) *steadyhttp.Transport {
	t.Helper()
	breakerOptions := []steadyhttp.Option{steadyhttp.WithBreakerConsecutiveFailures(0, 0), steadyhttp.WithBreakerWindow(time.Minute)}
	return newTransport(t, n.base(), append(breakerOptions, options...)...)
}

// assertFailures checks how many failures the only breaker has counted.
func assertFailures(t *testing.T, transport *steadyhttp.Transport, want int) {
	t.Helper()
	breakers := transport.Breakers()
	require.Len(t, breakers, 1)
	assert.EqualValues(t, want, breakers[0].Failures, "failures counted by the breaker")
}

func TestToxic_LatencyIsOnlySlow(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		n.addToxic(t, "latency", downstream, attributes{"latency": 150})
		transport := n.transport(t)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			got := send(t.Context(), transport, n.order(method, 1000))
			got.assertSuccess(t)
			got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
			assert.GreaterOrEqual(t, got.Attempts[0].Duration, 150*time.Millisecond)
		}
	})
}

func TestToxic_LatencyBeyondTheAttemptTimeoutIsTransient(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		n.addToxic(t, "latency", downstream, attributes{"latency": 10_000})
		transport := n.transport(t, steadyhttp.WithAttemptTimeout(3*time.Second), onRetry(n.removeToxics))
		if !n.secure { // over TLS the handshake is late, and nothing is sent
			post := send(t.Context(), transport, n.order(http.MethodPost, 1000))
			post.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
			require.ErrorIs(t, post.err, steadyhttp.ErrAttemptTimeout)
			assert.Equal(t, 1, n.app.timesProcessed(post.id))
		}

		got := send(t.Context(), transport, n.order(http.MethodGet, 0))
		got.assertSuccess(t)
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		require.ErrorIs(t, got.Attempts[0].Err, steadyhttp.ErrAttemptTimeout)
	})
}

func TestToxic_JitterLosesAndMixesUpNothing(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		for _, direction := range []string{upstream, downstream} {
			n.addToxic(t, "latency", direction, attributes{"latency": 20, "jitter": 20})
		}
		transport := n.transport(t)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodPut, http.MethodPatch} {
					got := send(t.Context(), transport, n.order(method, rand.N(100_000)))
					got.assertSuccess(t)
					got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
					assert.Equal(t, 1, n.app.timesProcessed(got.id))
				}
			})
		}
		callers.Wait()
	})
}

func TestToxic_BlackholeEndsEachAttemptByItsTimeout(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		n.addToxic(t, "timeout", downstream, attributes{"timeout": 0})
		transport := n.transport(t, steadyhttp.WithAttemptTimeout(200*time.Millisecond))
		got := send(t.Context(), transport, n.order(http.MethodGet, 0))
		got.assertClasses(t, steadyhttp.StopMaxAttempts,
			steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Transient, steadyhttp.Transient)
		var failed *steadyhttp.Error
		require.ErrorAs(t, got.err, &failed)
		require.ErrorIs(t, failed, steadyhttp.ErrAttemptTimeout)
		assert.Equal(t, 4, failed.Attempts)
		assertFailures(t, transport, 4)
	})
}

func TestToxic_BlackholeEndsTheCallByItsDeadlineAndAShortOneIsNotCounted(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		n.addToxic(t, "timeout", downstream, attributes{"timeout": 0})
		transport := n.transport(t)
		for _, deadline := range []struct {
			after    time.Duration
			failures int // that the breaker has counted so far
		}{
			{100 * time.Millisecond, 0},
			{3 * time.Second, 1},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), deadline.after)
			defer cancel()
			got := send(ctx, transport, n.order(http.MethodGet, 0))
			require.ErrorIs(t, got.err, context.DeadlineExceeded)
			got.assertClasses(t, steadyhttp.StopDeadline, steadyhttp.Transient)
			assertFailures(t, transport, deadline.failures)
		}
	})
}

func TestToxic_ResetMayComeAfterTheRequestWasProcessed(t *testing.T) {
	t.Parallel()
	for direction, processed := range map[string]int{upstream: 0, downstream: 1} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, protocols[0])
			n.addToxic(t, "reset_peer", direction, attributes{"timeout": 0})
			transport := n.transport(t, onRetry(n.removeToxics))

			post := send(t.Context(), transport, n.order(http.MethodPost, 1000))
			post.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
			require.Error(t, post.err)
			assert.Equal(t, processed, n.app.timesProcessed(post.id))

			got := send(t.Context(), transport, n.order(http.MethodGet, 0))
			got.assertSuccess(t)
			got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		})
	}
}

// The connection is in use before it is reset: over TLS a new one would still be in its handshake.
func TestToxic_ResetOfAConnectionInUseRetriesNoPost(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		transport := n.transport(t)
		send(t.Context(), transport, n.order(http.MethodGet, 0)).assertSuccess(t)
		n.addToxic(t, "reset_peer", downstream, attributes{"timeout": 0})
		post := send(t.Context(), transport, n.order(http.MethodPost, 1000))
		post.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assert.Equal(t, 1, n.app.timesProcessed(post.id))
	})
}

func TestToxic_HandshakeThatIsCutOffIsUnprocessed(t *testing.T) {
	t.Parallel()
	for kind, values := range map[string]attributes{"reset_peer": {"timeout": 0}, "limit_data": {"bytes": 100}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, p := range protocols[1:] {
				n := newNetwork(t, p)
				n.addToxic(t, kind, downstream, values)
				post := send(t.Context(), n.transport(t, onRetry(n.removeToxics)), n.order(http.MethodPost, 1000))
				post.assertSuccess(t)
				post.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
				assert.Equal(t, 1, n.app.timesProcessed(post.id))
			}
		})
	}
}

func TestToxic_SlowCloseHarmsNothing(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		n.addToxic(t, "slow_close", downstream, attributes{"delay": 1000})
		n.app.setHook(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
		transport := n.transport(t)
		for range 5 {
			got := send(t.Context(), transport, n.order(http.MethodPost, 1000))
			got.assertSuccess(t)
			got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
		}
	})
}

// large is the size of a body that takes eight seconds at slowRate, which is in KB/s.
const (
	large    = 400_000
	slowRate = 50
)

func TestToxic_SlowBodyOutlastsTheAttemptTimeoutOnceTheHeaderIsThere(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		content := randomBytes(large)
		n.app.setHook(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
		n.addToxic(t, "bandwidth", downstream, attributes{"rate": slowRate})
		start := time.Now()
		got := send(t.Context(), n.transport(t, steadyhttp.WithAttemptTimeout(4*time.Second)), n.order(http.MethodGet, 0))
		require.NoError(t, got.err)
		require.NoError(t, got.readErr)
		assert.Equal(t, checksum(append(content, got.wantBody()...)), checksum(got.content))
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
		assert.Greater(t, time.Since(start), 6*time.Second, "it was slow")
	})
}

func TestToxic_LowBandwidthSlowsAnUploadDown(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		n.addToxic(t, "bandwidth", upstream, attributes{"rate": slowRate})
		slow := send(t.Context(), n.transport(t), n.order(http.MethodPost, large))
		slow.assertSuccess(t)
		slow.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)

		limit := steadyhttp.WithAttemptTimeout(500 * time.Millisecond)
		late := send(t.Context(), n.transport(t, limit), n.order(http.MethodPost, large))
		late.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		require.ErrorIs(t, late.err, steadyhttp.ErrAttemptTimeout)
		assert.Zero(t, n.app.timesProcessed(late.id), "the body did not arrive whole")
	})
}

func TestToxic_CutInMidBodyIsTheReadersErrorAndNothingIsRetried(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		content := randomBytes(large)
		n.app.setHook(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
		n.addToxic(t, "limit_data", downstream, attributes{"bytes": large / 2})
		got := send(t.Context(), n.transport(t), n.order(http.MethodGet, 0))
		require.NoError(t, got.err)
		assert.Equal(t, http.StatusOK, got.status)
		require.Error(t, got.readErr, "an unexpected EOF or a reset")
		assert.True(t, bytes.HasPrefix(content, got.content), "what arrived is right")
		got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Success)
	})
}

func TestToxic_CutInMidHeaderIsTransient(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, protocols[0])
	n.addToxic(t, "limit_data", downstream, attributes{"bytes": 20})
	transport := n.transport(t, onRetry(n.removeToxics))
	post := send(t.Context(), transport, n.order(http.MethodPost, 1000))
	post.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
	assert.Equal(t, 1, n.app.timesProcessed(post.id))

	got := send(t.Context(), transport, n.order(http.MethodGet, 0))
	got.assertSuccess(t)
	got.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
}

func TestToxic_CutInMidUploadIsRetriedWholeIfIdempotent(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		n.addToxic(t, "limit_data", upstream, attributes{"bytes": large / 2})
		transport := n.transport(t, onRetry(n.removeToxics))
		post := send(t.Context(), transport, n.order(http.MethodPost, large))
		post.assertClasses(t, steadyhttp.StopNotIdempotent, steadyhttp.Transient)
		assert.Zero(t, n.app.timesProcessed(post.id))

		put := send(t.Context(), transport, n.order(http.MethodPut, large))
		put.assertSuccess(t)
		put.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
		assert.Equal(t, 1, n.app.timesProcessed(put.id))
	})
}

func TestToxic_NobodyListeningIsUnprocessed(t *testing.T) {
	t.Parallel()
	runEachNetwork(t, func(t *testing.T, n *network) {
		n.proxy.Stop()
		transport := n.transport(t, onRetry(func() { assert.NoError(t, n.proxy.Start()) }))
		post := send(t.Context(), transport, n.order(http.MethodPost, 1000))
		post.assertSuccess(t)
		post.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Success)
		assert.Equal(t, 1, n.app.timesProcessed(post.id))
	})
}
