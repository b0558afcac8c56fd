package steadyhttp_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestTransientFailureIsRetriedUntilSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := scripted(status(503), status(503), status(200))
		response, err := newTransport(t, server).RoundTrip(get(t))
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		assert.Equal(t, 3, server.attempts())
		assert.Equal(t, 3, steadyhttp.Attempts(response))
		server.assertClosed(t, response)
	})
}
