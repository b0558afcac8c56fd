package steadyhttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// openBody makes a call whose response has this body.
func openBody(t *testing.T, body io.ReadCloser, options ...steadyhttp.Option) *http.Response {
	t.Helper()
	transport := newTransport(t, newBodyStep(func() io.ReadCloser { return body }), options...)
	response, err := transport.RoundTrip(newGet(t))
	require.NoError(t, err)
	return response
}

func TestBodyTimeout_BoundsWhatOneReadWaits(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	for name, c := range map[string]struct {
		parts   []bodyPart
		read    string
		stalled bool
		took    time.Duration
	}{
		"a body that does not stall": {[]bodyPart{{content: "ab"}, {content: "cd"}}, "abcd", false, 0},
		"a stall from the start":     {[]bodyPart{{wait: time.Hour, content: "a"}}, "", true, limit},
		"a stall in the middle":      {[]bodyPart{{content: "ab"}, {wait: time.Hour, content: "cd"}}, "ab", true, limit},
		"a stall at the end":         {[]bodyPart{{content: "ab"}, {wait: time.Hour}}, "ab", true, limit},
		"each byte starts it anew": {[]bodyPart{{wait: 999 * time.Millisecond, content: "a"}, {wait: 999 * time.Millisecond, content: "b"},
			{wait: 999 * time.Millisecond, content: "c"}}, "abc", false, 2997 * time.Millisecond},
		"a break is no stall": {[]bodyPart{{content: "a"}, {wait: limit / 2, err: errReset}}, "a", false, limit / 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				body := newScriptedBody(c.parts...)
				response := openBody(t, body, steadyhttp.WithBodyTimeout(limit))
				content, err := io.ReadAll(response.Body)
				assert.Equal(t, c.read, string(content))
				assert.Equal(t, c.took, time.Since(start))
				assert.Equal(t, c.stalled, isBodyTimeout(err), "%v", err)
				if c.stalled {
					synctest.Wait()
					assert.Equal(t, 1, body.closes, "the connection is dropped")
					again, err := response.Body.Read(make([]byte, 1))
					assert.Zero(t, again)
					assert.ErrorIs(t, err, steadyhttp.ErrBodyTimeout, "an error stays")
				}
				assert.NoError(t, response.Body.Close())
				assert.Equal(t, 1, body.closes)
			})
		})
	}
}

func isBodyTimeout(err error) bool {
	timeout, ok := err.(interface{ Timeout() bool })
	return ok && timeout.Timeout()
}

func TestBodyTimeout_ErrorIsATimeoutAndSaysHowLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		response := openBody(t, newScriptedBody(bodyPart{wait: time.Hour}), steadyhttp.WithBodyTimeout(20*time.Second))
		_, err := io.Copy(io.Discard, response.Body)
		assert.EqualError(t, err, "no byte of the response's body within the body timeout of 20s")
		assert.ErrorIs(t, err, steadyhttp.ErrBodyTimeout)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
		var temporary interface{ Temporary() bool }
		require.ErrorAs(t, err, &temporary)
		assert.True(t, temporary.Temporary())
		assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(nil, nil, err))
	})
}

func TestBodyTimeout_DoesNotRunWhileNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		response := openBody(t, newScriptedBody(bodyPart{content: "a"}, bodyPart{content: "b"}, bodyPart{wait: time.Millisecond, content: "c"}),
			steadyhttp.WithBodyTimeout(time.Second))
		for _, want := range []string{"a", "b", "c"} {
			time.Sleep(time.Hour)
			p := make([]byte, 10)
			n, err := response.Body.Read(p)
			require.NoError(t, err)
			assert.Equal(t, want, string(p[:n]))
		}
		time.Sleep(time.Hour)
		_, err := response.Body.Read(make([]byte, 1))
		assert.Equal(t, io.EOF, err)
	})
}

func TestBodyTimeout_CallersReasonComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		transport := newTransport(t, newBodyStep(func() io.ReadCloser { return newStalledBody() }), steadyhttp.WithBodyTimeout(time.Second))
		response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		time.AfterFunc(time.Second/2, func() { cancel(errReset) }) // which this body does not notice
		_, err = io.ReadAll(response.Body)
		assert.Equal(t, errReset, err)
		assert.Zero(t, onlyBreaker(t, transport).Requests)
	})
}

func TestBodyTimeout_CloseEndsARead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := newScriptedBody(bodyPart{wait: time.Hour})
		response := openBody(t, body, steadyhttp.WithBodyTimeout(time.Minute))
		start := time.Now()
		time.AfterFunc(time.Second, func() { assert.NoError(t, response.Body.Close()) })
		_, err := response.Body.Read(make([]byte, 1))
		assert.ErrorIs(t, err, errBodyClosed)
		assert.NotErrorIs(t, err, steadyhttp.ErrBodyTimeout)
		assert.Equal(t, time.Second, time.Since(start))
		assert.NoError(t, response.Body.Close())
		assert.Equal(t, 1, body.closes)
	})
}

func TestBodyTimeout_BodyThatPanicsLeavesNoTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := &trackedBody{Reader: panickingReader{}}
		response := openBody(t, body, steadyhttp.WithBodyTimeout(time.Second))
		assert.PanicsWithValue(t, "a test's", func() { _, _ = response.Body.Read(make([]byte, 1)) })
		time.Sleep(time.Minute)
		assert.Zero(t, body.closes(), "no timer closed it")
		assert.PanicsWithValue(t, "a test's", func() { _, _ = response.Body.Read(make([]byte, 1)) }, "nor does a lock remain")
		assert.NoError(t, response.Body.Close())
	})
}

func TestBodyTimeout_LeavesAloneWhatHasNoContent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method string
		code   int
	}{
		"HEAD": {http.MethodHead, 200}, "CONNECT": {http.MethodConnect, 200}, "101": {http.MethodGet, 101}, "204": {http.MethodGet, 204}, "304": {http.MethodGet, 304},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := newTrackedBody("")
			transport := newTransport(t, stepFunc(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: c.code, Header: http.Header{"Etag": {`"v"`}}, Body: body, ContentLength: 5}, nil
			}), steadyhttp.WithBodyTimeout(time.Second), steadyhttp.WithResume())
			response, err := transport.RoundTrip(newRequest(t, t.Context(), c.method, ""))
			require.NoError(t, err)
			if name != "101" { // that of others has a context to let go of
				_, err = response.Body.Read(make([]byte, 1))
				assert.Equal(t, io.EOF, err)
			} else {
				assert.Same(t, body, response.Body)
			}
			assert.Equal(t, uint32(1), onlyBreaker(t, transport).Requests, "counted at the header")
		})
	}
}

func TestBodyTimeout_AppliesToTheBodyOfAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, code := range []int{404, 429, 500, 501} {
			body := newScriptedBody(bodyPart{wait: time.Hour})
			transport := newTransport(t, stepFunc(func(*http.Request) (*http.Response, error) {
				return newResponseWith(code, body), nil
			}), steadyhttp.WithBodyTimeout(time.Second), steadyhttp.WithMaxAttempts(1))
			response, err := transport.RoundTrip(newGet(t))
			require.NoError(t, err)
			var failed *steadyhttp.ResponseError
			start := time.Now()
			require.ErrorAs(t, steadyhttp.CheckResponse(response), &failed)
			assert.Equal(t, code, failed.StatusCode)
			assert.Equal(t, time.Second, time.Since(start), "CheckResponse does not hang")
		}
	})
}

func newResponseWith(code int, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: body, ContentLength: -1}
}

func TestBodyTimeout_TwoReadersAndACloserAreSafe(t *testing.T) {
	t.Parallel()
	for range 50 {
		response := openBody(t, io.NopCloser(strings.NewReader(strings.Repeat("a", 1000))), steadyhttp.WithBodyTimeout(time.Minute), steadyhttp.WithResume())
		var group sync.WaitGroup
		var mu sync.Mutex
		read := 0
		for range 2 {
			group.Go(func() {
				n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{response.Body}, make([]byte, 7))
				assert.NoError(t, err)
				mu.Lock()
				defer mu.Unlock()
				read += int(n)
			})
		}
		group.Wait()
		assert.Equal(t, 1000, read)
		for range 2 {
			group.Go(func() { assert.NoError(t, response.Body.Close()) })
		}
		group.Wait()
	}
}

// Over the wire.

// stallAfter sends some of a body, and then nothing until the client is gone.
func stallAfter(content string, hungUp chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, content)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(hungUp)
	}
}

func TestBodyTimeout_DropsTheConnection(t *testing.T) {
	t.Parallel()
	readers := map[string]func(io.Reader) (int64, error){
		"Read": func(r io.Reader) (int64, error) { return io.Copy(io.Discard, struct{ io.Reader }{r}) },
		"Copy": func(r io.Reader) (int64, error) { return io.Copy(&bytes.Buffer{}, r) },
	}
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		for name, read := range readers {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				hungUp := make(chan struct{})
				server := newWireServer(t, startProtocols(spoken), stallAfter("abc", hungUp), replyHandler(200))
				transport := newWireTransport(t, &http.Transport{Protocols: spoken}, steadyhttp.WithBodyTimeout(shortTimeout))
				response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, server.URL, ""))
				require.NoError(t, err)
				n, err := read(response.Body)
				assert.EqualValues(t, 3, n)
				assert.ErrorIs(t, err, steadyhttp.ErrBodyTimeout)
				assertSignaled(t, hungUp)
				assert.NoError(t, response.Body.Close())
				assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 1})
				sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "")).assertResponse(t, 200, "answer")
				assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 2})
			})
		}
	})
}

// A request whose body is stuck keeps an HTTP/2 body's Close waiting, but not its Read.
func TestBodyTimeout_EndsAReadWhileTheRequestIsStillSent(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		done := make(chan struct{})
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "abc")
			controller := http.NewResponseController(w)
			_ = controller.EnableFullDuplex()
			_ = controller.Flush()
			<-done // over HTTP/1 the server sees only in the request's body that the client is gone
		})
		t.Cleanup(func() { close(done) })
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, steadyhttp.WithBodyTimeout(shortTimeout))
		r := newWireRequest(t, http.MethodPost, server.URL, "")
		reader, writer := io.Pipe()
		defer func() { _ = writer.Close() }()
		r.Body, r.ContentLength = reader, -1
		response, err := transport.RoundTrip(r)
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		assert.Equal(t, "abc", string(content))
		assert.ErrorIs(t, err, steadyhttp.ErrBodyTimeout)
		assert.NoError(t, response.Body.Close())
	})
}

func TestBodyTimeout_EndsAReadOfACompressedBody(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		hungUp := make(chan struct{})
		server := newWireServer(t, startProtocols(spoken), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			compressor := gzip.NewWriter(w)
			_, _ = io.WriteString(compressor, "abc")
			_ = compressor.Flush()
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(hungUp)
		})
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, steadyhttp.WithBodyTimeout(shortTimeout))
		response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, server.URL, ""))
		require.NoError(t, err)
		require.True(t, response.Uncompressed)
		content, err := io.ReadAll(response.Body)
		assert.Equal(t, "abc", string(content))
		assert.ErrorIs(t, err, steadyhttp.ErrBodyTimeout)
		assertSignaled(t, hungUp)
		assert.NoError(t, response.Body.Close())
	})
}

func TestBodyTimeout_SlowButSteadyServerIsNoStall(t *testing.T) {
	t.Parallel()
	runEachTLSProtocolWithBodies(t, func(t *testing.T, protocol string) {
		const limit = time.Second
		n := newPipeNetwork(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
			for range 15 {
				time.Sleep(limit - time.Millisecond)
				_, _ = io.WriteString(w, ".")
				_ = http.NewResponseController(w).Flush()
			}
		})
		transport := newTransport(t, n.base(t), steadyhttp.WithBodyTimeout(limit))
		sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://example.com/", "")).assertResponse(t, 200, strings.Repeat(".", 15))
	})
}
