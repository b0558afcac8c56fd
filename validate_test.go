package steadyhttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestValidate_ErrorsOfAConnectionAreNotTheRequests(t *testing.T) {
	t.Parallel()
	r := newGet(t)
	r.Header["X"] = []string{"a\nb"}
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, headerTimeoutError{}} {
		assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, err), err)
	}
	r = newGet(t)
	r.Method = ""
	assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(r, nil, errors.New("?")))
	assert.Equal(t, steadyhttp.Unprocessed, steadyhttp.Classify(nil, nil, &net.DNSError{IsTemporary: true}))
}

func TestValidate_ControlCharacterIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					connections.Add(1)
				}
			}
			if server.EnableHTTP2 = secure; secure {
				server.StartTLS()
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			t.Cleanup(server.CloseClientConnections)
			transport := newTransport(t, server.Client().Transport, steadyhttp.WithBackoff(time.Millisecond, time.Millisecond))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
			require.NoError(t, err)
			r.URL.RawQuery = "q=a\nb" // as "q=" + input makes it
			ctx, report := steadyhttp.WithReport(ctx)
			_, err = transport.RoundTrip(r.WithContext(ctx))
			require.Error(t, err)
			assert.Equal(t, steadyhttp.StopNotRetryable, report.Stopped)
			assert.LessOrEqual(t, connections.Load(), int64(1))
			for _, b := range transport.Breakers() {
				assert.Zero(t, b.Failures)
			}
		})
	}
}

func TestValidate_TabInTheURLIsPermanent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	r.URL.RawQuery = "q=a\tb"
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	transport := newTransport(t, base, singleAttemptOptions()...)
	_, err = transport.RoundTrip(r)
	require.Error(t, err)
	for _, b := range transport.Breakers() {
		assert.Zero(t, b.Failures)
	}
}

// A scheme that was registered with net/http is as good as http: what is unknown is retried if idempotent, and counts.
func TestValidate_RegisteredSchemeFailsAsHTTPDoes(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"unix:///var/run/shop.sock", "s3://bucket/key", "http://api.example.com/"} {
		for name, wrap := range bases {
			for method, attempts := range map[string]int{http.MethodGet: 4, http.MethodPost: 1} {
				base := &http.Transport{}
				sent := 0
				scheme, _, _ := strings.Cut(target, ":")
				base.RegisterProtocol(scheme, baseFunc{func(*http.Request) (*http.Response, error) { sent++; return nil, errUnknown }})
				transport := newTransport(t, wrap(base), fastRetryOptions()...)
				call := sendWire(t, transport, newWireRequest(t, method, target, ""))
				require.ErrorIs(t, call.err, errUnknown)
				assert.Equal(t, attempts, sent, "%s %s over %s", method, target, name)
				assert.Equal(t, steadyhttp.Transient, call.Attempts[0].Class)
				assert.EqualValues(t, attempts, onlyBreaker(t, transport).Failures)
			}
		}
	}
}

func TestValidate_RegisteredSchemeMayRefuseAsHTTPDoes(t *testing.T) {
	t.Parallel()
	base := &http.Transport{}
	base.RegisterProtocol("unix", baseFunc{func(*http.Request) (*http.Response, error) { return nil, steadyhttp.LocalError(errNoToken) }})
	assertRefused(t, base, newWireRequest(t, http.MethodGet, "unix:///var/run/shop.sock", ""))
}

func TestValidate_SchemeThatNobodyRegisteredIsPermanent(t *testing.T) {
	t.Parallel()
	for _, wrap := range bases {
		err := assertRefused(t, wrap(&http.Transport{}), newWireRequest(t, http.MethodGet, "unix:///var/run/shop.sock", ""))
		require.EqualError(t, err, `unsupported protocol scheme "unix"`)
	}
}
