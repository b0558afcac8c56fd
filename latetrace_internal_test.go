package steadyhttp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newLateServer(t *testing.T, handler http.HandlerFunc) (*Transport, *httptest.Server) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	transport, err := NewTransport(nil)
	require.NoError(t, err)
	base := transport.base.(*builtInTransport).RoundTripper.(*http.Transport)
	base.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	t.Cleanup(base.CloseIdleConnections)
	return transport, server
}

func callLate(t *testing.T, transport http.RoundTripper, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := transport.RoundTrip(r)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response
}

// Not parallel: allocations are everybody's.
func TestLateTrace_HealthyHTTP2AllocatesAsMuchAsTheBaseAlone(t *testing.T) {
	transport, server := newLateServer(t, func(http.ResponseWriter, *http.Request) {})
	callLate(t, transport, server.URL)
	callLate(t, transport, server.URL)
	count := func(over http.RoundTripper) float64 {
		return testing.AllocsPerRun(200, func() { callLate(t, over, server.URL) })
	}
	assert.InDelta(t, count(transport.base), count(transport), 1)
}

func TestLateTrace_RedialsAreTraced(t *testing.T) {
	t.Parallel()
	transport, server := newLateServer(t, func(http.ResponseWriter, *http.Request) {})
	for range 3 {
		assert.Equal(t, 2, callLate(t, transport, server.URL).ProtoMajor)
		server.CloseClientConnections()
		transport.CloseIdleConnections()
	}
	late := transport.base.(*builtInTransport).late
	assert.True(t, late.knows(server.Listener.Addr().String()))
	late.note(server.Listener.Addr().String(), false)
	assert.False(t, late.knows(server.Listener.Addr().String()))
	callLate(t, transport, server.URL)
}
