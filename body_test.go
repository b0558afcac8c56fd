package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestBody_IsWholeOnEveryAttempt(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T, context.Context) *http.Request{
		"from GetBody":           payloadRequest(http.MethodPut),
		"from the replay buffer": streamRequest(http.MethodPut),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503), status(503), status(200))
				transport := newTransport(t, server, steadyhttp.WithReplayBuffer(7))
				original := make(t, t.Context())
				_, err := transport.RoundTrip(original)
				require.NoError(t, err)
				for i, sent := range server.Attempts() {
					assert.Equal(t, "payload", string(sent.Body), "attempt %d", i+1)
					assert.Equal(t, original.ContentLength, sent.Request.ContentLength, "attempt %d", i+1)
				}
			})
		})
	}
}

func TestReplay_RetryIsAShallowCopySoThatTrailersSurvive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(200))
		original := newRequest(t, t.Context(), http.MethodPut, "payload")
		original.Trailer = http.Header{"Checksum": nil}
		_, err := newTransport(t, server).RoundTrip(original)
		require.NoError(t, err)
		original.Trailer.Set("Checksum", "set while the body was read")
		assert.NotSame(t, original, server.Attempts()[1].Request)
		assert.Equal(t, original.Trailer, server.Attempts()[1].Request.Trailer)
	})
}

func TestReplay_BodyLongerThanTheBufferIsStreamedWhole(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	transport := newTransport(t, server, steadyhttp.WithReplayBuffer(10))
	long := strings.Repeat("0123456789", 1000)
	for name, length := range map[string]int64{"known length": int64(len(long)), "unknown length": -1} {
		r := newGet(t)
		source := newTrackedBody(long)
		r.Method, r.Body, r.ContentLength = http.MethodPut, source, length
		_, err := transport.RoundTrip(r)
		require.NoError(t, err, name)
		assert.Equal(t, long, string(server.Attempts()[len(server.Attempts())-1].Body), name)
		assert.Equal(t, 1, source.closes(), name)
	}
}

func TestReplay_BufferHoldsABodyOfExactlyItsSize(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"p", "payload"} {
		synctest.Test(t, func(t *testing.T) {
			server := newScript(status(503), status(200))
			source := newTrackedBody(content)
			r := newRequest(t, t.Context(), http.MethodPut, "")
			r.Body, r.ContentLength = source, -1
			_, err := newTransport(t, server, steadyhttp.WithReplayBuffer(int64(len(content)))).RoundTrip(r)
			require.NoError(t, err)
			server.AssertAttempts(t, 2)
			assert.Equal(t, 1, source.closes())
		})
	}
}

func TestReplay_UnboundedBufferStillSendsTheBody(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	r := streamRequest(http.MethodPut)(t, t.Context())
	_, err := newTransport(t, server, steadyhttp.WithReplayBuffer(math.MaxInt64)).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, "payload", string(server.Attempts()[0].Body))
}

func TestReplay_BodyThatFailsInTheBufferIsNotSent(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk on fire")
	server := newScript(status(200))
	source := &trackedBody{Reader: io.MultiReader(strings.NewReader("pay"), failingReader{errDisk})}
	r := newRequest(t, t.Context(), http.MethodPut, "")
	r.Body, r.ContentLength = source, -1
	ctx, report := steadyhttp.WithReport(t.Context())
	response, err := newTransport(t, server, steadyhttp.WithReplayBuffer(7)).RoundTrip(r.WithContext(ctx))
	assert.Nil(t, response)
	assert.Equal(t, errDisk, err, "unwrapped")
	server.AssertAttempts(t, 0)
	assert.Equal(t, 1, source.closes())
	assert.Empty(t, report.Attempts)
	assert.Equal(t, steadyhttp.StopNotRetryable, report.Stopped)
}

func TestReplay_FailingGetBodyReturnsTheResponse(t *testing.T) {
	t.Parallel()
	for name, getBody := range map[string]func() (io.ReadCloser, error){
		"an error": func() (io.ReadCloser, error) { return nil, errors.New("gone") },
		"nothing":  func() (io.ReadCloser, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scriptCase{
				request: func(t *testing.T, ctx context.Context) *http.Request {
					r := newRequest(t, ctx, http.MethodPut, "payload")
					r.GetBody = getBody
					return r
				},
				steps: []step{status(503)}, attempts: 1, status: 503, stopped: steadyhttp.StopBodyNotReplayable,
			}.run(t)
		})
	}
}

func TestReplay_BufferKeepsToTheCallersDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ctx, report := steadyhttp.WithReport(ctx)
		reader, writer := io.Pipe() // that nobody writes to
		r := newRequest(t, ctx, http.MethodPut, "")
		r.Body, r.ContentLength = reader, -1
		start := time.Now()
		_, err := newTransport(t, newScript(hang), steadyhttp.WithReplayBuffer(1024)).RoundTrip(r)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, steadyhttp.StopDeadline, report.Stopped)
		_, err = writer.Write([]byte("x"))
		assert.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

func TestIdempotency_KeyIsTheSameOnEveryAttemptAndNotTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(503), status(200))
		transport := newTransport(t, server, steadyhttp.WithIdempotencyKeys())
		first := newPost(t)
		_, err := transport.RoundTrip(first)
		require.NoError(t, err)
		key := server.Attempts()[0].Request.Header.Get("Idempotency-Key")
		assert.NotEmpty(t, key)
		for _, sent := range server.Attempts() {
			assert.Equal(t, key, sent.Request.Header.Get("Idempotency-Key"))
		}
		assert.NotContains(t, first.Header, "Idempotency-Key", "the caller's request is not modified")

		_, err = transport.RoundTrip(newPost(t))
		require.NoError(t, err)
		assert.NotEqual(t, key, server.Attempts()[3].Request.Header.Get("Idempotency-Key"), "another call, another key")
	})
}

func TestIdempotency_KeyIsAddedOnlyWhereItIsMissing(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	transport := newTransport(t, server, steadyhttp.WithIdempotencyKeys())
	for _, c := range []struct {
		method, name, value, want string
	}{
		{http.MethodPost, "Idempotency-Key", "mine", "mine"},
		{http.MethodPost, "X-Idempotency-Key", "mine", ""},
		{http.MethodGet, "Accept", "text/plain", ""},
		{http.MethodPut, "Accept", "text/plain", ""},
	} {
		r := newRequest(t, t.Context(), c.method, "payload")
		r.Header.Set(c.name, c.value)
		_, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, c.want, server.Attempts()[len(server.Attempts())-1].Request.Header.Get("Idempotency-Key"), "%s with %s", c.method, c.name)
	}
	r := newPost(t)
	r.Header = nil
	_, err := transport.RoundTrip(r)
	require.NoError(t, err)
	assert.Nil(t, r.Header)
}

func TestIdempotency_KeyInAnyCaseCounts(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	r := newPost(t)
	r.Header["idempotency-key"] = []string{"mine"}
	_, err := newTransport(t, server, steadyhttp.WithIdempotencyKeys()).RoundTrip(r)
	require.NoError(t, err)
	assert.NotContains(t, server.Attempts()[0].Request.Header, "Idempotency-Key", "or two of them go out")
}

func TestIdempotency_PatchGetsAKeyToo(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	_, err := newTransport(t, server, steadyhttp.WithIdempotencyKeys()).RoundTrip(newRequest(t, t.Context(), http.MethodPatch, "payload"))
	require.NoError(t, err)
	assert.NotEmpty(t, server.Attempts()[0].Request.Header.Get("Idempotency-Key"))
}

func TestIdempotency_KeyComesBesideTheOtherHeaders(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	r := newPost(t)
	r.Header.Set("Authorization", "Bearer token")
	_, err := newTransport(t, server, steadyhttp.WithIdempotencyKeys()).RoundTrip(r)
	require.NoError(t, err)
	sent := server.Attempts()[0].Request.Header
	assert.Equal(t, "Bearer token", sent.Get("Authorization"))
	assert.NotEmpty(t, sent.Get("Idempotency-Key"))
}

func TestReplay_BodyThatFailsInTheBufferIsPermanent(t *testing.T) {
	t.Parallel()
	var seen []steadyhttp.Event
	r := newRequest(t, t.Context(), http.MethodPut, "")
	r.Body, r.ContentLength = &trackedBody{Reader: failingReader{errReset}}, -1
	_, err := newTransport(t, newScript(status(200)), steadyhttp.WithReplayBuffer(7), steadyhttp.WithObserver(
		func(_ context.Context, e steadyhttp.Event) { seen = append(seen, e) })).RoundTrip(r)
	require.Error(t, err)
	require.Len(t, seen, 1)
	assert.Equal(t, steadyhttp.Permanent, seen[0].Class)
}

func TestReplay_CancelWhileTheBodyIsBufferedIsReported(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ctx, report := steadyhttp.WithReport(ctx)
	r := newRequest(t, ctx, http.MethodPut, "")
	r.Body, r.ContentLength = &trackedBody{Reader: readFunc(func([]byte) (int, error) {
		cancel()
		return 0, errors.New("the upload was aborted")
	})}, -1
	_, err := newTransport(t, newScript(status(200)), steadyhttp.WithReplayBuffer(7)).RoundTrip(r)
	require.Error(t, err)
	assert.Equal(t, steadyhttp.StopCanceled, report.Stopped)
}

func TestBreaker_OpenDoesNotWaitForABodyToBuffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(fail(errReset)), steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithReplayBuffer(1024))
		_, err := transport.RoundTrip(newGet(t))
		require.ErrorIs(t, err, errReset)
		reader, writer := io.Pipe() // that nobody writes to
		r := newRequest(t, t.Context(), http.MethodPut, "")
		r.Body, r.ContentLength = reader, -1
		_, err = transport.RoundTrip(r)
		assert.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		_, err = writer.Write([]byte("late"))
		assert.ErrorIs(t, err, io.ErrClosedPipe, "the body is closed")
	})
}

func TestReplay_BodyThatPanicsInTheBufferIsClosedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		source := &trackedBody{Reader: panickingReader{}}
		r := newRequest(t, ctx, http.MethodPut, "")
		r.Body, r.ContentLength = source, -1
		transport := newTransport(t, newScript(status(200)), steadyhttp.WithReplayBuffer(7))
		assert.Panics(t, func() { _, _ = transport.RoundTrip(r) })
		cancel()
		synctest.Wait()
		assert.Equal(t, 1, source.closes())
	})
}

// readBack responds with what a server makes of the body's framing.
func readBack(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "%d %v %q %v %v", r.ContentLength, r.TransferEncoding, content, r.Trailer, err)
}

// A body of unknown length would be sent in chunks, which some servers answer with a 411.
func TestReplay_BufferTellsTheLengthOnceItKnowsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		change  func(*http.Request)
		want    string
	}{
		"a body":          {"payload", func(*http.Request) {}, `7 [] "payload" map[] <nil>`},
		"an empty one":    {"", func(*http.Request) {}, `0 [] "" map[] <nil>`},
		"unknown":         {"payload", func(r *http.Request) { r.ContentLength = -1 }, `7 [] "payload" map[] <nil>`},
		"empty, unknown":  {"", func(r *http.Request) { r.ContentLength = -1 }, `0 [] "" map[] <nil>`},
		"promised":        {"payload", func(r *http.Request) { r.ContentLength = 7 }, `7 [] "payload" map[] <nil>`},
		"chunks by order": {"payload", func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, `-1 [chunked] "payload" map[] <nil>`},
		"a trailer":       {"payload", func(r *http.Request) { r.Trailer = http.Header{"X-Sum": {"7"}} }, `-1 [chunked] "payload" map[X-Sum:[7]] <nil>`},
		"longer":          {"payload and more", func(*http.Request) {}, `-1 [chunked] "payload and more" map[] <nil>`},
		"exactly as long": {"ten octets", func(*http.Request) {}, `10 [] "ten octets" map[] <nil>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newWireServer(t, startPlain, replyHandler(503), readBack)
			r := newWireRequest(t, http.MethodPut, server.URL, "")
			r.Body, r.ContentLength = newTrackedBody(c.content), 0
			c.change(r)
			before := r.ContentLength
			transport := newWireTransport(t, &http.Transport{}, steadyhttp.WithReplayBuffer(10))
			if len(c.content) > 10 { // is not replayed
				server.arrived.Add(1)
			}
			sendWire(t, transport, r).assertResponse(t, 200, c.want)
			assert.Equal(t, before, r.ContentLength, "the caller's request is not modified")
		})
	}
}

// To promise a length and not to keep it is a mistake that is not corrected in silence.
func TestReplay_BufferKeepsAPromisedLengthThatIsWrong(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startPlain, readBack)
	for _, content := range []string{"short", ""} {
		r := newWireRequest(t, http.MethodPut, server.URL, "")
		r.Body, r.ContentLength = newTrackedBody(content), 7
		call := sendWire(t, newWireTransport(t, &http.Transport{}, steadyhttp.WithReplayBuffer(10)), r)
		call.assertFailedOnce(t, steadyhttp.Permanent)
	}
}
