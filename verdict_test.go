package steadyhttp_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnswerAtTheDeadlineStillCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		transport := newTransport(t, scripted(function(func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			return status(503).RoundTrip(r)
		})))
		_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, uint32(1), breaker(t, transport).Failures, "a 503 is a 503, however late")
	})
}

func TestDeadlineIsTimedEvenIfNobodyWatches(t *testing.T) {
	t.Parallel()
	for patience, failures := range map[time.Duration]uint32{10 * time.Millisecond: 0, 2 * time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, scripted(hang))
			time.Sleep(time.Hour)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, failures, breaker(t, transport).Failures, patience)
		})
	}
}
