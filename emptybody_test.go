package steadyhttp_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// Over HTTP/2 net/http has a type for a body that was promised and never began (http2missingBody).
func TestEmptyBody_OneThatIsMissingIsNone(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		missing := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"1"`)
			w.Header().Set("Content-Length", "7")
			if spoken.HTTP1() {
				panic(http.ErrAbortHandler)
			}
		}
		whole := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"1"`)
			_, _ = io.WriteString(w, "content")
		}
		server := newWireServer(t, startProtocols(spoken), missing, whole)
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, fastRetryOptions(steadyhttp.WithResume())...)
		call := sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, ""))
		call.assertResponse(t, http.StatusOK, "content")
		assert.EqualValues(t, 2, server.arrived.Load())
	})
}

// A server may respond before it has read the request (RFC 9113 §8.1), and net/http goes on sending the body then.
func TestEmptyBody_EndsNoUploadThatGoesOn(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]steadyhttp.Option{
		"no limit":        nil,
		"attempt timeout": attemptTimeoutOptions(time.Hour),
		"call timeout":    {steadyhttp.WithTimeout(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			received := make(chan string, 1)
			address := newTCPServer(t, func(conn net.Conn) { respondEarly(conn, received) })
			spoken := &http.Protocols{}
			spoken.SetUnencryptedHTTP2(true)
			transport := newWireTransport(t, &http.Transport{Protocols: spoken}, options...)
			content, source := io.Pipe()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, content)
			require.NoError(t, err)
			response, err := transport.RoundTrip(request)
			require.NoError(t, err)
			for range earlyPieces {
				_, err = io.WriteString(source, "content")
				require.NoError(t, err)
			}
			assert.Equal(t, strings.Repeat("content", earlyPieces), <-received)
			require.NoError(t, response.Body.Close())
			require.NoError(t, source.Close())
		})
	}
}

// earlyPieces are many, since a context does not end at once.
const earlyPieces = 200

// respondEarly responds to the first HEADERS with a 200 and no body, and returns what comes of the request's, also if the
// stream is reset.
func respondEarly(conn net.Conn, received chan<- string) {
	const data, headers, reset = 0, 1, 3
	_, _ = io.ReadFull(conn, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	_, _ = conn.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0}) // SETTINGS, and that the client's are known
	head, content := make([]byte, 9), ""
	for len(content) < earlyPieces*len("content") {
		if _, err := io.ReadFull(conn, head); err != nil {
			break
		}
		payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
		_, _ = io.ReadFull(conn, payload)
		switch head[3] {
		case headers:
			_, _ = conn.Write([]byte{0, 0, 1, headers, 0x5, 0, 0, 0, 1, 0x88}) // END_STREAM, END_HEADERS; ":status: 200"
		case data:
			content += string(payload)
		case reset:
			received <- content + " and a reset"
			return
		}
	}
	received <- content
}

// A holdingContext can end, but never does, and counts what it would have to call then.
type holdingContext struct {
	context.Context
	done chan struct{}
	held atomic.Int32
}

func (c *holdingContext) Done() <-chan struct{} { return c.done }

func (c *holdingContext) AfterFunc(func()) (stop func() bool) {
	c.held.Add(1)
	return sync.OnceValue(func() bool { c.held.Add(-1); return true })
}

// A context that lives as long as the program would grow with each call.
func TestEmptyBody_LeavesNothingInTheCallersContext(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){
		"HTTP1": startPlain, "TLS": startTLS, "HTTP2": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, start, replyHandler(http.StatusNoContent))
			transport := newWireTransport(t, server.Client().Transport.(*http.Transport))
			ctx := &holdingContext{Context: t.Context(), done: make(chan struct{})}
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPost} {
				content := map[string]string{http.MethodPost: "content"}[method]
				response, err := transport.RoundTrip(newWireRequest(t, method, server.URL, content).WithContext(ctx))
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
			}
			assert.Eventually(t, func() bool { return ctx.held.Load() == 0 }, 5*time.Second, time.Millisecond)
		})
	}
}
