package sharing

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyfleet"
)

// startSentinel starts one that watches a Redis, and needs no other to agree. It knows the replica once this returns.
func startSentinel(t *testing.T, master *database) *database {
	t.Helper()
	host, port, err := net.SplitHostPort(master.address)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "sentinel.conf") // which it writes to
	content := fmt.Sprintf("sentinel monitor fleet %s %s 1\nsentinel down-after-milliseconds fleet 500\nsentinel failover-timeout fleet 5000\n", host, port)
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	sentinel := startRedis(t, file, "--sentinel")
	client := redis.NewSentinelClient(&redis.Options{Addr: sentinel.address})
	defer func() { _ = client.Close() }()
	require.Eventually(t, func() bool { // it asks every 10 s
		replicas, err := client.Replicas(t.Context(), "fleet").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	}, time.Minute, 100*time.Millisecond)
	return sentinel
}

// TestSharing_SentinelFailsOver to a replica, while the members listen.
func TestSharing_SentinelFailsOver(t *testing.T) {
	t.Parallel()
	master := startRedis(t)
	host, port, err := net.SplitHostPort(master.address)
	require.NoError(t, err)
	replica := startRedis(t, "--replicaof", host+" "+port)
	sentinel := startSentinel(t, master)
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "fleet", SentinelAddrs: []string{sentinel.address}})
	defer func() { _ = client.Close() }()
	store, err := steadyfleet.New(client)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan steadyfleet.Word, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil { // as a Fleet does
			_ = store.Listen(ctx, "g", func(w steadyfleet.Word) { heard <- w })
		}
	}()
	number := 0
	alert := func() bool {
		number++
		for _, process := range []string{"a", "b", "c"} {
			_, _ = store.Tell(ctx, "g", steadyfleet.Report{Origin: fmt.Sprint("o", number), Kind: steadyfleet.Failing, Process: process})
		}
		select {
		case w := <-heard:
			return w.Phase == steadyfleet.Alert
		case <-time.After(100 * time.Millisecond):
			return false
		}
	}
	require.Eventually(t, alert, 20*time.Second, 100*time.Millisecond)
	master.kill()
	promoted := replica.client()
	defer func() { _ = promoted.Close() }()
	require.Eventually(t, func() bool { return promoted.Set(ctx, "x", "", time.Second).Err() == nil }, 30*time.Second, 50*time.Millisecond)
	for len(heard) > 0 {
		<-heard
	}
	assert.Eventually(t, alert, 20*time.Second, 100*time.Millisecond)
	cancel()
	<-ended
}
