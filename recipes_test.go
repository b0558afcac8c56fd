package steadyhttp_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// A line that is too long ends the loop: to connect again would bring the same line, for ever.
func TestRecipes_LargeEventsAreReadAndTooLargeOnesEndTheLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", 1<<20)
		server := steadyhttptest.NewTransport(
			steadyhttptest.Status(200).Body("id: 1\ndata: "+large+"\n\nid: 2\ndata: "+strings.Repeat("x", maxLine)+"\n\n"),
			steadyhttptest.End(t),
		)
		var found []string
		err := follow(t.Context(), &http.Client{Transport: server}, "https://api.example.com/events", func(data string) { found = append(found, data) })
		assert.ErrorIs(t, err, bufio.ErrTooLong)
		require.Len(t, found, 1)
		assert.Len(t, found[0], len(large))
	})
}

func TestRecipes_CacheSharesNoHeaderWithItsCallers(t *testing.T) {
	t.Parallel()
	server := steadyhttptest.NewTransport(steadyhttptest.Status(200).Header("Age", "1"), steadyhttptest.Status(501))
	cache := &staleCache{next: newTransport(t, server), stale: time.Hour, kept: make(map[string]keptResponse)}
	for range 3 {
		response, err := cache.RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, "1", response.Header.Get("Age"))
		response.Header.Set("Age", "changed")
		require.NoError(t, response.Body.Close())
	}
}
