package steadyhttp_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// This machine is at fault, or the client itself: nothing was sent, and the server is not blamed.

var localFaults = map[string]struct {
	operation string
	number    syscall.Errno
}{
	"no descriptor":         {"socket", syscall.EMFILE},
	"no descriptor for all": {"socket", syscall.ENFILE},
	"no port":               {"connect", syscall.EADDRNOTAVAIL},
	"no port to bind":       {"bind", syscall.EADDRINUSE},
	"no buffer":             {"socket", syscall.ENOBUFS},
	"no memory":             {"socket", syscall.ENOMEM},
	"no route":              {"connect", syscall.ENETUNREACH},
	"no network":            {"connect", syscall.ENETDOWN},
	"a firewall of our own": {"connect", syscall.EPERM},
	"another of our own":    {"connect", syscall.EACCES},
	"no such protocol":      {"socket", syscall.EAFNOSUPPORT},
}

// dialWithoutDNS dials a name, of which the look-up fails as the operating system makes it fail. Of the cause
// net.DNSError keeps the text alone.
func dialWithoutDNS(operation string, number error) dialFunc {
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError(operation, number)}
	}}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Resolver: resolver}).DialContext(ctx, network, "steady.example:80")
	}
}

func TestLocalFault_IsRetriedAndNotTheServersFault(t *testing.T) {
	t.Parallel()
	for name, fault := range localFaults {
		for where, dial := range map[string]dialFunc{
			"in a dial":    dialFailing(fault.operation, fault.number),
			"in a look-up": dialWithoutDNS(fault.operation, fault.number),
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				t.Parallel()
				server := newWireServer(t, startPlain, echoHandler)
				transport := newWireTransport(t, newDialingBase(dial, dial))
				call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "payload"))
				call.assertResponse(t, 200, "POST payload")
				call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Success)
				require.ErrorContains(t, call.Attempts[0].Err, fault.number.Error())
				assertBreakerCount(t, transport, breakerCount{0, 1})
			})
		}
	}
}

func TestLocalFault_HostThatARouterDoesNotReachStaysTheServersFault(t *testing.T) {
	t.Parallel()
	for _, number := range []error{syscall.EHOSTUNREACH, syscall.ECONNREFUSED, syscall.ETIMEDOUT} {
		assertRetriedUnprocessed(t, &http.Transport{DialContext: dialFailing("connect", number)}, newPost(t))
	}
}

// The network may also go away under a connection. Then the server may have acted.
func TestLocalFault_OnAConnectionIsTransientAndNeutral(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, number := range []error{syscall.ENETDOWN, syscall.ENETUNREACH, syscall.ENOBUFS} {
			lost := &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", number)}
			server := steadyhttptest.NewTransport(steadyhttptest.Fail(lost), status(200))
			transport := newTransport(t, server)
			_, err := transport.RoundTrip(newPost(t))
			require.ErrorIs(t, err, number)
			assert.Zero(t, onlyBreaker(t, transport).Requests)
			server.AssertAttempts(t, 1)
		}
	})
}

// newBusyServer responds to the first request with a body that lasts until the test ends.
func newBusyServer(t *testing.T) *wireServer {
	t.Helper()
	return newWireServer(t, startPlain, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, echoHandler)
}

// startDownload occupies the only connection.
func startDownload(t *testing.T, transport *steadyhttp.Transport, url string) {
	t.Helper()
	download, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, url, ""))
	require.NoError(t, err)
	t.Cleanup(func() { _ = download.Body.Close() })
}

func TestPool_QueueingForAnOwnConnectionIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
		server := newBusyServer(t)
		base := &http.Transport{MaxConnsPerHost: 1}
		t.Cleanup(base.CloseIdleConnections)
		transport := newTransport(t, wrap(base), fastRetryOptions(steadyhttp.WithAttemptTimeout(10*shortTimeout), steadyhttp.WithMaxAttempts(2))...)
		startDownload(t, transport, server.URL)
		counted := breakerCount{0, 1}
		if _, known := wrap(base).(*http.Transport); !known { // an origin that has just responded is not traced, the first time
			first := sendWire(t, transport, newWireRequest(t, method, server.URL, ""))
			assert.Equal(t, steadyhttp.Transient, first.Attempts[0].Class)
			counted = breakerCount{1, 2}
		}
		call := sendWire(t, transport, newWireRequest(t, method, server.URL, ""))
		require.ErrorIs(t, call.err, steadyhttp.ErrAttemptTimeout)
		call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Unprocessed, steadyhttp.Unprocessed)
		assert.EqualValues(t, 1, server.arrived.Load())
		assertBreakerCount(t, transport, counted)
	})
}

func TestPool_CallersDeadlineInTheQueueIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := startKitServer(t, steadyhttptest.NewPipeServer, steadyhttptest.Hang, status(200))
		base := server.Client().Transport.(*http.Transport)
		base.MaxConnsPerHost = 1
		transport := newTransport(t, base, steadyhttp.WithBreakerWindow(time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = transport.RoundTrip(newWireRequest(t, http.MethodGet, server.URL, "").WithContext(ctx)) }()
		synctest.Wait()
		for range 3 {
			waiting, cancelWaiting := context.WithTimeout(t.Context(), 10*time.Second)
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, server.URL, "").WithContext(waiting))
			cancelWaiting()
			require.ErrorIs(t, call.err, context.DeadlineExceeded)
			call.assertClasses(t, steadyhttp.StopDeadline, steadyhttp.Unprocessed)
		}
		assertBreakerCount(t, transport, breakerCount{0, 0})
		cancel()
	})
}

// A dial that takes too long is the server's fault, also where connections are limited.
func TestPool_DialThatTakesTooLongIsTheServersFault(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"limited": 1, "unlimited": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := newTCPServer(t, readAll) // takes the connection, and does not shake hands
			transport := newWireTransport(t, &http.Transport{MaxConnsPerHost: limit}, steadyhttp.WithAttemptTimeout(shortTimeout), steadyhttp.WithMaxAttempts(1))
			call := sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://"+address, ""))
			call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient)
			assertBreakerCount(t, transport, breakerCount{1, 1})
		})
	}
}

// A base that never tells of its dials may be in the middle of one.
func TestPool_SilentDialerIsNotTakenForAQueue(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	defer close(released)
	hang := func(context.Context, string, string) (net.Conn, error) { <-released; return nil, errUnknown }
	for name, wrap := range bases {
		transport := newTransport(t, wrap(&http.Transport{DialContext: hang}), fastRetryOptions(steadyhttp.WithAttemptTimeout(shortTimeout), steadyhttp.WithMaxAttempts(1))...)
		call := sendWire(t, transport, newGet(t))
		call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient)
		assert.EqualValues(t, 1, onlyBreaker(t, transport).Failures, name)
	}
}
