package steadyhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestAttemptTimeout_IsRetriedAndNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(hang, status(200))
		response, err := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, 2, steadyhttp.Attempts(response))
		assert.GreaterOrEqual(t, server.Waits()[0], time.Second)
		require.NoError(t, response.Body.Close())

		_, err = newTransport(t, newScript(hang), singleAttemptOptions(steadyhttp.WithAttemptTimeout(time.Second))...).RoundTrip(newGet(t))
		assert.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "1s")
		var timeout interface{ Timeout() bool }
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
		var temporary interface{ Temporary() bool }
		require.ErrorAs(t, err, &temporary)
		assert.True(t, temporary.Temporary())
	})
}

func TestAttemptTimeout_IsNotTheCallersCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// HTTP/2 returns ctx.Err(), which for our timeout is context.Canceled.
		http2 := func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		transport := newTransport(t, newScript(stepFunc(http2)), singleAttemptOptions(steadyhttp.WithAttemptTimeout(time.Second))...)
		ctx, report := steadyhttp.WithReport(t.Context())
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
		assert.NotErrorIs(t, err, context.Canceled)
		assert.Equal(t, steadyhttp.Transient, report.Attempts[0].Class)
		assert.Equal(t, uint32(1), onlyBreaker(t, transport).Failures)
	})
}

func TestAttemptTimeout_CallersCancelComesFirst(t *testing.T) {
	t.Parallel()
	errShutdown := errors.New("shutting down")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		deaf := func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			cancel(errShutdown)
			return nil, context.Cause(r.Context())
		}
		transport := newTransport(t, newScript(stepFunc(deaf)), steadyhttp.WithAttemptTimeout(time.Second))
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.Equal(t, errShutdown, err)
		assert.Zero(t, onlyBreaker(t, transport).Failures)
	})
}

func TestAttemptTimeout_BodyIsReadableAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &contextBody{parts: 10, pause: time.Second}
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			source.ctx = r.Context()
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: source}, nil
		})
		response, err := newTransport(t, base, steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(newGet(t))
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Len(t, content, 10)
		assert.Error(t, source.ctx.Err(), "released at the end of the body")
		require.NoError(t, response.Body.Close())
		assert.True(t, source.closed)
	})
}

func TestAttemptTimeout_ClosingTheBodyReleasesTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &contextBody{parts: 10, pause: time.Second}
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			source.ctx = r.Context()
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: source}, nil
		})
		response, err := newTransport(t, base, steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(newGet(t))
		require.NoError(t, err)
		require.NoError(t, source.ctx.Err())
		require.NoError(t, response.Body.Close())
		assert.Error(t, source.ctx.Err())
		assert.True(t, source.closed)
	})
}

// A contextBody fails once its request's context has ended, as net/http's bodies do.
type contextBody struct {
	ctx    context.Context
	parts  int
	pause  time.Duration
	closed bool
}

func (b *contextBody) Read(p []byte) (int, error) {
	time.Sleep(b.pause)
	switch {
	case b.ctx.Err() != nil:
		return 0, b.ctx.Err()
	case b.parts == 0:
		return 0, io.EOF
	default:
		b.parts--
		return copy(p, "x"), nil
	}
}

func (b *contextBody) Close() error {
	b.closed = true
	return nil
}

func TestAttemptTimeout_ResponseThatComesTooLateIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(stepFunc(func(r *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second) // a base that does not look at the context
			return status(200).RoundTrip(r)
		}))
		_, err := newTransport(t, server, singleAttemptOptions(steadyhttp.WithAttemptTimeout(time.Second))...).RoundTrip(newGet(t))
		assert.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
		assertClosedOnce(t, server, nil)
	})
}

func TestAttemptTimeout_SwitchedProtocolsKeepTheirWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		upgraded := &duplexBody{trackedBody: newTrackedBody("")}
		base := stepFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 101, Header: http.Header{}, Body: upgraded}, nil
		})
		response, err := newTransport(t, base, requestChangingOptions()...).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Implements(t, (*io.ReadWriteCloser)(nil), response.Body)
	})
}

type duplexBody struct{ *trackedBody }

func (duplexBody) Write(p []byte) (int, error) { return len(p), nil }

func TestAttemptTimeout_BaseThatPanicsReleasesTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ctx context.Context
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			ctx = r.Context()
			panic("base")
		})
		transport := newTransport(t, base, steadyhttp.WithAttemptTimeout(time.Second))
		assert.PanicsWithValue(t, "base", func() { _, _ = transport.RoundTrip(newGet(t)) })
		assert.Error(t, ctx.Err())
	})
}

func TestAttemptTimeout_IsForEachAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(delay(900*time.Millisecond, status(503)), delay(900*time.Millisecond, status(200)))
		response, err := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		require.NoError(t, response.Body.Close())
	})
}

func TestAttemptTimeout_RequestCancelComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cancel := make(chan struct{})
		deaf := func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			close(cancel)
			return nil, context.Cause(r.Context())
		}
		r := newGet(t)
		//lint:ignore SA1019 http.Client.Timeout still uses it
		r.Cancel = cancel
		_, err := newTransport(t, newScript(stepFunc(deaf)), steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(r)
		assert.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
	})
}

// net/http waits for the body's Read even when the context has ended (golang/go#78555).
func TestAttemptTimeout_BoundsAnAttemptWhoseBodyBlocks(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	transport := newTransport(t, base, singleAttemptOptions(steadyhttp.WithAttemptTimeout(50*time.Millisecond))...)
	reader, writer := io.Pipe() // that nobody writes to
	defer writer.Close()
	ctx, report := steadyhttp.WithReport(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL, reader)
	require.NoError(t, err)
	_, err = transport.RoundTrip(r)
	assert.ErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
	assert.Equal(t, steadyhttp.Transient, report.Attempts[0].Class)
}

func TestAttemptTimeout_ClosingTheBodyReleasesTheAttemptFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: waitingBody{r.Context()}}, nil
		})
		response, err := newTransport(t, base, steadyhttp.WithAttemptTimeout(time.Second)).RoundTrip(newGet(t))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	})
}

func TestAttemptTimeout_DuringADialIsAnAttemptTimeout(t *testing.T) {
	t.Parallel()
	runScriptCases(t, []scriptCase{{
		name: "POST", request: payloadRequest(http.MethodPost), options: []steadyhttp.Option{steadyhttp.WithAttemptTimeout(time.Second)},
		steps: []step{withoutConnection(hang)}, attempts: 1, stopped: steadyhttp.StopNotIdempotent,
	}})
}
