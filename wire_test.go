package steadyhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestWire_ConnectionIsReusedAcrossRetries(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		const calls, attempts = 20, 3
		var arrived atomic.Int64
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, r *http.Request) {
			if arrived.Add(1)%attempts == 0 {
				echoHandler(w, r)
				return
			}
			w.WriteHeader(503)
			_, _ = io.WriteString(w, strings.Repeat("sorry ", 100))
		})
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, unlimitedRetryOptions()...)
		for range calls {
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
			call.assertResponse(t, 200, "GET ")
		}
		assert.EqualValues(t, calls*attempts, arrived.Load())
		assert.LessOrEqual(t, server.connections.Load(), int64(calls/4), "one, and another for each body that a busy machine takes longer to bring than is waited for")
	})
}

func TestDrain_StalledBodyDelaysTheRetryLittleAndLeaksNothing(t *testing.T) {
	t.Parallel()
	for name, perHost := range map[string]int{"many connections": 0, "one connection": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
				hungUp := make(chan struct{})
				server := newWireServer(t, startProtocols(spoken), stallHandler(hungUp), echoHandler)
				transport := newWireTransport(t, &http.Transport{Protocols: spoken, MaxConnsPerHost: perHost})
				start := time.Now()
				call := sendWire(t, transport, newWireRequest(t, http.MethodPut, server.URL, "payload"))
				call.assertResponse(t, 200, "PUT payload")
				call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
				assert.Less(t, time.Since(start), 2*time.Second)
				assertSignaled(t, hungUp)
			})
		})
	}
}

func TestWire_OneConnectionPerHostIsEnoughToRetry(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, replyHandler(503), replyHandler(503), echoHandler)
	transport := newWireTransport(t, &http.Transport{MaxConnsPerHost: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	call := sendWire(t, transport, newWireRequest(t, http.MethodPut, server.URL, "payload").WithContext(ctx))
	call.assertResponse(t, 200, "PUT payload")
	assert.Len(t, call.Attempts, 3)
}

// The server answers before it reads, and hangs up while the client still writes.
func TestBody_LargeUploadIsWholeOnEveryRetry(t *testing.T) {
	t.Parallel()
	content := make([]byte, 4<<20)
	for i := range content {
		content[i] = byte(i * i >> 8)
	}
	whole := fmt.Sprint(len(content), crc32.ChecksumIEEE(content))
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		const senders, calls = 5, 3
		server := newWireServer(t, startProtocols(spoken), refuseOnceHandler())
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, unlimitedRetryOptions()...)
		var uploads sync.WaitGroup
		for sender := range senders {
			uploads.Go(func() {
				for call := range calls {
					uploadTwice(t, transport, fmt.Sprintf("%s/%d/%d", server.URL, sender, call), content, whole)
				}
			})
		}
		uploads.Wait()
	})
}

func uploadTwice(t *testing.T, transport *steadyhttp.Transport, url string, content []byte, whole string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(content))
	if assert.NoError(t, err) {
		call := sendWire(t, transport, r)
		call.assertResponse(t, 200, whole)
		call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
	}
}

func TestAttemptTimeout_BodyIsReadableOnceItHasPassed(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		const limit, size = 500 * time.Millisecond, 1 << 20
		passed := make(chan struct{})
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-passed:
				_, _ = w.Write(make([]byte, size))
			case <-r.Context().Done():
			}
		})
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, attemptTimeoutOptions(limit)...)
		response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, server.URL, ""))
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		<-time.After(limit)
		close(passed)
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Len(t, content, size)
	})
}

func TestAttemptTimeout_UpgradedConnectionWorksOnceItHasPassed(t *testing.T) {
	t.Parallel()
	const limit = 500 * time.Millisecond
	for name, options := range map[string][]steadyhttp.Option{"without": unlimitedRetryOptions(), "with": attemptTimeoutOptions(limit)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startPlain, replyHandler(503), upgradeHandler)
			transport := newWireTransport(t, &http.Transport{}, options...)
			r := newWireRequest(t, http.MethodGet, server.URL, "")
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "echo")
			response, err := transport.RoundTrip(r)
			require.NoError(t, err)
			defer func() { _ = response.Body.Close() }()
			require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
			require.Implements(t, (*io.ReadWriteCloser)(nil), response.Body)
			<-time.After(limit)
			assertEchoes(t, response.Body.(io.ReadWriteCloser))
		})
	}
}

// Other tests run at the same time, so only goroutines are counted that bear the label of this one. A
// goroutine inherits its maker's; the servers are made without.
func TestLeak_NoGoroutineOutlivesItsCall(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		hungUp := make(chan struct{})
		server := newWireServer(t, startProtocols(spoken), replyHandler(503), abortHandler, stallHandler(hungUp), silentHandler, echoHandler)
		base := &http.Transport{Protocols: spoken}
		transport := newWireTransport(t, base, attemptTimeoutOptions(shortTimeout)...)
		label := t.Name()
		pprof.Do(t.Context(), pprof.Labels("test", label), func(ctx context.Context) {
			sendWire(t, transport, newWireRequest(t, http.MethodPut, server.URL, "payload")).assertResponse(t, 200, "PUT payload")
			canceled, cancel := context.WithTimeout(ctx, 1)
			defer cancel()
			sendWire(t, transport, newWireRequest(t, http.MethodPut, server.URL, "payload").WithContext(canceled))
			assert.Positive(t, countLabeled(label), "the label is found")
		})
		gone := func() bool {
			transport.CloseIdleConnections() // a connection may have been about to become idle
			return countLabeled(label) == 0
		}
		assert.Eventually(t, gone, 2*time.Second, 5*time.Millisecond)
	})
}

// countLabeled counts the goroutines with a label, in the profile's text: each of its entries is a line with
// a count, and a line with the labels if there are any.
func countLabeled(label string) (count int) {
	var profile strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1)
	alike := 0
	for line := range strings.Lines(profile.String()) {
		if number, _, ok := strings.Cut(line, " @ "); ok {
			alike, _ = strconv.Atoi(number)
		}
		if strings.HasPrefix(line, "# labels:") && strings.Contains(line, strconv.Quote(label)) {
			count += alike
		}
	}
	return count
}

func TestProxy_ReasonIsShownWithoutEscapesAndSecrets(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(connection, "HTTP/1.1 503 \x1b[31mask http://me:hunter2@help/?hunter2\r\n\r\n")
			_ = connection.Close()
		}
	}))
	defer proxy.Close()
	address, err := url.Parse(strings.Replace(proxy.URL, "http://", "http://me:hunter2@", 1))
	require.NoError(t, err)
	_, err = newTransport(t, &http.Transport{Proxy: http.ProxyURL(address)}, shortWaits).RoundTrip(newGet(t))
	assert.EqualError(t, err, "steadyhttp: GET "+targetURL+" failed after 4 attempts (max_attempts):  [31mask http://help/")
}
