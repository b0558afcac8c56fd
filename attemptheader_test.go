package steadyhttp_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestAttemptHeader_IsOnRetriesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(503), status(200))
		transport := newTransport(t, server, steadyhttp.WithAttemptHeader("x-attempt"))
		r := newPost(t)
		r.Header.Set("Idempotency-Key", "1")
		r.Header["X-ATTEMPT"] = []string{"mine"}
		_, err := transport.RoundTrip(r)
		require.NoError(t, err)
		var sent []string
		for i, request := range server.Attempts() {
			if i == 0 {
				//lint:ignore SA1008 as the caller wrote it
				assert.Equal(t, []string{"mine"}, request.Header["X-ATTEMPT"], "the first attempt is sent as it is")
			} else {
				assert.NotContains(t, request.Header, "X-ATTEMPT")
			}
			assert.Equal(t, "1", request.Header.Get("Idempotency-Key"))
			sent = append(sent, request.Header.Get("X-Attempt"))
		}
		assert.Equal(t, []string{"", "2", "3"}, sent)
		assert.Equal(t, http.Header{"Idempotency-Key": {"1"}, "X-ATTEMPT": {"mine"}}, r.Header, "the caller's request is not modified")
	})
}

func TestAttemptHeader_RequestWithoutHeaderGetsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(200))
		r := newGet(t)
		r.Header = nil
		_, err := newTransport(t, server, steadyhttp.WithAttemptHeader("X-Attempt")).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, "2", server.Attempts()[1].Header.Get("X-Attempt"))
	})
}

func TestAttemptHeader_NameMustBeSendable(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"x attempt", "X-Attempt:", "naïve", "host", "Content-Length", "transfer-encoding", "connection", "TE", "Idempotency-Key", "x-idempotency-key", "range", "If-Range"} {
		_, err := steadyhttp.NewTransport(nil, steadyhttp.WithAttemptHeader(name))
		assert.ErrorContains(t, err, `WithAttemptHeader: "`+name+`" is invalid`)
	}
	_, err := steadyhttp.NewTransport(nil, steadyhttp.WithAttemptHeader(""))
	assert.NoError(t, err)
}
