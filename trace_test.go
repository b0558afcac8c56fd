package steadyhttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestTrace_BodyThatWasReadToItsEndDidNotFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newGet(t)
		r.Method, r.Body, r.ContentLength = http.MethodPut, newTrackedBody("payload"), 7
		r.GetBody = func() (io.ReadCloser, error) { return newTrackedBody("payload"), nil }
		server := newScript(fail(errReset), status(200))
		transport := newTransport(t, server)
		response, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, 2, steadyhttp.Attempts(response))
		assert.Equal(t, uint32(1), onlyBreaker(t, transport).Failures)
	})
}

func TestTrace_BodyThatIsClosedWhileReadDidNotFail(t *testing.T) {
	t.Parallel()
	for _, said := range []error{io.ErrClosedPipe, io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			r := newGet(t)
			r.Method, r.Body, r.ContentLength = http.MethodPut, closedPipeBody{newStalledBody(), said}, 10
			ctx, report := steadyhttp.WithReport(t.Context())
			transport := newTransport(t, baseFunc{func(r *http.Request) (*http.Response, error) {
				read := make(chan struct{})
				go func() {
					defer close(read)
					_, _ = r.Body.Read(make([]byte, 1))
				}()
				synctest.Wait()
				_ = r.Body.Close() // the connection was reset
				<-read
				return nil, errReset
			}})
			_, err := transport.RoundTrip(r.WithContext(ctx))
			require.ErrorIs(t, err, errReset)
			assert.Equal(t, steadyhttp.Transient, report.Attempts[0].Class, said)
			assert.Equal(t, uint32(1), onlyBreaker(t, transport).Failures)
		})
	}
}

func TestTrace_BodyOfAWrongLengthIsPermanent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done() // an answer could come before net/http sees that the body goes on
	}))
	t.Cleanup(server.Close)
	bodied := func(open func() io.ReadCloser, length int64) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = open(), length
			r.GetBody = func() (io.ReadCloser, error) { return open(), nil }
		}
	}
	for name, spoil := range map[string]func(*http.Request){
		"a length, but no body": func(r *http.Request) { r.ContentLength = 7 },
		"a short stream":        bodied(func() io.ReadCloser { return newTrackedBody("short") }, 10),
		"a long stream":         bodied(func() io.ReadCloser { return newTrackedBody("too long") }, 3),
		"short, in memory":      bodied(func() io.ReadCloser { return io.NopCloser(strings.NewReader("short")) }, 10),
		"an invalid trailer": func(r *http.Request) {
			bodied(func() io.ReadCloser { return newTrackedBody("payload") }, -1)(r)
			r.Trailer = http.Header{"Content-Length": nil}
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := &http.Transport{ResponseHeaderTimeout: time.Minute}
			t.Cleanup(base.CloseIdleConnections)
			assertPermanent(t, base, http.MethodPut, server.URL, spoil)
		})
	}
}

func assertPermanent(t *testing.T, base http.RoundTripper, method, address string, spoil func(*http.Request)) {
	t.Helper()
	transport := newTransport(t, base, steadyhttp.WithBackoff(time.Millisecond, time.Millisecond))
	ctx, report := steadyhttp.WithReport(t.Context())
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	require.NoError(t, err)
	spoil(r)
	_, err = transport.RoundTrip(r)
	require.Error(t, err)
	require.Len(t, report.Attempts, 1, err)
	assert.Equal(t, steadyhttp.Permanent, report.Attempts[0].Class, err)
	assert.Zero(t, onlyBreaker(t, transport).Failures)
}

func TestTrace_RetryIsTracedEvenOnAUsedOrigin(t *testing.T) {
	t.Parallel()
	runScriptCases(t, []scriptCase{{
		name: "cut-off handshake after a 429", request: payloadRequest(http.MethodPost),
		steps:    []step{status(429, "Retry-After", "0"), withoutConnection(fail(io.EOF)), status(200)},
		attempts: 3, status: 200, stopped: steadyhttp.StopSuccess,
	}})
}

func TestTrace_BodyThatFailsWithAnErrorOfOursIsTheCallers(t *testing.T) {
	t.Parallel()
	elsewhere := &steadyhttp.CircuitOpenError{Origin: "https://elsewhere.example.com:443"}
	transport := newTransport(t, newScript(status(200)))
	ctx, report := steadyhttp.WithReport(t.Context())
	r := newRequest(t, ctx, http.MethodPut, "")
	r.Body, r.ContentLength = &trackedBody{Reader: failingReader{elsewhere}}, -1
	r.GetBody = func() (io.ReadCloser, error) { return &trackedBody{Reader: failingReader{elsewhere}}, nil }
	_, err := transport.RoundTrip(r)
	assert.Equal(t, elsewhere, err)
	assert.Len(t, report.Attempts, 1)
	assert.Equal(t, steadyhttp.Permanent, report.Attempts[0].Class)
	assert.Zero(t, onlyBreaker(t, transport).Failures)
}

// A closedPipeBody says nothing until it is closed, and then this.
type closedPipeBody struct {
	*stalledBody
	said error
}

func (b closedPipeBody) Read([]byte) (int, error) {
	<-b.closed
	return 0, b.said
}
