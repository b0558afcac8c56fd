package steadyhttp

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

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
	// Of several counts the least is right: what earlier tests left may still end, and the race detector has pools forget.
	count := func(over http.RoundTripper) float64 {
		least := math.Inf(1)
		for range 5 {
			least = min(least, testing.AllocsPerRun(200, func() { callLate(t, over, server.URL) }))
		}
		return least
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

// What net/http sent again before the attempt was traced is not known, but it is bounded.
func TestLateTrace_StreamsThatAreRefusedBeforeItCountForTheBound(t *testing.T) {
	t.Parallel()
	certificates, trust := lateCertificates()
	for refused := int64(0); refused < 8; refused++ {
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int64
			transport, err := NewTransport(nil, WithMaxAttempts(1))
			require.NoError(t, err)
			base := transport.base.(*builtInTransport).RoundTripper.(*http.Transport)
			base.TLSClientConfig = trust.Clone()
			base.DialContext = func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go serveLate(tls.Server(server, &tls.Config{Certificates: certificates, NextProtos: []string{"h2"}}), func() []byte {
					switch n := requests.Add(1); {
					case n == 1:
						return []byte{0, 0, 1, 1, 5, 0, 0, 0, 0, 0x88} // HEADERS: 200
					case n == 2+refused:
						return []byte{0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1} // RST_STREAM: PROTOCOL_ERROR
					default:
						return []byte{0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, refusedStream}
					}
				})
				return client, nil
			}
			callLate(t, transport, "https://example.com")
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com", nil)
			require.NoError(t, err)
			_, err = transport.RoundTrip(r)
			require.Error(t, err)
			assert.LessOrEqual(t, requests.Load()-1, int64(maxSends), "%d refused before", refused)
			synctest.Wait() // until the streams are gone
			base.CloseIdleConnections()
		})
	}
}

// lateCertificates are httptest's for example.com, made outside of any bubble.
func lateCertificates() ([]tls.Certificate, *tls.Config) {
	template := httptest.NewUnstartedServer(nil)
	template.StartTLS()
	defer template.Close()
	return template.TLS.Certificates, template.Client().Transport.(*http.Transport).TLSClientConfig
}

// serveLate responds to each request over HTTP/2 with a frame, on its stream.
func serveLate(conn net.Conn, respond func() []byte) {
	frames := make(chan []byte, 100) // a pipe has no buffer
	defer close(frames)
	go func() {
		for frame := range frames {
			_, _ = conn.Write(frame)
		}
		_ = conn.Close()
	}()
	_, _ = io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	frames <- []byte{0, 0, 0, 4, 0, 0, 0, 0, 0} // SETTINGS
	for {
		var header [9]byte
		if _, err := io.ReadFull(conn, header[:]); err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(header[:4])>>8))
		if header[3] == 1 { // HEADERS
			response := respond()
			copy(response[5:9], header[5:])
			frames <- response
		}
	}
}
