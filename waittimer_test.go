package steadyhttp_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWaitTimer_OfABubbleDoesNotLeaveItNorDoesAnotherEnter(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(503), status(200), status(503), status(200), status(503), status(200)), withConstantBackoff(time.Millisecond))
	retry := func(t *testing.T) {
		start := time.Now()
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		assert.GreaterOrEqual(t, time.Since(start), time.Millisecond)
	}
	retry(t)
	synctest.Test(t, retry)
	retry(t)
}
