package steadyhttp

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTimeout_OfHeadersIsOnUnlessTheAttemptTimeoutIs(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 30*time.Second, pooledTransport(0).(*http.Transport).ResponseHeaderTimeout)
	assert.Zero(t, pooledTransport(time.Minute).(*http.Transport).ResponseHeaderTimeout)
}
