package steadyhttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// Users of other clients reported these, and they are well here. docs/peer-bugs.md tells which report is which, and
// where the tests of the others are.

// The server responds without reading, and resets the stream with NO_ERROR (RFC 9113 §8.1).
func TestWire_CompleteResponseDuringAnUploadCounts(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startProtocols(newHTTP2Protocols()), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(413) })
	transport := newWireTransport(t, &http.Transport{Protocols: newHTTP2Protocols()})
	for range 20 {
		call := sendWire(t, transport, newWireRequest(t, http.MethodPut, server.URL, strings.Repeat("x", 8<<20)))
		call.assertResponse(t, 413, "")
		call.assertClasses(t, steadyhttp.StopNotRetryable, steadyhttp.ClientFault)
	}
	assertBreakerCount(t, transport, breakerCount{0, 20})
}

// goAwayOnce goes away before the first request, and responds to the others.
func goAwayOnce(w io.Writer, request int64, stream uint32) bool {
	if request == 1 {
		_, _ = w.Write(goAwayFrame(0, codeNo))
		return false
	}
	_, _ = w.Write(okFrame(stream))
	return true
}

func TestReplay_GoAwayIsFollowedIfTheBodyCanBeReplayed(t *testing.T) {
	t.Parallel()
	stream := func(server *http2Server) *http.Request {
		r := newWireRequest(t, http.MethodPost, server.url, "payload")
		r.GetBody = nil
		return r
	}
	server := newHTTP2Server(t, goAwayOnce)
	transport := newWireTransport(t, server.newBase(), steadyhttp.WithReplayBuffer(100))
	sendWire(t, transport, stream(server)).assertResponse(t, 200, "")

	server = newHTTP2Server(t, goAwayOnce)
	transport = newWireTransport(t, server.newBase())
	call := sendWire(t, transport, stream(server))
	require.Error(t, call.err)
	call.assertClasses(t, steadyhttp.StopBodyNotReplayable, steadyhttp.Unprocessed)
	assert.EqualValues(t, 1, server.requests.Load())
}

// informForever never comes to the response.
func informForever(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		w.WriteHeader(http.StatusEarlyHints)
		time.Sleep(time.Millisecond)
	}
}

func TestAttemptTimeout_EndsInformationalResponsesWithoutEnd(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		server := newWireServer(t, startProtocols(spoken), informForever)
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, steadyhttp.WithAttemptTimeout(shortTimeout), steadyhttp.WithMaxAttempts(1))
		call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
		require.ErrorIs(t, call.err, steadyhttp.ErrAttemptTimeout)

		transport = newWireTransport(t, &http.Transport{Protocols: spoken, ResponseHeaderTimeout: shortTimeout}, steadyhttp.WithMaxAttempts(1))
		call = sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
		require.Error(t, call.err)
		call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient)
	})
}

func TestWire_UnixSocketIsRetriedAsAnyOther(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "s")
	dialSocket := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", name)
	}
	transport := newWireTransport(t, &http.Transport{DialContext: dialSocket}, steadyhttp.WithMaxAttempts(3))
	call := sendWire(t, transport, newWireRequest(t, http.MethodPost, "http://shop/", "payload"))
	require.ErrorIs(t, call.err, syscall.ENOENT)
	call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Unprocessed, steadyhttp.Unprocessed, steadyhttp.Unprocessed)

	listener, err := net.Listen("unix", name)
	require.NoError(t, err)
	newWireServer(t, func(s *httptest.Server) { _ = s.Listener.Close(); s.Listener = listener; s.Start() }, replyHandler(503), echoHandler)
	call = sendWire(t, transport, newWireRequest(t, http.MethodPut, "http://shop/", "payload"))
	call.assertResponse(t, 200, "PUT payload")
	call.assertClasses(t, steadyhttp.StopSuccess, steadyhttp.Transient, steadyhttp.Success)
}

// The environment is read once for a process, so this takes one of its own.
func TestProxy_EnvironmentOfACGIScriptIsARefusal(t *testing.T) {
	t.Parallel()
	const marker = "STEADYHTTP_TEST_PROXY"
	if os.Getenv(marker) != "" {
		client, err := steadyhttp.NewClient()
		require.NoError(t, err)
		ctx, report := steadyhttp.WithReport(t.Context())
		_, err = client.Do(newWireRequest(t, http.MethodGet, "http://api.example.com/", "").WithContext(ctx))
		require.ErrorContains(t, err, "CGI environment")
		require.Len(t, report.Attempts, 1)
		assert.Equal(t, steadyhttp.Permanent, report.Attempts[0].Class)
		assert.Zero(t, client.Transport.(*steadyhttp.Transport).Breakers()[0].Requests)
		return
	}
	command := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	command.Env = append(os.Environ(), marker+"=yes", "HTTP_PROXY=http://127.0.0.1:1", "REQUEST_METHOD=GET")
	output, err := command.CombinedOutput()
	assert.NoError(t, err, string(output))
}
