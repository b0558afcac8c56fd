package sharing

import (
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

// TestSharing_OverACluster needs no second node: one alone refuses a script whose keys have several hash tags, too.
func TestSharing_OverACluster(t *testing.T) {
	t.Parallel()
	_, bus, err := net.SplitHostPort(freeAddress(t)) // by default it is the port + 10,000, which may be none
	require.NoError(t, err)
	d := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus)
	node := d.client()
	defer func() { _ = node.Close() }()
	require.NoError(t, node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{d.address}})
	defer func() { _ = client.Close() }()
	require.Eventually(t, func() bool { return client.Set(t.Context(), "ready", "", 0).Err() == nil }, 10*time.Second, 50*time.Millisecond)
	store, err := steadyfleet.New(client)
	require.NoError(t, err)
	checkWordsAreHeard(t, store, d)
}
