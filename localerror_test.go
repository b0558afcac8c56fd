package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

var errNoToken = errors.New("vault: no token")

func TestLocalError_OfNilIsNil(t *testing.T) {
	t.Parallel()
	assert.NoError(t, steadyhttp.LocalError(nil))
}

func TestLocalError_IsTheErrorThatItMarks(t *testing.T) {
	t.Parallel()
	inner := &net.DNSError{Err: "?", IsTimeout: true}
	marked := steadyhttp.LocalError(fmt.Errorf("token: %w", inner))
	assert.EqualError(t, marked, "token: lookup : ?")
	require.ErrorIs(t, marked, inner)
	var found *net.DNSError
	require.ErrorAs(t, marked, &found)
	assert.True(t, (&url.Error{Op: "Get", URL: "/", Err: marked}).Timeout())
	assert.False(t, (&url.Error{Op: "Get", URL: "/", Err: steadyhttp.LocalError(errNoToken)}).Timeout())
}

// Whatever the error is, and whatever it is wrapped in.
func TestLocalError_IsPermanent(t *testing.T) {
	t.Parallel()
	for _, inner := range []error{
		errNoToken, io.EOF, syscall.ECONNREFUSED, dialError(syscall.EMFILE), context.Canceled, context.DeadlineExceeded,
		&steadyhttp.CircuitOpenError{}, steadyhttp.ErrAttemptTimeout, &steadyhttp.Error{Class: steadyhttp.Transient}, &steadyhttp.ResponseError{Class: steadyhttp.Throttled},
	} {
		marked := steadyhttp.LocalError(inner)
		for _, err := range []error{
			marked, fmt.Errorf("wrapped: %w", marked), errors.Join(io.EOF, marked), &url.Error{Op: "Get", URL: targetURL, Err: marked},
			&steadyhttp.Error{Class: steadyhttp.Transient, Err: marked}, &net.OpError{Op: "dial", Err: marked}, steadyhttp.LocalError(marked),
		} {
			assert.Equal(t, steadyhttp.Permanent, steadyhttp.Classify(newGet(t), nil, err), "%#v", err)
			assert.Equal(t, steadyhttp.Permanent, steadyhttp.Classify(nil, nil, err), "%#v", err)
		}
	}
}

func TestLocalError_IsReturnedAsItIsAndSaysNothingOfTheServer(t *testing.T) {
	t.Parallel()
	for _, request := range []func(*testing.T) *http.Request{newGet, newPost} {
		marked := steadyhttp.LocalError(errNoToken)
		for range 3 {
			err := assertRefused(t, baseFunc{func(*http.Request) (*http.Response, error) { return nil, marked }}, request(t))
			assert.Same(t, marked, err)
		}
	}
}

func TestLocalError_EndsTheRetriesOfAServersFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		marked := steadyhttp.LocalError(errNoToken)
		server := steadyhttptest.NewTransport(status(503), steadyhttptest.Fail(marked), status(200))
		transport := newTransport(t, server)
		_, err := transport.RoundTrip(newGet(t))
		assert.Equal(t, marked, err)
		server.AssertAttempts(t, 2)
		assert.EqualValues(t, 1, onlyBreaker(t, transport).Requests, "the 503 alone")
	})
}

// waitForever waits as a limiter does, and says whose fault that is.
func waitForever(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, steadyhttp.LocalError(context.Cause(r.Context()))
}

func TestLocalError_OfAWaitUntilTheCallersDeadlineIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, baseFunc{waitForever})
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			call := sendWire(t, transport, newRequest(t, ctx, http.MethodGet, ""))
			cancel()
			require.ErrorIs(t, call.err, context.DeadlineExceeded)
			call.assertClasses(t, steadyhttp.StopNotRetryable, steadyhttp.Permanent)
		}
		assert.Zero(t, onlyBreaker(t, transport).Requests)
	})
}

func TestLocalError_OfAWaitUntilTheAttemptTimeoutIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, baseFunc{waitForever}, steadyhttp.WithAttemptTimeout(2*time.Second))
		call := sendWire(t, transport, newGet(t))
		call.assertFailedOnce(t, steadyhttp.Permanent)
		require.ErrorIs(t, call.err, steadyhttp.ErrAttemptTimeout)
		assert.Zero(t, onlyBreaker(t, transport).Requests)
	})
}

func TestLocalError_OfACancelIsTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		call := sendWire(t, newTransport(t, baseFunc{waitForever}), newRequest(t, ctx, http.MethodGet, ""))
		call.assertClasses(t, steadyhttp.StopCanceled, steadyhttp.Canceled)
	})
}

// A dialer and a source of tokens are parts of a base as well.
func TestLocalError_MayComeFromADialer(t *testing.T) {
	t.Parallel()
	runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
		refuse := func(context.Context, string, string) (net.Conn, error) {
			return nil, steadyhttp.LocalError(fmt.Errorf("no tunnel: %w", syscall.ECONNREFUSED))
		}
		require.ErrorIs(t, assertRefused(t, wrap(&http.Transport{DialContext: refuse}), newWireRequest(t, method, targetURL, "")), syscall.ECONNREFUSED)
	})
}
