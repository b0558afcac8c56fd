package steadyhttp_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestDrain_StalledBodyStallsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stalled := newStalledBody()
		server := newScript(stepFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: stalled}, nil
		}), status(200))
		_, err := newTransport(t, server).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.LessOrEqual(t, server.Waits()[0], 500*time.Millisecond)
		<-stalled.closed
	})
}

func TestDrain_BodyThatPanicsCanBeRecovered(t *testing.T) {
	t.Parallel()
	for name, dropped := range map[string]io.ReadCloser{
		"Read":  &trackedBody{Reader: panickingReader{}},
		"Close": panickingCloser{strings.NewReader("")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newScript(stepFunc(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 503, Header: http.Header{}, Body: dropped}, nil
			}), status(200))
			retried := newTrackedBody("payload")
			r := newRequest(t, t.Context(), http.MethodPut, "payload")
			r.GetBody = func() (io.ReadCloser, error) { return retried, nil }
			transport := newTransport(t, server)
			assert.PanicsWithValue(t, "a test's", func() { _, _ = transport.RoundTrip(r) })
			assert.Equal(t, 1, retried.closes())
			if read, ok := dropped.(*trackedBody); ok {
				assert.Equal(t, 1, read.closes())
			}
			server.AssertAttempts(t, 1)
		})
	}
}

func TestDrain_StalledBodyDelaysTheRetryByFiftyMilliseconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent []time.Duration
		start := time.Now()
		base := stepFunc(func(*http.Request) (*http.Response, error) {
			sent = append(sent, time.Since(start))
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: newStalledBody()}, nil
		})
		response, err := newTransport(t, base, withConstantBackoff(time.Millisecond), steadyhttp.WithMaxAttempts(2)).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, []time.Duration{0, 50 * time.Millisecond}, sent)
		assert.NoError(t, response.Body.Close())
	})
}

func TestDrain_IsPartOfTheWaitThatMustEndBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{time.Millisecond, 970 * time.Millisecond} {
		for deadline, sent := range map[time.Duration]int{40 * time.Millisecond: 1, time.Second: 2} {
			if deadline < wait && wait > time.Millisecond {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				server := newScript(stepFunc(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 503, Header: http.Header{}, Body: newStalledBody()}, nil
				}), status(200))
				response, err := newTransport(t, server, steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff {
					return backoff.NewConstantBackOff(wait)
				})).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
				require.NoError(t, err, "wait %v, deadline %v", wait, deadline)
				assert.Len(t, server.Attempts(), sent, "wait %v, deadline %v", wait, deadline)
				require.NoError(t, response.Body.Close())
			})
		}
	}
}

func TestDrain_CancelEndsTheCallAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server := newScript(stepFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: newStalledBody()}, nil
		}), status(200))
		start := time.Now()
		time.AfterFunc(time.Millisecond, cancel)
		_, err := newTransport(t, server, steadyhttp.WithBackoff(time.Second, time.Minute)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, time.Millisecond, time.Since(start))
	})
}

func TestDrain_ReadsAnEndlessBodyOnlyUpToItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endless := &endlessBody{}
		server := newScript(stepFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: endless}, nil
		}), status(200))
		_, err := newTransport(t, server).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.LessOrEqual(t, endless.read, 64<<10)
		assert.Equal(t, 1, endless.closed)
	})
}

func TestDrain_CloseThatBlocksDelaysNoRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := &stuckBody{make(chan struct{})}
		server := newScript(stepFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: stuck}, nil
		}), status(200))
		time.AfterFunc(time.Hour, func() { close(stuck.released) })
		_, err := newTransport(t, server).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.LessOrEqual(t, server.Waits()[0], 500*time.Millisecond)
		<-stuck.released
	})
}
