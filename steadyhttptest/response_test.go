package steadyhttptest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestResponse_LooksLikeNetHTTPs(t *testing.T) {
	t.Parallel()
	r := get(t)
	base := steadyhttptest.NewTransport(steadyhttptest.Status(503).Header("Retry-After", "2").Header("Via", "a").Header("Via", "b").Body("sorry"))
	response, err := base.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, "503 Service Unavailable", response.Status)
	assert.Equal(t, "HTTP/1.1", response.Proto)
	assert.True(t, response.ProtoAtLeast(1, 1))
	assert.Equal(t, http.Header{"Retry-After": {"2"}, "Via": {"a", "b"}}, response.Header)
	assert.EqualValues(t, 5, response.ContentLength)
	assert.Same(t, r, response.Request)
	_, content := read(t, response, err)
	assert.Equal(t, "sorry", content)
}

func TestResponse_BodyIsTheStatusTextByDefault(t *testing.T) {
	t.Parallel()
	for content, step := range map[string]steadyhttptest.Step{
		"Service Unavailable": steadyhttptest.Status(503),
		"":                    steadyhttptest.Status(503).Body(""),
		"OK":                  steadyhttptest.Response{},
	} {
		_, got := exchange(t, steadyhttptest.NewTransport(step), get(t))
		assert.Equal(t, content, got)
	}
}

func TestResponse_MethodsReturnCopies(t *testing.T) {
	t.Parallel()
	plain := steadyhttptest.Status(503).Header("Via", "a")
	_, _, _ = plain.Header("Via", "b"), plain.Body("other"), plain.Truncated()
	response, err := steadyhttptest.NewTransport(plain).RoundTrip(get(t))
	require.NoError(t, err)
	response.Header.Set("Via", "changed by the caller")
	_, content := read(t, response, err)
	assert.Equal(t, "Service Unavailable", content)
	response, err = steadyhttptest.NewTransport(plain).RoundTrip(get(t))
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, response.Header["Via"])
}

func TestResponse_HasNoBodyWhereHTTPHasNone(t *testing.T) {
	t.Parallel()
	head := get(t)
	head.Method = http.MethodHead
	for name, c := range map[string]struct {
		step   steadyhttptest.Step
		r      *http.Request
		length int64
	}{
		"204":  {steadyhttptest.Status(204), get(t), 0},
		"304":  {steadyhttptest.Status(304), get(t), 0},
		"HEAD": {steadyhttptest.Status(200), head, 2},
	} {
		base := steadyhttptest.NewTransport(c.step)
		response, err := base.RoundTrip(c.r)
		require.NoError(t, err, name)
		assert.Equal(t, http.NoBody, response.Body, name)
		assert.Equal(t, c.length, response.ContentLength, name)
		base.AssertClosed(t)
	}
}

func TestResponse_BodyEndsAsAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		response steadyhttptest.Response
		length   int64
		want     error
	}{
		"whole":     {steadyhttptest.Status(200).Body("abc"), 3, nil},
		"truncated": {steadyhttptest.Status(200).Body("abc").Truncated(), 4, io.ErrUnexpectedEOF},
		"stalled":   {steadyhttptest.Status(200).Body("abc").Stalled(), 4, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				response, err := steadyhttptest.NewTransport(c.response).RoundTrip(request(t, ctx, http.MethodGet, target, ""))
				require.NoError(t, err)
				assert.Equal(t, c.length, response.ContentLength)
				content, err := io.ReadAll(response.Body)
				assert.Equal(t, "abc", string(content))
				assert.Equal(t, c.want, err)
			})
		})
	}
}

func TestResponse_EndlessBodyRepeatsItsContent(t *testing.T) {
	t.Parallel()
	response, err := steadyhttptest.NewTransport(steadyhttptest.Status(200).Body("abc").Endless()).RoundTrip(get(t))
	require.NoError(t, err)
	assert.EqualValues(t, -1, response.ContentLength)
	content := make([]byte, 3000)
	_, err = io.ReadFull(response.Body, content)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("abc", 1000), string(content))
}

func TestResponse_ClosingTheBodyEndsAStalledRead(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]steadyhttptest.Step{
		"stalled":           steadyhttptest.Status(200).Body("").Stalled(),
		"nothing, endless":  steadyhttptest.Status(200).Body("").Endless(),
		"closed beforehand": steadyhttptest.Status(200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				response, err := steadyhttptest.NewTransport(step).RoundTrip(get(t))
				require.NoError(t, err)
				if name == "closed beforehand" {
					require.NoError(t, response.Body.Close())
				} else {
					time.AfterFunc(time.Second, func() { _ = response.Body.Close() })
				}
				_, err = response.Body.Read(make([]byte, 1))
				assert.Equal(t, http.ErrBodyReadAfterClose, err)
				assert.NoError(t, response.Body.Close(), "once more")
			})
		})
	}
}

// So do net/http's bodies: a wrapper that cancels the context too early is found.
func TestResponse_BodyFailsAfterTheContextUnlessItWasRead(t *testing.T) {
	t.Parallel()
	errBored := errors.New("bored")
	for _, readBefore := range []bool{false, true} {
		ctx, cancel := context.WithCancelCause(context.Background())
		response, err := steadyhttptest.NewTransport().RoundTrip(request(t, ctx, http.MethodGet, target, ""))
		require.NoError(t, err)
		want := errBored
		if readBefore {
			_, err = io.ReadFull(response.Body, make([]byte, 2))
			require.NoError(t, err)
			want = io.EOF
		}
		cancel(errBored)
		_, err = response.Body.Read(make([]byte, 1))
		assert.Equal(t, want, err)
	}
}
